"""An image with its detections, drawn at a size that fits a screen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import paddle
from matplotlib.figure import Figure
from PIL import Image

from maskrcnn_edu.structures import BitMask, Detections
from maskrcnn_edu.viz.detections import draw_detections

LONGEST_SIDE = 2000
"""Pixels; a larger image is shrunk for drawing."""


class Overlay:
    """Collects an image's detections one by one, and draws them.

    A mask is forgotten as soon as it is shrunk, so a hundred objects in a huge image need
    no more memory than in a small one.

    Args:
        image: [h, w, 3] uint8.
        min_score: leave out what is less certain.
    """

    def __init__(self, image: np.ndarray, min_score: float = 0.5):
        self.min_score = min_score
        self.image = shrink(image)
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
        if score[0] < self.min_score:
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
        detections = _cat(self.shown or [NOTHING])
        return draw_detections(self.image, detections, class_names, self.min_score)


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


def shrink(image: np.ndarray, longest: int = LONGEST_SIDE) -> np.ndarray:
    """An image [h, w, 3] uint8 with neither side above ``longest`` pixels."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return image
    sides = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(image).resize(sides, Image.Resampling.BOX))
