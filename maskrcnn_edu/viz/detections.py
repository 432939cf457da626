"""What the model detected, drawn over the image, with what people annotated beside it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from maskrcnn_edu.structures import BitMask, Detections, GroundTruth
from maskrcnn_edu.viz.data import add_ground_truth, draw_outline
from maskrcnn_edu.viz.labels import draw_label
from maskrcnn_edu.viz.style import PALETTE, canvas, draw_box, to_array, two_canvases

MASK_OPACITY = 0.4
NEAR = 0.1
"""Boxes are neighbours if they touch after growing by this share of their sides."""


def draw_detections(
    image: np.ndarray,
    detections: Detections,
    class_names: Sequence[str],
    min_score: float = 0.5,
    labels: str = "auto",
    gt: GroundTruth | None = None,
    gt_names: Sequence[str] = (),
) -> Figure:
    """Masks with their contours, boxes, classes and scores over the image.

    Every object has a colour that its neighbours have not: objects that touch can be told
    apart even if there is one class. What class it is says the label.

    Args:
        image: [h, w, 3] uint8.
        detections: of this image, image frame.
        class_names: C names.
        min_score: leave out what is less certain.
        labels: ``auto``: class and score, the class alone or nothing, whatever finds room;
            ``none``: nothing.
        gt: the annotated objects, image frame; drawn on the left of the detections.
        gt_names: of their classes, if they are not those of the detections.

    Returns:
        A figure with kinds ``detection``, one for every detection shown, the surest last;
        ``label``, for those that have room; ``masks``, one layer for all; ``outline``, one for
        every mask; of ``gt`` those of `maskrcnn_edu.viz.data.draw_ground_truth`.
    """
    figure, axes = (
        canvas(image) if gt is None else _beside_annotated(image, gt, gt_names or class_names)
    )
    scores, boxes = to_array(detections.scores), to_array(detections.boxes)
    shown = [i for i in np.argsort(scores) if scores[i] >= min_score]  # the surest on top
    colours = dict(zip(shown[::-1], neighbour_colours(boxes[shown[::-1]])))
    if detections.masks is not None and shown:
        _draw_masks(axes, to_array(detections.masks)[shown], [colours[i] for i in shown])
    for i in shown:
        draw_box(axes, boxes[i], "detection", {"color": colours[i], "linewidth": 1.2})
    for i in shown[::-1] if labels == "auto" else ():  # the surest has the choice
        name = class_names[to_array(detections.labels)[i]]
        draw_label(axes, boxes[i], f"{name} {scores[i]:.2f}", colours[i], short=name)
    return figure


def _beside_annotated(
    image: np.ndarray, gt: GroundTruth, class_names: Sequence[str]
) -> tuple[Figure, Axes]:
    """A figure whose left half shows the annotated objects; the axes are those of the right."""
    figure, (left, right) = two_canvases(image)
    add_ground_truth(left, gt, class_names)
    return figure, right


def neighbour_colours(boxes: np.ndarray) -> list[str]:
    """A colour for each of some boxes [D, 4]; neighbours differ, as long as colours last."""
    grow = (boxes[:, 2:] - boxes[:, :2]) * NEAR / 2
    low, high = boxes[:, :2] - grow, boxes[:, 2:] + grow
    numbers: list[int] = []
    for i in range(len(boxes)):
        near = ((low[:i] < high[i]) & (low[i] < high[:i])).all(axis=1)  # [i]
        used = np.bincount([n for n, is_near in zip(numbers, near) if is_near], minlength=1)
        often = np.pad(used, (0, len(PALETTE) - len(used)))
        # of those that the fewest neighbours have, the next in turn
        numbers.append(min(range(len(PALETTE)), key=lambda n: (often[n], (n - i) % len(PALETTE))))
    return [PALETTE[n] for n in numbers]


def _draw_masks(axes: Axes, masks: np.ndarray, colours: Sequence[str]) -> None:
    """All masks [D, h, w] as one half-transparent layer, and their contours."""
    height, width = masks.shape[1:]
    layer = np.zeros([height, width, 4], np.float32)
    for mask, name in zip(masks, colours):
        layer[mask] = (*to_rgb(name), MASK_OPACITY)
    axes.imshow(layer, extent=(0, width, height, 0), interpolation="nearest", gid="masks")
    for mask, name in zip(masks, colours):
        draw_outline(axes, _cut_out(mask), name, filled=False)


def _cut_out(mask: np.ndarray) -> BitMask:
    """The rectangle of a mask [h, w] in which it has pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
    if not len(rows):
        return BitMask(np.zeros([0, 0], bool), np.zeros(4, np.float32))
    y1, y2, x1, x2 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    return BitMask(mask[y1:y2, x1:x2], np.array([x1, y1, x2, y2], np.float32))
