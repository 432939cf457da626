"""Progress: a bar on a terminal, and lines where nothing can be drawn over, as in a file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO, TypeVar

from tqdm import tqdm

LINE_EVERY = 10.0
"""Seconds between two lines."""

Row = TypeVar("Row")


class ProgressLines:
    """As much of a ``tqdm`` as our commands use, one line every `LINE_EVERY` seconds.

    Args:
        total: of what is counted; None if nobody knows.
        leave: say at the end how far it came.
        more: of tqdm's options ``unit``, ``desc``, ``unit_scale`` and ``initial``.
    """

    disable = False

    def __init__(self, total: float | None, leave: bool = True, **more: Any):
        self.total, self.leave, self.postfix = total, leave, ""
        self.n = self.shown = more.get("initial", 0)
        self.started = self.said = time.monotonic()
        self.words = {"prefix": more.pop("desc", ""), **more}

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def update(self, n: float = 1) -> None:
        """So much more is done."""
        self.n += n
        if time.monotonic() - self.said >= LINE_EVERY:
            self._say()

    def set_postfix(self, words: Mapping[str, object]) -> None:
        """What the next line ends with."""
        self.postfix = ", ".join(f"{name}={value}" for name, value in words.items())

    def write(self, text: str, file: TextIO | None = None) -> None:
        """Print at once, so that lines of both streams are in order if one file receives them."""
        print(text, file=file or sys.stdout, flush=True)

    def close(self) -> None:
        """The last line, unless it has been said."""
        if self.leave and self.n != self.shown:
            self._say()

    def _say(self) -> None:
        self.shown, self.said = self.n, time.monotonic()
        seconds, words = self.said - self.started, {"postfix": self.postfix, **self.words}
        line = tqdm.format_meter(self.n, self.total, seconds, ncols=0, **words)
        print(line.strip(), file=sys.stderr, flush=True)


def progress(total: float | None, visible: bool = True, **more: Any) -> tqdm | ProgressLines:
    """A bar, or lines if stderr is no terminal, or nothing if it is not ``visible``.

    Args:
        total, more: see `ProgressLines`.
        visible: show anything.
    """
    if visible and not sys.stderr.isatty():
        return ProgressLines(total, **more)
    return tqdm(total=total, disable=not visible, dynamic_ncols=True, **more)


def with_progress(rows: Sequence[Row], unit: str) -> Iterator[Row]:
    """The rows, one after the other; nothing is left of it at the end."""
    with progress(len(rows), unit=unit, leave=False) as bar:
        for row in rows:
            yield row
            bar.update()
