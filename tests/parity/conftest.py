"""The fixture that every parity test ends in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from paddle.base import core

from .differences import mended, rules_for
from .golden import Arrays, Case, Comparison, Tolerance

ORDINARY_THREADS = int(os.environ.get("OMP_NUM_THREADS") or 1)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums are split over threads, so their number decides about the last bits."""
    core.set_num_threads(1)
    yield
    core.set_num_threads(ORDINARY_THREADS)


Adapter = Callable[[Case], Arrays]


@pytest.fixture
def agree(record_property) -> Callable[..., None]:
    """``agree(case, adapter, tolerance)``: what ``adapter`` computes is what must be.

    That is what the peer computed, but for the rules of `differences`. ``stage_by_stage`` is
    asked if the adapter's answer is not that: a chain of stages may part from the peer's where
    a decision hangs on a float's last bits (see `test_whole`).
    """

    def check(
        case: Case,
        adapter: Adapter,
        tolerance: Tolerance,
        stage_by_stage: Adapter | None = None,
    ) -> None:
        rules = rules_for(case)
        names = [rule.name for rule in rules]
        record_property("parity", {"component": case.component.name, "rules": names})
        instead = [rule.instead for rule in rules if rule.instead]
        if instead:
            for assertion in instead:
                assertion(case)
            return
        if case.raises and not rules:
            pytest.fail(f"the peer raised ({case.raises}), and no rule says what is right")
        result = _compare(case, rules, adapter, tolerance)
        if result.problems and stage_by_stage:
            record_property("parted", result.problems)
            result = _compare(case, rules, stage_by_stage, tolerance)
        record_property("largest", result.largest)
        record_property("compared", {"floats": result.floats, "integers": result.integers})
        if result.problems:
            pytest.fail("\n".join([f"rules: {', '.join(names) or 'none'}", *result.problems]))

    return check


def _compare(case: Case, rules: list, adapter: Adapter, tolerance: Tolerance) -> Comparison:
    got = adapter(case)
    want = mended(case, rules, got)
    assert want, "the case has no outputs to compare"
    return Comparison().outputs(want, got, tolerance)
