"""Numbers as tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose other columns are numbers."""
    align = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, align, *rows])


def seconds(value: float) -> str:
    """``1.23 s`` from a second up, else ``4.56 ms``: three digits."""
    number, unit = (value, "s") if value >= 1 else (value * 1000, "ms")
    digits = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:.{digits}f} {unit}"


def median_range(values: Sequence[float]) -> str:
    """``median (min..max)`` of times in seconds."""
    low, high = seconds(min(values)), seconds(max(values))
    return f"{seconds(statistics.median(values))} ({low}..{high})"


def share(part: float, whole: float) -> str:
    """``12 %``"""
    return f"{100 * part / whole:.1f} %"


def megabytes(value: int | None) -> str:
    """Bytes as ``123 MB``; ``unknown`` where the system does not say."""
    return "unknown" if value is None else f"{value / 2**20:.0f} MB"
