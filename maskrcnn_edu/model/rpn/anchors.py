"""AnchorGenerator: boxes of fixed sizes and shapes at every cell of every feature map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import Tensor

from maskrcnn_edu.model.checks import Checked, Positive

Numbers = Sequence[Positive]


@dataclass(frozen=True)
class AnchorGenerator(Checked):
    """Makes the boxes that the RPN starts from.

    Every cell of a feature map has one anchor per size and ratio. Its centre is the
    cell's top left corner in the input frame, moved by ``offset`` cells.

    Args:
        anchor_sizes: sides in pixels of the input frame of a square anchor; one list
            for all levels, or one list per level.
        aspect_ratios: height / width; one list for all levels, or one per level.
        strides: input pixels per feature pixel, one number per level.
        offset: 0 puts the centre in the cell's corner (as in the official
            configurations), 0.5 in its middle.

    Raises:
        ValueError: a size, ratio or stride that is not positive, or lists whose
            number is neither 1 nor that of the levels.

    Source: Faster R-CNN paper, section 3.1.1; document, "anchor_generator".
    """

    anchor_sizes: Numbers | Sequence[Numbers] = (32, 64, 128, 256, 512)
    aspect_ratios: Numbers | Sequence[Numbers] = (0.5, 1.0, 2.0)
    strides: Numbers = (16,)
    offset: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        self._per_level("strides")
        if len({len(cell) for cell in self.cell_anchors}) != 1:
            raise ValueError("anchor_sizes and aspect_ratios: every level needs as many anchors")

    def _per_level(self, name: str) -> list[Numbers]:
        """The values of a field, one list for each level."""
        values = getattr(self, name)
        are_lists = {isinstance(value, Sequence) for value in values}
        rows = list(values) if True in are_lists else [values]
        if len(are_lists) != 1 or not all(rows):
            raise ValueError(f"{name} must be a list of positive numbers, or of such, got {values}")
        levels = len(self.strides)
        if len(rows) not in (1, levels):
            raise ValueError(f"{name} has {len(rows)} lists for {levels} levels (strides)")
        return rows * levels if len(rows) == 1 else rows

    @property
    def cell_anchors(self) -> list[list[list[float]]]:
        """Per level, the K anchors of a cell at the origin, as boxes around (0, 0)."""
        levels = zip(self._per_level("anchor_sizes"), self._per_level("aspect_ratios"))
        return [[_cell_anchor(s, r) for s in sizes for r in ratios] for sizes, ratios in levels]

    @property
    def num_anchors(self) -> int:
        """K, the number of anchors of one cell."""
        return len(self.cell_anchors[0])

    def __call__(self, grid_sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """The anchors of every level.

        Args:
            grid_sizes: (h, w) of each level's feature map.

        Returns:
            L tensors [h * w * K, 4] float32, input frame, ordered by row, column,
            anchor of the cell. Some reach beyond the image; they are kept.
        """
        levels = zip(grid_sizes, self.strides, self.cell_anchors)
        return [self._grid_anchors(h, w, stride, cell) for (h, w), stride, cell in levels]

    def _grid_anchors(
        self, height: int, width: int, stride: float, cell: list[list[float]]
    ) -> Tensor:
        """One level: the K boxes of ``cell`` at every place of the grid, [h * w * K, 4]."""
        ys = (np.arange(height, dtype=np.float32) + self.offset) * stride
        xs = (np.arange(width, dtype=np.float32) + self.offset) * stride
        x, y = np.tile(xs, height), np.repeat(ys, width)  # [h * w] each, row by row
        centers = np.stack([x, y, x, y], axis=-1)  # [h * w, 4]
        anchors = centers[:, None] + np.asarray(cell, np.float32)  # [h * w, K, 4]
        return paddle.to_tensor(anchors.reshape(-1, 4), dtype="float32")


def _cell_anchor(size: float, ratio: float) -> list[float]:
    """A box of area size * size and height / width = ratio, centred on (0, 0)."""
    width = math.sqrt(size**2 / ratio)
    height = ratio * width
    return [-width / 2, -height / 2, width / 2, height / 2]
