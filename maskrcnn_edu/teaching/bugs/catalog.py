"""The bug zoo: real mistakes of detector code, one function each, to be let loose on purpose.

    with release("anchors_xy_swapped"):
        ...  # the package makes this mistake until the block ends

Every mistake below was made in some published detector, and most of them train without an
error message. Each is a second version of one function of the package; what differs from
the right version is the mistake, and a comment says where. The same list tests the tests:
`tools/mutation.py` lets out one bug after the other and asks who noticed.

The right functions are replaced wherever a module of the package has them, so stages that
imported them by name make the mistake as well. A name that a notebook or a test has
imported itself stays right: call the stage, or write ``boxes.nms`` instead of ``nms``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import paddle
from paddle import Tensor
from paddle.vision.ops import roi_align

from maskrcnn_edu.data.coco import Sample
from maskrcnn_edu.data.transforms import RandomFlip
from maskrcnn_edu.model.bbox.head import BBoxHead
from maskrcnn_edu.model.bbox.postprocess import MultiClassNMS
from maskrcnn_edu.model.bbox.targets import generate_proposal_target
from maskrcnn_edu.model.boxes import bbox2delta, clip_bbox, delta2bbox, nms
from maskrcnn_edu.model.losses import binary_cross_entropy
from maskrcnn_edu.model.mask.head import MaskHead, own_class
from maskrcnn_edu.model.mask.targets import rasterize_within_box
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.matching import label_box
from maskrcnn_edu.model.ops.empty import has_rows, join, pick, total
from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.model.rpn.head import RPNHead
from maskrcnn_edu.model.rpn.proposals import ProposalGenerator
from maskrcnn_edu.structures import (
    AnchorTargets,
    BitMask,
    GroundTruth,
    MaskTargets,
    Polygons,
    RoISamples,
    RPNOutput,
)
from maskrcnn_edu.teaching.bugs.bug import Bug

# ---- data ------------------------------------------------------------------------

_right_flip = RandomFlip.__call__


def _flip_forgets_polygons(self: RandomFlip, sample: Sample, rng: np.random.Generator) -> Sample:
    flipped = _right_flip(self, sample, rng)
    if sample.gt is None:
        return flipped
    # the mistake: image and boxes are mirrored, the outlines are the old ones
    return replace(flipped, gt=replace(flipped.gt, segms=sample.gt.segms))


# ---- anchors and matching --------------------------------------------------------


def _anchors_xy_swapped(
    self: AnchorGenerator, height: int, width: int, stride: float, cell: list[list[float]]
) -> Tensor:
    ys = (np.arange(height, dtype=np.float32) + self.offset) * stride
    xs = (np.arange(width, dtype=np.float32) + self.offset) * stride
    x, y = np.meshgrid(xs, ys)
    centers = np.stack([y, x, y, x], axis=-1)  # the mistake: x comes first
    anchors = centers[:, :, None] + np.asarray(cell, np.float32)
    return paddle.to_tensor(anchors.reshape(-1, 4), dtype="float32")


def _anchors_half_stride(
    self: AnchorGenerator, height: int, width: int, stride: float, cell: list[list[float]]
) -> Tensor:
    offset = self.offset + 0.5  # the mistake: moved to the middle, whatever the configuration
    ys = (np.arange(height, dtype=np.float32) + offset) * stride
    xs = (np.arange(width, dtype=np.float32) + offset) * stride
    x, y = np.meshgrid(xs, ys)
    centers = np.stack([x, y, x, y], axis=-1)
    anchors = centers[:, :, None] + np.asarray(cell, np.float32)
    return paddle.to_tensor(anchors.reshape(-1, 4), dtype="float32")


def _iou_plus_one(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    if not (has_rows(boxes1) and has_rows(boxes2)):
        return paddle.zeros([boxes1.shape[0], boxes2.shape[0]])
    ax1, ay1, ax2, ay2 = boxes1.unsqueeze(1).unbind(2)
    bx1, by1, bx2, by2 = boxes2.unsqueeze(0).unbind(2)
    # the mistake, six times: "+ 1", as if coordinates counted pixels
    width = (paddle.minimum(ax2, bx2) - paddle.maximum(ax1, bx1) + 1).clip(min=0)
    height = (paddle.minimum(ay2, by2) - paddle.maximum(ay1, by1) + 1).clip(min=0)
    overlap = width * height
    area1 = (ax2 - ax1 + 1) * (ay2 - ay1 + 1)
    area2 = (bx2 - bx1 + 1) * (by2 - by1 + 1)
    return overlap / (area1 + area2 - overlap)


def _low_quality_forgotten(
    boxes: Tensor,
    gt: GroundTruth,
    positive_overlap: float,
    negative_overlap: float,
    allow_low_quality: bool,
    ignore_thresh: float = -1.0,
    assign_on_cpu: bool = False,
) -> tuple[Tensor, Tensor]:
    allow_low_quality = False  # the mistake: only the threshold counts
    return label_box(
        boxes, gt, positive_overlap, negative_overlap, allow_low_quality, ignore_thresh,
        assign_on_cpu,
    )  # fmt: skip


def _crowds_are_objects(iou: Tensor, is_crowd: Tensor, near_crowd: Tensor | None) -> Tensor:
    return iou  # the mistake: a crowd region is matched like one object


# ---- boxes and deltas ------------------------------------------------------------


def _encode_without_weights(
    src_boxes: Tensor, tgt_boxes: Tensor, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    return bbox2delta(src_boxes, tgt_boxes)  # the mistake: the weights are not passed on


def _decode_without_weights(
    deltas: Tensor,
    boxes: Tensor,
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    exp: Callable[[Tensor], Tensor] = paddle.exp,
) -> Tensor:
    return delta2bbox(deltas, boxes, exp=exp)  # the mistake: the weights are not passed on


def _clips_nothing(boxes: Tensor, im_shape: Tensor) -> Tensor:
    return boxes  # the mistake: boxes may reach beyond the image


# ---- region proposal network -----------------------------------------------------

_right_rpn_loss = RPNHead.get_loss


def _rpn_loss_by_found(
    self: RPNHead, rpn: RPNOutput, targets: list[AnchorTargets]
) -> dict[str, Tensor]:
    asked_for = self.rpn_target_assign.batch_size_per_im * len(targets)
    found = sum(int((t.labels == 1).sum()) for t in targets)
    losses = _right_rpn_loss(self, rpn, targets)
    # the mistake: divided by the positive anchors found, not by all that were asked for
    return {name: loss * asked_for / max(found, 1) for name, loss in losses.items()}


def _regression_without_detach(
    self: BBoxHead, deltas: Tensor, labels: Tensor, samples: list[RoISamples], foreground: Tensor
) -> Tensor:
    class_agnostic = deltas.shape[1] == 1
    column = paddle.zeros_like(foreground) if class_agnostic else labels[foreground]
    pred = pick(deltas, foreground, column)
    boxes = join([s.boxes for s in samples])[foreground]
    gt_boxes = join([s.gt_boxes for s in samples])[foreground]
    target = bbox2delta(boxes, gt_boxes, self.bbox_weight)  # the mistake: no detach()
    if self.bbox_loss is None:
        return total((pred - target).abs())
    pred, target = self._on_unit_box(pred), self._on_unit_box(target)
    factor = 1 if self.loss_normalize_pos else self.num_classes
    return total(self.bbox_loss(pred, target)) * factor


# ---- RoI features ----------------------------------------------------------------

_right_align = RoIAlign._align


def _half_pixel_forgotten(
    self: RoIAlign, feat: Tensor, rois: Tensor, per_image: Tensor, scale: float
) -> Tensor:
    return roi_align(
        feat,
        rois,
        per_image,
        self.resolution,
        spatial_scale=scale,
        sampling_ratio=self.sampling_ratio or -1,
        aligned=False,  # the mistake: samples lie half a feature pixel too far
    )


def _scale_of_the_finest_level(
    self: RoIAlign, feat: Tensor, rois: Tensor, per_image: Tensor, scale: float
) -> Tensor:
    scale = self.spatial_scale[0]  # the mistake: every level is read at the first one's scale
    return _right_align(self, feat, rois, per_image, scale)


# ---- box head --------------------------------------------------------------------

_right_regression = BBoxHead._regression
_right_choice = MultiClassNMS.__call__


def _labels_off_by_one(kind: Tensor, gt_index: Tensor, gt: GroundTruth, num_classes: int) -> Tensor:
    background = paddle.full(kind.shape, num_classes, dtype="int64")
    if len(gt) == 0:
        return background
    labels = gt.labels[gt_index] + 1  # the mistake: as if 0 were background
    labels = paddle.where(kind == 0, background, labels)
    return paddle.where(kind == -1, paddle.full_like(labels, -1), labels)


def _background_moves_boxes(
    self: BBoxHead, deltas: Tensor, labels: Tensor, samples: list[RoISamples], foreground: Tensor
) -> Tensor:
    # the mistake: background has no object to move to, but is regressed all the same
    everything = paddle.nonzero(labels >= 0).flatten()
    labels = labels.clip(max=self.num_classes - 1)
    return _right_regression(self, deltas, labels, samples, everything)


def _nms_across_classes(
    self: MultiClassNMS, boxes: Tensor, scores: Tensor
) -> tuple[Tensor, Tensor]:
    rows, labels = _right_choice(self, boxes, scores)
    if not has_rows(rows):
        return rows, labels
    # the mistake: what overlaps a better box of another class goes as well
    keep = nms(pick(boxes, rows, labels), pick(scores, rows, labels), self.nms_threshold)
    keep = paddle.sort(keep)
    return rows[keep], labels[keep]


@paddle.no_grad()
def _scale_factor_swapped(boxes: Tensor, im_shape: Tensor, scale_factor: Tensor) -> Tensor:
    if not has_rows(boxes):
        return boxes
    in_image = boxes / scale_factor.tile([2])  # the mistake: (y, x) divides (x, y)
    return clip_bbox(in_image, paddle.floor(im_shape / scale_factor + 0.5))


# ---- masks -----------------------------------------------------------------------


def _mask_feature_without_offset(
    self: MaskRCNN,
    features: list[Tensor],
    roi_feat: Tensor,
    samples: list[RoISamples],
    targets: list[MaskTargets],
) -> Tensor:
    if not self.mask_head.share_bbox_feat:
        boxes = [s.boxes[t.index] for s, t in zip(samples, targets)]
        return self.mask_head.roi_extractor(features, boxes)
    # the mistake: every image's rows count from 0, in a tensor that holds all images
    return roi_feat[join([t.index for t in targets])]


def _constant_mask_vanishes(
    segm: Polygons | BitMask, box: np.ndarray, resolution: int
) -> np.ndarray:
    mask = rasterize_within_box(segm, box, resolution)
    # the mistake: stretched to the full range of values, as image resizers used to do
    return (mask - mask.min()) // max(mask.max() - mask.min(), 1)


def _masks_transposed(segm: Polygons | BitMask, box: np.ndarray, resolution: int) -> np.ndarray:
    return rasterize_within_box(segm, box, resolution).T  # the mistake: [x, y], not [y, x]


def _all_classes_draw(
    self: MaskHead, mask_logits: Tensor, targets: list[MaskTargets]
) -> dict[str, Tensor]:
    if not has_rows(mask_logits):
        return {"loss_mask": paddle.zeros([])}
    masks = join([t.masks for t in targets]).unsqueeze(1).expand(mask_logits.shape)
    # the mistake: every class learns every shape, not only the object's own class
    return {"loss_mask": binary_cross_entropy(mask_logits, masks).mean()}


@paddle.no_grad()
def _sigmoid_forgotten(self: MaskHead, mask_logits: Tensor, labels: Tensor) -> Tensor:
    return own_class(mask_logits, labels)  # the mistake: logits are taken for probabilities


# ---- the list --------------------------------------------------------------------

_ALL = (
    Bug(
        "flip_forgets_polygons",
        "Flip forgets the polygons",
        "Augmentation was written when there were only boxes. Boxes and image agree, so box AP "
        "is fine; half of all mask targets belong to the mirror image.",
        "data",
        {"data.transforms:RandomFlip.__call__": _flip_forgets_polygons},
        ("tests/data/test_transforms.py",),
        ("01_data",),
    ),
    Bug(
        "anchors_xy_swapped",
        "x and y of anchors swapped",
        "A grid made by meshgrid or by two loops, unpacked in the wrong order. On square images "
        "every anchor still exists, but not at the place whose score it gets.",
        "anchors",
        {"model.rpn.anchors:AnchorGenerator._grid": _anchors_xy_swapped},
        ("tests/model/rpn/test_anchors.py",),
        ("02_anchors", "03_rpn", "00_tour"),
    ),
    Bug(
        "anchors_half_stride",
        "Anchors shifted by half a stride",
        "One framework puts anchors in the cell's corner, another in its middle. Weights of the "
        "one, loaded into the other, find everything half a stride away.",
        "anchors",
        {"model.rpn.anchors:AnchorGenerator._grid": _anchors_half_stride},
        ("tests/model/rpn/test_anchors.py",),
        ("02_anchors", "03_rpn", "00_tour"),
    ),
    Bug(
        "iou_plus_one",
        "IoU with + 1 widths",
        "Copied from code in which x2 was the last pixel inside. Small boxes overlap too much, "
        "and boxes that only touch overlap.",
        "anchors",
        {"model.boxes:bbox_overlaps": _iou_plus_one},
        ("tests/model/test_boxes.py",),
        ("02_anchors", "04_bbox_assigner"),
    ),
    Bug(
        "low_quality_forgotten",
        "Low-quality matches forgotten",
        "Only the threshold of 0.7 makes an anchor positive. Small and thin objects have no such "
        "anchor, so they are never learned, and nothing else looks wrong.",
        "anchors",
        {"model.matching:label_box": _low_quality_forgotten},
        ("tests/model/rpn/test_targets.py", "tests/model/test_matching.py"),
        ("02_anchors",),
    ),
    Bug(
        "crowds_are_objects",
        "Crowds matched like objects",
        "The flag iscrowd is read and not used. Boxes around a hundred people become examples of "
        "one person.",
        "anchors",
        {"model.matching:_without_crowds": _crowds_are_objects},
        ("tests/model/test_matching.py",),
        ("02_anchors", "04_bbox_assigner"),
    ),
    Bug(
        "encode_without_weights",
        "Delta weights forgotten when encoding",
        "The loss is made of deltas that are 5 and 10 times too small, so boxes hardly train; "
        "decoding divides by the weights, so they hardly move.",
        "bbox_head",
        {"boxes:bbox2delta": _encode_without_weights},
        ("tests/model/test_boxes.py", "tests/model/bbox/test_head.py"),
        ("06_bbox_head",),
    ),
    Bug(
        "decode_without_weights",
        "Delta weights forgotten when decoding",
        "Training looks perfect: the loss never decodes. The detections jump 5 and 10 times too "
        "far, and AP is 0.",
        "bbox_head",
        {"boxes:delta2bbox": _decode_without_weights},
        ("tests/model/test_boxes.py", "tests/model/bbox/test_postprocess.py"),
        ("06_bbox_head",),
    ),
    Bug(
        "boxes_not_clipped",
        "Boxes not clipped to the image",
        "Proposals reach beyond the border, where features are padding; areas and overlaps count "
        "what nobody can see.",
        "rpn",
        {"model.boxes:clip_bbox": _clips_nothing},
        ("tests/model/test_boxes.py", "tests/model/rpn/test_proposals.py"),
        ("03_rpn", "06_bbox_head"),
    ),
    Bug(
        "rpn_loss_by_found",
        "RPN loss divided by found positives",
        "The same words, the number of anchors, for another number. An image with one positive "
        "anchor weighs as much as one with a hundred, and the loss jumps.",
        "rpn",
        {"model.rpn.head:RPNHead.get_loss": _rpn_loss_by_found},
        ("tests/model/rpn/test_head.py",),
        ("03_rpn",),
    ),
    Bug(
        "gradient_through_proposals",
        "Gradient flows through the proposals",
        "no_grad and detach are missing. All losses have the right values; but the box head's "
        "targets depend on the proposals, so the RPN is pulled to make them easy.",
        "rpn",
        {
            "model.rpn.proposals:ProposalGenerator.__call__": ProposalGenerator.__call__.__wrapped__,
            "model.bbox.targets:generate_proposal_target": generate_proposal_target.__wrapped__,
            "model.bbox.head:BBoxHead._regression": _regression_without_detach,
        },
        ("tests/model/test_mask_rcnn.py",),
        ("03_rpn", "04_bbox_assigner", "09_train"),
    ),
    Bug(
        "labels_off_by_one",
        "Class offset by one",
        "Category ids begin at 1, labels at 0; somebody adds the 1 again. The last class becomes "
        "background, all others are called by their neighbour's name.",
        "bbox_assigner",
        {"model.bbox.targets:_class_labels": _labels_off_by_one},
        ("tests/model/bbox/test_targets.py",),
        ("04_bbox_assigner", "06_bbox_head"),
    ),
    Bug(
        "half_pixel_forgotten",
        "RoIAlign without the half pixel",
        "The first RoIAlign did not shift by half a pixel, and everybody copied it. On a stride "
        "of 16 everything is read 8 pixels too far to the right and to the bottom.",
        "roi_align",
        {"model.roi_align:RoIAlign._align": _half_pixel_forgotten},
        ("tests/model/test_roi_align.py",),
        ("05_roi_align",),
    ),
    Bug(
        "scale_of_the_finest_level",
        "spatial_scale of the wrong level",
        "With one level there is one scale; with four, the first one is used for all. Large "
        "objects are looked for far outside of their feature map.",
        "roi_align",
        {"model.roi_align:RoIAlign._align": _scale_of_the_finest_level},
        ("tests/model/test_roi_align.py",),
        ("05_roi_align",),
    ),
    Bug(
        "background_moves_boxes",
        "Background is regressed",
        "The foreground's condition is labels >= 0, but background has the label C here. Boxes "
        "are pulled to objects that they hardly touch.",
        "bbox_head",
        {"model.bbox.head:BBoxHead._regression": _background_moves_boxes},
        ("tests/model/bbox/test_head.py",),
        ("06_bbox_head",),
    ),
    Bug(
        "nms_across_classes",
        "NMS across classes",
        "All boxes go into one suppression. The rider removes the horse; on data in which objects "
        "of different classes never overlap, nobody notices.",
        "bbox_head",
        {"model.bbox.postprocess:MultiClassNMS.__call__": _nms_across_classes},
        ("tests/model/bbox/test_postprocess.py",),
        ("06_bbox_head",),
    ),
    Bug(
        "scale_factor_swapped",
        "scale_factor applied x by y",
        "It is stored as (y, x), boxes as (x, y). Where an image keeps its ratio both are equal "
        "but for rounding, so the mistake waits for the first stretched image.",
        "bbox_head",
        {"model.bbox.postprocess:boxes_in_image": _scale_factor_swapped},
        ("tests/model/bbox/test_postprocess.py", "tests/model/test_mask_rcnn.py"),
        ("06_bbox_head", "08_mask_head"),
    ),
    Bug(
        "mask_feature_without_offset",
        "Mask rows without the image's offset",
        "PaddleDetection 2.6 with a shared feature and two images in a batch: the mask head sees "
        "the first image's RoIs for the second image's targets.",
        "mask_head",
        {"model.mask_rcnn:MaskRCNN._mask_feature": _mask_feature_without_offset},
        ("tests/model/test_faults.py",),
        ("08_mask_head",),
    ),
    Bug(
        "constant_mask_vanishes",
        "Constant masks become empty",
        "A resizer stretches values to the full range, and a mask of ones has no range. Squares, "
        "which fill their boxes, were trained as nothing for years.",
        "mask_targets",
        {"model.mask.targets:rasterize_within_box": _constant_mask_vanishes},
        ("tests/model/mask/test_targets.py",),
        ("07_mask_targets",),
    ),
    Bug(
        "masks_transposed",
        "Masks transposed",
        "A raster is [y, x], a polygon is (x, y). Round and square objects look right; the "
        "others are mirrored along the diagonal of their box.",
        "mask_targets",
        {"model.mask.targets:rasterize_within_box": _masks_transposed},
        ("tests/model/mask/test_targets.py",),
        ("07_mask_targets",),
    ),
    Bug(
        "all_classes_draw",
        "All classes' masks are trained",
        "The loss compares every channel with the object's mask. The loss falls as it should, "
        "but the classes compete for channels that only one of them will be asked for.",
        "mask_head",
        {"model.mask.head:MaskHead.get_loss": _all_classes_draw},
        ("tests/model/mask/test_head.py",),
        ("08_mask_head",),
    ),
    Bug(
        "sigmoid_forgotten",
        "Sigmoid forgotten before the threshold",
        "The loss takes logits, so the head returns logits, and the threshold of 0.5 is applied "
        "to them. Masks are a little too thin, and nothing raises.",
        "mask_head",
        {"model.mask.head:MaskHead.get_prediction": _sigmoid_forgotten},
        ("tests/model/mask/test_head.py",),
        ("08_mask_head",),
    ),
)

BUGS: dict[str, Bug] = {bug.name: bug for bug in _ALL}
"""All bugs by name, in the order of the stages."""
