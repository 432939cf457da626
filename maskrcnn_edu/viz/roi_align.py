"""Where RoIAlign reads the feature map."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_edu.structures import Array
from maskrcnn_edu.system.language import say
from maskrcnn_edu.viz.style import (
    FONT_SIZE,
    HEAT,
    PALETTE,
    Line,
    add_legend,
    draw_box,
    to_array,
)

BOX: Line = {"color": "white", "linewidth": 2.0, "linestyle": "-"}
CELL: Line = {"color": PALETTE[0], "linewidth": 0.9, "linestyle": "-"}
POINT: Line = {"color": PALETTE[4], "linewidth": 0, "marker": "o", "markersize": 4}
OUTSIDE: Line = {"color": PALETTE[5], "linewidth": 0, "marker": "X", "markersize": 5}
MARGIN = 1.5  # feature pixels shown around the box
LEGEND_HEIGHT = 0.35  # inches


def sampling_grid(
    box: Array, resolution: int, spatial_scale: float, aligned: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The rectangle that RoIAlign cuts into cells, in feature pixels.

    Here pixel i of the map covers i .. i + 1 and its value belongs to its centre,
    i + 0.5. RoIAlign itself counts from centre to centre: its position p is our p + 0.5.
    With ``aligned`` it subtracts that half pixel from the scaled box, so that it samples
    where the box is. Without, it does not, and samples half a feature pixel too far
    to the right and to the bottom; and it never lets a side be shorter than one pixel.

    Args:
        box: [4], input frame.
        resolution: cells per side.
        spatial_scale: feature pixels per input pixel.
        aligned: as in `maskrcnn_edu.model.roi_align.RoIAlign`.

    Returns:
        Origin (x, y) and size of one cell (x, y), float64.
    """
    scaled = to_array(box).astype(np.float64) * spatial_scale
    sides = scaled[2:] - scaled[:2]
    if aligned:
        return scaled[:2], sides / resolution
    return scaled[:2] + 0.5, np.maximum(sides, 1.0) / resolution


def sampling_points(
    box: Array, resolution: int, sampling_ratio: int, spatial_scale: float, aligned: bool
) -> np.ndarray:
    """Where RoIAlign reads, in feature pixels whose centres are at i + 0.5.

    Args:
        box, resolution, spatial_scale, aligned: as in `sampling_grid`.
        sampling_ratio: points per cell and axis; 0 for one per started feature pixel.

    Returns:
        [resolution, resolution, points per cell, 2] float64, (x, y); cells by row and
        column. A cell's result is the mean of the bilinear values at its points.
    """
    origin, cell = sampling_grid(box, resolution, spatial_scale, aligned)
    xs, ys = (
        _along(origin[axis], cell[axis], resolution, sampling_ratio) for axis in (0, 1)
    )  # [resolution, points] each
    y, x = np.broadcast_arrays(ys[:, None, :, None], xs[None, :, None, :])
    return np.stack([x, y], axis=-1).reshape(resolution, resolution, -1, 2)


def draw_sampling_points(
    feature: Array,
    box: Array,
    resolution: int,
    sampling_ratio: int,
    spatial_scale: float,
    aligned: bool,
) -> Figure:
    """A feature map and, enlarged, the box, its cells, and the points that are read.

    Args:
        feature: [h, w], one channel.
        box, resolution, sampling_ratio, spatial_scale, aligned: as in `sampling_points`.

    Returns:
        A figure with kinds ``feature`` and ``box`` (both panels), ``cell``, ``sample``,
        and ``outside``: points more than one pixel beyond the outermost centres, which
        read 0 (nearer ones read the border). Coordinates are feature pixels.
    """
    values = to_array(feature)
    points = sampling_points(box, resolution, sampling_ratio, spatial_scale, aligned)
    figure = Figure(figsize=(8, 4.3 + LEGEND_HEIGHT))
    bottom = (LEGEND_HEIGHT + 0.3) / (4.3 + LEGEND_HEIGHT)
    left, right = figure.subplots(1, 2, gridspec_kw={
        "left": 0.05, "right": 0.98, "bottom": bottom, "top": 0.94, "wspace": 0.12,
    })  # fmt: skip
    scaled = to_array(box) * spatial_scale
    enlarged = say("enlarged, aligned={aligned}").format(aligned=aligned)
    for panel, title in ((left, say("feature map")), (right, enlarged)):
        _draw_map(panel, values, title)
        draw_box(panel, scaled, "box", BOX)
    _draw_cells(right, *sampling_grid(box, resolution, spatial_scale, aligned), resolution)
    _draw_points(right, points.reshape(-1, 2), values.shape)
    _zoom(right, scaled, points.reshape(-1, 2))
    legend = [(say("box"), BOX), (say("cell"), CELL), (say("point that is read"), POINT)]
    add_legend(figure, [*legend, (say("point outside, reads 0"), OUTSIDE)], columns=4)
    return figure


def draw_bilinear(feature: Array, x: float, y: float) -> Figure:
    """One bilinear sample: the four pixels around a point, and the share that each has.

    Args:
        feature: [h, w], one channel.
        x, y: the point, in feature pixels whose centres are at i + 0.5; between four centres.

    Returns:
        A figure with kinds ``feature``, ``sample`` (the point) and ``share`` (four texts). The
        area that a pixel's share has is that of the rectangle opposite to it.
    """
    values = to_array(feature)
    figure = Figure(figsize=(6, 5.4), layout="constrained")
    axes = figure.subplots()
    _draw_map(axes, values, "")
    left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
    right, below = x - 0.5 - left, y - 0.5 - top
    total, frame = 0.0, {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2}
    for row, across in ((0, 1 - below), (1, below)):
        for column, along in ((0, 1 - right), (1, right)):
            value, share = float(values[top + row, left + column]), along * across
            total += value * share
            place = left + column + 0.5, top + row + 0.5
            axes.text(*place, f"{value:.2f}\nx {share:.2f}", gid="share", bbox=frame,
                      fontsize=FONT_SIZE + 4, ha="center", va="center")  # fmt: skip
            axes.plot([place[0], x], [place[1], y], color=CELL["color"], linewidth=1.5)
    axes.scatter([x], [y], s=90, color=POINT["color"], edgecolors="black", gid="sample", zorder=3)
    axes.set(xlim=(left - 0.3, left + 2.3), ylim=(top + 2.3, top - 0.3))
    title = say("at ({x:.2f}, {y:.2f}): {value:.3f}").format(x=x, y=y, value=total)
    axes.set_title(title, fontsize=FONT_SIZE + 4)
    return figure


def _along(start: float, cell: float, resolution: int, sampling_ratio: int) -> np.ndarray:
    """[resolution, points per cell] positions along one axis, each in its part's middle."""
    count = sampling_ratio or int(np.ceil(cell))
    within = (np.arange(count) + 0.5) / max(count, 1)
    return start + (np.arange(resolution)[:, None] + within) * cell


def _draw_map(panel: Axes, values: np.ndarray, title: str) -> None:
    """One channel [h, w] in its own pixels."""
    height, width = values.shape
    panel.imshow(values, extent=(0, width, height, 0), cmap=HEAT, gid="feature",
                 interpolation="nearest")  # fmt: skip
    panel.autoscale(False)
    panel.set_title(title, fontsize=FONT_SIZE + 1)
    panel.tick_params(labelsize=FONT_SIZE - 1)


def _draw_cells(panel: Axes, origin: np.ndarray, cell: np.ndarray, resolution: int) -> None:
    """The cells of a grid: ``origin`` [2] and size of one ``cell`` [2] as (x, y)."""
    for row in range(resolution):
        for column in range(resolution):
            corner = origin + cell * [column, row]
            panel.add_patch(Rectangle(corner, *cell, fill=False, gid="cell", **CELL))


def _draw_points(panel: Axes, points: np.ndarray, shape: tuple[int, int]) -> None:
    """Read points [P, 2] as dots, and those beyond the map as crosses; ``shape`` is (h, w)."""
    height, width = shape
    reach = np.array([width, height]) + 0.5
    inside = np.all((points >= -0.5) & (points <= reach), axis=1)
    for rows, kind, marker in ((inside, "sample", POINT), (~inside, "outside", OUTSIDE)):
        if not rows.any():
            continue
        panel.scatter(
            *points[rows].T, s=marker["markersize"] ** 2, color=marker["color"],
            marker=marker["marker"], gid=kind, edgecolors="black", linewidths=0.5, zorder=3,
        )  # fmt: skip


def _zoom(panel: Axes, box: np.ndarray, points: np.ndarray) -> None:
    """A square view of the box [4] and all points [P, 2]; the map's pixels as a faint grid."""
    corners = np.concatenate([box.reshape(2, 2), points])
    low, high = corners.min(axis=0) - MARGIN, corners.max(axis=0) + MARGIN
    centre, half = (low + high) / 2, (high - low).max() / 2
    panel.set(xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] + half, centre[1] - half))
    if half <= 16:  # more lines than that would hide the map
        first, last = np.floor(centre - half), np.ceil(centre + half)
        for x in np.arange(first[0], last[0]):
            panel.axvline(x, color="white", linewidth=0.4, alpha=0.6)
        for y in np.arange(first[1], last[1]):
            panel.axhline(y, color="white", linewidth=0.4, alpha=0.6)
