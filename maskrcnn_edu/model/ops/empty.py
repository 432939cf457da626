"""Tensors without rows: no RoI, no foreground, no detection.

Paddle 3 computes with them as with any other tensor; many operators of Paddle 2.6 refuse
them (reductions, products, concatenations, broadcasting). These few functions make the
stages work with both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import paddle
from paddle import Tensor


def apply_nonempty(layer: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """``layer(rows)`` in float32, for a layer that treats every row [R, ...] on its own.

    R may be 0: then the layer sees one row of zeros, and its output is dropped.
    """
    if is_empty(rows):
        return to_float32(layer(paddle.zeros([1, *rows.shape[1:]], dtype=rows.dtype))[:0])
    return to_float32(layer(rows))


def is_empty(rows: Tensor) -> bool:
    """Whether a tensor [R, ...] has no rows. While a program is recorded for export the
    number of rows is unknown, and taken not to be 0.
    """
    return paddle.in_dynamic_mode() and rows.shape[0] == 0


def cat(parts: Sequence[Tensor]) -> Tensor:
    """`paddle.concat` of tensors [R, ...] along the rows; all of them may be empty."""
    filled = [p for p in parts if not is_empty(p)]
    return paddle.concat(filled) if filled else parts[0]


def sum_or_zero(values: Tensor) -> Tensor:
    """The sum of all values [R, ...], a scalar; a constant 0 if there are none."""
    return paddle.zeros([], dtype=values.dtype) if is_empty(values) else values.sum()


def gather_pairs(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``values[rows, columns]``: values [R, C, ...], indices [F] each -> [F, ...]."""
    return paddle.gather(values.flatten(0, 1), rows * values.shape[1] + columns)


def to_numpy(*columns: Tensor) -> list[np.ndarray]:
    """Tensors [R] or [R, k] as numpy arrays, with one wait for the device instead of many.

    They travel as one table of float64, which holds float32 and whole numbers exactly.
    """
    if is_empty(columns[0]):
        return [column.numpy() for column in columns]
    parts = [c.reshape([c.shape[0], -1]).cast("float64") for c in columns]
    table = paddle.concat(parts, axis=1).numpy()
    parts = np.split(table, np.cumsum([p.shape[1] for p in parts])[:-1], axis=1)
    # Paddle 2.6 writes paddle.int64, Paddle 3 too: numpy's name follows the point
    return [p.reshape(c.shape).astype(str(c.dtype).split(".")[-1]) for p, c in zip(parts, columns)]


def to_float32(values: Tensor) -> Tensor:
    """Values [...] in float32, whatever precision a layer computed them in (``--amp``).

    Boxes and losses need it: float16 counts in whole pixels beyond 1024, and ``exp``
    of a float16 delta overflows.
    """
    return values if values.dtype == paddle.float32 else values.cast("float32")
