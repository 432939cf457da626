"""RoIAlign microscope: drag a box by quarter pixels and see which numbers move."""

from __future__ import annotations

import math

import numpy as np
import paddle
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from paddle.vision.ops import roi_pool

from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.system.language import say
from maskrcnn_edu.teaching.widgets.microscope import (
    Microscope,
    Summary,
    checkbox,
    dropdown,
    slider,
)
from maskrcnn_edu.viz.figure_facts import marked_artists
from maskrcnn_edu.viz.roi_align import sampling_points
from maskrcnn_edu.viz.style import PALETTE

BOX, POINTS, POOLED = PALETTE[4], PALETTE[6], PALETTE[2]


class RoIAlignMicroscope(Microscope):
    """Two ways to cut a box out of one channel of a feature map, side by side.

    All positions are in pixels of the feature map, with pixel (0, 0) covering 0 .. 1.

    Args:
        feature: [h, w] numbers, at most about 12 x 12 to stay readable.
        box_size: (width, height) of the box, in pixels of the feature map.
        resolution: side of the result, in cells.

    Raises:
        ValueError: a map too small for the box to move in.
    """

    def __init__(
        self, feature: np.ndarray, box_size: tuple[float, float] = (4.0, 4.0), resolution: int = 2
    ):
        self.feature = np.asarray(feature, np.float32)
        self.box_size = box_size
        self.resolution = resolution
        height, width = self.feature.shape
        room_x, room_y = (min(2.5, n - side) for n, side in zip((width, height), box_size))
        if min(room_x, room_y) < 1:
            raise ValueError(f"a {width} x {height} map leaves a {box_size} box no room to move")
        super().__init__(
            {
                "x": slider(say("x of the box"), 1.0, 0.5, math.floor(room_x * 4) / 4, 0.25),
                "y": slider(say("y of the box"), 1.0, 0.5, math.floor(room_y * 4) / 4, 0.25),
                "aligned": checkbox("aligned", True),
                "sampling_ratio": dropdown(say("sampling ratio (0: adaptive)"), [0, 1, 2, 3], 2),
            }
        )

    def draw(self, x: float, y: float, aligned: bool, sampling_ratio: int) -> Figure:
        """The map with the box and the places read, and both results as numbers.

        Args:
            x, y: top left corner of the box.
            aligned: see `maskrcnn_edu.model.roi_align.RoIAlign`.
            sampling_ratio: samples per cell and axis, 0 for adaptive.
        """
        box = np.float32([x, y, x + self.box_size[0], y + self.box_size[1]])
        figure = Figure(figsize=(8, 5))
        axes = figure.add_axes((0.01, 0.04, 0.6, 0.88))
        _draw_map(axes, self.feature)
        _draw_pooled_region(axes, box, self.feature.shape)
        _draw_box(axes, box, self.resolution)
        cells = sampling_points(box, self.resolution, sampling_ratio, 1.0, aligned)
        points = cells.reshape(-1, 2)  # in pixels of the map
        axes.scatter(*points.T, s=26, c=POINTS, edgecolors="white", linewidths=0.6, zorder=5,
                     gid="points")  # fmt: skip
        title = say("box at ({x:.2f}, {y:.2f}), {n} sampling points")
        axes.set_title(title.format(x=x, y=y, n=len(points)), fontsize=10)

        limits = {"vmin": float(self.feature.min()), "vmax": float(self.feature.max())}
        aligned_values = self._roi_align(box, aligned, sampling_ratio)
        pooled_values = self._roi_pool(box)
        _draw_result(figure.add_axes((0.64, 0.52, 0.35, 0.4)), aligned_values, "RoIAlign",
                     say("mean of the dots"), POINTS, limits)  # fmt: skip
        _draw_result(figure.add_axes((0.64, 0.04, 0.35, 0.4)), pooled_values, "RoIPool",
                     say("maximum of whole pixels"), POOLED, limits)  # fmt: skip
        return figure

    def _roi_align(self, box: np.ndarray, aligned: bool, sampling_ratio: int) -> np.ndarray:
        layer = RoIAlign(self.resolution, 1.0, sampling_ratio, aligned=aligned)
        feature = paddle.to_tensor(self.feature)[None, None]
        return layer([feature], [paddle.to_tensor(box)[None]]).numpy()[0, 0]

    def _roi_pool(self, box: np.ndarray) -> np.ndarray:
        feature = paddle.to_tensor(self.feature)[None, None]
        one = paddle.to_tensor([1], dtype="int32")
        return roi_pool(feature, paddle.to_tensor(box)[None], one, self.resolution).numpy()[0, 0]

    def summary(self, figure: Figure) -> Summary:
        """Sampling points, their mean, RoIPool's whole pixels, and both results."""
        points = marked_artists(figure, "points")[0].get_offsets()
        (region,) = marked_artists(figure, "RoIPool region")
        return {
            "points": len(points),
            "mean point": np.round(points.mean(axis=0), 3).tolist(),
            "RoIPool region": [round(float(v), 2) for v in region.get_bbox().extents],
            "RoIAlign": _shown(figure, "RoIAlign"),
            "RoIPool": _shown(figure, "RoIPool"),
        }


def _draw_map(axes: Axes, feature: np.ndarray) -> None:
    """A map [h, w] with its numbers written in its pixels."""
    height, width = feature.shape
    axes.imshow(feature, cmap="Greys", extent=(0, width, height, 0), alpha=0.45)
    for (row, column), value in np.ndenumerate(feature):
        axes.text(column + 0.5, row + 0.5, f"{value:g}", ha="center", va="center", fontsize=8,
                  color="#333333")  # fmt: skip
    axes.set_axis_off()


def _draw_box(axes: Axes, box: np.ndarray, resolution: int) -> None:
    """A box [4], cut into ``resolution`` x ``resolution`` cells."""
    x1, y1, x2, y2 = box
    patch = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=BOX, linewidth=2.5,
                      gid="box", zorder=4)  # fmt: skip
    axes.add_patch(patch)
    for share in np.arange(1, resolution) / resolution:
        x, y = x1 + share * (x2 - x1), y1 + share * (y2 - y1)
        axes.plot([x, x], [y1, y2], color=BOX, linewidth=1, zorder=4)
        axes.plot([x1, x2], [y, y], color=BOX, linewidth=1, zorder=4)


def pooled_region(box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The whole pixels that RoIPool takes a box [4] for, as a box [4].

    It rounds the corners (halves upwards) and counts the last pixel in; what lies
    outside the map of ``shape`` (h, w) is left out.
    """
    first = np.floor(box[:2] + 0.5)
    last = np.floor(box[2:] + 0.5) + 1
    return np.concatenate([first, np.minimum(last, shape[::-1])])


def _draw_pooled_region(axes: Axes, box: np.ndarray, shape: tuple[int, int]) -> None:
    """What RoIPool takes for a box [4], on a map of ``shape`` (h, w)."""
    x1, y1, x2, y2 = pooled_region(box, shape)
    patch = Rectangle((x1, y1), x2 - x1, y2 - y1, facecolor=POOLED, alpha=0.25,
                      gid="RoIPool region", zorder=2)  # fmt: skip
    axes.add_patch(patch)
    outline = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=POOLED, linewidth=1.5,
                        linestyle="--", zorder=3)  # fmt: skip
    axes.add_patch(outline)


def _draw_result(
    axes: Axes, values: np.ndarray, name: str, how: str, colour: str, limits: dict[str, float]
) -> None:
    """A result [r, r] with its numbers."""
    axes.imshow(values, cmap="Greys", alpha=0.45, gid=name, **limits)
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, f"{value:.3f}", ha="center", va="center", fontsize=11)
    axes.set_title(name + say(": ") + how, fontsize=10, color=colour)
    axes.set(xticks=[], yticks=[])


def _shown(figure: Figure, name: str) -> list[float]:
    """The numbers of a result, row by row, as the figure holds them."""
    (cells,) = marked_artists(figure, name)
    return [round(float(v), 4) for v in np.asarray(cells.get_array()).ravel()]
