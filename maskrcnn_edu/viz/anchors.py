"""The boxes that the RPN starts from, and which of them it learns from."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_edu.structures import AnchorTargets, Array, GroundTruth
from maskrcnn_edu.viz.style import (
    ANNOTATED,
    NO_LINE,
    PALETTE,
    Line,
    canvas,
    draw_box,
    draw_objects,
    evenly_spaced,
    to_array,
)

POSITIVE: Line = {"color": PALETTE[0], "linewidth": 2.0, "linestyle": "-"}
NEGATIVE: Line = {"color": PALETTE[1], "linewidth": 0.9, "linestyle": "-"}
NEGATIVES_SHOWN = 40
WIDEST_MARGIN = 0.5  # of the image's side: how far beyond the image the view may reach


def draw_anchors(image: np.ndarray, anchors: Array) -> Figure:
    """A few anchors, for example those of one cell, coloured by their size.

    The view widens for anchors that reach beyond the image, by half an image at most.

    Args:
        image: [H, W, 3] uint8, input frame.
        anchors: [n, 4], input frame.

    Returns:
        A figure with kind ``anchor`` and one legend entry per size (side of the
        square of the same area, in pixels).
    """
    boxes = to_array(anchors)
    sides = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).round().astype(int)
    lines = {int(side): _size_line(i) for i, side in enumerate(np.unique(sides))}
    legend = [(f"size {s}: {np.sum(sides == s)}", line) for s, line in lines.items()]
    figure, axes = canvas(image, legend)
    _widen(axes, boxes)
    for box, side in zip(boxes, sides):
        draw_box(axes, box, "anchor", lines[int(side)])
    return figure


def draw_anchor_targets(
    image: np.ndarray, anchors: Array, targets: AnchorTargets, gt: GroundTruth
) -> Figure:
    """The anchors that the RPN trains on in one step.

    Args:
        image: [H, W, 3] uint8, input frame.
        anchors: [A, 4], input frame.
        targets: of these anchors.
        gt: the objects of this image, input frame.

    Returns:
        A figure with kinds ``positive`` (all), ``negative`` (at most 40, evenly spaced),
        ``gt`` and ``crowd``; the legend has the counts of all A anchors.
    """
    boxes, labels = to_array(anchors), to_array(targets.target_labels)
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    shown = negative[evenly_spaced(len(negative), NEGATIVES_SHOWN)]
    legend = [
        (f"positive {len(positive)}", POSITIVE),
        (f"negative {len(negative)} ({len(shown)} drawn)", NEGATIVE),
        (f"ignored {np.sum(labels == -1)} (not drawn)", NO_LINE),
        (f"annotated {len(gt)}", ANNOTATED),
    ]
    figure, axes = canvas(image, legend)
    for i in shown:
        draw_box(axes, boxes[i], "negative", NEGATIVE)
    for i in positive:
        draw_box(axes, boxes[i], "positive", POSITIVE)
    draw_objects(axes, gt)
    return figure


def _size_line(order: int) -> Line:
    """Colours repeat after seven sizes, then with dashes."""
    style = "-" if order < len(PALETTE) else "--"
    return {"color": PALETTE[order % len(PALETTE)], "linewidth": 1.8, "linestyle": style}


def _widen(axes: Axes, boxes: np.ndarray) -> None:
    """Make room for boxes [n, 4] that reach beyond the image."""
    if not len(boxes):
        return
    size = np.array([axes.get_xlim()[1], axes.get_ylim()[0]])
    low = np.minimum(boxes[:, :2].min(axis=0) - 1, 0)
    high = np.maximum(boxes[:, 2:].max(axis=0) + 1, size)
    margin = WIDEST_MARGIN * size
    low, high = np.maximum(low, -margin), np.minimum(high, size + margin)
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]))
