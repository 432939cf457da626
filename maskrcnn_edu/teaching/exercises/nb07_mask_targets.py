"""Exercises of 07_mask_targets: a rectangle on a grid, and an outline in cells."""

from __future__ import annotations

import numpy as np

from maskrcnn_edu.data.transforms import scale_and_shift
from maskrcnn_edu.model.mask.targets import rasterize_polygons_within_box
from maskrcnn_edu.structures import GroundTruth
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def rasterize_rectangle(rectangle: list, box: list, m: int) -> np.ndarray:
    """Mask target [m, m] of an object that is a rectangle [x1, y1, x2, y2].

    The grid of m x m cells covers `box` (same frame). A cell is 1 if its
    centre lies within the rectangle.
    """
    centres = (np.arange(m) + 0.5) / m
    x = box[0] + centres * (box[2] - box[0])
    y = box[1] + centres * (box[3] - box[1])
    in_x = (x > rectangle[0]) & (x < rectangle[2])
    in_y = (y > rectangle[1]) & (y < rectangle[3])
    return (in_y[:, None] & in_x[None, :]).astype(int)


def _true_raster(rectangle: list, box: list, m: int) -> np.ndarray:
    x1, y1, x2, y2 = rectangle
    outline = np.array([x1, y1, x2, y1, x2, y2, x1, y2], np.float64)
    return rasterize_polygons_within_box([outline], np.asarray(box, np.float32), m)


def outline_in_cells(polygon: np.ndarray, box: list, m: int) -> np.ndarray:
    """An outline [x1, y1, x2, y2, ...] in cells of the grid over a box.

    The box's top left corner becomes (0, 0), its bottom right one (m, m).
    """
    points = np.reshape(polygon, (-1, 2))
    corner = np.array(box[:2])
    sides = np.array([box[2] - box[0], box[3] - box[1]])
    return ((points - corner) / sides * m).reshape(-1)


def _true_outline(polygon: np.ndarray, box: list, m: int) -> np.ndarray:
    nothing = np.zeros([0, 4], np.float32), np.zeros(0, np.int64)
    gt = GroundTruth(*nothing, [[np.asarray(polygon, np.float64)]], np.zeros(0, bool))
    x1, y1, x2, y2 = box
    scale = m / (x2 - x1), m / (y2 - y1)
    return scale_and_shift(gt, scale, (-x1 * scale[0], -y1 * scale[1])).segms[0][0]


_OUTLINE = np.array([12.0, 10, 30, 14, 26, 30])

EXERCISES = (
    Exercise(
        notebook="07_mask_targets",
        task="Draw the mask target of a rectangle: which cells of the RoI's grid have their "
        "centre inside?",
        answer=rasterize_rectangle,
        truth=_true_raster,
        cases=[
            ([4.0, 4, 20, 12], [4.0, 4, 20, 12], 4),
            ([11.5, 7.1, 33.5, 13], [9.5, 6.5, 38.0, 22], 7),
            ([5.0, 2, 12.3, 30], [4.0, 6, 32, 20], 7),
        ],
        mistakes={
            "the grid starts at the box's corner, not at the image's": (
                "x = box[0] + centres * (box[2] - box[0])\n"
                "    y = box[1] + centres * (box[3] - box[1])",
                "x = centres * (box[2] - box[0])\n    y = centres * (box[3] - box[1])",
            ),
            "the grid covers the box, not the image: cells are not pixels": (
                "x = box[0] + centres * (box[2] - box[0])\n"
                "    y = box[1] + centres * (box[3] - box[1])",
                "x = box[0] + centres * m\n    y = box[1] + centres * m",
            ),
            "the grid covers the RoI's box, not the object's": (
                "    centres =",
                "    box = rectangle\n    centres =",
            ),
            "you forgot the half cell: the centre decides, not the corner": (
                "(np.arange(m) + 0.5) / m",
                "np.arange(m) / m",
            ),
            "x and y are swapped: a mask is indexed by row, then column": (
                "in_y[:, None] & in_x[None, :]",
                "in_x[:, None] & in_y[None, :]",
            ),
            "inside is 1, outside is 0": (
                "(in_y[:, None] & in_x[None, :]).astype(int)",
                "1 - (in_y[:, None] & in_x[None, :])",
            ),
        },
        shows="a RoI that fits a rectangle has a target of ones, and another RoI another target.",
    ),
    Exercise(
        notebook="07_mask_targets",
        task="Before an outline is filled it changes its frame: from pixels of the input to "
        "cells of the RoI's grid. Change it.",
        answer=outline_in_cells,
        truth=_true_outline,
        cases=[(_OUTLINE, [10.0, 8, 38, 36], 14), (_OUTLINE, [16.0, 6, 30, 34], 28)],
        mistakes={
            "the box's corner is not subtracted": ("(points - corner)", "points"),
            "x and y are swapped: width goes with x, height with y": (
                "[box[2] - box[0], box[3] - box[1]]",
                "[box[3] - box[1], box[2] - box[0]]",
            ),
            "each side has its own scale: the grid is square, the box is not": (
                "/ sides * m",
                "/ sides.max() * m",
            ),
            "widths are x2 - x1, without + 1": ("/ sides * m", "/ (sides + 1) * m"),
            "the last corner is m, not m - 1": ("/ sides * m", "/ sides * (m - 1)"),
            "the cells are not counted: the box ends at m, not at 1": ("/ sides * m", "/ sides"),
            "a corner is a corner, without half a cell": (
                "/ sides * m)",
                "/ sides * m - 0.5)",
            ),
        },
        shows="every RoI sees its object stretched to a square, whatever the box's shape.",
    ),
)
