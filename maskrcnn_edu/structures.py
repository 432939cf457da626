"""The records that flow between the stages, and the legend of their letters.

Letters
-------
N  images in a batch             A  anchors of one image, all levels together
L  feature levels                R  regions of interest (RoIs) of one image
H, W  padded batch image         F  foreground RoIs of one image
K  anchors per cell              G  annotated objects of one image
C  object classes                D  detections of one image
c  channels of a feature         M  side of a mask, in cells
h, w  height and width of what the sentence speaks of: a feature map, a file, a mask

Labels: 0 .. C-1 are the classes, C is background, -1 is "do not train on this".

Boxes are ``[x1, y1, x2, y2]`` float32, continuous: width = x2 - x1, and the
centre of the top left pixel is (0.5, 0.5). Every box lives in one of two frames:

*input*  pixels of the resized image that the network sees
*image*  pixels of the file on disk

Names say who speaks. What the model predicts: ``scores``, ``deltas``, ``mask_logits``, and
all of `Detections`. What it should have predicted: ``target_labels``, ``target_deltas``,
``target_masks``. What people annotated: `GroundTruth`, ``gt_boxes``, ``gt_index``.

Every record is frozen: a stage makes it once, and its fields cannot be set anew. The arrays
in it could be written to; no stage does that. Index fields lead back: from a detection to
its proposal, from a sampled RoI to its proposal and its object, from a proposal to its
anchor and its level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from paddle import Tensor

Array: TypeAlias = "np.ndarray | Tensor"
"""numpy on the data side and in figures, Paddle in the model."""


@dataclass(frozen=True)
class BitMask:
    """The shape of one object as pixels, stretched over a box.

    Run-length encoded annotations (objects with holes, crowds) come as this.
    Only ``box`` changes when the image is resized: the pixels stay those of the
    file, so nothing is lost.

    Attributes:
        pixels: [h, w] uint8, 1 inside the object; cropped to the object.
        box: [4] float32, the rectangle that ``pixels`` covers (same frame as
            the ground truth that holds this mask).
    """

    pixels: np.ndarray
    box: np.ndarray


Polygons = list[np.ndarray]
"""One object's outline: parts, each a flat ``[x1, y1, x2, y2, ...]`` float64 array."""

Segmentation = Polygons | BitMask


@dataclass(frozen=True)
class GroundTruth:
    """The annotated objects of one image.

    numpy arrays while the transforms work on them (image frame, then input
    frame), Paddle tensors once they are in a `Batch` (input frame).

    Attributes:
        boxes: [G, 4] float32.
        labels: [G] int64, 0 .. C-1.
        segms: G segmentations, polygons or bit masks, in the frame of ``boxes``.
        is_crowd: [G] bool; True marks a region of many objects, not one object.
    """

    boxes: Array
    labels: Array
    segms: list[Segmentation]
    is_crowd: Array

    def __len__(self) -> int:
        return len(self.segms)


@dataclass(frozen=True)
class Batch:
    """N images as the network sees them; the last record that knows about files.

    Attributes:
        image: [N, 3, H, W] float32, normalized, zero-padded at the right and bottom.
        im_shape: [N, 2] float32, height and width in the input frame, without padding.
        scale_factor: [N, 2] float32, input pixels per image pixel, (y, x).
        image_id: N ids, as in the annotation file.
        gt: the N images' ground truth (input frame), or None when predicting.
    """

    image: Tensor
    im_shape: Tensor
    scale_factor: Tensor
    image_id: list[int]
    gt: list[GroundTruth] | None = None

    def __len__(self) -> int:
        return len(self.image_id)


@dataclass(frozen=True)
class RPNOutput:
    """What the region proposal network predicts for every anchor of every image.

    Attributes:
        scores: [N, A] logits (objectness), high where an object is.
        deltas: [N, A, 4] regression from anchor to object (dx, dy, dw, dh).
        anchors: [A, 4] boxes, input frame, the same for all N images.
        level_sizes: L numbers that add up to A: anchors are ordered by level,
            then row, column, and shape within the cell.
    """

    scores: Tensor
    deltas: Tensor
    anchors: Tensor
    level_sizes: list[int]

    def level_of(self, anchor_index: np.ndarray) -> np.ndarray:
        """The feature level (0 .. L-1) of each anchor index."""
        return np.searchsorted(np.cumsum(self.level_sizes), np.asarray(anchor_index), side="right")


@dataclass(frozen=True)
class AnchorTargets:
    """What the RPN should have predicted for each anchor of one image.

    Attributes:
        target_labels: [A] int32: 1 object, 0 background, -1 not trained on.
        target_deltas: [A, 4] float32 from anchor to object; meaningful where the label is 1.
        gt_index: [A] int64, row of `GroundTruth` with the largest overlap.
    """

    target_labels: Tensor
    target_deltas: Tensor
    gt_index: Tensor


@dataclass(frozen=True)
class Proposals:
    """Where objects may be in one image: anchors moved, clipped, without near copies.

    Attributes:
        boxes: [R, 4] input frame.
        scores: [R] logits of the RPN.
        anchor_index: [R] int64, the anchor that each came from.
    """

    boxes: Tensor
    scores: Tensor
    anchor_index: Tensor

    def __len__(self) -> int:
        return self.boxes.shape[0]


@dataclass(frozen=True)
class ProposalSteps:
    """How the proposals of one image came about: what every step left, best first.

    Lists have one int64 tensor per level. Rows are those of ``best``, all levels together;
    each step's rows are some of those of the step before.

    Attributes:
        best: anchors with the best scores of their level.
        large: rows whose boxes are large enough.
        survivors: rows that are no near copies of better ones.
        kept: rows within the number that a level may keep.
        proposals: the best of all levels' ``kept``.
    """

    best: list[Tensor]
    large: list[Tensor]
    survivors: list[Tensor]
    kept: list[Tensor]
    proposals: Proposals


@dataclass(frozen=True)
class RoISamples:
    """The RoIs of one image that the second stage trains on, with their targets.

    Attributes:
        boxes: [R, 4] input frame.
        target_labels: [R] int64, 0 .. C-1, C for background, -1 for "not trained on".
        gt_boxes: [R, 4] the object each RoI should become (zeros without objects).
        gt_index: [R] int64, row of `GroundTruth`.
        proposal_index: [R] int64, row of `Proposals`; -1 where the RoI is an
            annotated box that was added to the proposals.
    """

    boxes: Tensor
    target_labels: Tensor
    gt_boxes: Tensor
    gt_index: Tensor
    proposal_index: Tensor

    def __len__(self) -> int:
        return self.boxes.shape[0]


@dataclass(frozen=True)
class BBoxOutput:
    """What the box head predicts for all RoIs of the batch, image after image.

    Attributes:
        scores: [sum R, C + 1] logits, background last.
        deltas: [sum R, C, 4] regression per class ([sum R, 1, 4] if class-agnostic).
        cot_scores: [sum R, old classes + 1] logits of the pretraining's classes, with
            label co-tuning; else None.
    """

    scores: Tensor
    deltas: Tensor
    cot_scores: Tensor | None = None


@dataclass(frozen=True)
class MaskTargets:
    """The masks that the mask head should have predicted for one image.

    Attributes:
        index: [F] int64, rows of this image's `RoISamples`.
        target_labels: [F] int64, 0 .. C-1.
        target_masks: [F, M, M] float32, 1 inside the object, over the RoI's own box.
    """

    index: Tensor
    target_labels: Tensor
    target_masks: Tensor

    def __len__(self) -> int:
        return self.index.shape[0]


@dataclass(frozen=True)
class Detections:
    """The objects detected in one image. Paddle tensors; numpy arrays in overlays.

    Attributes:
        boxes: [D, 4], input frame inside the model, image frame in its answer.
        labels: [D] int64, 0 .. C-1, the predicted classes.
        scores: [D] float32 probabilities of these classes.
        roi_index: [D] int64, row of `Proposals`.
        masks: [D, h, w] bool in the image frame, or None before pasting.
    """

    boxes: Array
    labels: Array
    scores: Array
    roi_index: Array
    masks: Array | None = None

    def __len__(self) -> int:
        return self.boxes.shape[0]


@dataclass(frozen=True)
class TrainingStages:
    """Everything one training step computed, in the order it was computed.

    Lists have one entry per image unless said otherwise.

    Attributes:
        batch: what went in.
        features: L feature maps [N, c, h, w] (one for C4).
        rpn: scores and deltas of all anchors.
        anchor_targets: what the RPN should have predicted.
        proposals: the RPN's answer as boxes.
        samples: RoIs sampled from proposals and annotated boxes, with their targets.
        bbox: scores and deltas of all samples.
        mask_targets: masks of the foreground samples.
        mask_logits: [sum F, C, M, M], image after image.
        losses: ``loss_rpn_cls``, ``loss_rpn_reg``, ``loss_bbox_cls``,
            ``loss_bbox_reg``, ``loss_mask``: scalars (and ``loss_bbox_cls_cot`` with
            label co-tuning).
    """

    batch: Batch
    features: list[Tensor]
    rpn: RPNOutput
    anchor_targets: list[AnchorTargets]
    proposals: list[Proposals]
    samples: list[RoISamples]
    bbox: BBoxOutput
    mask_targets: list[MaskTargets]
    mask_logits: Tensor
    losses: dict[str, Tensor]

    @property
    def loss(self) -> Tensor:
        """The sum of the losses, a scalar: what ``backward()`` is called on."""
        return sum(self.losses.values())


@dataclass(frozen=True)
class PredictionStages:
    """Everything one prediction computed, in the order it was computed.

    Lists have one entry per image unless said otherwise.

    Attributes:
        batch: what went in.
        features: L feature maps [N, c, h, w] (one for C4).
        rpn: scores and deltas of all anchors.
        proposals: the RPN's answer as boxes.
        bbox: scores and deltas of all proposals.
        boxes_only: the detections that the mask head looks at, input frame, without masks.
        mask_probs: [D, M, M] per image, the own class's probabilities over the box.
        image_size: height and width of every image's file, in pixels.
        detections: the answer, image frame; with masks once they are pasted
            (``MaskRCNN.paste``).
        extra_data: with ``use_extra_data``, what the document's model adds to its answer:
            ``scores`` [sum R, C + 1] probabilities of all proposals, and
            ``nms_keep_idx`` [sum D] int64, where each detection comes from: row of
            ``scores`` times C, plus class.
    """

    batch: Batch
    features: list[Tensor]
    rpn: RPNOutput
    proposals: list[Proposals]
    bbox: BBoxOutput
    boxes_only: list[Detections]
    mask_probs: list[Tensor]
    image_size: list[tuple[int, int]]
    detections: list[Detections]
    extra_data: dict[str, Tensor] | None = None
