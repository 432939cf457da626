"""BBoxAssigner: which proposals the second stage trains on, and towards what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import paddle
from paddle import Tensor

from maskrcnn_edu.model.checks import Checked, Count, NotNegative, Share, ShareOrOff, in_order
from maskrcnn_edu.model.matching import BACKGROUND, IGNORE, label_box, subsample_labels
from maskrcnn_edu.model.ops.empty import cat
from maskrcnn_edu.structures import GroundTruth, Proposals, RoISamples


@dataclass(frozen=True)
class BBoxAssigner(Checked):
    """Match proposals with objects, sample some of them, look up their targets.

    Args:
        batch_size_per_im: RoIs to train on, per image.
        fg_fraction: the largest share of them that may be foreground.
        fg_thresh: IoU from which a RoI is foreground.
        bg_thresh: IoU below which it is background.
        ignore_thresh: see `maskrcnn_edu.model.matching.label_box`.
        use_random: sample at random; False takes the first ones (repeatable).
        cascade_iou: the threshold of each stage of a cascade.
        num_classes: C; the label of background.
        assign_on_cpu: compute the IoU matrix in host memory.

    Source: Fast R-CNN paper, section 2.3; document, "bbox_assigner".
    """

    batch_size_per_im: Count = 512
    fg_fraction: Share = 0.25
    fg_thresh: NotNegative = 0.5  # above 1: only what no box can be
    bg_thresh: NotNegative = 0.5
    ignore_thresh: ShareOrOff = -1.0
    use_random: bool = True
    cascade_iou: Sequence[Share] = (0.5, 0.6, 0.7)
    num_classes: Count = 80
    assign_on_cpu: bool = False

    def __post_init__(self):
        super().__post_init__()
        in_order(bg_thresh=self.bg_thresh, fg_thresh=self.fg_thresh)
        if not self.cascade_iou:
            raise ValueError("cascade_iou must hold a threshold for each stage, got []")

    def __call__(
        self,
        proposals: Proposals,
        gt: GroundTruth,
        stage: int = 0,
        is_cascade: bool = False,
        add_gt_as_proposals: bool = True,
    ) -> RoISamples:
        """The RoIs of one image to train on.

        Args:
            proposals: the RPN's answer, or the boxes of the previous cascade stage.
            gt: the image's objects, input frame.
            stage: which entry of ``cascade_iou`` counts, in a cascade.
            is_cascade: later stages of a cascade use every box, without sampling.
            add_gt_as_proposals: see `generate_proposal_target`.
        """
        cascade_iou = self.cascade_iou[stage]
        return generate_proposal_target(
            proposals,
            gt,
            batch_size_per_im=self.batch_size_per_im,
            fg_fraction=self.fg_fraction,
            fg_thresh=cascade_iou if is_cascade else self.fg_thresh,
            bg_thresh=cascade_iou if is_cascade else self.bg_thresh,
            num_classes=self.num_classes,
            ignore_thresh=self.ignore_thresh,
            use_random=self.use_random,
            is_cascade=is_cascade,
            assign_on_cpu=self.assign_on_cpu,
            add_gt_as_proposals=add_gt_as_proposals,
        )


@paddle.no_grad()
def generate_proposal_target(
    proposals: Proposals,
    gt: GroundTruth,
    batch_size_per_im: int,
    fg_fraction: float,
    fg_thresh: float,
    bg_thresh: float,
    num_classes: int,
    ignore_thresh: float = -1.0,
    use_random: bool = True,
    is_cascade: bool = False,
    assign_on_cpu: bool = False,
    add_gt_as_proposals: bool = True,
) -> RoISamples:
    """Label the proposals of one image, sample some of them and gather their targets.

    Args:
        proposals, gt: boxes [R, 4] and objects of the image, input frame.
        batch_size_per_im .. assign_on_cpu: as in `BBoxAssigner`.
        add_gt_as_proposals: put the annotated boxes among the proposals. Early in
            training the proposals miss everything; these never do.

    Returns:
        Foreground first, then background. Zero rows if nothing can be used.

    Source: document, "bbox_assigner".
    """
    boxes, proposal_index = _candidates(proposals, gt, add_gt_as_proposals)
    gt_index, kind = label_box(
        boxes, gt, positive_overlap=fg_thresh, negative_overlap=bg_thresh,
        allow_low_quality=False, ignore_thresh=ignore_thresh, assign_on_cpu=assign_on_cpu,
    )  # fmt: skip
    candidates = RoISamples(
        boxes=boxes,
        target_labels=_class_labels(kind, gt_index, gt, num_classes),
        gt_boxes=gt.boxes[gt_index] if len(gt) else paddle.zeros_like(boxes),
        gt_index=gt_index,
        proposal_index=proposal_index,
    )
    if is_cascade:
        return candidates
    return _sample(candidates, batch_size_per_im, fg_fraction, num_classes, use_random)


def _sample(
    candidates: RoISamples, num_samples: int, fg_fraction: float, bg_label: int, use_random: bool
) -> RoISamples:
    """Some of the candidates [R, ...], see `subsample_labels`."""
    labels = candidates.target_labels
    rows = cat(subsample_labels(labels, num_samples, fg_fraction, bg_label, use_random))
    return RoISamples(**{name: values[rows] for name, values in vars(candidates).items()})


def _candidates(proposals: Proposals, gt: GroundTruth, add_gt: bool) -> tuple[Tensor, Tensor]:
    """Boxes [R, 4] to sample from, and the proposal [R] that each is (-1: an annotated box)."""
    index = paddle.arange(len(proposals), dtype="int64")
    if not add_gt or len(gt) == 0:
        return proposals.boxes, index
    annotated = paddle.full([len(gt)], -1, dtype="int64")
    return cat([proposals.boxes, gt.boxes]), cat([index, annotated])


def _class_labels(kind: Tensor, gt_index: Tensor, gt: GroundTruth, num_classes: int) -> Tensor:
    """Labels [R] int64: the matched object's class, ``num_classes`` for background, -1 ignored."""
    background = paddle.full(kind.shape, num_classes, dtype="int64")
    if len(gt) == 0:
        return background
    labels = gt.labels[gt_index]
    labels = paddle.where(kind == BACKGROUND, background, labels)
    return paddle.where(kind == IGNORE, paddle.full_like(labels, IGNORE), labels)
