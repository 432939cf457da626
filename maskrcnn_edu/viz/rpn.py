"""What the region proposal network says: scores, moved boxes, proposals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from maskrcnn_edu.structures import Array, Proposals, RPNOutput
from maskrcnn_edu.system.language import say
from maskrcnn_edu.viz.style import (
    FONT_SIZE,
    HEAT,
    PALETTE,
    Line,
    canvas,
    draw_box,
    halo,
    show_image,
    to_array,
)

PANEL_COLUMNS = 3
PANEL_WIDTH = 2.7  # inches


def draw_score_maps(
    image: np.ndarray, rpn: RPNOutput, index: int, grid_sizes: Sequence[tuple[int, int]]
) -> Figure:
    """Where the RPN sees objects: the best probability of every cell, level by level.

    Args:
        image: [H, W, 3] uint8, input frame, with its padding.
        rpn: of the whole batch.
        index: which image of the batch.
        grid_sizes: (h, w) of each of the L levels.

    Returns:
        A figure with kinds ``image`` and ``score_map`` (L of them, fine to coarse), all
        stretched over the input frame.

    Raises:
        ValueError: the grids do not fit ``rpn.level_sizes``.
    """
    maps = _best_per_cell(to_array(rpn.scores)[index], rpn.level_sizes, grid_sizes)
    height, width = image.shape[:2]
    figure, panels = _panels(1 + len(maps), height / width)
    show_image(panels[0], image)
    panels[0].images[0].set_gid("image")
    panels[0].set_title(say("input"), fontsize=FONT_SIZE)
    for level, (panel, scores) in enumerate(zip(panels[1:], maps)):
        panel.imshow(
            scores, extent=(0, width, height, 0), vmin=0, vmax=1, cmap=HEAT, gid="score_map",
            interpolation="nearest",
        )  # fmt: skip
        shape = {"h": scores.shape[0], "w": scores.shape[1]}
        title = say("level {i}: {h} x {w} cells, best {p:.2f}")
        panel.set_title(title.format(i=level, p=scores.max(), **shape), fontsize=FONT_SIZE)
    return figure


def draw_proposals(image: np.ndarray, proposals: Proposals, top: int = 30) -> Figure:
    """The proposals with the highest scores, coloured by rank.

    Args:
        image: [H, W, 3] uint8, input frame.
        proposals: of this image.
        top: how many.

    Returns:
        A figure with kind ``proposal``, drawn from the last rank to the first.
    """
    boxes, scores = to_array(proposals.boxes), to_array(proposals.scores)
    ranked = np.argsort(-scores, kind="stable")[:top]
    count = len(ranked)
    lines = [_rank_line(rank, count) for rank in range(count)]
    named = sorted({0, count // 2, count - 1}) if count else []
    title = say("rank {k} of {n}")
    figure, axes = canvas(image, [(title.format(k=r + 1, n=len(boxes)), lines[r]) for r in named])
    for rank in reversed(range(count)):  # the best on top
        draw_box(axes, boxes[ranked[rank]], "proposal", lines[rank])
    return figure


def draw_refinement(
    image: np.ndarray, anchors: Array, boxes: Array, names: tuple[str, str] = ("anchor", "box")
) -> Figure:
    """How a regression moves boxes: each anchor or RoI, the box it becomes, an arrow between.

    Args:
        image: [H, W, 3] uint8, input frame.
        anchors: [n, 4], input frame.
        boxes: [n, 4], row i is what anchor i became.
        names: what the two are: kinds, and words of the legend.

    Returns:
        A figure with n of each of the two ``names``, and n of kind ``arrow``.

    Raises:
        ValueError: not as many boxes as anchors.
    """
    before, after = to_array(anchors), to_array(boxes)
    if len(before) != len(after):
        raise ValueError(f"every anchor needs its box: {len(before)} anchors, {len(after)} boxes")
    styles = {"linewidth": 1.2, "linestyle": "--"}, {"linewidth": 1.8, "linestyle": "-"}
    known = {"anchor": say("anchor"), "RoI": say("RoI"), "box": say("box"), "object": say("object")}
    legend = [(known.get(n, n), {"color": "white"} | s) for n, s in zip(names, styles)]
    figure, axes = canvas(image, legend)
    for i, pair in enumerate(zip(before, after)):
        colour = {"color": PALETTE[i % len(PALETTE)]}
        for box, name, style in zip(pair, names, styles):
            draw_box(axes, box, name, colour | style)
    for i, (old, new) in enumerate(zip(before, after)):
        _draw_arrow(axes, _centre(old), _centre(new), PALETTE[i % len(PALETTE)])
    return figure


def _best_per_cell(
    scores: np.ndarray, level_sizes: Sequence[int], grid_sizes: Sequence[tuple[int, int]]
) -> list[np.ndarray]:
    """Logits [A] of one image -> per level, probabilities [h, w] of the best of K anchors."""
    if len(level_sizes) != len(grid_sizes):
        raise ValueError(f"{len(level_sizes)} levels, but {len(grid_sizes)} grid sizes")
    maps = []
    for part, (h, w) in zip(np.split(scores, np.cumsum(level_sizes)[:-1]), grid_sizes):
        if len(part) % (h * w):
            raise ValueError(f"{len(part)} anchors do not fit a grid of {h} x {w} cells")
        best = part.reshape(h, w, -1).max(axis=2)  # anchors are ordered by row, column, shape
        maps.append(1 / (1 + np.exp(-best)))
    return maps


def _panels(count: int, ratio: float) -> tuple[Figure, list[Axes]]:
    """Panels of height / width ``ratio`` in rows of three, and a colour bar 0 .. 1 below."""
    columns = min(PANEL_COLUMNS, count)
    rows = -(-count // columns)
    title, bar = 0.28, 0.55  # inches
    high = rows * (PANEL_WIDTH * ratio + title) + bar
    figure = Figure(figsize=(columns * PANEL_WIDTH, high))
    grid = figure.subplots(
        rows, columns, squeeze=False, gridspec_kw={
            "left": 0.01, "right": 0.99, "top": 1 - title / high, "bottom": bar / high,
            "wspace": 0.04, "hspace": title / (PANEL_WIDTH * ratio),
        },
    )  # fmt: skip
    for panel in grid.flat:
        panel.set_axis_off()
    scale = figure.add_axes((0.3, 0.33 / high, 0.4, 0.1 / high))
    figure.colorbar(ScalarMappable(Normalize(0, 1), HEAT), cax=scale, orientation="horizontal")
    scale.tick_params(labelsize=FONT_SIZE - 1)
    title = say("probability of an object")
    figure.text(0.29, 0.38 / high, title, ha="right", va="center", fontsize=FONT_SIZE)
    return figure, list(grid.flat)


def _rank_line(rank: int, count: int) -> Line:
    """Bright and thick first, dark and thin last."""
    first = 1 - rank / max(count - 1, 1)
    return {"color": colormaps[HEAT](first), "linewidth": 0.8 + 1.4 * first, "linestyle": "-"}


def _centre(box: np.ndarray) -> tuple[float, float]:
    """(x, y) of a box [4]."""
    return float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2


def _draw_arrow(axes: Axes, start: tuple, stop: tuple, name: str) -> None:
    style = {"arrowstyle": "-|>", "color": name, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.5}
    arrow = axes.annotate(
        "", xy=stop, xytext=start, gid="arrow", arrowprops=style | {"path_effects": halo(1.5)}
    )
    arrow.set_clip_on(True)
