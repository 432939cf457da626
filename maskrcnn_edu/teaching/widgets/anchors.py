"""Anchor microscope: which anchors become positive, which negative, and which are ignored."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from maskrcnn_edu.model.matching import BACKGROUND, FOREGROUND, IGNORE, label_box
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.structures import GroundTruth
from maskrcnn_edu.system.language import say
from maskrcnn_edu.teaching.widgets.microscope import Microscope, Summary, dropdown, slider
from maskrcnn_edu.viz.figure_facts import marked_artists
from maskrcnn_edu.viz.style import PALETTE, canvas

# colour and shape both tell the kinds apart
KINDS = {
    "negative": (BACKGROUND, PALETTE[1], "o"),
    "ignored": (IGNORE, PALETTE[3], "s"),
    "positive": (FOREGROUND, PALETTE[4], "o"),
}
# dark rims, so that white lines are seen on light images too
HALO = [withStroke(linewidth=3.5, foreground="black")]


class AnchorMicroscope(Microscope):
    """Move the size, shape, spacing and thresholds of anchors over one image.

    A dot is the centre of one anchor; positive anchors are drawn whole, and so is one
    anchor in the middle of the image (dashed), to show the size. Objects are white.

    Args:
        image: [h, w, 3] uint8, input frame.
        gt: its objects, input frame, as tensors.
        sizes: sides of a square anchor to choose from, in pixels.
        strides: distances between anchors to choose from, in pixels.
    """

    def __init__(
        self,
        image: np.ndarray,
        gt: GroundTruth,
        sizes: Sequence[int] = (16, 32, 48, 64, 96),
        strides: Sequence[int] = (4, 8, 16, 32),
    ):
        self.pixels = image
        self.gt = gt
        super().__init__(
            {
                "ratio": dropdown(say("height / width"), [0.5, 1.0, 2.0], 1.0),
                "size": dropdown(say("size (pixels)"), list(sizes), sizes[len(sizes) // 2]),
                "stride": dropdown(
                    say("stride (pixels)"), list(strides), strides[len(strides) // 2]
                ),
                "positive": slider(say("positive from IoU"), 0.7, 0.5, 0.9, 0.1),
                "negative": slider(say("negative below IoU"), 0.3, 0.1, 0.5, 0.1),
            }
        )

    def draw(
        self, ratio: float, size: float, stride: int, positive: float, negative: float
    ) -> Figure:
        """The image with its objects, and its anchors by what they should answer.

        Args:
            ratio: height / width of the anchors.
            size: side of a square anchor of the same area, in pixels.
            stride: distance between anchors, in pixels.
            positive: IoU from which an anchor is positive.
            negative: IoU below which it is negative.
        """
        height, width = self.pixels.shape[:2]
        grid = (math.ceil(height / stride), math.ceil(width / stride))
        generator = AnchorGenerator((size,), (ratio,), (stride,))
        (anchors,) = generator([grid])
        # the first step of RPNTargetAssign; drawing a sample of 256 is its second
        _, labels = label_box(anchors, self.gt, positive, negative, allow_low_quality=True)

        figure, axes = canvas(self.pixels)
        _draw_kinds(axes, anchors.numpy(), labels.numpy())
        for box in self.gt.boxes.numpy():
            axes.add_patch(_box(box, "object", "white", 2.0))
        middle = np.asarray(generator.cell_anchors[0][0]) + np.tile([width / 2, height / 2], 2)
        axes.add_patch(_box(middle, "one anchor", "white", 2.0, "--"))
        axes.text(*middle[:2], say("one anchor"), color="white", fontsize=9, va="bottom",
                  path_effects=HALO)  # fmt: skip
        # anchors reach beyond the image; the figure does not
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.legend(loc="upper right", fontsize=8, framealpha=0.9)
        return figure

    def summary(self, figure: Figure) -> Summary:
        """Anchors of each kind, boxes drawn, and the sides of one anchor, in pixels."""
        counts = {kind: len(marked_artists(figure, kind)[0].get_offsets()) for kind in KINDS}
        (sample,) = marked_artists(figure, "one anchor")
        return {
            **counts,
            "positive boxes": len(marked_artists(figure, "positive box")),
            "objects": len(marked_artists(figure, "object")),
            "anchor": tuple(round(float(s), 1) for s in (sample.get_width(), sample.get_height())),
        }


def _draw_kinds(axes: Axes, anchors: np.ndarray, labels: np.ndarray) -> None:
    """A dot for every anchor [A, 4] by its label [A], and the positive ones as boxes."""
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    titles = {
        "negative": say("negative: {n}"),
        "ignored": say("ignored: {n}"),
        "positive": say("positive: {n}"),
    }
    for kind, (label, colour, marker) in KINDS.items():
        x, y = centers[labels == label].T
        dots = axes.scatter(
            x,
            y,
            s=7 if kind == "negative" else 34,
            c=colour,
            marker=marker,
            edgecolors="none" if kind == "negative" else "black",
            linewidths=0.4,
            label=titles[kind].format(n=len(x)),
            zorder=3,
        )
        dots.set_gid(kind)
    for box in anchors[labels == FOREGROUND]:
        axes.add_patch(_box(box, "positive box", KINDS["positive"][1], 1.0))


def _box(box: np.ndarray, gid: str, colour: str, width: float, linestyle: str = "-") -> Rectangle:
    """The frame of a box [4]."""
    x1, y1, x2, y2 = box
    return Rectangle(
        (x1, y1),
        x2 - x1,
        y2 - y1,
        fill=False,
        edgecolor=colour,
        linewidth=width,
        linestyle=linestyle,
        gid=gid,
        path_effects=HALO if width > 1 else None,
    )
