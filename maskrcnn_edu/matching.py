"""Matching boxes to objects, and drawing a balanced sample of them.

Both target makers (`RPNTargetAssign` for anchors, `BBoxAssigner` for RoIs) are
these two steps followed by their own bookkeeping.
"""

from __future__ import annotations

import paddle
from paddle import Tensor

from maskrcnn_edu.boxes import bbox_overlaps
from maskrcnn_edu.rows import has_rows
from maskrcnn_edu.structures import GroundTruth

IGNORE, BACKGROUND, FOREGROUND = -1, 0, 1


def label_box(
    boxes: Tensor,
    gt: GroundTruth,
    positive_overlap: float,
    negative_overlap: float,
    allow_low_quality: bool,
    ignore_thresh: float = -1.0,
    assign_on_cpu: bool = False,
) -> tuple[Tensor, Tensor]:
    """Find the object that each box overlaps most, and say what the box is.

    Foreground from ``positive_overlap`` up, background below ``negative_overlap``,
    ignored between the two. Crowd regions match nothing: they are no single object.

    Args:
        boxes: [R, 4] anchors or RoIs, input frame.
        gt: the image's objects, input frame.
        positive_overlap: least IoU of a foreground box.
        negative_overlap: background boxes have less IoU than this.
        allow_low_quality: also make foreground, for every object, the boxes that
            overlap it most, however little, so that no object goes without.
        ignore_thresh: if positive, boxes that overlap a crowd region by more than
            this are ignored.
        assign_on_cpu: compute the IoU matrix in host memory (very many objects).

    Returns:
        matches: [R] int64, the object with the largest overlap.
        labels: [R] int32, 1 foreground, 0 background, -1 ignored.

    Source: Faster R-CNN paper, section 3.1.2; document, "bbox_assigner", step 1.
    """
    if len(gt) == 0 or not has_rows(boxes) or bool(gt.is_crowd.all()):
        nothing = paddle.zeros([boxes.shape[0]], dtype="int64")
        return nothing, nothing.cast("int32")
    iou = _overlaps(gt.boxes, boxes, assign_on_cpu)  # [G, R]
    iou = _without_crowds(iou, gt.is_crowd, ignore_thresh)
    best, matches = iou.max(axis=0), iou.argmax(axis=0)

    labels = paddle.full(best.shape, IGNORE, dtype="int32")
    # -1 marks what overlaps a crowd; it is neither background nor foreground
    background = paddle.logical_and(best > -1, best < negative_overlap)
    foreground = best >= positive_overlap
    if allow_low_quality:
        best_of_object = iou.max(axis=1, keepdim=True)  # [G, 1]
        closest = paddle.logical_and(iou > 0, iou == best_of_object)  # [G, R]
        foreground = paddle.logical_or(foreground, closest.any(axis=0))
    labels = paddle.where(background, paddle.full_like(labels, BACKGROUND), labels)
    labels = paddle.where(foreground, paddle.full_like(labels, FOREGROUND), labels)
    return matches, labels


def _overlaps(gt_boxes: Tensor, boxes: Tensor, on_cpu: bool) -> Tensor:
    """IoU [G, R], computed in host memory if asked for."""
    if on_cpu:
        overlaps = bbox_overlaps(gt_boxes.cpu(), boxes.cpu())
        return overlaps.cuda() if boxes.place.is_gpu_place() else overlaps
    return bbox_overlaps(gt_boxes, boxes)


def _without_crowds(iou: Tensor, is_crowd: Tensor, ignore_thresh: float) -> Tensor:
    """IoU [G, R] with -1 in the rows of crowds, and in the columns too close to one."""
    hidden = is_crowd.cast("bool").unsqueeze(1).expand_as(iou)  # [G, R] bool
    if ignore_thresh > 0:
        near_crowd = paddle.logical_and(hidden, iou > ignore_thresh).any(axis=0)  # [R]
        hidden = paddle.logical_or(hidden, near_crowd.unsqueeze(0))
    return paddle.where(hidden, paddle.full_like(iou, -1.0), iou)


def subsample_labels(
    labels: Tensor,
    num_samples: int,
    fg_fraction: float,
    bg_label: int = BACKGROUND,
    use_random: bool = True,
) -> tuple[Tensor, Tensor]:
    """Draw at most ``num_samples`` boxes, at most ``fg_fraction`` of them foreground.

    Background fills the places that foreground leaves free.

    Args:
        labels: [R] integers; -1 is never drawn.
        num_samples: how many to draw.
        fg_fraction: the largest share of foreground, 0 .. 1.
        bg_label: the label that means background.
        use_random: draw at random (Paddle's generator), else take the first ones.

    Returns:
        Indices of the foreground and of the background boxes drawn, int64.

    Source: Fast R-CNN paper, section 2.3; document, "bbox_assigner", step 2.
    """
    is_background = labels == bg_label
    is_foreground = paddle.logical_and(labels != IGNORE, paddle.logical_not(is_background))
    foreground = paddle.nonzero(is_foreground).flatten()
    background = paddle.nonzero(is_background).flatten()
    fg_num = min(foreground.shape[0], int(num_samples * fg_fraction))
    bg_num = min(background.shape[0], num_samples - fg_num)
    return _draw(foreground, fg_num, use_random), _draw(background, bg_num, use_random)


def _draw(items: Tensor, count: int, use_random: bool) -> Tensor:
    """``count`` of the items, without putting back."""
    if use_random and items.shape[0] > 0:
        items = items[paddle.randperm(items.shape[0])]
    return items[:count]
