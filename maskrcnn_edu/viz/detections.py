"""What the model detected, drawn over the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from maskrcnn_edu.structures import Detections
from maskrcnn_edu.viz.style import canvas, colour, draw_box, draw_label, to_array

MASK_OPACITY = 0.45


def draw_detections(
    image: np.ndarray,
    detections: Detections,
    class_names: Sequence[str],
    min_score: float = 0.5,
) -> Figure:
    """Masks, boxes, classes and scores over the image.

    Args:
        image: [h, w, 3] uint8.
        detections: of this image, image frame.
        class_names: C names.
        min_score: leave out what is less certain.

    Returns:
        A figure with kinds ``detection`` and ``label``, one of each for every detection
        shown, the surest last; and ``masks``, one layer for all of them.
    """
    figure, axes = canvas(image)
    labels, scores = to_array(detections.labels), to_array(detections.scores)
    shown = [i for i in np.argsort(scores) if scores[i] >= min_score]  # the surest on top
    if detections.masks is not None and shown:
        masks = to_array(detections.masks)
        _draw_masks(axes, masks[shown], [colour(labels[i]) for i in shown])
    boxes = to_array(detections.boxes)
    for i in shown:
        text = f"{class_names[labels[i]]} {scores[i]:.2f}"
        draw_box(axes, boxes[i], "detection", {"color": colour(labels[i]), "linewidth": 1.5})
        draw_label(axes, boxes[i], text, colour(labels[i]))
    return figure


def _draw_masks(axes: Axes, masks: np.ndarray, colours: list[str]) -> None:
    """All masks [D, h, w] as one half-transparent layer."""
    height, width = masks.shape[1:]
    layer = np.zeros([height, width, 4], np.float32)
    for mask, name in zip(masks, colours):
        layer[mask] = (*to_rgb(name), MASK_OPACITY)
    axes.imshow(layer, extent=(0, width, height, 0), interpolation="nearest", gid="masks")
