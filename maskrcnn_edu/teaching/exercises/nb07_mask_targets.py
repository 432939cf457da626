"""Exercises of 07_mask_targets: a rectangle on a grid, and an outline in cells."""

from __future__ import annotations

import numpy as np

from maskrcnn_edu.data.transforms import scale_and_shift
from maskrcnn_edu.model.mask.targets import rasterize_polygons_within_box
from maskrcnn_edu.structures import GroundTruth
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def _true_raster(rectangle: list, box: list, m: int) -> np.ndarray:
    x1, y1, x2, y2 = rectangle
    outline = np.array([x1, y1, x2, y1, x2, y2, x1, y2], np.float64)
    return rasterize_polygons_within_box([outline], np.asarray(box, np.float32), m)


def _true_outline(polygon: np.ndarray, box: list, m: int) -> np.ndarray:
    nothing = np.zeros([0, 4], np.float32), np.zeros(0, np.int64)
    gt = GroundTruth(*nothing, [[np.asarray(polygon, np.float64)]], np.zeros(0, bool))
    x1, y1, x2, y2 = box
    scale = m / (x2 - x1), m / (y2 - y1)
    return scale_and_shift(gt, scale, (-x1 * scale[0], -y1 * scale[1])).segms[0][0]


def _draw_rectangle(random: np.random.Generator) -> tuple:
    m = int(random.choice([4, 7, 14]))
    x, y, width, height = random.integers([2, 2, 10, 10], [20, 20, 50, 50]).tolist()
    # no side passes through a centre, which a rasterizer may count either way
    first = random.integers(-1, m - 1, 2) + random.uniform(-0.4, 0.4, 2)
    last = first + random.integers(1, m, 2)
    sides = np.concatenate([first, last]) / m * [width, height, width, height]
    rectangle = np.add(sides, [x, y, x, y]).round(2).tolist()
    return rectangle, [x, y, x + width, y + height], m


def _draw_outline(random: np.random.Generator) -> tuple:
    x, y, width, height = random.integers([0, 0, 10, 10], [20, 20, 50, 50]).tolist()
    points = random.integers(0, 60, 8).astype(float)
    return points, [x, y, x + width, y + height], int(random.choice([7, 14, 28]))


_OUTLINE = np.array([12.0, 10, 30, 14, 26, 30])

EXERCISES = (
    Exercise(
        "rasterize_rectangle",
        "07_mask_targets",
        _true_raster,
        cases=[
            ([4.0, 4, 20, 12], [4.0, 4, 20, 12], 4),
            ([11.5, 7.1, 33.5, 13], [9.5, 6.5, 38.0, 22], 7),
            ([5.0, 2, 12.3, 30], [4.0, 6, 32, 20], 7),
            ([9.6, 11.6, 26.4, 28.4], [4.0, 6, 32, 34], 7),
        ],
        shows="a RoI that fits a rectangle has a target of ones, and another RoI another target.",
        draw_case=_draw_rectangle,
        gives="mask",
    ),
    Exercise(
        "outline_in_cells",
        "07_mask_targets",
        _true_outline,
        cases=[
            (_OUTLINE, [10.0, 8, 38, 36], 14),
            (_OUTLINE, [16.0, 6, 30, 34], 28),
            (_OUTLINE, [11.0, 7, 34, 33], 14),
        ],
        shows="every RoI sees its object stretched to a square, whatever the box's shape.",
        draw_case=_draw_outline,
    ),
)
