"""Bug microscope: let out one known mistake, and see which losses and detections notice."""

from __future__ import annotations

import math

import numpy as np
import paddle
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.image_file import read_image
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Detections
from maskrcnn_edu.system.language import say
from maskrcnn_edu.teaching.bugs.catalog import BUGS
from maskrcnn_edu.teaching.bugs.release import release
from maskrcnn_edu.teaching.course import loader, make_batch
from maskrcnn_edu.teaching.recorder import undisturbed
from maskrcnn_edu.teaching.widgets.microscope import Microscope, Summary, dropdown
from maskrcnn_edu.viz.curves import LOSSES
from maskrcnn_edu.viz.figure_facts import marked_artists
from maskrcnn_edu.viz.style import PALETTE, draw_box, show_image

NO_BUG = "none"
SURE = 0.5  # score from which a detection is drawn
SEED = 2  # the same images and samples with every bug
SAME_LOSS, SAME_PIXELS = 1e-3, 0.05


class BugMicroscope(Microscope):
    """The losses of one training batch, and the detections in one image, with a bug out.

    Each look loads the images anew, since some of the bugs are in the loading. No weight
    moves.

    Args:
        model: a trained model, whose answers are good as long as nothing is out.
        config: its configuration.
        dataset: what it is looked at with.
        row: the dataset's image whose detections are drawn.
    """

    def __init__(self, model: MaskRCNN, config: Config, dataset: CocoDataset, row: int):
        self.model = model
        self.config = config
        self.dataset = dataset
        self.row = row
        self.pixels = read_image(dataset.image_path(row))
        self.right_losses, self.right_detections = self._look(NO_BUG)
        names = [(say("none"), NO_BUG), *((name, name) for name in BUGS)]
        super().__init__({"bug": dropdown(say("bug"), names, NO_BUG)})

    def draw(self, bug: str) -> Figure:
        """Bars of the losses beside those without a bug, and the image with its detections.

        Args:
            bug: a name in `maskrcnn_edu.teaching.bugs.catalog.BUGS`, or ``none``.
        """
        self.losses, self.detections = self._look(bug)
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=[1.2, 1])
        _draw_losses(left, self.right_losses, self.losses)
        left.set_title(BUGS[bug].title if bug in BUGS else say("no bug"))
        show_image(right, self.pixels)
        _draw_detections(right, self.detections)
        right.set_title(say("detections and masks"))
        return figure

    def summary(self, figure: Figure) -> Summary:
        """Which losses moved (`LOSSES`' order), whether any detection or mask did, how many are
        drawn, and how many pixels the drawn masks have.
        """
        pairs = zip(self.losses, self.right_losses)
        return {
            "losses": [not math.isclose(a, b, rel_tol=SAME_LOSS) for a, b in pairs],
            "detections": not _same(self.detections, self.right_detections),
            "drawn": len(marked_artists(figure, "detection")),
            "mask pixels": int(self.detections.masks.numpy()[_sure(self.detections)].sum()),
        }

    def _look(self, bug: str) -> tuple[list[float], Detections]:
        """The losses in `LOSSES`' order, and the image's detections."""
        out = None if bug == NO_BUG else release(bug)
        try:
            with undisturbed(self.model):
                batch = next(iter(loader(self.dataset, self.config, seed=SEED).epoch(0)))
                paddle.seed(SEED)
                self.model.train()
                losses = self.model(batch).losses
            with undisturbed(self.model):
                self.model.eval()
                one = make_batch(self.dataset, [self.row], self.config)
                detections = self.model(one).detections[0]
        finally:
            if out is not None:
                out.catch()
        return [float(losses[name]) for name in LOSSES], detections


def _sure(detections: Detections) -> np.ndarray:
    """Rows that are drawn."""
    return np.flatnonzero(detections.scores.numpy() >= SURE)


def _draw_detections(axes: Axes, detections: Detections) -> None:
    boxes, masks = detections.boxes.numpy(), detections.masks.numpy()
    for i, row in enumerate(_sure(detections)):
        look = PALETTE[i % len(PALETTE)]
        draw_box(axes, boxes[row], "detection", {"color": look, "linewidth": 2})
        height, width = masks[row].shape
        x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
        axes.contourf(x, y, masks[row], levels=[0.5, 1], colors=[look], alpha=0.6)


def _draw_losses(axes: Axes, right: list[float], now: list[float]) -> None:
    rows = np.arange(len(LOSSES))
    axes.barh(rows - 0.2, right, 0.38, color="#bbbbbb", label=say("right"))
    axes.barh(rows + 0.2, now, 0.38, color=PALETTE[4], label=say("now"))
    axes.set_yticks(rows, LOSSES)
    axes.invert_yaxis()
    axes.legend(fontsize=8)


def _same(now: Detections, right: Detections) -> bool:
    """Whether boxes, classes and masks are what they were, but for rounding."""
    if len(now) != len(right):
        return False
    pairs = ((now.boxes, right.boxes), (now.labels, right.labels), (now.masks, right.masks))
    as_floats = ((a.astype("float32").numpy(), b.astype("float32").numpy()) for a, b in pairs)
    return all(np.allclose(a, b, atol=SAME_PIXELS) for a, b in as_floats)
