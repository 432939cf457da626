"""Ctrl-C and SIGTERM as a polite request, so that a run can save before it ends."""

from __future__ import annotations

import signal
from types import FrameType


class GracefulStop:
    """Within the block, the first Ctrl-C (or SIGTERM) is only remembered.

    The work inside asks ``stop()`` from time to time. From the first signal on, the next
    one does what it always does: a second Ctrl-C stops at once.

    Use it in the main thread; Python delivers signals nowhere else.

    Attributes:
        number: the signal that came, or None.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self):
        self.number: int | None = None

    def __call__(self) -> bool:
        """Whether somebody asked to stop."""
        return self.number is not None

    @property
    def exit_code(self) -> int:
        """What the process should end with: 130 after Ctrl-C, 143 after SIGTERM, else 0."""
        return 0 if self.number is None else 128 + self.number

    def __enter__(self) -> GracefulStop:
        self._before = {number: signal.getsignal(number) for number in self.SIGNALS}
        for number in self.SIGNALS:
            signal.signal(number, self._remember)
        return self

    def __exit__(self, *problem) -> None:
        self._restore()

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
