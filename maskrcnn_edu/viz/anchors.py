"""The boxes that the RPN starts from, and which of them it learns from."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from maskrcnn_edu.structures import AnchorTargets, Array, GroundTruth
from maskrcnn_edu.system.language import say
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
IGNORED: Line = {"color": PALETTE[5], "linewidth": 0.95, "linestyle": "--"}
MOST_SHOWN = 40  # of the negative and of the ignored anchors
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
    title = say("size {side}: {n}")
    legend = [(title.format(side=s, n=np.sum(sides == s)), line) for s, line in lines.items()]
    figure, axes = canvas(image, legend)
    _widen(axes, boxes)
    for box, side in zip(boxes, sides):
        draw_box(axes, box, "anchor", lines[int(side)])
    return figure


def draw_anchor_targets(
    image: np.ndarray,
    anchors: Array,
    targets: AnchorTargets,
    gt: GroundTruth,
    ignored: Array | None = None,
) -> Figure:
    """The anchors that the RPN trains on in one step.

    Args:
        image: [H, W, 3] uint8, input frame.
        anchors: [A, 4], input frame.
        targets: of these anchors.
        gt: the objects of this image, input frame.
        ignored: [A] bool, anchors that were neither (the others without a target were not
            drawn for the sample); None: they are not told apart.

    Returns:
        A figure with kinds ``positive`` (all), ``negative`` and ``ignored`` (at most 40 each,
        evenly spaced), ``gt`` and ``crowd``; the legend has the counts of all A anchors.
    """
    boxes, labels = to_array(anchors), to_array(targets.target_labels)
    positive, negative = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    neither = np.flatnonzero(to_array(ignored)) if ignored is not None else np.zeros(0, int)
    rest = int(np.sum(labels == -1)) - len(neither)
    shown, passed_over = (r[evenly_spaced(len(r), MOST_SHOWN)] for r in (negative, neither))
    legend = [
        (say("positive {n}").format(n=len(positive)), POSITIVE),
        (say("negative {n} ({m} shown)").format(n=len(negative), m=len(shown)), NEGATIVE),
        (say("ignored {n} ({m} shown)").format(n=len(neither), m=len(passed_over)), IGNORED),
        (say("not in the sample {n}").format(n=rest), NO_LINE),
        (say("annotated {n}").format(n=len(gt)), ANNOTATED),
    ]
    if ignored is None:
        legend[2:4] = [(say("without a target {n}").format(n=rest), NO_LINE)]
    figure, axes = canvas(image, legend)
    lots = ((shown, "negative", NEGATIVE), (passed_over, "ignored", IGNORED))
    for rows, kind, line in (*lots, (positive, "positive", POSITIVE)):
        for i in rows:
            draw_box(axes, boxes[i], kind, line)
    draw_objects(axes, gt)
    return figure


def draw_overlap(a: Array, b: Array) -> Figure:
    """Two boxes [4], what they have in common, and their intersection over union.

    Returns:
        A figure with two things of kind ``box``, and one of kind ``intersection`` unless the
        boxes do not overlap.
    """
    first, second = (to_array(box).astype(float) for box in (a, b))
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    both = float(np.prod(np.maximum(high - low, 0)))
    union = sum(float(np.prod(box[2:] - box[:2])) for box in (first, second)) - both
    figure = Figure(figsize=(4.5, 4.8), layout="constrained")
    axes = figure.subplots()
    if both > 0:
        axes.add_patch(
            Rectangle(low, *(high - low), color=PALETTE[2], alpha=0.5, gid="intersection")
        )
    for box, line in ((first, PALETTE[0]), (second, PALETTE[6])):
        draw_box(axes, box, "box", {"color": line, "linewidth": 2.5})
    corners = np.concatenate([first, second]).reshape(-1, 2)
    margin = 0.1 * (corners.max(axis=0) - corners.min(axis=0))
    (left, top), (right, bottom) = corners.min(axis=0) - margin, corners.max(axis=0) + margin
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ratio = both / union if union else 0.0
    axes.set_title(f"IoU = {both:.4g} / {union:.4g} = {ratio:.3f}", fontsize=12)
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
