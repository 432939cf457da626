"""How many operators Paddle runs: forward, backward and in the optimizer.

Each takes some microseconds before it computes anything (its arguments are read, its memory
is found, its gradient is noted). With small images that is a third of a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from paddle.profiler import Profiler, ProfilerTarget, TracerEventType

NOT_COMPUTED = "GradNodeAccumulation"
"""Where a weight's gradient arrives: called an operator, but there is nothing to compute."""


def count_operators(run: Callable[[], object]) -> int:
    """The operators of ``run()``; those that another operator is made of do not count."""
    profiler = Profiler(targets=[ProfilerTarget.CPU], on_trace_ready=lambda _: None)
    with profiler:
        run()
    threads = profiler.profiler_result.get_data().values()
    return sum(NOT_COMPUTED not in event.name for root in threads for event in _operators(root))


def _operators(event: Any) -> Iterator[Any]:
    """The outermost operators of an event and of those within it."""
    if event.type == TracerEventType.Operator:
        yield event
        return
    for inner in event.children_node:
        yield from _operators(inner)
