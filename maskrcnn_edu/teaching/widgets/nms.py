"""NMS microscope: which boxes stay, which go, and who removed them."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.patheffects import withStroke
from paddle import Tensor

from maskrcnn_edu.model.boxes import bbox_overlaps, nms
from maskrcnn_edu.system.language import say
from maskrcnn_edu.teaching.widgets.microscope import Microscope, Summary, slider
from maskrcnn_edu.viz.figure_facts import marked_artists
from maskrcnn_edu.viz.style import PALETTE, canvas

KEPT, SUPPRESSED, BELOW = "kept", "suppressed", "score too low"
# colour, width and dashes of a box of each kind
LOOK = {
    KEPT: (PALETTE[6], 2.5, "-"),
    SUPPRESSED: (PALETTE[4], 1.3, "--"),
    BELOW: ("#666666", 1.0, ":"),
}
# of a box's label, as shares of the image's sides
LABEL_WIDTH, LABEL_HEIGHT = 0.13, 0.04


class NMSMicroscope(Microscope):
    """Move the two thresholds of suppression over a set of scored boxes.

    Every box carries its row and score; an arrow goes from the box that stayed to the
    box that it removed.

    Args:
        image: [h, w, 3] uint8.
        boxes: [R, 4], in pixels of the image.
        scores: [R].
    """

    def __init__(self, image: np.ndarray, boxes: Tensor, scores: Tensor):
        self.pixels = image
        self.boxes = boxes
        self.scores = scores
        super().__init__(
            {
                "iou_threshold": slider(say("suppress above IoU"), 0.5, 0.1, 0.9, 0.1),
                "score_threshold": slider(say("score above"), 0.1, 0.0, 0.9, 0.1),
            }
        )

    def draw(self, iou_threshold: float, score_threshold: float) -> Figure:
        """The boxes by their fate.

        Args:
            iou_threshold: a box that overlaps a better one by more than this goes.
            score_threshold: boxes with a score at or below this go first.
        """
        scores = self.scores.numpy()
        entered = np.flatnonzero(scores > score_threshold)
        removed_by = self._suppress(entered, iou_threshold)
        fates = [BELOW] * len(scores)
        for row in entered:
            fates[row] = SUPPRESSED if row in removed_by else KEPT

        figure, axes = canvas(self.pixels)
        _draw_boxes(axes, self.boxes.numpy(), scores, fates)
        _draw_arrows(axes, self.boxes.numpy(), removed_by)
        _add_legend(axes, fates)
        axes.set(xlim=(0, self.pixels.shape[1]), ylim=(self.pixels.shape[0], 0))
        return figure

    def _suppress(self, entered: np.ndarray, iou_threshold: float) -> dict[int, int]:
        """Of the rows ``entered`` [n]: suppressed row -> row of the best box that suppresses it."""
        if len(entered) == 0:
            return {}
        boxes, scores = self.boxes[entered.tolist()], self.scores[entered.tolist()]
        kept = nms(boxes, scores, iou_threshold).numpy()  # best first
        iou = bbox_overlaps(boxes[kept.tolist()], boxes).numpy()
        gone = np.setdiff1d(np.arange(len(entered)), kept)
        # the first of the kept boxes that overlaps it too much had its turn first
        first = (iou > iou_threshold).argmax(axis=0)
        return {int(entered[g]): int(entered[kept[first[g]]]) for g in gone}

    def summary(self, figure: Figure) -> Summary:
        """Boxes of every fate, and (who, removed whom) for every arrow."""
        counts = {fate: len(marked_artists(figure, fate)) for fate in LOOK}
        pairs = [tuple(int(row) for row in arrow.get_label().split(" removed "))
                 for arrow in marked_artists(figure, "arrow")]  # fmt: skip
        return {**counts, "who removed whom": sorted(pairs)}


def _draw_boxes(axes: Axes, boxes: np.ndarray, scores: np.ndarray, fates: list[str]) -> None:
    """Boxes [R, 4] with scores [R], each as its fate says."""
    places = _label_places(axes, boxes)
    for row in np.argsort(scores):  # the surest on top
        colour, width, dashes = LOOK[fates[row]]
        x1, y1, x2, y2 = boxes[row]
        axes.add_patch(
            Rectangle(
                (x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor=colour,
                linewidth=width, linestyle=dashes, gid=fates[row],
            )
        )  # fmt: skip
        axes.text(
            *places[row], f"{row}: {scores[row]:.2f}", fontsize=8, color="white", clip_on=True,
            verticalalignment="top",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0},
        )  # fmt: skip


def _label_places(axes: Axes, boxes: np.ndarray) -> list[tuple[float, float]]:
    """A place near the top left corner of each of the boxes [R, 4], clear of the others."""
    right, bottom = axes.get_xlim()[1], axes.get_ylim()[0]
    width, height = LABEL_WIDTH * right, LABEL_HEIGHT * bottom
    places: list[tuple[float, float]] = []
    for x1, y1 in boxes[:, :2]:
        x, y = max(float(x1), 0.0), max(float(y1), 0.0)
        while any(abs(x - a) < width and abs(y - b) < height for a, b in places):
            y += height / 2
        places.append((x, y))
    return places


def _draw_arrows(axes: Axes, boxes: np.ndarray, removed_by: dict[int, int]) -> None:
    """Arrows between the lower right corners of boxes [R, 4], from who stayed to who went."""
    for gone, kept in removed_by.items():
        arrow = FancyArrowPatch(
            boxes[kept, 2:], boxes[gone, 2:], arrowstyle="-|>", mutation_scale=12,
            color="black", linewidth=1.2, gid="arrow", label=f"{kept} removed {gone}",
            connectionstyle="arc3,rad=0.3", shrinkA=0, shrinkB=0, zorder=4,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip
        axes.add_patch(arrow)


def _add_legend(axes: Axes, fates: list[str]) -> None:
    handles = [
        Rectangle((0, 0), 1, 1, fill=False, edgecolor=colour, linewidth=width, linestyle=dashes,
                  label=say(fate) + say(": ") + str(fates.count(fate)))
        for fate, (colour, width, dashes) in LOOK.items()
    ]  # fmt: skip
    axes.legend(handles=handles, loc="upper right", fontsize=8, framealpha=0.9)
