"""The picture of the README: one image on its way through the course's model, stage by stage.

    python tools/readme_strip.py [--row 7] [--out docs/images/stages.png]

Every panel is drawn by `maskrcnn_edu.viz` from what the model computed: the first four in a
training step (with ground truth, sampled at random), the last two in a prediction.
"""

from __future__ import annotations

import argparse
import io
import sys

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imread

from maskrcnn_edu.structures import PredictionStages, TrainingStages
from maskrcnn_edu.teaching.course import load_course, setup_notebook
from maskrcnn_edu.viz.anchors import draw_anchor_targets
from maskrcnn_edu.viz.detections import draw_detections
from maskrcnn_edu.viz.rois import draw_roi_samples
from maskrcnn_edu.viz.rpn import draw_proposals
from maskrcnn_edu.viz.style import to_pixels

TITLES = (
    "1  anchors that train the RPN",
    "2  its best proposals",
    "3  RoIs drawn from them",
    "4  mask targets",
    "5  what the mask head answers",
    "6  detections",
)
ROWS, COLUMNS, MASKS = 2, 3, 6


def compute(row: int) -> tuple[TrainingStages, PredictionStages, list[str]]:
    """What the course's model computes of one validation image, training and predicting."""
    course = load_course("shapes_c4")
    model, batch = course.model(), course.batch([row])
    model.train()
    training = model(batch)
    model.eval()
    return training, model(batch), course.classes.names


def draw_grid(masks: np.ndarray, titles: list[str]) -> Figure:
    """Up to six masks [F, M, M] (0 .. 1), cell by cell, each with its class."""
    figure = Figure(figsize=(5, 5))
    panels = figure.subplots(2, 3).ravel()
    for panel in panels:
        panel.axis("off")
    for panel, mask, title in zip(panels, masks, titles):
        panel.imshow(mask, cmap="cividis", vmin=0, vmax=1)
        panel.set_title(title, fontsize=14)
    figure.tight_layout(pad=0.4)
    return figure


def draw_targets(training: TrainingStages, names: list[str]) -> Figure:
    """The mask targets of some RoIs, evenly chosen."""
    targets = training.mask_targets[0]
    rows = np.linspace(0, len(targets) - 1, min(MASKS, len(targets))).astype(int)
    labels = targets.target_labels.numpy()
    return draw_grid(targets.target_masks.numpy()[rows], [names[labels[i]] for i in rows])


def draw_answers(prediction: PredictionStages, names: list[str]) -> Figure:
    """The surest detections' masks as the head draws them, before pasting."""
    detections, probs = prediction.detections[0], prediction.mask_probs[0].numpy()
    surest = np.argsort(-detections.scores.numpy(), kind="stable")[:MASKS]
    labels = detections.labels.numpy()
    return draw_grid(probs[surest], [names[labels[i]] for i in surest])


def draw_stages(row: int) -> list[Figure]:
    """A figure for each of `TITLES`."""
    training, prediction, names = compute(row)
    gt, samples = training.batch.gt[0], training.samples[0]
    pixels = to_pixels(training.batch.image[0])
    return [
        draw_anchor_targets(pixels, training.rpn.anchors, training.anchor_targets[0], gt),
        draw_proposals(pixels, training.proposals[0]),
        draw_roi_samples(pixels, samples, names, gt),
        draw_targets(training, names),
        draw_answers(prediction, names),
        draw_detections(pixels, prediction.detections[0], names),
    ]


def render(figure: Figure) -> np.ndarray:
    """A figure as [h, w, 4] pixels; a legend is left out."""
    file = io.BytesIO()
    for legend in list(figure.legends):
        legend.remove()
    alone = len(figure.axes) == 1
    window = figure.axes[0].get_window_extent()
    box = window.transformed(figure.dpi_scale_trans.inverted()) if alone else None
    figure.savefig(file, dpi=120, bbox_inches=box, facecolor="white")
    file.seek(0)
    return imread(file)


def strip(row: int) -> Figure:
    """All stages, in two rows."""
    whole = Figure(figsize=(12, 8.6), facecolor="white")
    for panel, figure, title in zip(
        whole.subplots(ROWS, COLUMNS).ravel(), draw_stages(row), TITLES
    ):
        panel.imshow(render(figure))
        panel.set_title(title, fontsize=15, loc="left")
        panel.axis("off")
    whole.tight_layout(pad=0.6, h_pad=1.6)
    return whole


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--row", type=int, default=7, help="row of the validation images")
    parser.add_argument("--out", default="docs/images/stages.png")
    options = parser.parse_args()
    setup_notebook()
    strip(options.row).savefig(options.out, dpi=90)
    print(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
