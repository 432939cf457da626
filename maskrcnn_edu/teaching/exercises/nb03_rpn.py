"""Exercises of 03_rpn: from deltas to boxes, and greedy suppression."""

from __future__ import annotations

import numpy as np
import paddle

from maskrcnn_edu.model.boxes import delta2bbox, nms
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def _true_boxes(anchors: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    tensors = [paddle.to_tensor(a, dtype="float32") for a in (deltas, anchors)]
    return delta2bbox(*tensors)[:, 0].numpy()


def _true_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list:
    tensors = [paddle.to_tensor(a, dtype="float32") for a in (boxes, scores)]
    return nms(*tensors, threshold).tolist()


def _draw_deltas(random: np.random.Generator) -> tuple:
    corners = random.integers(0, 40, (4, 2))
    anchors = np.concatenate([corners, corners + random.integers(4, 30, (4, 2))], axis=1)
    deltas = random.normal(scale=0.4, size=(4, 4)).round(2)
    deltas[random.integers(4), random.integers(2, 4)] = 6.0
    return anchors.astype(float), deltas


def _draw_crowd(random: np.random.Generator) -> tuple:
    corners = random.uniform(0, 20, (8, 2))
    boxes = np.concatenate([corners, corners + random.uniform(8, 16, (8, 2))], axis=1)
    return boxes.round(2), random.permutation(8) / 10 + 0.15, float(random.choice([0.3, 0.5]))


# a chain: 0 removes 1, which would have removed 2; 3 lies elsewhere
_CHAIN = np.array([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10], [30, 30, 40, 44]])
# half of one, and little of another: neither is removed at 0.55, nor at 0.5, which is half
_INSIDE = np.array([[0.0, 0, 4, 2], [0, 0, 4, 4], [20, 20, 30, 30], [21, 21, 24, 24]])
# 0 and 1 stay; 2 is removed by 0, which is not the one that stayed last
_APART = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [1, 0, 11, 10], [8, 1, 17, 11]])
# of different sizes, so that it makes a difference what the overlap is divided by
_MIXED = np.array(
    [[14.0, 16, 26, 24], [14, 15, 26, 20], [19, 4, 34, 19], [17, 1, 25, 5], [9, 22, 15, 36],
     [10, 17, 25, 25]]
)  # fmt: skip

EXERCISES = (
    Exercise(
        "decode_deltas",
        "03_rpn",
        _true_boxes,
        cases=[
            (np.array([[0.0, 0, 10, 20]]), np.array([[0.5, 0.25, 0.0, 0.0]])),
            (
                np.array([[4.0, 6, 20, 14], [8, 8, 12, 24], [2, 3, 9, 15]]),
                np.array(
                    [[0.1, -0.2, 0.3, -0.4], [-0.3, 0.1, 9.0, 0.2], [0.2, 0.4, -5.0, 4.5]],
                ),
            ),
        ],
        shows="the same delta means the same for an anchor of any size.",
        draw_case=_draw_deltas,
        gives="boxes",
    ),
    Exercise(
        "greedy_nms",
        "03_rpn",
        _true_nms,
        cases=[
            (_CHAIN, np.array([0.9, 0.8, 0.7, 0.6]), 0.5),
            (_CHAIN, np.array([0.2, 0.9, 0.3, 0.5]), 0.5),
            (_INSIDE, np.array([0.1, 0.6, 0.4, 0.8]), 0.55),
            (_INSIDE, np.array([0.1, 0.6, 0.4, 0.8]), 0.5),
            (_APART, np.array([0.9, 0.8, 0.7, 0.6]), 0.5),
            (_APART, np.array([0.9, 0.8, 0.7, 0.6]), 0.1),
            (_MIXED, np.array([0.2, 0.6, 0.7, 0.8, 0.3, 0.4]), 0.3),
        ],
        shows="a box is removed by a better box that stays, and by no other.",
        draw_case=_draw_crowd,
        gives="rows",
    ),
)
