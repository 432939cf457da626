"""Between two neighbours: how much each of them counts."""

from __future__ import annotations

import numpy as np
from paddle import Tensor

from maskrcnn_edu.structures import Array


def bilinear_weights(positions: Array, cells: Array) -> Array:
    """``max(0, 1 - |p - i|)``: 1 on the centre of cell ``i``, 0 from one cell away on.

    Of a whole grid the weights of both directions multiply: ``rows @ grid @ columns.T``.

    Args:
        positions: [..., P], where the centre of cell ``i`` lies at ``i``.
        cells: [n] numbers of the cells, 0 .. n-1; an array or a tensor as ``positions`` is.

    Returns:
        [..., P, n] share of every cell in the value at every position. They add up to 1
        between the first and the last centre, and fade to 0 within one cell beyond.
    """
    apart = positions[..., None] - cells
    apart = apart.abs() if isinstance(apart, Tensor) else np.abs(apart)  # 2.6 has no abs(tensor)
    return (1.0 - apart).clip(0.0)
