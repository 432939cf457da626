"""MaskPostProcess: paste the M x M masks back into the image, at the image's own size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import Tensor

from maskrcnn_edu.rows import has_rows
from maskrcnn_edu.structures import BitMask


@dataclass(frozen=True)
class MaskPostProcess:
    """Stretches every mask over its box and decides, pixel by pixel, what is object.

    Args:
        binary_thresh: probability from which a pixel belongs to the object.

    Source: Mask R-CNN paper, section 3.1 (inference); document, "MaskPostProcess".
    """

    binary_thresh: float = 0.5

    def __post_init__(self):
        if not 0 < self.binary_thresh < 1:
            raise ValueError(f"binary_thresh must be between 0 and 1, got {self.binary_thresh}")

    @paddle.no_grad()
    def __call__(self, masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
        """Probabilities [D, M, M] over boxes [D, 4] (image frame) -> [D, height, width] bool."""
        if masks.place.is_gpu_place():  # it multiplies faster than it copies
            return paste_mask(masks, boxes, height, width) >= self.binary_thresh
        pasted = np.zeros([len(masks), height, width], bool)
        for whole, part in zip(pasted, self.within_boxes(masks, boxes, height, width)):
            x1, y1, x2, y2 = part.box.astype(int)
            whole[y1:y2, x1:x2] = part.pixels
        return paddle.to_tensor(pasted)

    @paddle.no_grad()
    def within_boxes(
        self, masks: Tensor, boxes: Tensor, height: int, width: int
    ) -> Iterator[BitMask]:
        """The same masks one after the other, each cut out of the image where it may be.

        Takes no more memory and time than the boxes are large, however large the image is.

        Args:
            masks, boxes, height, width: see `__call__`.

        Yields:
            D masks: the pixels, and the whole pixels [x1, y1, x2, y2] of the image that they
            cover. Beyond them there is no object.
        """
        step = max(1, PASTED_AT_ONCE // ((height + width) * masks.shape[-1]))
        for i in range(0, len(masks), step):
            some, probs = boxes[i : i + step], masks[i : i + step]
            shares = _shares_of_both(probs, some, height, width)
            # one copy to the host instead of three
            together = paddle.concat([probs, *shares], axis=1).numpy()  # [d, M + height + width, M]
            cells = masks.shape[-1]
            for mask, along_y, along_x in zip(*np.split(together, [cells, cells + height], axis=1)):
                yield self._within_box(mask, along_y, along_x)

    def _within_box(self, mask: np.ndarray, along_y: np.ndarray, along_x: np.ndarray) -> BitMask:
        """One mask [M, M], from the shares of its cells [height, M] and [width, M]."""
        (y1, y2), (x1, x2) = (_extent(shares) for shares in (along_y, along_x))
        rows = along_y[y1:y2] @ mask
        pixels = np.empty([y2 - y1, x2 - x1], np.uint8)
        step = max(1, PASTED_AT_ONCE // max(y2 - y1, 1))
        for x in range(0, x2 - x1, step):  # probabilities need 4 times the memory
            columns = along_x[x1:x2][x : x + step]
            pixels[:, x : x + step] = rows @ columns.T >= self.binary_thresh
        return BitMask(pixels, np.array([x1, y1, x2, y2], np.float32))


PASTED_AT_ONCE = 2**24
"""Probabilities in memory at the same time: 64 MB."""


def paste_mask(masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
    """Bilinear enlargement of every mask over its box.

    A bilinear enlargement of a rectangle is one matrix product along y and one along
    x, so all masks are pasted by two products.

    Args:
        masks: [D, M, M] probabilities.
        boxes: [D, 4], image frame.
        height, width: size of the image, in pixels.

    Returns:
        [D, height, width] float32; it fades to 0 within half a cell outside the box.
    """
    if not has_rows(masks):
        return paddle.zeros([0, height, width])
    along_y, along_x = _shares_of_both(masks, boxes, height, width)
    return along_y @ masks @ along_x.transpose([0, 2, 1])


def _shares_of_both(masks: Tensor, boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The shares of the masks' cells along y [D, height, M] and along x [D, width, M]."""
    x1, y1, x2, y2 = boxes.unbind(1)
    cells = masks.shape[-1]
    return _shares(y1, y2, height, cells), _shares(x1, x2, width, cells)


def _shares(start: Tensor, stop: Tensor, pixels: int, cells: int) -> Tensor:
    """[D, pixels, cells]: the share of every cell in the value of every pixel."""
    centers = paddle.arange(pixels, dtype="float32") + 0.5
    # the pixel's centre, in cells of the box whose centres are 0 .. cells - 1
    side = (stop - start)[:, None]
    has_area = side > 0  # a box without area holds nothing; and 0 / 0 is no number
    side = paddle.where(has_area, side, paddle.ones_like(side))
    # by way of -1 .. 1, so that every value is rounded as Paddle's grid_sample rounds it
    along = (centers - start[:, None]) / side * 2 - 1
    position = (along + 1) * (cells * 0.5) - 0.5
    distance = (position[:, :, None] - paddle.arange(cells, dtype="float32")).abs()
    return (1.0 - distance).clip(min=0.0) * has_area.unsqueeze(2).cast("float32")


def _extent(shares: np.ndarray) -> tuple[int, int]:
    """First and last + 1 of the pixels [pixels, M] in which some cell has a share."""
    touched = np.flatnonzero(shares.max(axis=1))
    return (int(touched[0]), int(touched[-1]) + 1) if touched.size else (0, 0)
