"""Ctrl-C and SIGTERM as a polite request, so that a run can save before it ends."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


@contextlib.contextmanager
def handle_signals(
    handler: Handler, numbers: Sequence[int] = (signal.SIGINT, signal.SIGTERM)
) -> Iterator[None]:
    """Within the block these signals call ``handler``; then they do what they did before.

    Use it in the main thread; Python delivers signals nowhere else.
    """
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before):
            signal.signal(number, old)


class GracefulStop:
    """Within the block, the first Ctrl-C (or SIGTERM) is only remembered.

    The work inside asks ``stop()`` from time to time. From the first signal on, the next
    one does what it always does: a second Ctrl-C stops at once.

    Attributes:
        number: the signal that came, or None.
    """

    def __init__(self):
        self.number: int | None = None
        self._handled = contextlib.ExitStack()

    def __call__(self) -> bool:
        """Whether somebody asked to stop."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """What the process should end with: 130 after Ctrl-C, 143 after SIGTERM, else 0."""
        return 0 if self.number is None else 128 + self.number

    def __enter__(self) -> GracefulStop:
        self._handled.enter_context(handle_signals(self._remember))
        return self

    def __exit__(self, *problem) -> None:
        self._handled.close()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._handled.close()
