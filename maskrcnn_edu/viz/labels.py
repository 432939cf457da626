"""Labels of boxes: inside the picture, readable, and none over another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from maskrcnn_edu.viz.fonts import as_text, text_width
from maskrcnn_edu.viz.style import FONT_SIZE

LINE_HEIGHT = 1.5  # of a label, in heights of its font
LABEL_ORDER = 5  # above every line


def draw_label(
    axes: Axes, box: Sequence[float], text: str, face: str, short: str | None = None
) -> None:
    """A text at a corner of a box: inside the image, and over no other label.

    Where no corner is free the shorter text is tried; where that finds no room either,
    nothing is drawn. So the labels that matter most are drawn first.

    Args:
        axes: of a `canvas`.
        box: ``[x1, y1, x2, y2]``, pixels of the image.
        text: in any script.
        face: the colour behind it.
        short: what is said where it is crowded; by default nothing else.
    """
    labels = [each for each in axes.texts if each.get_gid() == "label"]
    taken = [
        _label_area(axes, *each.get_position(), each.get_verticalalignment(), each.get_text())
        for each in labels
    ]
    for words in (text, short):
        for x, y, vertical in _corners(axes, box, words) if words else ():
            if not any(_meet(_label_area(axes, x, y, vertical, words), other) for other in taken):
                axes.text(
                    x, y, words, gid="label", fontsize=FONT_SIZE, verticalalignment=vertical,
                    clip_on=True, zorder=LABEL_ORDER, **as_text(words),
                    bbox={"facecolor": face, "edgecolor": "none", "pad": 0.8, "alpha": 0.9},
                )  # fmt: skip
                return


def _corners(axes: Axes, box: Sequence[float], text: str) -> Iterator[tuple[float, float, str]]:
    """Where a label of a box may stand: x, y, and what of it is at y; first above, then inside."""
    top, bottom = sorted(axes.get_ylim())
    left, right = sorted(axes.get_xlim())
    width, height = _label_size(axes, text)
    x1, y1, x2, y2 = (float(v) for v in box)
    for x in (x1, x2 - width):
        x = max(min(x, right - width), left)
        if y1 - height > top:
            yield x, y1, "bottom"
        yield x, min(max(y1, top), bottom - height), "top"
        if y2 + height < bottom:
            yield x, y2, "top"
        yield x, min(y2, bottom), "bottom"


def _label_area(
    axes: Axes, x: float, y: float, vertical: str, text: str
) -> tuple[float, float, float, float]:
    """The rectangle [x1, y1, x2, y2] of a label, pixels of the image."""
    width, height = _label_size(axes, text)
    above = y - height if vertical == "bottom" else y
    return x, above, x + width, above + height


def _label_size(axes: Axes, text: str) -> tuple[float, float]:
    """About how wide and high a label is, pixels of the image."""
    left, right = sorted(axes.get_xlim())
    inches = axes.get_position().width * axes.figure.get_size_inches()[0]
    pixels = (right - left) / inches / 72  # of a point
    return text_width(text, FONT_SIZE) * pixels, LINE_HEIGHT * FONT_SIZE * pixels


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two rectangles [x1, y1, x2, y2] share an area."""
    return all(max(one[i], other[i]) < min(one[i + 2], other[i + 2]) for i in (0, 1))
