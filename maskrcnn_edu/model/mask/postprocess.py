"""MaskPostProcess: paste the M x M masks back into the image, at the image's own size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import Tensor

from maskrcnn_edu.model.checks import Checked, ShareBetween
from maskrcnn_edu.model.ops.bilinear import bilinear_weights
from maskrcnn_edu.model.ops.empty import is_empty, to_numpy
from maskrcnn_edu.structures import BitMask


@dataclass(frozen=True)
class MaskPostProcess(Checked):
    """Stretches every mask over its box and decides, pixel by pixel, what is object.

    Args:
        binary_thresh: probability from which a pixel belongs to the object.

    Source: Mask R-CNN paper, section 3.1 (inference); document, "MaskPostProcess".
    """

    binary_thresh: ShareBetween = 0.5

    @paddle.no_grad()
    def __call__(self, masks: Tensor, boxes: Tensor, height: int, width: int) -> Tensor:
        """Probabilities [D, M, M] over boxes [D, 4] (image frame) -> [D, height, width] bool."""
        pasted = np.zeros([len(masks), height, width], bool)
        for whole, part in zip(pasted, self.paste_in_boxes(masks, boxes, height, width)):
            x1, y1, x2, y2 = part.box.astype(int)
            whole[y1:y2, x1:x2] = part.pixels
        return paddle.to_tensor(pasted)

    @paddle.no_grad()
    def paste_in_boxes(
        self, masks: Tensor, boxes: Tensor, height: int, width: int
    ) -> Iterator[BitMask]:
        """The same masks one after the other, each cut out of the image where it may be.

        Takes no more memory and time than the boxes are large, however large the image is.

        Args:
            masks: [D, M, M] probabilities.
            boxes: [D, 4], image frame.
            height, width: size of the image, in pixels.

        Yields:
            D masks: the pixels, and the whole pixels [x1, y1, x2, y2] of the image that they
            cover. Beyond them there is no object.
        """
        if is_empty(masks):
            return
        coords = pixel_coords(boxes, masks.shape[-1], height, width)
        for mask, at_y, at_x in zip(*to_numpy(masks, *coords)):  # one copy to the host
            yield paste_mask(mask, at_y, at_x, self.binary_thresh)


PASTE_CHUNK_ELEMENTS, MIN_PASTE_ROWS = 2**18, 8
"""Multiplications of one product. A larger one is shared between threads, and has to wait for
those of Paddle, which keep the other cores busy for a while after their work is done."""


def paste_mask(
    mask: np.ndarray, at_y: np.ndarray, at_x: np.ndarray, binary_thresh: float
) -> BitMask:
    """Stretch one mask over its box, bilinearly, and decide what is object.

    A bilinear enlargement of a rectangle is one matrix product along y and one along x.

    Args:
        mask: [M, M] probabilities, float32.
        at_y, at_x: [height] and [width] the image's pixels, see `pixel_coords`.
        binary_thresh: probability from which a pixel belongs to the object.

    Returns:
        The pixels of the image where some cell has a share; at most half a cell beyond the box.

    Source: document, "MaskPostProcess" (paste_mask).
    """
    cells = np.arange(len(mask), dtype=np.float32)
    y1, y2, x1, x2 = (*_support(at_y, len(mask)), *_support(at_x, len(mask)))
    rows = bilinear_weights(at_y[y1:y2], cells)  # [y2 - y1, M]
    columns = bilinear_weights(at_x[x1:x2], cells).T  # [M, x2 - x1]
    pixels = np.empty([y2 - y1, x2 - x1], np.uint8)
    step = max(MIN_PASTE_ROWS, PASTE_CHUNK_ELEMENTS // max(columns.size, 1))
    for y in range(0, y2 - y1, step):
        pixels[y : y + step] = rows[y : y + step] @ mask @ columns >= binary_thresh
    return BitMask(pixels=pixels, box=np.array([x1, y1, x2, y2], np.float32))


def pixel_coords(boxes: Tensor, cells: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Where the centres of an image's pixels lie among the cells of the boxes' masks.

    Pixel ``i`` along x: ``(i + 0.5 - x1) / (x2 - x1) * M - 0.5``, so that the centre of cell
    ``k`` has the number ``k``.

    Args:
        boxes: [D, 4], image frame.
        cells: M.
        height, width: size of the image, in pixels.

    Returns:
        Along y [D, height] and along x [D, width], both rising.
    """
    x1, y1, x2, y2 = boxes.unbind(1)
    return _coords_along(y1, y2, height, cells), _coords_along(x1, x2, width, cells)


def _coords_along(start: Tensor, stop: Tensor, pixels: int, cells: int) -> Tensor:
    """One direction of `pixel_coords`: sides [D] of the boxes -> [D, pixels]."""
    centers = paddle.arange(pixels, dtype="float32") + 0.5
    side = (stop - start)[:, None]
    has_area = side > 0
    side = paddle.where(has_area, side, paddle.ones_like(side))  # 0 / 0 is no number
    # by way of -1 .. 1, so that every value is rounded as Paddle's grid_sample rounds it
    along = (centers - start[:, None]) / side * 2 - 1
    position = (along + 1) * (cells * 0.5) - 0.5
    # a box without area holds nothing: every pixel lies beyond its cells
    return paddle.where(has_area, position, paddle.full_like(position, cells))


def _support(position: np.ndarray, cells: int) -> tuple[int, int]:
    """First and last + 1 of the pixels [P] in which some cell has a share; positions rise."""
    return int(position.searchsorted(-1, "right")), int(position.searchsorted(cells, "left"))
