"""What the mask head should draw, what it drew, and how that becomes a mask of the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure

from maskrcnn_edu.structures import Array, GroundTruth, MaskTargets, RoISamples
from maskrcnn_edu.system.language import say
from maskrcnn_edu.viz.data import draw_outline
from maskrcnn_edu.viz.fonts import as_text
from maskrcnn_edu.viz.style import (
    FONT_SIZE,
    HEAT,
    PALETTE,
    Line,
    draw_box,
    evenly_spaced,
    say_nothing,
    show_image,
    to_array,
)

OUTLINE = PALETTE[0]
PASTED = PALETTE[6]
OWN: Line = {"color": PALETTE[0], "linewidth": 3.0, "linestyle": "-"}
BOX: Line = {"color": PALETTE[0], "linewidth": 1.6, "linestyle": "-"}
PAIRS_PER_ROW = 3
PANEL = 1.5  # inches
TITLE = 0.25  # inches
WIDEST = 9.0  # inches; a wider figure has unreadable text when it is shrunk to a page
MANY = 20  # classes; the names of more must be small
SIGNED = "PuOr"  # two hues that everybody can tell apart, white at zero


def draw_mask_targets(
    image: np.ndarray, samples: RoISamples, targets: MaskTargets, gt: GroundTruth, limit: int = 6
) -> Figure:
    """Foreground RoIs as the image shows them, each beside the mask it should become.

    Both halves of a pair cover the RoI's box, stretched to a square; the outline is the
    annotated one, cut off where the RoI ends.

    Args:
        image: [H, W, 3] uint8, input frame.
        samples, targets, gt: of this image; ``targets.index`` are rows of ``samples``,
            ``samples.gt_index`` rows of ``gt``.
        limit: how many RoIs; of more, some are chosen, evenly spaced.

    Returns:
        A figure with kinds ``crop``, ``target`` and ``outline``; their coordinates are
        the input frame's. Without foreground it says so (kind ``nothing``).
    """
    rows = evenly_spaced(len(targets), limit)
    if not len(rows):
        figure = Figure(figsize=(6, 1.5))
        say_nothing(figure, say("no foreground RoI"))
        return figure
    figure, panels = _pairs(len(rows))
    index, masks = to_array(targets.index), to_array(targets.target_masks)
    boxes, objects = to_array(samples.boxes), to_array(samples.gt_index)
    for row, (left, right) in zip(rows, panels):
        roi = index[row]
        _draw_crop(left, image, boxes[roi])
        _draw_cells(right, masks[row], boxes[roi])
        for panel in (left, right):
            draw_outline(panel, gt.segms[objects[roi]], OUTLINE, filled=False)
        title = say("RoI {row}, object {g}").format(row=roi, g=objects[roi])
        left.set_title(title, fontsize=FONT_SIZE)
        right.set_title("{} x {}".format(*masks[row].shape), fontsize=FONT_SIZE)
    return figure


def draw_mask_logits(logits: Array, class_names: Sequence[str], own: int) -> Figure:
    """What the mask head drew for one RoI: one map per class, of which only one counts.

    Args:
        logits: [C, M, M]; above 0 means object.
        class_names: C names.
        own: the RoI's class, 0 .. C-1; the only one that the loss and the answer look at.

    Returns:
        A figure with kinds ``logits`` (C maps) and ``own`` (the frame of one of them).

    Raises:
        ValueError: not as many names as maps, or no such class.
    """
    maps = to_array(logits)
    if len(maps) != len(class_names) or not 0 <= own < len(maps):
        raise ValueError(f"{len(maps)} maps, {len(class_names)} names, own class {own}")
    largest = max(float(np.abs(maps).max()), 1e-6)
    figure, panels = _class_panels(len(maps), largest)
    for c, panel in enumerate(panels):
        side = maps[c].shape[0]
        panel.imshow(
            maps[c], extent=(0, side, side, 0), cmap=SIGNED, vmin=-largest, vmax=largest,
            interpolation="nearest", gid="logits",
        )  # fmt: skip
        panel.autoscale(False)
        size = FONT_SIZE if len(maps) <= MANY else FONT_SIZE - 2
        panel.set_title(class_names[c], fontsize=size, **as_text(class_names[c]))
    frame = draw_box(panels[own], [0, 0, side, side], "own", OWN)
    frame.set_clip_on(False)
    return figure


def draw_paste(image: np.ndarray, probs: Array, box: Array, mask: Array) -> Figure:
    """How a small mask becomes a mask of the image: the mask, where it goes, the result.

    Args:
        image: [h, w, 3] uint8, image frame.
        probs: [M, M] probabilities of the own class.
        box: [4], the detection's box, image frame.
        mask: [h, w] bool, the result.

    Returns:
        A figure with kinds ``probs`` (alone, and over the box), ``box`` and ``mask``.
    """
    small, where, result = to_array(probs), to_array(box), to_array(mask).astype(bool)
    figure, (left, middle, right) = _three_panels(image)
    side = small.shape[0]
    _draw_probs(left, small, (0, side, side, 0))
    left.set_title(say("{n} x {n} probabilities").format(n=side), fontsize=FONT_SIZE)
    for panel in (middle, right):
        show_image(panel, image)
        draw_box(panel, where, "box", BOX)
    _draw_probs(middle, small, (where[0], where[2], where[3], where[1]))
    middle.set_title(say("stretched over the box"), fontsize=FONT_SIZE)
    height, width = result.shape
    layer = np.zeros([height, width, 4])
    layer[result] = (*to_rgb(PASTED), 0.7)
    right.imshow(layer, extent=(0, width, height, 0), interpolation="nearest", gid="mask")
    right.set_title(say("mask: {n} pixels").format(n=int(result.sum())), fontsize=FONT_SIZE)
    return figure


def _pairs(count: int) -> tuple[Figure, list[tuple[Axes, Axes]]]:
    """``count`` pairs of square panels, close together within a pair."""
    columns = min(PAIRS_PER_ROW, count)
    rows = -(-count // columns)
    pair, row = 2 * PANEL + 0.25, PANEL + TITLE  # inches
    figure = Figure(figsize=(columns * pair, rows * row + 0.1))
    wide, high = figure.get_size_inches()
    pairs = []
    for i in range(count):
        x, y = i % columns * pair + 0.1, high - (i // columns + 1) * row
        at = [(x / wide, y / high), ((x + PANEL + 0.05) / wide, y / high)]
        pairs.append(tuple(figure.add_axes((*p, PANEL / wide, PANEL / high)) for p in at))
    return figure, pairs


def _draw_crop(panel: Axes, image: np.ndarray, box: np.ndarray) -> None:
    """The image [H, W, 3], seen through the RoI's box [4] and stretched to the panel."""
    show_image(panel, image)
    panel.images[0].set_gid("crop")
    panel.set_aspect("auto")
    _look_at(panel, box)


def _draw_cells(panel: Axes, mask: np.ndarray, box: np.ndarray) -> None:
    """A target [M, M] laid over the box it belongs to."""
    x1, y1, x2, y2 = box
    panel.imshow(mask, extent=(x1, x2, y2, y1), cmap=HEAT, vmin=0, vmax=1, aspect="auto",
                 interpolation="nearest", gid="target")  # fmt: skip
    panel.set_axis_off()
    _look_at(panel, box)


def _look_at(panel: Axes, box: np.ndarray) -> None:
    """Show a box [4] and nothing else."""
    x1, y1, x2, y2 = (float(v) for v in box)
    panel.set(xlim=(x1, x2), ylim=(y2, y1))


def _class_panels(count: int, largest: float) -> tuple[Figure, list[Axes]]:
    """Square panels, about four per three rows, and the scale of the logits below them."""
    columns = max(int(np.ceil(np.sqrt(count * 1.4))), min(count, 4))
    rows = -(-count // columns)
    side = min(PANEL, WIDEST / columns - 0.1)
    row, bar = side + TITLE, 0.6  # inches
    figure = Figure(figsize=(columns * (side + 0.1) + 0.1, rows * row + bar))
    wide, high = figure.get_size_inches()
    panels = []
    for i in range(count):
        x, y = i % columns * (side + 0.1) + 0.1, high - (i // columns + 1) * row
        panels.append(figure.add_axes((x / wide, y / high, side / wide, side / high)))
        panels[-1].set_axis_off()
    scale = figure.add_axes((0.5, 0.35 / high, 0.4, 0.1 / high))
    bar_colours = ScalarMappable(Normalize(-largest, largest), SIGNED)
    figure.colorbar(bar_colours, cax=scale, orientation="horizontal")
    scale.tick_params(labelsize=FONT_SIZE - 1)
    title = say("logit (0: probability one half)")
    figure.text(0.48, 0.4 / high, title, ha="right", va="center", fontsize=FONT_SIZE)
    return figure, panels


def _three_panels(image: np.ndarray) -> tuple[Figure, list[Axes]]:
    """A square panel and two of the shape of the image [h, w, 3], side by side."""
    ratio = image.shape[1] / image.shape[0]
    high = 9 / (1 + 2 * ratio)  # inches, for nine inches of width in all
    figure = Figure(figsize=(9, high + TITLE))
    panels = figure.subplots(1, 3, width_ratios=[1, ratio, ratio], gridspec_kw={
        "left": 0.005, "right": 0.995, "bottom": 0.01, "top": high / (high + TITLE), "wspace": 0.03,
    })  # fmt: skip
    return figure, list(panels)


def _draw_probs(panel: Axes, probs: np.ndarray, extent: tuple) -> None:
    """Probabilities [M, M], stretched over ``extent`` (left, right, bottom, top)."""
    panel.imshow(probs, extent=extent, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest",
                 gid="probs")  # fmt: skip
    panel.set_axis_off()
