"""Exercises of 06_bbox_head: the own class's box, and the best box of every class."""

from __future__ import annotations

import numpy as np
import paddle

from maskrcnn_edu.model.bbox.postprocess import MultiClassNMS, RCNNBox
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def _true_boxes(
    rois: np.ndarray,
    deltas: np.ndarray,
    labels: np.ndarray,
    weights: list,
    im_shape: tuple,
) -> np.ndarray:
    tensors = [paddle.to_tensor(a, dtype="float32") for a in (deltas, rois, im_shape)]
    boxes = RCNNBox(weights, num_classes=deltas.shape[1])(*tensors)  # [R, C, 4]
    return boxes.numpy()[np.arange(len(labels)), labels]


def _true_best(probs: np.ndarray, threshold: float) -> list:
    rows, classes = probs.shape[0], probs.shape[1] - 1
    same = paddle.to_tensor([2.0, 2.0, 30.0, 20.0]).expand([rows, classes, 4])
    scores = paddle.to_tensor(probs[:, :classes], dtype="float32")
    chosen, labels = MultiClassNMS(score_threshold=threshold)(same, scores)
    return [list(pair) for pair in zip(labels.tolist(), chosen.tolist())]


def _draw_rois(random: np.random.Generator) -> tuple:
    corners = random.integers(0, 30, (3, 2))
    rois = np.concatenate([corners, corners + random.integers(6, 30, (3, 2))], axis=1)
    deltas = random.normal(scale=0.5, size=(3, 4, 4)).round(2)
    weights = random.integers(1, 10, 4).astype(float).tolist()
    return rois.astype(float), deltas, random.integers(0, 4, 3), weights, (48, 40)


def _draw_probs(random: np.random.Generator) -> tuple:
    probs = random.dirichlet(np.ones(5), size=4).round(3)
    return probs, float(random.choice([0.05, 0.15, 0.25])) + 1e-4


_DELTAS = np.array(
    [
        [[1.0, 2.0, 0.5, -0.5], [-1.0, 1.0, 1.0, 0.5], [0.5, -2.0, 0.0, 1.0]],
        [[0.0, 1.0, -1.0, 0.5], [3.0, 0.0, 0.5, 1.0], [9.0, 12.0, 2.0, 2.5]],
    ]
)
_ROIS = np.array([[10.0, 4, 30, 20], [16, 16, 36, 44]])
_LOW = np.array([[1.0, 2, 9, 14], [4, 20, 30, 26]])  # they reach beyond the left and upper border

EXERCISES = (
    Exercise(
        "decode_own_class",
        "06_bbox_head",
        _true_boxes,
        cases=[
            (_ROIS[:1], _DELTAS[:1], np.array([1]), [10.0, 10.0, 5.0, 5.0], (64, 64)),
            (_ROIS, _DELTAS, np.array([2, 2]), [10.0, 10.0, 5.0, 5.0], (60, 50)),
            (_LOW, _DELTAS, np.array([1, 0]), [2.0, 4.0, 1.0, 2.0], (24, 44)),
        ],
        shows="which class wins decides which of C boxes is drawn.",
        draw_case=_draw_rois,
        gives="boxes",
    ),
    Exercise(
        "best_per_class",
        "06_bbox_head",
        _true_best,
        cases=[
            (np.array([[0.6, 0.1, 0.08, 0.22], [0.2, 0.3, 0.12, 0.38]]), 0.55),
            (np.array([[0.2, 0.4, 0.02, 0.38], [0.6, 0.3, 0.0, 0.1]]), 0.05),
            (np.array([[0.5, 0.3, 0.1, 0.1], [0.3, 0.2, 0.05, 0.45]]), 0.05),
            (np.array([[0.1, 0.1, 0.1, 0.7], [0.04, 0.7, 0.06, 0.2]]), 0.15),
            (np.array([[0.3, 0.35, 0.05, 0.3], [0.1, 0.2, 0.1, 0.6]]), 0.05),
            (np.array([[0.25, 0.375, 0.125, 0.25], [0.125, 0.5, 0.125, 0.25]]), 0.25),
            (np.array([[0.3, 0.1, 0.4, 0.2], [0.05, 0.85, 0.05, 0.05], [0.4, 0.3, 0.2, 0.1]]), 0.2),
        ],
        shows="one object may be detected as two classes, and both detections stay.",
        draw_case=_draw_probs,
    ),
)
