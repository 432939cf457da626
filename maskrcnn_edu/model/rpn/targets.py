"""RPNTargetAssign: what the RPN should predict for every anchor."""

from __future__ import annotations

from dataclasses import dataclass

import paddle
from paddle import Tensor

from maskrcnn_edu.model.boxes import bbox2delta
from maskrcnn_edu.model.checks import Checked, Count, Share, ShareOrOff, in_order
from maskrcnn_edu.model.matching import BACKGROUND, FOREGROUND, IGNORE, label_box, subsample_labels
from maskrcnn_edu.model.ops.empty import cat, is_empty
from maskrcnn_edu.structures import AnchorTargets, GroundTruth


@dataclass(frozen=True)
class RPNTargetAssign(Checked):
    """Match anchors with objects, sample some of them, compute their targets.

    Args:
        batch_size_per_im: anchors to train on, per image.
        fg_fraction: the largest share of them that may be foreground.
        positive_overlap: IoU from which an anchor is foreground.
        negative_overlap: IoU below which it is background.
        ignore_thresh: see `maskrcnn_edu.model.matching.label_box`.
        use_random: sample at random; False takes the first ones (repeatable).
        assign_on_cpu: compute the IoU matrix in host memory.

    Source: Faster R-CNN paper, section 3.1.2; document, "rpn_target_assign".
    """

    batch_size_per_im: Count = 256
    fg_fraction: Share = 0.5
    positive_overlap: Share = 0.7
    negative_overlap: Share = 0.3
    ignore_thresh: ShareOrOff = -1.0
    use_random: bool = True
    assign_on_cpu: bool = False

    def __post_init__(self):
        super().__post_init__()
        in_order(negative_overlap=self.negative_overlap, positive_overlap=self.positive_overlap)

    @paddle.no_grad()
    def __call__(self, anchors: Tensor, gt: GroundTruth) -> AnchorTargets:
        """Targets for the anchors [A, 4] of one image (input frame)."""
        gt_index, labels = label_box(
            anchors,
            gt,
            positive_overlap=self.positive_overlap,
            negative_overlap=self.negative_overlap,
            allow_low_quality=True,
            ignore_thresh=self.ignore_thresh,
            assign_on_cpu=self.assign_on_cpu,
        )
        foreground, background = subsample_labels(
            labels,
            num_samples=self.batch_size_per_im,
            fg_fraction=self.fg_fraction,
            use_random=self.use_random,
        )
        if len(gt) == 0:
            deltas = paddle.zeros_like(anchors)
        else:
            deltas = bbox2delta(anchors, paddle.gather(gt.boxes, gt_index))
        return AnchorTargets(
            target_labels=_only_sampled(labels, foreground, background),
            target_deltas=deltas,
            gt_index=gt_index,
        )


def _only_sampled(labels: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
    """Labels [A] in which every anchor is ignored but the sampled ones (rows [f] and [b])."""
    sampled = cat([foreground, background])
    values = cat(
        [
            paddle.full(foreground.shape, FOREGROUND, dtype="int32"),
            paddle.full(background.shape, BACKGROUND, dtype="int32"),
        ]
    )
    nothing = paddle.full_like(labels, IGNORE)
    return nothing if is_empty(sampled) else paddle.scatter(nothing, sampled, values)
