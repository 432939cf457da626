"""The RoIs that the second stage really trained on in one step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_edu.structures import GroundTruth, RoISamples
from maskrcnn_edu.system.language import say
from maskrcnn_edu.viz.labels import draw_label
from maskrcnn_edu.viz.style import (
    ANNOTATED,
    NO_LINE,
    Line,
    canvas,
    colour,
    draw_box,
    draw_objects,
    to_array,
)

BACKGROUND: Line = {"color": "#CCCCCC", "linewidth": 0.7, "linestyle": "-"}
DASHED: Line = {"color": "black", "linewidth": 1.6, "linestyle": "--"}


def draw_roi_samples(
    image: np.ndarray, samples: RoISamples, class_names: Sequence[str], gt: GroundTruth
) -> Figure:
    """Which RoIs were drawn, and as what.

    Foreground has the colour of its class, background is thin and grey. Annotated boxes
    that were added to the proposals are dashed. RoIs that are not trained on
    (label -1) are counted in the legend, not drawn.

    Args:
        image: [H, W, 3] uint8, input frame.
        samples: of this image.
        class_names: C names; label C is background.
        gt: the objects of this image, input frame.

    Returns:
        A figure with kinds ``foreground`` and ``background`` (proposals), ``added``,
        ``gt``, ``crowd`` and ``label`` (the class of every annotated box).
    """
    labels = to_array(samples.target_labels)
    added = to_array(samples.proposal_index) == -1
    figure, axes = canvas(image, _legend(labels, added, class_names, len(gt)))
    draw_objects(axes, gt)
    _draw_samples(axes, to_array(samples.boxes), labels, added, len(class_names))
    for box, label in zip(to_array(gt.boxes), to_array(gt.labels)):
        draw_label(axes, box, class_names[label], colour(label))
    return figure


def _draw_samples(
    axes: Axes, boxes: np.ndarray, labels: np.ndarray, added: np.ndarray, num_classes: int
) -> None:
    """Boxes [R, 4] by their labels [R]: background, then foreground, then what was added."""
    is_background = labels == num_classes
    for i in np.flatnonzero(is_background & ~added):
        draw_box(axes, boxes[i], "background", BACKGROUND)
    for i in np.flatnonzero((labels >= 0) & ~is_background & ~added):
        draw_box(axes, boxes[i], "foreground", _foreground(labels[i]))
    for i in np.flatnonzero((labels >= 0) & added):
        line = BACKGROUND if is_background[i] else _foreground(labels[i])
        draw_box(axes, boxes[i], "added", line | {"linestyle": "--"})


def _foreground(label: int) -> Line:
    return {"color": colour(label), "linewidth": 1.6, "linestyle": "-"}


def _legend(
    labels: np.ndarray, added: np.ndarray, class_names: Sequence[str], objects: int
) -> list[tuple[str, Line]]:
    """One entry per class that was drawn, then the counts that are not a class."""
    per_class = [
        (f"{name} {np.sum(labels == c)}", _foreground(c))
        for c, name in enumerate(class_names)
        if np.any(labels == c)
    ]
    return [
        *per_class,
        (say("background {n}").format(n=np.sum(labels == len(class_names))), BACKGROUND),
        (say("of these, added {n}").format(n=np.sum(added & (labels >= 0))), DASHED),
        (say("annotated {n}").format(n=objects), ANNOTATED),
        (say("not trained on {n}").format(n=np.sum(labels == -1)), NO_LINE),
    ]
