"""Filling many polygons at once, cell for cell as pycocotools fills one after the other.

pycocotools rounds corners to fifths of a cell and walks along every edge from fifth to
fifth. Only one place in every column of cells matters: its middle, where the edge passes
from fifth 5 c + 2 to 5 c + 3. There the height of the edge is noted. Downwards from every
noted height, what was outside is inside, and the other way round. Here the same heights
are computed for all edges of all polygons together, and rounded the same way.
"""

from __future__ import annotations

import math

import numpy as np

FIFTHS = 5  # of a cell: how finely corners are placed


def fill_polygons(points: np.ndarray, sizes: np.ndarray, resolution: int) -> np.ndarray:
    """Draw closed polygons, each on a grid of its own.

    Args:
        points: [P, 2] float64 corners (x, y) in cells, polygon after polygon.
        sizes: [n] how many corners each polygon has, 1 or more.
        resolution: M, side of the grids.

    Returns:
        [n, M, M] uint8, 1 inside. Where a polygon covers a cell twice, it is outside.
    """
    start, stop = _edges(points, sizes)
    edge, column = _crossings(start[:, 0], stop[:, 0], resolution)
    height = _heights(start.take(edge, axis=0), stop.take(edge, axis=0), column)
    # from fifths to cells: the first cell whose middle lies below
    row = np.ceil(np.clip((height + 0.5) / FIFTHS - 0.5, 0, resolution))
    polygon = np.repeat(np.arange(len(sizes)), sizes)[edge]
    shape = (resolution + 1, len(sizes), resolution)  # row, polygon, column; one row beyond
    place = np.ravel_multi_index((row.astype(np.int64), polygon, column), shape)
    times = np.bincount(place, minlength=math.prod(shape)).reshape(shape)
    inside = times.astype(np.uint8) & 1  # whether a cell is unlike the one above it
    for row in range(1, resolution):
        inside[row] ^= inside[row - 1]
    return inside[:resolution].transpose(1, 0, 2)


def _edges(points: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends [P, 2] of all edges, in fifths: left to right, or down if they are steep."""
    corners = np.trunc(FIFTHS * points + 0.5)  # towards 0, as C rounds
    following = np.arange(1, len(points) + 1)
    ends = np.cumsum(sizes)
    following[ends - 1] = ends - sizes  # the last corner is joined with the first
    start, stop = corners, corners.take(following, axis=0)
    way = stop - start
    turned = np.where(_is_steep(way), way[:, 1], way[:, 0]) < 0
    turned = turned[:, None]
    return np.where(turned, stop, start), np.where(turned, start, stop)


def _is_steep(way: np.ndarray) -> np.ndarray:
    """[E] bool: edges that go further along y than along x."""
    return np.abs(way[:, 1]) > np.abs(way[:, 0])


def _crossings(x1: np.ndarray, x2: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Edge and column of every passage of an edge through the middle of a column."""
    left, right = np.minimum(x1, x2), np.maximum(x1, x2)
    first = np.maximum(np.ceil((left - 2) / FIFTHS), 0)
    last = np.minimum(np.floor((right - 3) / FIFTHS), resolution - 1)
    counts = np.maximum(last - first + 1, 0).astype(np.int64)
    edge = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    return edge, first[edge].astype(np.int64) + number


def _heights(start: np.ndarray, stop: np.ndarray, column: np.ndarray) -> np.ndarray:
    """The upper one of the two fifths between which each edge passes its column's middle."""
    way = stop - start
    before = FIFTHS * column + 2  # the fifth left of the middle
    steep = _is_steep(way)
    heights = np.empty(len(column))
    for kind, rule in ((steep, _steep_heights), (~steep, _gentle_heights)):
        these = np.flatnonzero(kind)
        heights[these] = rule(*(values.take(these, axis=0) for values in (start, way, before)))
    return heights


def _gentle_heights(start: np.ndarray, way: np.ndarray, before: np.ndarray) -> np.ndarray:
    """One step of these edges is one fifth to the right: look at the two beside the middle."""
    x, y = start.T
    slope = way[:, 1] / way[:, 0]
    step = before - x
    return np.minimum(np.trunc(y + slope * step + 0.5), np.trunc(y + slope * (step + 1) + 0.5))


def _steep_heights(start: np.ndarray, way: np.ndarray, before: np.ndarray) -> np.ndarray:
    """One step of these edges is one fifth down: look for the last one before the middle."""
    x, y = start.T
    slope = way[:, 0] / way[:, 1]

    def is_beyond(step: np.ndarray) -> np.ndarray:
        at = x + slope * step + 0.5
        return np.where(slope > 0, at >= before + 1, at < before + 1)

    # the division is right but for rounding: so look at its neighbours, too
    near = np.ceil((before + 0.5 - x) / slope)
    earlier, here = is_beyond(near - 1), is_beyond(near)
    return y + np.where(earlier, near - 2, np.where(here, near - 1, near))
