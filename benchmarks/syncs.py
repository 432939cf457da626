"""Where the host waits for the device: counted, with the line of source that waits.

A GPU works through a queue; the host fills it and is usually far ahead. Whoever asks for a
number (``.numpy()``, ``.item()``, ``if tensor:``) waits until the queue is empty. So does an
operator whose result has as many rows as the values say (``nonzero``): the host must know
the shape before it goes on.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import paddle

import maskrcnn_edu

HOUSE = Path(maskrcnn_edu.__file__).parent

READS = ("numpy", "cpu", "item", "tolist", "__float__", "__bool__", "__int__", "__index__")
"""Methods of a tensor that copy its values to the host."""

VALUE_SHAPED = {
    "nonzero": paddle,
    "masked_select": paddle,
    "unique": paddle,
    "nms": paddle.vision.ops,
    "distribute_fpn_proposals": paddle.vision.ops,
    "generate_proposals": paddle.vision.ops,
}
"""Operators whose result's shape depends on values, and where they live."""


class Syncs(Counter):
    """(file:line of this package, what waits there) -> how often."""

    def __str__(self) -> str:
        lines = ["| where | what | times |", "|---|---|---|"]
        rows = sorted(self.items(), key=lambda item: (-item[1], item[0]))
        return "\n".join([*lines, *(f"| {where} | `{what}` | {n} |" for (where, what), n in rows)])


@contextlib.contextmanager
def count_syncs() -> Iterator[Syncs]:
    """Count the waits within the block; slows everything down a little.

    One wait counts once: ``float(tensor)`` also calls ``item()``, which is the same wait.
    Seen are calls from this package only. Reading a shape is none, nor is ``len(tensor)``.
    """
    syncs = Syncs()
    tensor = type(paddle.ones([1]))
    inside: list[str] = []
    places = [(tensor, name) for name in READS if hasattr(tensor, name)]
    places += [(tensor, name) for name in VALUE_SHAPED if hasattr(tensor, name)]
    places += [(owner, name) for name, owner in VALUE_SHAPED.items()]
    users = [m for n, m in sys.modules.items() if n.startswith("maskrcnn_edu.")]
    with contextlib.ExitStack() as stack:
        for owner, name in places:
            original = getattr(owner, name)
            counted = _counted(original, name, syncs, inside)
            _replace(stack, owner, name, counted)
            for module in users:  # `from paddle.vision.ops import nms`
                if getattr(module, name, None) is original:
                    _replace(stack, module, name, counted)
        yield syncs


def _replace(stack: contextlib.ExitStack, owner: object, name: str, value: Callable) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, value)


def _counted(original: Callable, name: str, syncs: Syncs, inside: list[str]) -> Callable:
    """The function, which also counts its calls (unless another of them made the call)."""

    @functools.wraps(original)
    def call(*args, **options):
        if not inside:
            syncs[_caller(), name] += 1
        inside.append(name)
        try:
            return original(*args, **options)
        finally:
            inside.pop()

    return call


def _caller() -> str:
    """``file:line`` of the nearest caller within the package, else of whoever called."""
    frame = first = sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(HOUSE):
            return f"{path.relative_to(HOUSE)}:{frame.f_lineno}"
        frame = frame.f_back
    return f"{Path(first.f_code.co_filename).name}:{first.f_lineno}"
