"""Exercises of 03_rpn: from deltas to boxes, and greedy suppression."""

from __future__ import annotations

import numpy as np
import paddle

from maskrcnn_edu.model.boxes import delta2bbox, nms
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def decode_deltas(anchors: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """Boxes [R, 4]: anchors [R, 4] moved by deltas [R, 4] (dx, dy, dw, dh).

    dx and dy move the centre, in widths and heights of the anchor; dw and dh
    are logarithms of factors, and count for log(1000 / 16) at most.
    """
    w = anchors[:, 2] - anchors[:, 0]
    h = anchors[:, 3] - anchors[:, 1]
    x = anchors[:, 0] + w / 2
    y = anchors[:, 1] + h / 2
    dx, dy, dw, dh = deltas.T
    limit = np.log(1000 / 16)
    x = x + dx * w
    y = y + dy * h
    w = w * np.exp(np.minimum(dw, limit))
    h = h * np.exp(np.minimum(dh, limit))
    return np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)


def _true_boxes(anchors: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    tensors = [paddle.to_tensor(a, dtype="float32") for a in (deltas, anchors)]
    return delta2bbox(*tensors)[:, 0].numpy()


def greedy_nms(
    boxes: np.ndarray,
    scores: np.ndarray,
    threshold: float,
) -> list:
    """Rows of the boxes [R, 4] that stay, best first.

    The best box stays and removes all that overlap it by more than
    `threshold`; then the best of the rest, and so on.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])

    def iou(i, j):
        corner = np.maximum(boxes[i, :2], boxes[j, :2])
        w, h = np.maximum(np.minimum(boxes[i, 2:], boxes[j, 2:]) - corner, 0)
        return w * h / (area[i] + area[j] - w * h)

    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if all(iou(i, j) <= threshold for j in kept):
            kept.append(int(i))
    return kept


def _true_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list:
    tensors = [paddle.to_tensor(a, dtype="float32") for a in (boxes, scores)]
    return nms(*tensors, threshold).tolist()


# a chain: 0 removes 1, which would have removed 2; 3 lies elsewhere
_CHAIN = np.array([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10], [30, 30, 40, 44]])
# half of one, and little of another: neither is removed at 0.55
_INSIDE = np.array([[0.0, 0, 4, 2], [0, 0, 4, 4], [20, 20, 30, 30], [21, 21, 24, 24]])

EXERCISES = (
    Exercise(
        notebook="03_rpn",
        task="Turn the RPN's deltas into boxes.",
        answer=decode_deltas,
        truth=_true_boxes,
        cases=[
            (np.array([[0.0, 0, 10, 20]]), np.array([[0.5, 0.25, 0.0, 0.0]])),
            (
                np.array([[4.0, 6, 20, 14], [8, 8, 12, 24]]),
                np.array([[0.1, -0.2, 0.3, -0.4], [-0.3, 0.1, 9.0, 0.2]]),
            ),
        ],
        mistakes={
            "dx and dy are in widths and heights of the anchor, not in pixels": (
                "x = x + dx * w\n    y = y + dy * h",
                "x = x + dx\n    y = y + dy",
            ),
            "dx and dy move the centre, not the corner": (
                "x = anchors[:, 0] + w / 2\n    y = anchors[:, 1] + h / 2",
                "x = anchors[:, 0]\n    y = anchors[:, 1]",
            ),
            "dw and dh are logarithms: take exp": (
                "w = w * np.exp(np.minimum(dw, limit))\n    h = h * np.exp(np.minimum(dh, limit))",
                "w = w * (1 + np.minimum(dw, limit))\n    h = h * (1 + np.minimum(dh, limit))",
            ),
            "dw and dh are not limited": ("limit = np.log(1000 / 16)", "limit = np.inf"),
            "x and y are swapped": ("dx, dy, dw, dh = deltas.T", "dy, dx, dh, dw = deltas.T"),
            "the new width stands half on either side of the centre": (
                "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]",
                "[x, y, x + w, y + h]",
            ),
            "return corners, not centre and size": (
                "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]",
                "[x, y, w, h]",
            ),
        },
        shows="the same delta means the same for an anchor of any size.",
    ),
    Exercise(
        notebook="03_rpn",
        task="Write greedy non-maximum suppression.",
        answer=greedy_nms,
        truth=_true_nms,
        cases=[
            (_CHAIN, np.array([0.9, 0.8, 0.7, 0.6]), 0.5),
            (_CHAIN, np.array([0.2, 0.9, 0.3, 0.5]), 0.5),
            (_INSIDE, np.array([0.1, 0.6, 0.4, 0.8]), 0.55),
        ],
        mistakes={
            "the boxes are not taken best first": (
                'np.argsort(-scores, kind="stable")',
                "range(len(scores))",
            ),
            "the worst box goes first": ("np.argsort(-scores,", "np.argsort(scores,"),
            "a box that was removed removes others": (
                "        if all(iou(i, j) <= threshold for j in kept):",
                "        better = [j for j in range(len(scores)) if scores[j] > scores[i]]\n"
                "        if all(iou(i, j) <= threshold for j in better):",
            ),
            "the rows are counted after sorting; give rows of the boxes as they came": (
                "    return kept",
                "    order = np.argsort(-scores, kind='stable').tolist()\n"
                "    return [order.index(i) for i in kept]",
            ),
            "nothing is removed": ("<= threshold", "<= 1"),
            "give the rows best first, not sorted": ("return kept", "return sorted(kept)"),
            "widths are x2 - x1, without + 1": (
                "    area =",
                "    boxes = boxes + [0, 0, 1, 1]\n    area =",
            ),
            "divide by the union, not by the smaller box": (
                "(area[i] + area[j] - w * h)",
                "min(area[i], area[j])",
            ),
        },
        shows="a box is removed by a better box that stays, and by no other.",
    ),
)
