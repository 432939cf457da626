"""MaskPostProcess: paste the M x M masks back into the image, at the image's own size."""

from __future__ import annotations

from dataclasses import dataclass

import paddle
from paddle import Tensor

from maskrcnn_edu.rows import has_rows


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
        return paste_mask(masks, boxes, height, width) >= self.binary_thresh


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
    along_y = _shares(boxes[:, 1], boxes[:, 3], height, cells)  # [D, height, M]
    along_x = _shares(boxes[:, 0], boxes[:, 2], width, cells)  # [D, width, M]
    return along_y @ masks @ along_x.transpose([0, 2, 1])


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
