"""Colours and canvases that all pictures share."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette: distinguishable with every kind of colour blindness
PALETTE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#0072B2",
)  # fmt: skip
SHORTEST_FIGURE_SIDE = 5.0  # inches; small pictures are enlarged to be readable


def colour(label: int) -> str:
    """The colour of a class, the same in every picture."""
    return PALETTE[label % len(PALETTE)]


def canvas(image: np.ndarray) -> tuple[Figure, Axes]:
    """A figure that shows nothing but an image.

    Args:
        image: [h, w, 3] uint8.

    Returns:
        The figure, and axes whose data coordinates are the image's pixels, with the
        top left pixel's centre at (0.5, 0.5), as everywhere in this package.
    """
    height, width = image.shape[:2]
    scale = SHORTEST_FIGURE_SIDE / min(height, width)
    longest = 4 * SHORTEST_FIGURE_SIDE
    figure = Figure(figsize=(min(width * scale, longest), min(height * scale, longest)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image, extent=(0, width, height, 0), interpolation="nearest")
    axes.set_axis_off()
    return figure, axes
