"""Exercises of 06_bbox_head: the own class's box, and the best box of every class."""

from __future__ import annotations

import numpy as np
import paddle

from maskrcnn_edu.model.bbox.postprocess import MultiClassNMS, RCNNBox
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def decode_own_class(
    rois: np.ndarray,
    deltas: np.ndarray,
    labels: np.ndarray,
    weights: list,
    im_shape: tuple,
) -> np.ndarray:
    """Boxes [R, 4]: RoIs moved by the deltas of their own class, and clipped.

    `rois` are [R, 4], `deltas` [R, C, 4], `labels` [R]. The head was trained
    on deltas times `weights`. `im_shape` is (height, width) of the image.
    """
    own = deltas[np.arange(len(labels)), labels]
    dx, dy, dw, dh = (own / weights).T
    w = rois[:, 2] - rois[:, 0]
    h = rois[:, 3] - rois[:, 1]
    x = rois[:, 0] + w / 2 + dx * w
    y = rois[:, 1] + h / 2 + dy * h
    w = w * np.exp(dw)
    h = h * np.exp(dh)
    boxes = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], axis=1)
    height, width = im_shape
    return np.clip(boxes, 0, [width, height, width, height])


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


def best_per_class(probs: np.ndarray, threshold: float) -> list:
    """[[label, row], ...] of the boxes that stay, by rising label.

    `probs` is [R, C + 1], background last. All R boxes are of one object and
    overlap, so that suppression, which runs within each class, leaves one box
    of a class: the best of those above `threshold`.
    """
    detections = []
    for label in range(probs.shape[1] - 1):
        row = int(probs[:, label].argmax())
        if probs[row, label] > threshold:
            detections.append([label, row])
    return detections


def _true_best(probs: np.ndarray, threshold: float) -> list:
    rows, classes = probs.shape[0], probs.shape[1] - 1
    same = paddle.to_tensor([2.0, 2.0, 30.0, 20.0]).expand([rows, classes, 4])
    scores = paddle.to_tensor(probs[:, :classes], dtype="float32")
    chosen, labels = MultiClassNMS(score_threshold=threshold)(same, scores)
    return [list(pair) for pair in zip(labels.tolist(), chosen.tolist())]


_DELTAS = np.array(
    [
        [[1.0, 2.0, 0.5, -0.5], [-1.0, 1.0, 1.0, 0.5], [0.5, -2.0, 0.0, 1.0]],
        [[0.0, 1.0, -1.0, 0.5], [3.0, 0.0, 0.5, 1.0], [9.0, 12.0, 2.0, 2.5]],
    ]
)
_ROIS = np.array([[10.0, 4, 30, 20], [16, 16, 36, 44]])

EXERCISES = (
    Exercise(
        notebook="06_bbox_head",
        task="The box head gives a move for every class. Take the own class's, and compute the "
        "boxes.",
        answer=decode_own_class,
        truth=_true_boxes,
        cases=[
            (_ROIS[:1], _DELTAS[:1], np.array([1]), [10.0, 10.0, 5.0, 5.0], (64, 64)),
            (_ROIS, _DELTAS, np.array([2, 2]), [10.0, 10.0, 5.0, 5.0], (60, 50)),
        ],
        mistakes={
            "the deltas are not divided by the weights": ("own / weights", "own"),
            "the deltas are divided by the weights, not multiplied": (
                "own / weights",
                "own * np.array(weights) / 100",
            ),
            "the first class's deltas are taken, not the own class's": (
                "deltas[np.arange(len(labels)), labels]",
                "deltas[:, 0]",
            ),
            "the boxes are not clipped to the image": (
                "np.clip(boxes, 0, [width, height, width, height])",
                "boxes",
            ),
            "height and width are swapped: im_shape is (height, width)": (
                "height, width = im_shape",
                "width, height = im_shape",
            ),
            "dw and dh are logarithms: take exp": (
                "w = w * np.exp(dw)\n    h = h * np.exp(dh)",
                "w = w * (1 + dw)\n    h = h * (1 + dh)",
            ),
        },
        shows="which class wins decides which of C boxes is drawn.",
    ),
    Exercise(
        notebook="06_bbox_head",
        task="Suppression runs within each class. Many RoIs lie on one object: which detections "
        "are left?",
        answer=best_per_class,
        truth=_true_best,
        cases=[
            (np.array([[0.2, 0.4, 0.02, 0.38], [0.6, 0.3, 0.0, 0.1]]), 0.05),
            (np.array([[0.5, 0.3, 0.1, 0.1], [0.3, 0.2, 0.05, 0.45]]), 0.05),
            (np.array([[0.1, 0.1, 0.1, 0.7], [0.04, 0.7, 0.06, 0.2]]), 0.15),
        ],
        mistakes={
            "the background class is counted": ("probs.shape[1] - 1", "probs.shape[1]"),
            "scores below the threshold are kept": (
                "probs[row, label] > threshold",
                "probs[row, label] >= 0",
            ),
            "classes do not suppress each other: keep the best of each": (
                "    return detections",
                "    detections.sort(key=lambda f: -probs[f[1], f[0]])\n    return detections[:1]",
            ),
            "a RoI may count for several classes, not only for its best one": (
                "        if probs[row, label] > threshold:",
                "        if probs[row, label] > threshold and probs[row].argmax() == label:",
            ),
            "label goes first, then row": (
                "detections.append([label, row])",
                "detections.append([row, label])",
            ),
            "a detection for every class, not one for every RoI": (
                "    detections = []\n",
                "    best = probs[:, :-1].argmax(axis=1)\n"
                "    return [[int(c), row] for row, c in enumerate(best)]\n",
            ),
        },
        shows="one object may be detected as two classes, and both detections stay.",
    ),
)
