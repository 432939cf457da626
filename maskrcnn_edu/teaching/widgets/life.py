"""Life microscope: choose an anchor by its fate, and see its way drawn and told."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import TrainingStages
from maskrcnn_edu.system.language import say
from maskrcnn_edu.teaching.biography import Biography, Fate, anchor_fates, biography
from maskrcnn_edu.teaching.widgets.microscope import Microscope, Summary, dropdown
from maskrcnn_edu.viz.figure_facts import marked_artists
from maskrcnn_edu.viz.style import PALETTE, add_legend, draw_box, draw_objects, show_image

PLACES = 5  # anchors of each fate that can be chosen, the surest first
WAY = {
    "anchor": {"color": PALETTE[0], "linewidth": 1.6, "linestyle": "--"},
    "moved and clipped": {"color": PALETTE[1], "linewidth": 2.4, "linestyle": "-"},
    "the better one": {"color": PALETTE[4], "linewidth": 1.6, "linestyle": "-."},
    "its object": {"color": PALETTE[2], "linewidth": 2.0, "linestyle": "-"},
}
"""What is drawn of a life besides the annotated boxes, and how."""


class LifeMicroscope(Microscope):
    """The biography of one anchor of a training step: its boxes on the image, its story beside.

    Args:
        image: [H, W, 3] uint8, input frame.
        stages: the training step.
        model: the model that computed it.
        index: which image of the batch.
    """

    def __init__(self, image: np.ndarray, stages: TrainingStages, model: MaskRCNN, index: int):
        self.pixels, self.stages, self.model, self.index = image, stages, model, index
        self.fates = anchor_fates(stages, model, index)
        order = np.argsort(-stages.rpn.scores[index].numpy(), kind="stable")
        self.surest = {
            fate: [int(a) for a in order if self.fates[a] == fate][:PLACES] for fate in Fate
        }
        met = [(str(fate), fate.name) for fate in Fate if self.surest[fate]]
        places = list(range(1, PLACES + 1))
        super().__init__(
            {
                "fate": dropdown(say("fate"), met, met[-1][1]),
                "place": dropdown(say("place"), places, 1),
            }
        )

    def draw(self, fate: str, place: int) -> Figure:
        """The life of the anchor that has that place, by score, among those of the fate.

        Args:
            fate: name of a `Fate`.
            place: 1 is the surest; if there are not so many, the last one.
        """
        anchors = self.surest[Fate[fate]]
        anchor = anchors[min(place, len(anchors)) - 1]
        self.life = biography(self.stages, self.model, self.index, anchor=anchor)
        figure = Figure(figsize=(10.4, 4.8))
        axes = figure.add_axes((0.01, 0.09, 0.41, 0.9))
        show_image(axes, self.pixels)
        draw_objects(axes, self.stages.batch.gt[self.index])
        for kind, box in self._way(self.life).items():
            draw_box(axes, box, kind, WAY[kind])
        _widen(axes, self.life.anchor_box)
        legend = [(say(kind), WAY[kind]) for kind in self._way(self.life)]
        add_legend(figure, legend, columns=4)
        figure.text(0.43, 0.98, str(self.life), fontsize=10.5, va="top", gid="story", wrap=True)
        return figure

    def summary(self, figure: Figure) -> Summary:
        """Which anchor it is, how it ended, and what is drawn of its way."""
        drawn = [kind for kind in WAY if marked_artists(figure, kind)]
        lines = [artist.get_text() for artist in marked_artists(figure, "story")]
        return {"anchor": self.life.anchor, "fate": self.life.fate.name, "drawn": drawn,
                "lines": sum(text.count("\n") + 1 for text in lines)}  # fmt: skip

    def _way(self, life: Biography) -> dict[str, np.ndarray]:
        """The boxes of a life by kind, in the order of drawing."""
        boxes = {"anchor": life.anchor_box, "moved and clipped": life.clipped_box}
        if life.suppressed_by is not None:
            better = biography(self.stages, self.model, self.index, anchor=life.suppressed_by)
            boxes["the better one"] = better.clipped_box
        if life.gt_index is not None:
            boxes["its object"] = self.stages.batch.gt[self.index].boxes[life.gt_index].numpy()
        return boxes


def _widen(axes: Axes, box: np.ndarray) -> None:
    """Make room for a box that reaches beyond the image."""
    x1, y1, x2, y2 = (float(v) for v in box)
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set(xlim=(min(left, x1 - 1), max(right, x2 + 1)))
    axes.set(ylim=(max(bottom, y2 + 1), min(top, y1 - 1)))
