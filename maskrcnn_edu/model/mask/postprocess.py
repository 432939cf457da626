"""MaskPostProcess: paste the M x M masks back into the image, at the image's own size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import Tensor

from maskrcnn_edu.model.ops.empty import has_rows, to_host
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
        if not has_rows(masks):
            return
        places = _positions_of_both(masks, boxes, height, width)
        for mask, at_y, at_x in zip(*to_host(masks, *places)):  # one copy to the host
            yield self._within_box(mask, at_y, at_x)

    def _within_box(self, mask: np.ndarray, at_y: np.ndarray, at_x: np.ndarray) -> BitMask:
        """One mask [M, M], from the positions of the image's pixels, [height] and [width]."""
        (y1, y2), (x1, x2) = (_extent(at, len(mask)) for at in (at_y, at_x))
        rows = _shares_on_host(at_y[y1:y2], len(mask)) @ mask
        pixels = np.empty([y2 - y1, x2 - x1], np.uint8)
        columns = _shares_on_host(at_x[x1:x2], len(mask)).T
        step = max(FEWEST_COLUMNS, MULTIPLIED_AT_ONCE // max(rows.size, 1))
        for x in range(0, x2 - x1, step):
            pixels[:, x : x + step] = rows @ columns[:, x : x + step] >= self.binary_thresh
        return BitMask(pixels, np.array([x1, y1, x2, y2], np.float32))


MULTIPLIED_AT_ONCE, FEWEST_COLUMNS = 2**18, 8
"""Multiplications of one product. A larger one is shared between threads, and has to wait for
those of Paddle, which keep the other cores busy for a while after their work is done."""


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
    cells = masks.shape[-1]
    at_y, at_x = _positions_of_both(masks, boxes, height, width)
    along_y, along_x = _shares(at_y, cells), _shares(at_x, cells)
    return along_y @ masks @ along_x.transpose([0, 2, 1])


def _positions_of_both(
    masks: Tensor, boxes: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Where all pixels lie on the masks' cells: along y [D, height], along x [D, width]."""
    x1, y1, x2, y2 = boxes.unbind(1)
    cells = masks.shape[-1]
    return _positions(y1, y2, height, cells), _positions(x1, x2, width, cells)


def _positions(start: Tensor, stop: Tensor, pixels: int, cells: int) -> Tensor:
    """[D, pixels] the pixels' centres, in cells of the box whose centres are 0 .. cells - 1."""
    centers = paddle.arange(pixels, dtype="float32") + 0.5
    side = (stop - start)[:, None]
    has_area = side > 0
    side = paddle.where(has_area, side, paddle.ones_like(side))  # 0 / 0 is no number
    # by way of -1 .. 1, so that every value is rounded as Paddle's grid_sample rounds it
    along = (centers - start[:, None]) / side * 2 - 1
    position = (along + 1) * (cells * 0.5) - 0.5
    # a box without area holds nothing: every pixel lies beyond its cells
    return paddle.where(has_area, position, paddle.full_like(position, cells))


def _shares(position: Tensor, cells: int) -> Tensor:
    """[D, pixels] -> [D, pixels, cells]: the share of every cell in the value of every pixel."""
    distance = (position[:, :, None] - paddle.arange(cells, dtype="float32")).abs()
    return (1.0 - distance).clip(min=0.0)


def _shares_on_host(position: np.ndarray, cells: int) -> np.ndarray:
    """The same of one mask: [pixels] -> [pixels, cells] float32."""
    distance = np.abs(position[:, None] - np.arange(cells, dtype=np.float32))
    return np.maximum(np.float32(1.0) - distance, np.float32(0.0))


def _extent(position: np.ndarray, cells: int) -> tuple[int, int]:
    """First and last + 1 of the pixels in which some cell has a share; positions rise."""
    return (
        int(np.searchsorted(position, -1, side="right")),
        int(np.searchsorted(position, cells, side="left")),
    )
