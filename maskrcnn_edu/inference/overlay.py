"""An image with its detections, drawn at a size that fits a screen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle
from matplotlib.figure import Figure
from PIL import Image

from maskrcnn_edu.data.transforms import scale_and_shift
from maskrcnn_edu.structures import BitMask, Detections, GroundTruth
from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.viz.detections import draw_detections

LONGEST_SIDE = 2000
"""Pixels; a larger image is shrunk for drawing."""
SMALLEST_SIZE = 64  # pixels
DPI = 120
"""Pixels of an overlay for an inch of its figure, if no size is asked for."""


@dataclass(frozen=True)
class OverlayStyle:
    """How overlays are drawn.

    Args:
        min_score: leave out what is less certain, 0 .. 1.
        labels: ``auto`` or ``none``, see `maskrcnn_edu.viz.detections.draw_detections`.
        size: longest side of an image in its overlay, pixels; ``math.inf`` means as the file
            has it, None what fits a screen. Text and lines grow with it.

    Raises:
        ValueError: a value out of range.
    """

    min_score: float = 0.5
    labels: str = "auto"
    size: float | None = None

    def __post_init__(self):
        if not 0 <= self.min_score <= 1:
            raise ValueError(f"min_score must be from 0 to 1, got {self.min_score}")
        if self.size is not None and not self.size >= SMALLEST_SIZE:
            raise ValueError(f"size must be at least {SMALLEST_SIZE} pixels, got {self.size}")


class Overlay:
    """Collects an image's detections one by one, and draws them.

    A mask is forgotten as soon as it is shrunk, so a hundred objects in a huge image need
    no more memory than in a small one.

    Args:
        image: [h, w, 3] uint8.
        style: how to draw.
        gt: the annotated objects, image frame; drawn beside the detections.
        gt_names: of their classes.
    """

    def __init__(
        self,
        image: np.ndarray,
        style: OverlayStyle = OverlayStyle(),
        gt: GroundTruth | None = None,
        gt_names: Sequence[str] = (),
    ):
        self.style, self.gt, self.gt_names = style, gt, gt_names
        self.size = max(image.shape) if style.size == math.inf else style.size
        self.image = shrink(image, self.size or LONGEST_SIDE)
        sides = list(zip(self.image.shape[:2], image.shape[:2]))
        # the middle one of the pixels that become one
        self.rows, self.columns = (
            ((np.arange(new) + 0.5) * old / new).astype(int) for new, old in sides
        )
        (y, x) = (new / old for new, old in sides)
        self.scale = np.array([x, y, x, y], np.float32)
        self.shown: list[Detections] = []

    def add(self, detections: Detections, row: int, mask: BitMask) -> None:
        """Remember one detection of a record (image frame), and its pixels."""
        rows = slice(row, row + 1)
        score = detections.scores.numpy()[rows]
        if score[0] < self.style.min_score:
            return
        boxes = detections.boxes.numpy()[rows] * self.scale
        labels, roi_index = detections.labels.numpy()[rows], detections.roi_index.numpy()[rows]
        masks = self._small(mask)[None]
        self.shown.append(Detections(boxes, labels, scores=score, roi_index=roi_index, masks=masks))

    def _small(self, mask: BitMask) -> np.ndarray:
        """The mask's pixels that are shown, [h, w] bool of the shrunk image."""
        small = np.zeros(self.image.shape[:2], bool)
        x1, y1, x2, y2 = mask.box.astype(int)
        # those of the shown rows and columns that the mask covers
        top, bottom = np.searchsorted(self.rows, [y1, y2])
        left, right = np.searchsorted(self.columns, [x1, x2])
        seen = np.ix_(self.rows[top:bottom] - y1, self.columns[left:right] - x1)
        small[top:bottom, left:right] = mask.pixels[seen]
        return small

    def draw(self, class_names: Sequence[str]) -> Figure:
        """The figure of `draw_detections`."""
        style, gt = self.style, scale_and_shift(self.gt, self.scale[:2])
        detections = _cat(self.shown or [NOTHING])
        return draw_detections(
            self.image, detections, class_names, style.min_score, style.labels, gt, self.gt_names
        )

    def save(self, path: Path, class_names: Sequence[str]) -> None:
        """Draw into a PNG file, whole or not at all."""
        figure = self.draw(class_names)
        inches = figure.axes[-1].get_position().size * figure.get_size_inches()
        dpi = self.size / max(inches) if self.size else DPI
        atomic_write(path, lambda p: figure.savefig(p, dpi=dpi, format="png"))


NOTHING = Detections(
    boxes=np.zeros([0, 4], np.float32),
    labels=np.zeros([0], np.int64),
    scores=np.zeros([0], np.float32),
    roi_index=np.zeros([0], np.int64),
    masks=np.zeros([0, 1, 1], bool),
)


def _cat(parts: Sequence[Detections]) -> Detections:
    """Many records as one, of tensors."""
    fields = ([getattr(each, f.name) for each in parts] for f in dataclasses.fields(Detections))
    return Detections(*(paddle.to_tensor(np.concatenate(values)) for values in fields))


def shrink(image: np.ndarray, longest: float = LONGEST_SIDE) -> np.ndarray:
    """An image [h, w, 3] uint8 with neither side above ``longest`` pixels."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    sides = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(sides, Image.Resampling.BOX))
