"""Feature maps: how strong they are where, and what is cut out of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_edu.structures import Array
from maskrcnn_edu.system.language import say
from maskrcnn_edu.viz.style import FONT_SIZE, HEAT, PALETTE, show_image, to_array

PANEL = 2.2  # inches
COLUMNS = 5
TITLE = 0.5  # inches
CELL = {"edgecolor": PALETTE[0], "linewidth": 0.8}


def draw_features(maps: Mapping[str, Array]) -> Figure:
    """The strength of feature maps at every cell: the mean of their channels' absolute values.

    Args:
        maps: what each is called -> [c, h, w].

    Returns:
        A figure with one panel and one thing of kind ``feature`` for each map, from its
        smallest strength (dark) to its largest (light).
    """
    figure, panels = _panels(len(maps))
    for axes, (name, feature) in zip(panels, maps.items()):
        _draw_strength(axes, name, to_array(feature))
    return figure


def draw_roi_features(image: np.ndarray, box: Array, maps: Mapping[str, Array]) -> Figure:
    """What is cut out for one box, beside the piece of the image that it was cut out for.

    Args:
        image: [H, W, 3] uint8, input frame.
        box: [4], input frame.
        maps: what each is called -> [c, r, r], all about this box.

    Returns:
        A figure with kinds ``cell`` (those of the first map, over the image) and ``feature``.
    """
    figure, panels = _panels(1 + len(maps))
    resolution = to_array(next(iter(maps.values()))).shape[-1]
    x1, y1, x2, y2 = (float(v) for v in to_array(box))
    width, height = (x2 - x1) / resolution, (y2 - y1) / resolution
    show_image(panels[0], image)
    for i in range(resolution**2):
        corner = (x1 + i % resolution * width, y1 + i // resolution * height)
        panels[0].add_patch(Rectangle(corner, width, height, fill=False, gid="cell", **CELL))
    panels[0].set(xlim=(x1 - width, x2 + width), ylim=(y2 + height, y1 - height), aspect="auto")
    title = say("image, {n} x {n} cells").format(n=resolution)
    panels[0].set_title(title, fontsize=FONT_SIZE + 2)
    for axes, (name, feature) in zip(panels[1:], maps.items()):
        _draw_strength(axes, name, to_array(feature))
    return figure


def _draw_strength(axes: Axes, name: str, feature: np.ndarray) -> None:
    strength = np.abs(feature).mean(axis=0)
    axes.imshow(strength, cmap=HEAT, gid="feature", interpolation="nearest")
    shape = " x ".join(map(str, feature.shape))
    axes.set_title(f"{name}\n{shape}", fontsize=FONT_SIZE + 2)


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(columns * PANEL, rows * (PANEL + TITLE)), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in panels:
        axes.set_axis_off()
    return figure, panels
