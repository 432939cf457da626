"""Boxes: area, overlap, clipping, deltas and non-maximum suppression.

All boxes are ``[x1, y1, x2, y2]`` float32, continuous: width = x2 - x1 (no "+1").
A pair of boxes must be in the same frame (see `maskrcnn_edu.structures`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import paddle
from paddle import Tensor

from maskrcnn_edu.model.ops.empty import is_empty

# exp(dw) may enlarge a box at most 1000 / 16 times: a wild early prediction must not overflow
MAX_LOG_SCALE = math.log(1000.0 / 16)


def bbox_area(boxes: Tensor) -> Tensor:
    """Areas [R] of boxes [R, 4]: width times height."""
    x1, y1, x2, y2 = boxes.unbind(1)
    return (x2 - x1) * (y2 - y1)


def bbox_overlaps(boxes1: Tensor, boxes2: Tensor) -> Tensor:
    """Intersection over union of every pair::

        IoU(a, b) = area(a and b) / (area(a) + area(b) - area(a and b))

    where the two have in common what lies between the larger of the left (upper) sides and
    the smaller of the right (lower) ones.

    Args:
        boxes1: [R1, 4].
        boxes2: [R2, 4], same frame.

    Returns:
        [R1, R2] float32 in 0 .. 1; 0 where the boxes do not touch.

    Source: document, "bbox_assigner" (matching RoIs and ground truth).
    """
    if is_empty(boxes1) or is_empty(boxes2):
        return paddle.zeros([boxes1.shape[0], boxes2.shape[0]])
    # expanded first: what has one shape and lies in one piece is combined several times faster
    # than what is broadcast
    pairs = [4, boxes1.shape[0], boxes2.shape[0]]
    ax1, ay1, ax2, ay2 = boxes1.t().unsqueeze(2).expand(pairs).unbind()  # [R1, R2] each
    bx1, by1, bx2, by2 = boxes2.t().unsqueeze(1).expand(pairs).unbind()
    width = (paddle.minimum(ax2, bx2) - paddle.maximum(ax1, bx1)).clip(min=0)
    height = (paddle.minimum(ay2, by2) - paddle.maximum(ay1, by1)).clip(min=0)
    overlap = width * height
    union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - overlap
    # two boxes without area have union 0: their overlap is 0 by decree, not 0 / 0
    return paddle.where(overlap > 0, overlap / union, paddle.zeros_like(overlap))


def _centers_and_sizes(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centre x, centre y, width and height, each [R], of boxes [R, 4]."""
    x1, y1, x2, y2 = boxes.unbind(1)
    width, height = x2 - x1, y2 - y1
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height


def bbox2delta(
    src_boxes: Tensor, tgt_boxes: Tensor, weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
) -> Tensor:
    """Encode: how to move each source box so that it becomes its target::

        dx = wx * (tgt_x - src_x) / src_w        dw = ww * log(tgt_w / src_w)
        dy = wy * (tgt_y - src_y) / src_h        dh = wh * log(tgt_h / src_h)

    with x, y the centres. A distance in widths, and a logarithm of a ratio: a delta means
    the same for any box size.

    Args:
        src_boxes: [R, 4] anchors or RoIs.
        tgt_boxes: [R, 4] objects, row by row.
        weights: factors of dx, dy, dw, dh; larger ones weigh more in the loss.

    Returns:
        [R, 4] float32 (dx, dy, dw, dh). A box without area gives inf or nan.

    Source: R-CNN paper, appendix C; document, "get_loss".
    """
    if is_empty(src_boxes):
        return src_boxes
    src_x, src_y, src_w, src_h = _centers_and_sizes(src_boxes)
    tgt_x, tgt_y, tgt_w, tgt_h = _centers_and_sizes(tgt_boxes)
    wx, wy, ww, wh = weights
    dx = wx * (tgt_x - src_x) / src_w
    dy = wy * (tgt_y - src_y) / src_h
    dw = ww * paddle.log(tgt_w / src_w)
    dh = wh * paddle.log(tgt_h / src_h)
    return paddle.stack([dx, dy, dw, dh], axis=1)


def delta2bbox(
    deltas: Tensor,
    boxes: Tensor,
    weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
    exp: Callable[[Tensor], Tensor] = paddle.exp,
) -> Tensor:
    """Decode: move each box by its deltas. The inverse of `bbox2delta`::

        new_x = x + w * dx / wx        new_w = w * exp(min(dw / ww, MAX_LOG_SCALE))
        new_y = y + h * dy / wy        new_h = h * exp(min(dh / wh, MAX_LOG_SCALE))

    with x, y the centres; the sides are half of new_w and new_h away from the new ones.

    Args:
        deltas: [R, 4 * C], or [R, C, 4]: C different moves for every box.
        boxes: [R, 4].
        weights: the ones that `bbox2delta` was called with.
        exp: how to compute the factors of the sides (`exp_float64` to the last bit).

    Returns:
        [R, C, 4] boxes in the frame of ``boxes``, not clipped.
    """
    deltas = deltas if deltas.ndim == 3 else _per_class(deltas)
    if is_empty(deltas):
        return deltas
    x, y, w, h = (v.unsqueeze(1) for v in _centers_and_sizes(boxes))  # [R, 1] each
    wx, wy, ww, wh = weights
    dx, dy, dw, dh = deltas.unbind(2)  # [R, C] each
    new_x = dx / wx * w + x
    new_y = dy / wy * h + y
    new_w = exp((dw / ww).clip(max=MAX_LOG_SCALE)) * w
    new_h = exp((dh / wh).clip(max=MAX_LOG_SCALE)) * h
    sides = [new_x - 0.5 * new_w, new_y - 0.5 * new_h, new_x + 0.5 * new_w, new_y + 0.5 * new_h]
    return paddle.stack(sides, axis=-1)


def exp_float64(x: Tensor) -> Tensor:
    """[...] float32 -> exp, rounded correctly; `paddle.exp` of float32 sometimes is not."""
    return paddle.exp(x.cast("float64")).cast("float32")


def _per_class(deltas: Tensor) -> Tensor:
    """[R, 4 * C] -> [R, C, 4]."""
    return deltas.reshape([deltas.shape[0], deltas.shape[1] // 4, 4])


def clip_bbox(boxes: Tensor, im_shape: Tensor) -> Tensor:
    """Cut boxes [..., 4] off at the image's border; ``im_shape`` is [2] (height, width)."""
    if is_empty(boxes):
        return boxes
    limit = im_shape.flip(0).tile([2])  # width, height, width, height
    return paddle.maximum(paddle.minimum(boxes, limit), paddle.zeros_like(limit))


def nonempty_bbox(boxes: Tensor, min_size: float = 0.0) -> Tensor:
    """[R] bool: both sides of the box are longer than ``min_size`` pixels."""
    return paddle.logical_and(
        boxes[:, 2] - boxes[:, 0] > min_size, boxes[:, 3] - boxes[:, 1] > min_size
    )


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, eta: float = 1.0) -> Tensor:
    """Greedy non-maximum suppression.

    The best box stays and removes every box that overlaps it by more than
    ``iou_threshold``; then the best of the rest, and so on.

    Args:
        boxes: [R, 4].
        scores: [R].
        iou_threshold: boxes that overlap a better one by more than this go.
        eta: below 1 the threshold shrinks by this factor after every box that
            stays, for as long as it is above 0.5 (adaptive NMS).

    Returns:
        Indices of the boxes that stay, int64, best first.
    """
    # of equal scores, the first one first
    try:
        order = paddle.argsort(scores, descending=True, stable=True)
    except TypeError:  # Paddle 2.6 has no stable sort; this one makes the host wait
        order = paddle.to_tensor(np.argsort(-scores.numpy(), kind="stable"))
    return order[nms_sorted(boxes[order], iou_threshold, eta)]


def nms_sorted(boxes: Tensor, iou_threshold: float, eta: float = 1.0) -> Tensor:
    """`nms` of boxes [R, 4] that are sorted already, best first: indices of those that stay."""
    if is_empty(boxes):
        return paddle.zeros([0], dtype="int64")
    if eta < 1.0:
        return _adaptive_nms(boxes, iou_threshold, eta)
    return paddle.vision.ops.nms(boxes, iou_threshold)


def _adaptive_nms(boxes: Tensor, threshold: float, eta: float) -> Tensor:
    """`nms_sorted` of boxes [R, 4] with a shrinking threshold.

    The threshold that counts for a box is the one in force when its turn comes.
    """
    iou = bbox_overlaps(boxes, boxes).numpy()  # [R, R]
    kept: list[int] = []
    for candidate in range(len(iou)):
        if all(iou[candidate, better] <= threshold for better in kept):
            kept.append(candidate)
            threshold = threshold * eta if threshold > 0.5 else threshold
    return paddle.to_tensor(kept, dtype="int64")
