"""Exercises of 04_bbox_assigner: a sample with a quota, and its regression targets."""

from __future__ import annotations

import numpy as np
import paddle

from maskrcnn_edu.model.boxes import bbox2delta
from maskrcnn_edu.model.matching import subsample_labels
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def draw_sample(
    labels: np.ndarray,
    number: int,
    fg_share: float,
    background: int,
) -> tuple:
    """Rows of the foreground and rows of the background to train on.

    `labels` [R] are classes, `background`, or -1 for "not trained on". Take
    at most `number` rows, at most `fg_share` of the number foreground:
    background fills the rest. Take the first ones, not random ones.
    """
    foreground = np.flatnonzero((labels != background) & (labels != -1))
    fg = foreground[: int(number * fg_share)]
    bg = np.flatnonzero(labels == background)[: number - len(fg)]
    return fg, bg


def _true_sample(labels: np.ndarray, number: int, fg_share: float, background: int) -> list:
    labels = paddle.to_tensor(labels, dtype="int64")
    drawn = subsample_labels(labels, number, fg_share, background, use_random=False)
    return [rows.numpy() for rows in drawn]


def regression_targets(
    rois: np.ndarray,
    objects: np.ndarray,
    weights: list,
) -> np.ndarray:
    """Deltas [R, 4] that turn RoIs [R, 4] into objects [R, 4], times weights.

    dx and dy are the way from centre to centre, in widths and heights of the
    RoI; dw and dh are logarithms of the ratio of sizes.
    """
    rw = rois[:, 2] - rois[:, 0]
    rh = rois[:, 3] - rois[:, 1]
    ow = objects[:, 2] - objects[:, 0]
    oh = objects[:, 3] - objects[:, 1]
    dx = (objects[:, 0] + ow / 2 - rois[:, 0] - rw / 2) / rw
    dy = (objects[:, 1] + oh / 2 - rois[:, 1] - rh / 2) / rh
    dw = np.log(ow / rw)
    dh = np.log(oh / rh)
    return np.stack([dx, dy, dw, dh], axis=1) * weights


def _true_targets(rois: np.ndarray, objects: np.ndarray, weights: list) -> np.ndarray:
    tensors = [paddle.to_tensor(a, dtype="float32") for a in (rois, objects)]
    return bbox2delta(*tensors, weights).numpy()


_LABELS = np.array([3, 0, -1, 3, 2, 1, 3, -1, 3, 0, 3, 3])

EXERCISES = (
    Exercise(
        notebook="04_bbox_assigner",
        task="Draw the RoIs to train on: a quota for foreground, and background in all places "
        "that are left.",
        answer=draw_sample,
        truth=_true_sample,
        cases=[
            (_LABELS, 8, 0.25, 3),
            (_LABELS, 8, 0.75, 3),
            (np.array([1, 2, 3, -1]), 4, 0.5, 3),
        ],
        mistakes={
            "foreground has no quota": ("[: int(number * fg_share)]", "[:number]"),
            "background fills the places that foreground leaves free": (
                "[: number - len(fg)]",
                "[: number - int(number * fg_share)]",
            ),
            "-1 is not trained on, it is no foreground": (" & (labels != -1)", ""),
            "-1 is not trained on, it is no background": (
                "np.flatnonzero(labels == background)",
                "np.flatnonzero((labels == background) | (labels == -1))",
            ),
            "label 0 is a class, not background": ("(labels != background) &", "(labels > 0) &"),
            "the number is that of both together, not of the background": (
                "[: number - len(fg)]",
                "[:number]",
            ),
        },
        shows="a quarter of foreground is the most there can be, never a promise.",
    ),
    Exercise(
        notebook="04_bbox_assigner",
        task="How should each RoI move to become its object? Compute the targets that the box "
        "head is trained on.",
        answer=regression_targets,
        truth=_true_targets,
        cases=[
            (np.array([[0.0, 0, 10, 20]]), np.array([[5.0, 5, 25, 15]]), [1.0, 1.0, 1.0, 1.0]),
            (
                np.array([[2.0, 4, 18, 12], [0, 0, 8, 8]]),
                np.array([[0.0, 6, 20, 30], [1, 2, 7, 9]]),
                [10.0, 10.0, 5.0, 5.0],
            ),
        ],
        mistakes={
            "dw and dh are logarithms": (
                "dw = np.log(ow / rw)\n    dh = np.log(oh / rh)",
                "dw = ow / rw\n    dh = oh / rh",
            ),
            "the targets are multiplied by the weights, not divided": (" * weights", " / weights"),
            "the weights are missing": (" * weights", ""),
            "dx and dy are in sizes of the RoI, not of the object": (
                "rw / 2) / rw\n    dy = (objects[:, 1] + oh / 2 - rois[:, 1] - rh / 2) / rh",
                "rw / 2) / ow\n    dy = (objects[:, 1] + oh / 2 - rois[:, 1] - rh / 2) / oh",
            ),
            "dx and dy are in sizes of the RoI, not in pixels": (
                "rw / 2) / rw\n    dy = (objects[:, 1] + oh / 2 - rois[:, 1] - rh / 2) / rh",
                "rw / 2)\n    dy = (objects[:, 1] + oh / 2 - rois[:, 1] - rh / 2)",
            ),
            "dx and dy go from centre to centre, not from corner to corner": (
                "dx = (objects[:, 0] + ow / 2 - rois[:, 0] - rw / 2) / rw\n"
                "    dy = (objects[:, 1] + oh / 2 - rois[:, 1] - rh / 2) / rh",
                "dx = (objects[:, 0] - rois[:, 0]) / rw\n"
                "    dy = (objects[:, 1] - rois[:, 1]) / rh",
            ),
            "the way goes from the RoI to the object, not back": (
                "    rw = rois",
                "    rois, objects = objects, rois\n    rw = rois",
            ),
            "x and y are swapped": ("[dx, dy, dw, dh]", "[dy, dx, dh, dw]"),
            "widths are x2 - x1, without + 1": (
                "    rw = rois",
                "    rois, objects = rois + [0, 0, 1, 1], objects + [0, 0, 1, 1]\n    rw = rois",
            ),
        },
        shows="the weights bring four targets of different spread to about the same size.",
    ),
)
