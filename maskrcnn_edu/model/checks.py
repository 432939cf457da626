"""Impossible values, refused where a part is built: the message begins with the parameter."""

from __future__ import annotations

from collections.abc import Sequence


def at_least(low: float, **values: float) -> None:
    """Raises ValueError for a value below ``low``, or NaN."""
    for name, value in values.items():
        if not value >= low:
            raise ValueError(f"{name} must be at least {low}, got {value}")


def above_zero(high: float = float("inf"), **values: float) -> None:
    """Raises ValueError for 0, for less, for more than ``high``, and for NaN."""
    for name, value in values.items():
        if not 0 < value <= high:
            limit = "" if high == float("inf") else f" and at most {high}"
            raise ValueError(f"{name} must be above 0{limit}, got {value}")


def shares(**values: float) -> None:
    """Raises ValueError for a value that is not 0 .. 1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be 0 .. 1, got {value}")


def share_or_minus_one(**values: float) -> None:
    """Raises ValueError for a value that is neither -1 (switched off) nor 0 .. 1."""
    for name, value in values.items():
        if value != -1 and not 0 <= value <= 1:
            raise ValueError(f"{name} must be 0 .. 1, or -1 for no such limit, got {value}")


def in_order(**values: float) -> None:
    """Raises ValueError if a value is larger than the next one."""
    (low_name, low), (high_name, high) = values.items()
    if not low <= high:
        raise ValueError(f"{low_name} ({low}) must not exceed {high_name} ({high})")


def four_factors(**values: Sequence[float]) -> None:
    """Raises ValueError unless there are four numbers above 0."""
    for name, factors in values.items():
        if len(factors) != 4 or not all(0 < factor < float("inf") for factor in factors):
            raise ValueError(f"{name} must be 4 numbers above 0, got {list(factors)}")
