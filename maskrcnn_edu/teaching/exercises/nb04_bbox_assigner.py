"""Exercises of 04_bbox_assigner: a sample with a quota, and its regression targets."""

from __future__ import annotations

import numpy as np
import paddle

from maskrcnn_edu.model.boxes import bbox2delta
from maskrcnn_edu.model.matching import subsample_labels
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def _true_sample(labels: np.ndarray, number: int, fg_share: float, background: int) -> list:
    labels = paddle.to_tensor(labels, dtype="int64")
    drawn = subsample_labels(labels, number, fg_share, background, use_random=False)
    return [rows.numpy() for rows in drawn]


def _true_targets(rois: np.ndarray, objects: np.ndarray, weights: list) -> np.ndarray:
    tensors = [paddle.to_tensor(a, dtype="float32") for a in (rois, objects)]
    return bbox2delta(*tensors, weights).numpy()


def _draw_labels(random: np.random.Generator) -> tuple:
    background = int(random.integers(2, 6))
    labels = random.integers(-1, background + 1, 16)
    labels[random.random(16) < 0.3] = background
    share = float(random.choice([0.25, 0.5, 0.75]))
    return labels, int(random.integers(4, 13)), share, background


def _draw_pairs(random: np.random.Generator) -> tuple:
    corners = random.integers(0, 30, (2, 3, 2))
    boxes = np.concatenate([corners, corners + random.integers(4, 30, (2, 3, 2))], axis=2)
    return *boxes.astype(float), random.integers(1, 20, 4).astype(float).tolist()


_LABELS = np.array([3, 0, -1, 3, 2, 1, 3, -1, 3, 0, 3, 3])

EXERCISES = (
    Exercise(
        "draw_sample",
        "04_bbox_assigner",
        _true_sample,
        cases=[
            (_LABELS, 8, 0.25, 3),
            (_LABELS, 8, 0.75, 3),
            (np.array([1, 2, 3, -1]), 4, 0.5, 3),
            (_LABELS[::-1].copy(), 7, 0.5, 3),
            (np.array([2, 0, 1, 2, 2, -1, 0, 0]), 5, 0.75, 2),
            (_LABELS, 3, 0.5, 3),
            (_LABELS, 5, 0.25, 3),
        ],
        shows="a quarter of foreground is the most there can be, never a promise.",
        draw_case=_draw_labels,
        gives="pair",
    ),
    Exercise(
        "regression_targets",
        "04_bbox_assigner",
        _true_targets,
        cases=[
            (np.array([[0.0, 0, 10, 20]]), np.array([[5.0, 5, 25, 15]]), [1.0, 1.0, 1.0, 1.0]),
            (
                np.array([[2.0, 4, 18, 12], [0, 0, 8, 8]]),
                np.array([[0.0, 6, 20, 30], [1, 2, 7, 9]]),
                [10.0, 10.0, 5.0, 5.0],
            ),
            (np.array([[3.0, 1, 9, 13]]), np.array([[5.0, 2, 8, 11]]), [2.0, 4.0, 1.0, 3.0]),
        ],
        shows="the weights bring four targets of different spread to about the same size.",
        draw_case=_draw_pairs,
        gives="deltas",
    ),
)
