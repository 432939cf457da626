"""Colours, lines, canvases and marks that all figures share.

Every artist that means something carries its kind as matplotlib's ``gid``, so that
`maskrcnn_edu.viz.figure_facts` can say what a figure shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from maskrcnn_edu.structures import Array, GroundTruth
from maskrcnn_edu.viz.fonts import use_letters_of_the_language

use_letters_of_the_language()  # every picture imports this file

# Okabe and Ito's palette: distinguishable with every kind of colour blindness
PALETTE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#0072B2",
)  # fmt: skip
HEAT = "cividis"  # a colour map whose order everybody sees
SHORTEST_FIGURE_SIDE = 5.0  # inches; small images are enlarged to be readable
FONT_SIZE = 8  # points
GAP = 0.1  # inches between two images
LEGEND_COLUMNS = 3
LEGEND_ROW = 0.24  # inches
HALO = 1.2  # points of black around a line, so that it shows on every image
THINNEST_WITH_HALO = 1.0  # points; around a thinner line nothing but the black would be seen

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Line = dict[str, Any]
"""How a box or a legend's sample is drawn: ``color``, ``linewidth``, ``linestyle``."""

ANNOTATED: Line = {"color": "white", "linewidth": 1.4, "linestyle": "-"}
CROWD: Line = {"color": "white", "linewidth": 1.4, "linestyle": ":"}
NO_LINE: Line = {"color": "none", "linewidth": 0.0}
"""For a legend's text about what is not drawn."""


def to_array(values: Array) -> np.ndarray:
    """The same numbers as a numpy array, wherever they live."""
    return values.numpy() if hasattr(values, "numpy") else np.asarray(values)


def to_pixels(
    image: Array, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> np.ndarray:
    """Undo `maskrcnn_edu.data.transforms.NormalizeImage` (with ``is_scale``) and `Permute`.

    Args:
        image: [3, H, W] float, as in `Batch.image`; one image.
        mean, std: of R, G, B, as they were subtracted and divided; of values 0 .. 1.

    Returns:
        [H, W, 3] uint8. The padding becomes the colour of the mean.

    Raises:
        ValueError: not one image of three channels.
    """
    values = to_array(image)
    if values.ndim != 3 or values.shape[0] != 3:
        raise ValueError(f"to_pixels needs one image [3, H, W], got shape {list(values.shape)}")
    unit = values.transpose(1, 2, 0) * np.asarray(std) + np.asarray(mean)  # [H, W, 3]
    return np.rint(unit * 255).clip(0, 255).astype(np.uint8)


def colour(label: int) -> str:
    """The colour of a class, the same in every figure."""
    return PALETTE[label % len(PALETTE)]


def halo(linewidth: float) -> list[withStroke]:
    """A black rim for a line of that width (points); none for a thin line."""
    if linewidth < THINNEST_WITH_HALO:
        return []
    return [withStroke(linewidth=linewidth + HALO, foreground="black")]


def canvas(image: np.ndarray, legend: Sequence[tuple[str, Line]] = ()) -> tuple[Figure, Axes]:
    """A figure that shows an image, with a legend below it if there is something to explain.

    Args:
        image: [h, w, 3] uint8.
        legend: texts, and the lines they explain.

    Returns:
        The figure, and axes whose data coordinates are the image's pixels, with the
        top left pixel's centre at (0.5, 0.5), as everywhere in this package.
    """
    height, width = image.shape[:2]
    scale = SHORTEST_FIGURE_SIDE / min(height, width)
    longest = 4 * SHORTEST_FIGURE_SIDE
    wide, high = min(width * scale, longest), min(height * scale, longest)
    footer = LEGEND_ROW * -(-len(legend) // LEGEND_COLUMNS)
    figure = Figure(figsize=(wide, high + footer))
    axes = figure.add_axes((0, footer / (high + footer), 1, high / (high + footer)))
    show_image(axes, image)
    if legend:
        add_legend(figure, legend)
    return figure, axes


def two_canvases(image: np.ndarray) -> tuple[Figure, list[Axes]]:
    """A figure that shows an image [h, w, 3] uint8 twice, side by side; no legend."""
    one, _ = canvas(image)
    wide, high = one.get_size_inches()
    figure = Figure(figsize=(2 * wide + GAP, high))
    share = wide / (2 * wide + GAP)
    both = [figure.add_axes((left, 0, share, 1)) for left in (0, 1 - share)]
    for axes in both:
        show_image(axes, image)
    return figure, both


def show_image(axes: Axes, image: np.ndarray) -> None:
    """An image [h, w, 3] uint8 in its own pixels; what is drawn later cannot move the view."""
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="nearest")
    axes.autoscale(False)
    axes.set_axis_off()


def add_legend(
    figure: Figure, legend: Sequence[tuple[str, Line]], columns: int = LEGEND_COLUMNS
) -> None:
    """Texts and sample lines at the lower edge of the figure."""
    handles = [
        Line2D([], [], label=text, **line, path_effects=halo(line["linewidth"]))
        for text, line in legend
    ]
    figure.legend(
        handles=handles,
        loc="lower center",
        ncol=columns,
        fontsize=FONT_SIZE,
        frameon=False,
        borderaxespad=0.2,
        columnspacing=1.2,
    )


def draw_box(axes: Axes, box: Sequence[float], kind: str, line: Line) -> Rectangle:
    """A box [x1, y1, x2, y2] as a frame that is marked with its kind."""
    x1, y1, x2, y2 = (float(v) for v in box)
    frame = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, gid=kind, **line)
    frame.set_path_effects(halo(line["linewidth"]))
    axes.add_patch(frame)
    return frame


def draw_objects(axes: Axes, gt: GroundTruth) -> None:
    """The annotated boxes: kind ``gt``, or ``crowd`` (dotted)."""
    for box, crowd in zip(to_array(gt.boxes), to_array(gt.is_crowd)):
        draw_box(axes, box, "crowd" if crowd else "gt", CROWD if crowd else ANNOTATED)


def evenly_spaced(count: int, limit: int) -> np.ndarray:
    """At most ``limit`` of ``count`` rows, evenly spaced and always the same ones."""
    if count <= limit:
        return np.arange(count)
    return np.linspace(0, count - 1, limit).round().astype(np.int64)


def say_nothing(figure: Figure, text: str) -> None:
    """A sentence where there is nothing to show."""
    figure.text(0.5, 0.5, text, gid="nothing", ha="center", va="center", fontsize=FONT_SIZE + 2)
