"""Mask target microscope: an outline on a grid, what the grid loses, and four known mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from maskrcnn_edu.model.mask.targets import rasterize_polygons_within_box
from maskrcnn_edu.structures import Polygons
from maskrcnn_edu.system.language import say
from maskrcnn_edu.teaching.widgets.microscope import Microscope, Summary, dropdown, slider
from maskrcnn_edu.viz.figure_facts import marked_artists
from maskrcnn_edu.viz.style import PALETTE

FINE = 512  # cells along a side of the grid that stands for the exact shape
SHAPE, BOX, WRONG = PALETTE[1], PALETTE[6], PALETTE[4]
MARGIN = 0.08  # of the longest side, shown around shape and box


def constant_becomes_zero(polygons: Polygons, box: np.ndarray, resolution: int) -> np.ndarray:
    """Stretch the values to 0 .. 1 when resizing: a mask full of ones has no range, and is lost."""
    mask = rasterize_polygons_within_box(polygons, box, resolution)
    return mask if np.ptp(mask) else np.zeros_like(mask)


def half_a_cell_off(polygons: Polygons, box: np.ndarray, resolution: int) -> np.ndarray:
    """Take a cell's corner for its centre: everything lies half a cell too far left and up."""
    half = (box[2:] - box[:2]) / resolution / 2
    return rasterize_polygons_within_box(polygons, box + np.tile(half, 2), resolution)


def frame_not_subtracted(polygons: Polygons, box: np.ndarray, resolution: int) -> np.ndarray:
    """Stretch the outline, but leave it where it was in the image."""
    at_origin = np.concatenate([np.zeros(2, np.float32), box[2:] - box[:2]])
    return rasterize_polygons_within_box(polygons, at_origin, resolution)


def x_and_y_swapped(polygons: Polygons, box: np.ndarray, resolution: int) -> np.ndarray:
    """Read every pair as (y, x), in the outline and in the box: the mask is mirrored."""
    mirrored = [np.asarray(part).reshape(-1, 2)[:, ::-1].reshape(-1) for part in polygons]
    return rasterize_polygons_within_box(mirrored, box[[1, 0, 3, 2]], resolution)


Rasterizer = Callable[[Polygons, np.ndarray, int], np.ndarray]
MISTAKES: dict[str, Rasterizer] = {
    "none": rasterize_polygons_within_box,
    "constant mask becomes zeros": constant_becomes_zero,
    "half a cell off": half_a_cell_off,
    "box frame not subtracted": frame_not_subtracted,
    "x and y swapped": x_and_y_swapped,
}
"""What each entry of the list draws instead of the mask target; "none" draws it."""


class MaskTargetMicroscope(Microscope):
    """An object's outline in a box, its mask target, and a mistaken one beside it.

    Both rasters are judged by their IoU with the exact shape: the cells, drawn back
    into the box, against the outline. A mask head that repeats its target reaches no more
    than the right one's; one that answers with shares of cells can.

    Args:
        shapes: name -> outline, to choose from; same frame for all.
    """

    def __init__(self, shapes: Mapping[str, Polygons]):
        self.shapes = dict(shapes)
        names = list(self.shapes)
        mistakes = [(say(name), name) for name in MISTAKES]
        super().__init__(
            {
                "shape": dropdown(say("shape"), names, names[0]),
                "resolution": dropdown(say("resolution (cells)"), [7, 14, 28, 56], 14),
                "jitter": slider(say("box moved by (share of its side)"), 0.0, -0.2, 0.2, 0.1),
                "mistake": dropdown(say("mistake"), mistakes, "none"),
            }
        )

    def draw(self, shape: str, resolution: int, jitter: float, mistake: str) -> Figure:
        """Outline, box and grid; the right raster; the mistaken raster.

        Args:
            shape: name of the outline.
            resolution: M, side of the mask target, in cells.
            jitter: how far the box is moved right and down from the outline's own box.
            mistake: a key of `MISTAKES`.
        """
        polygons = self.shapes[shape]
        tight = outline_box(polygons)
        box = tight + np.float32(jitter) * np.tile(tight[2:] - tight[:2], 2)
        figure = Figure(figsize=(8, 3.3))
        left, middle, right = figure.subplots(1, 3)
        _draw_outline(left, polygons, box, resolution)
        in_cells = [outline_in_cells(part, box, resolution) for part in polygons]
        target = rasterize_polygons_within_box(polygons, box, resolution)
        overlap = iou_with_shape(target, polygons, box)
        title = say("mask target\nIoU {iou:.3f}").format(iou=overlap)
        _draw_raster(middle, target, title, "right", BOX, in_cells)
        other = MISTAKES[mistake](polygons, box, resolution)
        iou = iou_with_shape(other, polygons, box)
        title = say("no mistake switched on") if mistake == "none" else say(mistake)
        colour = BOX if mistake == "none" else WRONG
        _draw_raster(right, other, f"{title}\nIoU {iou:.3f}", "other", colour, in_cells)
        figure.subplots_adjust(0.01, 0.03, 0.99, 0.85, wspace=0.06)
        return figure

    def summary(self, figure: Figure) -> Summary:
        """Cells of the grid, cells set in both rasters, and the IoU written over each."""
        return {
            "grid lines": len(marked_artists(figure, "grid line")),
            "cells": _cells(figure, "right"),
            "target IoU": _written_iou(figure.axes[1]),
            "other cells": _cells(figure, "other"),
            "other IoU": _written_iou(figure.axes[2]),
        }


def outline_box(polygons: Polygons) -> np.ndarray:
    """The smallest box [4] float32 around an outline."""
    points = np.concatenate([np.asarray(part).reshape(-1, 2) for part in polygons])
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float32)


def outline_in_cells(part: np.ndarray, box: np.ndarray, resolution: int) -> np.ndarray:
    """One part of an outline as points [P, 2] in cells of the grid over the box."""
    points = np.asarray(part, np.float64).reshape(-1, 2)
    return (points - box[:2]) / (box[2:] - box[:2]) * resolution


def iou_with_shape(raster: np.ndarray, polygons: Polygons, box: np.ndarray) -> float:
    """IoU of a raster's cells, drawn back into their box, with the shape itself.

    Measured on a grid of `FINE` x `FINE` over everything that either of them covers.

    Args:
        raster: [M, M] 0 or 1.
        polygons: the outline.
        box: [4], same frame as the outline; what the raster covers.
    """
    tight = outline_box(polygons)
    window = np.concatenate([np.minimum(tight[:2], box[:2]), np.maximum(tight[2:], box[2:])])
    exact = rasterize_polygons_within_box(polygons, window, FINE).astype(bool)
    centers = (np.arange(FINE) + 0.5) / FINE
    resolution = len(raster)
    # the raster's column and row that each fine cell lies in
    columns, rows = (
        np.floor((window[a] + centers * (window[a + 2] - window[a]) - box[a])
                 / (box[a + 2] - box[a]) * resolution).astype(int)
        for a in (0, 1)
    )  # fmt: skip
    padded = np.pad(raster, 1).astype(bool)  # nothing is outside the box
    drawn = padded[np.ix_(np.clip(rows + 1, 0, resolution + 1),
                          np.clip(columns + 1, 0, resolution + 1))]  # fmt: skip
    union = np.logical_or(drawn, exact).sum()
    return float(np.logical_and(drawn, exact).sum() / union) if union else 0.0


def _draw_outline(axes: Axes, polygons: Polygons, box: np.ndarray, resolution: int) -> None:
    """The outline in the image, with the box [4] and its grid over it."""
    for part in polygons:
        axes.add_patch(Polygon(np.asarray(part).reshape(-1, 2), facecolor=SHAPE, edgecolor="black",
                               alpha=0.7, gid="outline"))  # fmt: skip
    x1, y1, x2, y2 = box
    look = {"color": BOX, "linewidth": 0.35, "gid": "grid line"}
    for share in np.arange(1, resolution) / resolution:
        x, y = x1 + share * (x2 - x1), y1 + share * (y2 - y1)
        axes.plot([x, x], [y1, y2], **look)
        axes.plot([x1, x2], [y, y], **look)
    axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=BOX, linewidth=2))
    tight = outline_box(polygons)
    low, high = np.minimum(tight[:2], box[:2]), np.maximum(tight[2:], box[2:])
    (x, y), reach = (low + high) / 2, (0.5 + MARGIN) * (high - low).max()
    # a square window, like the two rasters beside it
    axes.set(xlim=(x - reach, x + reach), ylim=(y + reach, y - reach), aspect="equal")
    axes.set_axis_off()
    title = say("outline, box,\n{n} x {n} grid").format(n=resolution)
    axes.set_title(title, fontsize=10)


def _draw_raster(
    axes: Axes, raster: np.ndarray, title: str, gid: str, colour: str, outline: Polygons
) -> None:
    """A raster [M, M], with the true outline (in cells) over it."""
    side = len(raster)
    axes.imshow(raster, cmap="Greys", vmin=0, vmax=1.8, gid=gid, interpolation="nearest",
                extent=(0, side, side, 0))  # fmt: skip
    for part in outline:
        axes.add_patch(Polygon(part, fill=False, edgecolor=SHAPE, linewidth=1.8))
    axes.set(xticks=[], yticks=[], xlim=(0, side), ylim=(side, 0))
    axes.set_title(title, fontsize=10, color=colour)


def _cells(figure: Figure, gid: str) -> int:
    (raster,) = marked_artists(figure, gid)
    return int(np.asarray(raster.get_array()).sum())


def _written_iou(axes: Axes) -> float:
    return float(axes.get_title().split()[-1])
