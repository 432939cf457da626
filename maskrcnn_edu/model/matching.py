"""Matching boxes to objects, and sampling a balanced number of them.

Both target makers (`RPNTargetAssign` for anchors, `BBoxAssigner` for RoIs) are
these two steps followed by their own bookkeeping.
"""

from __future__ import annotations

import paddle
from paddle import Tensor

from maskrcnn_edu.model.boxes import bbox_overlaps
from maskrcnn_edu.model.ops.empty import is_empty
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

    With ``best`` the largest IoU of a box: foreground if ``best >= positive_overlap``,
    background if ``best < negative_overlap``, ignored between the two. Crowd regions match
    nothing: they are no single object.

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
    if len(gt) == 0 or is_empty(boxes):
        nothing = paddle.zeros([boxes.shape[0]], dtype="int64")
        return nothing, nothing.cast("int32")
    best, matches, is_closest = _best_overlaps(boxes, gt, ignore_thresh, assign_on_cpu)
    # -1 marks what overlaps a crowd: neither background nor foreground; where there are
    # crowds alone, everything is background
    comparable = paddle.logical_or(best > -1, gt.is_crowd.cast("bool").all())
    background = paddle.logical_and(comparable, best < negative_overlap)
    foreground = best >= positive_overlap
    if allow_low_quality:
        foreground = paddle.logical_or(foreground, is_closest)
    labels = paddle.full(best.shape, IGNORE, dtype="int32")
    labels = paddle.where(background, paddle.full_like(labels, BACKGROUND), labels)
    labels = paddle.where(foreground, paddle.full_like(labels, FOREGROUND), labels)
    return matches, labels


IOU_CHUNK_ELEMENTS = 2**19
"""2 MB: larger intermediates do not stay in the processor's cache, which costs five times
the time; and 500 objects with 250,000 anchors would need gigabytes."""


def _best_overlaps(
    boxes: Tensor, gt: GroundTruth, ignore_thresh: float, on_cpu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Compare all boxes with the objects, a few objects at a time.

    Args:
        boxes, gt, ignore_thresh, on_cpu: see `label_box`.

    Returns:
        best: [R] the largest IoU of each box with an object; -1 without one to compare.
        matches: [R] int64, that object; the first one of equals.
        is_closest: [R] bool, no other box overlaps some object more.
    """
    near_crowd = _crowd_mask(boxes, gt, ignore_thresh, on_cpu) if ignore_thresh > 0 else None
    merged = None
    for objects in _gt_chunks(len(gt), boxes.shape[0]):
        iou = _overlaps(gt.boxes[objects], boxes, on_cpu)  # [g, R]
        iou = _mask_crowds(iou, gt.is_crowd[objects], near_crowd)
        best_of_object = iou.max(axis=1, keepdim=True)  # [g, 1]
        is_closest = paddle.logical_and(iou > 0, iou == best_of_object).any(axis=0)
        chunk = iou.max(axis=0), iou.argmax(axis=0) + objects.start, is_closest  # [R] each
        merged = chunk if merged is None else _merge_matches(merged, chunk)
    return merged


def _mask_crowds(iou: Tensor, is_crowd: Tensor, near_crowd: Tensor | None) -> Tensor:
    """IoU [g, R] with -1 in the rows of crowds, and in the columns too close to one."""
    hidden = is_crowd.cast("bool").unsqueeze(1).expand_as(iou)  # [g, R] bool
    if near_crowd is not None:
        hidden = paddle.logical_or(hidden, near_crowd.unsqueeze(0))
    return paddle.where(hidden, paddle.full_like(iou, -1.0), iou)


def _gt_chunks(objects: int, boxes: int) -> list[slice]:
    """Slices of the objects, so that one slice has `IOU_CHUNK_ELEMENTS` overlaps or fewer."""
    step = max(1, IOU_CHUNK_ELEMENTS // boxes)
    return [slice(start, start + step) for start in range(0, objects, step)]


def _merge_matches(
    first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Of two results of `_best_overlaps` ([R] each), box by box the better one; of equals the
    first.
    """
    is_better = second[0] > first[0]
    best, matches = (paddle.where(is_better, b, a) for a, b in zip(first[:2], second[:2]))
    return best, matches, paddle.logical_or(first[2], second[2])


def _crowd_mask(boxes: Tensor, gt: GroundTruth, threshold: float, on_cpu: bool) -> Tensor:
    """[R] bool: the box overlaps a crowd region by more than the threshold."""
    near = paddle.zeros([boxes.shape[0]], dtype="bool")
    for objects in _gt_chunks(len(gt), boxes.shape[0]):
        iou = _overlaps(gt.boxes[objects], boxes, on_cpu)  # [g, R]
        is_crowd = gt.is_crowd[objects].cast("bool").unsqueeze(1)
        near = paddle.logical_or(near, paddle.logical_and(is_crowd, iou > threshold).any(axis=0))
    return near


def _overlaps(gt_boxes: Tensor, boxes: Tensor, on_cpu: bool) -> Tensor:
    """IoU [G, R], computed in host memory if asked for."""
    if on_cpu:
        overlaps = bbox_overlaps(gt_boxes.cpu(), boxes.cpu())
        return overlaps.cuda() if boxes.place.is_gpu_place() else overlaps
    return bbox_overlaps(gt_boxes, boxes)


def subsample_labels(
    labels: Tensor,
    num_samples: int,
    fg_fraction: float,
    bg_label: int = BACKGROUND,
    use_random: bool = True,
) -> tuple[Tensor, Tensor]:
    """Sample at most ``num_samples`` boxes, at most ``fg_fraction`` of them foreground.

    Background fills the places that foreground leaves free.

    Args:
        labels: [R] integers; -1 is never sampled.
        num_samples: how many to sample.
        fg_fraction: the largest share of foreground, 0 .. 1.
        bg_label: the label that means background.
        use_random: sample at random (Paddle's generator), else take the first ones.

    Returns:
        Indices of the foreground [f] and of the background [b] boxes sampled, int64.

    Source: Fast R-CNN paper, section 2.3; document, "bbox_assigner", step 2.
    """
    is_background = labels == bg_label
    is_foreground = paddle.logical_and(labels != IGNORE, paddle.logical_not(is_background))
    foreground = paddle.nonzero(is_foreground).flatten()
    background = paddle.nonzero(is_background).flatten()
    fg_num = min(foreground.shape[0], int(num_samples * fg_fraction))
    bg_num = min(background.shape[0], num_samples - fg_num)
    return _sample(foreground, fg_num, use_random), _sample(background, bg_num, use_random)


def _sample(items: Tensor, count: int, use_random: bool) -> Tensor:
    """``count`` of the items [n], none of them twice."""
    if use_random and items.shape[0] > 0:
        items = items[paddle.randperm(items.shape[0])]
    return items[:count]
