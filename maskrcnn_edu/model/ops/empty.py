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


def on_rows(layer: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """``layer(rows)`` for a layer that treats every row [R, ...] on its own; R may be 0.

    Without rows the layer sees one of zeros, and its answer is dropped. The answer is in
    `full_precision`.
    """
    if not has_rows(rows):
        return full_precision(layer(paddle.zeros([1, *rows.shape[1:]], dtype=rows.dtype))[:0])
    return full_precision(layer(rows))


def has_rows(rows: Tensor) -> bool:
    """False if the first axis is empty. While a program is recorded for export the number
    of rows is unknown, and taken not to be 0.
    """
    return not paddle.in_dynamic_mode() or rows.shape[0] > 0


def join(parts: Sequence[Tensor]) -> Tensor:
    """`paddle.concat` along the rows; all of the parts may be empty."""
    filled = [p for p in parts if has_rows(p)]
    return paddle.concat(filled) if filled else parts[0]


def total(values: Tensor) -> Tensor:
    """The sum of all values, a scalar; a constant 0 if there are none."""
    return values.sum() if has_rows(values) else paddle.zeros([], dtype=values.dtype)


def pick(values: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``values[rows, columns]``: values [R, C, ...], indices [F] each -> [F, ...]."""
    return paddle.gather(values.flatten(0, 1), rows * values.shape[1] + columns)


def to_host(*columns: Tensor) -> list[np.ndarray]:
    """Tensors [R] or [R, k] as numpy arrays, with one wait for the device instead of many.

    They travel as one table of float64, which holds float32 and whole numbers exactly.
    """
    if not has_rows(columns[0]):
        return [column.numpy() for column in columns]
    parts = [c.reshape([c.shape[0], -1]).cast("float64") for c in columns]
    table = paddle.concat(parts, axis=1).numpy()
    parts = np.split(table, np.cumsum([p.shape[1] for p in parts])[:-1], axis=1)
    # Paddle 2.6 writes paddle.int64, Paddle 3 too: numpy's name follows the point
    return [p.reshape(c.shape).astype(str(c.dtype).split(".")[-1]) for p, c in zip(parts, columns)]


def full_precision(values: Tensor) -> Tensor:
    """The values in float32, whatever precision a layer computed them in (``--amp``).

    Boxes and losses need it: float16 counts in whole pixels beyond 1024, and ``exp``
    of a float16 delta overflows.
    """
    return values if values.dtype == paddle.float32 else values.cast("float32")
