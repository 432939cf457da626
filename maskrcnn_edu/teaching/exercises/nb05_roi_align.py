"""Exercises of 05_roi_align: one bilinear sample, and the level that fits a box."""

from __future__ import annotations

import math

import numpy as np
import paddle

from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def bilinear(feature: np.ndarray, x: float, y: float) -> float:
    """The value of a feature map [h, w] at a point between its pixels.

    x and y are in feature pixels from the map's top left corner, so that the
    centre of feature[0, 0] is at (0.5, 0.5). All points lie between centres.
    """
    px, py = x - 0.5, y - 0.5
    left, top = int(px), int(py)
    fx, fy = px - left, py - top
    upper, lower = feature[top], feature[top + 1]
    upper = (1 - fx) * upper[left] + fx * upper[left + 1]
    lower = (1 - fx) * lower[left] + fx * lower[left + 1]
    return (1 - fy) * upper + fy * lower


def _true_sample(feature: np.ndarray, x: float, y: float) -> float:
    """RoIAlign of one cell with one sample takes it in the middle of its box."""
    align = RoIAlign(resolution=1, spatial_scale=1.0, sampling_ratio=1, aligned=True)
    box = paddle.to_tensor([[x - 0.5, y - 0.5, x + 0.5, y + 0.5]], dtype="float32")
    return align([paddle.to_tensor(feature[None, None], dtype="float32")], [box]).item()


def pyramid_level(box: list, canonical_size: float) -> int:
    """The level 2 .. 5 from which a box [x1, y1, x2, y2] is cut out.

    A square of `canonical_size` pixels goes to level 4, one of half the side
    to level 3, and all that lie between to the lower one. What counts is the
    side of the square of the same area.
    """
    side = math.sqrt((box[2] - box[0]) * (box[3] - box[1]))
    level = math.floor(4 + math.log2(side / canonical_size))
    return min(max(level, 2), 5)


def _true_level(box: list, canonical_size: float) -> int:
    """RoIAlign tells it if every level's features are its own number."""
    features = [paddle.full([1, 1, 512 >> k, 512 >> k], float(k)) for k in (2, 3, 4, 5)]
    scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    align = RoIAlign(1, scales, sampling_ratio=1, canonical_size=canonical_size, aligned=True)
    return round(align(features, [paddle.to_tensor([box], dtype="float32")]).item())


_FEATURE = np.array([[0.0, 1, 4, 9], [2, 8, 5, 7], [6, 3, 1, 11]])

EXERCISES = (
    Exercise(
        notebook="05_roi_align",
        task="Compute one bilinear sample by hand: four pixels, each with its share.",
        answer=bilinear,
        truth=_true_sample,
        cases=[(_FEATURE, 1.75, 1.25), (_FEATURE, 2.1, 0.9), (_FEATURE, 1.5, 1.5)],
        mistakes={
            "you forgot the half pixel: a pixel's centre is at + 0.5": (
                "px, py = x - 0.5, y - 0.5",
                "px, py = x, y",
            ),
            "x and y are swapped: a feature map is indexed by row, then column": (
                "px, py = x - 0.5, y - 0.5",
                "px, py = y - 0.5, x - 0.5",
            ),
            "the nearer pixel has the larger share": (
                "fx, fy = px - left, py - top",
                "fx, fy = 1 - (px - left), 1 - (py - top)",
            ),
            "the value lies between four pixels; do not take the nearest one": (
                "fx, fy = px - left, py - top",
                "fx, fy = round(px - left), round(py - top)",
            ),
            "the shares count: it is not the mean of four pixels": (
                "fx, fy = px - left, py - top",
                "fx = fy = 0.5",
            ),
            "the half pixel is subtracted, not added": (
                "px, py = x - 0.5, y - 0.5",
                "px, py = min(x + 0.5, feature.shape[1] - 1.001), min(y + 0.5, "
                "feature.shape[0] - 1.001)",
            ),
        },
        shows="the feature moves smoothly with the box, which is what RoIAlign is for.",
    ),
    Exercise(
        notebook="05_roi_align",
        task="Which level of the pyramid is a box cut out from?",
        answer=pyramid_level,
        truth=_true_level,
        cases=[
            ([10.0, 10, 234, 234], 224),
            ([10.0, 10, 233, 233], 224),
            ([0.0, 0, 100, 500], 224),
            ([0.0, 0, 480, 460], 224),
            ([0.0, 0, 500, 500], 60),
            ([4.0, 4, 12, 12], 224),
            ([40.0, 40, 140, 140], 112),
        ],
        mistakes={
            "round down, not to the nearest level": ("math.floor(", "round("),
            "there are levels 2 to 5 only": ("min(max(level, 2), 5)", "level"),
            "what counts is the root of the area, not the longer side": (
                "math.sqrt((box[2] - box[0]) * (box[3] - box[1]))",
                "max(box[2] - box[0], box[3] - box[1])",
            ),
            "what counts is the root of the area, not the area": (
                "math.sqrt((box[2] - box[0]) * (box[3] - box[1]))",
                "(box[2] - box[0]) * (box[3] - box[1])",
            ),
            "large boxes go to high levels: the ratio is upside down": (
                "side / canonical_size",
                "canonical_size / side",
            ),
            "a level is a factor of 2: the logarithm is that of base 2": (
                "math.log2(",
                "math.log(",
            ),
        },
        shows="every level sees boxes of about the same number of cells.",
    ),
)
