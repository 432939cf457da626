"""Exercise: what a learner's function is tried with, and what it should return."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

HIDDEN_CASES = 3


@dataclass(frozen=True)
class Exercise:
    """One function that the learner writes; its right answer is not in the package.

    Attributes:
        name: of the learner's function.
        notebook: the notebook that it belongs to, without ``.ipynb``.
        truth: the same result from the package's own stages, with the same arguments.
        cases: arguments to try the learner's function with. They tell every
            mistake from the right answer and from the other mistakes.
        shows: one sentence that a right answer earns.
        draw_case: makes the arguments of one hidden case; None if the cases are all there are.
        gives: what the result is, a key of `maskrcnn_edu.teaching.exercises.kinds.CHANGES`.
        tolerance: how far a number may be off, absolute or as a share of it.
    """

    name: str
    notebook: str
    truth: Callable[..., Any]
    cases: Sequence[tuple]
    shows: str
    draw_case: Callable[[np.random.Generator], tuple] | None = None
    gives: str = "numbers"
    tolerance: float = 1e-4

    @property
    def arguments(self) -> list[str]:
        """The names of the learner's arguments."""
        return list(inspect.signature(self.truth).parameters)

    def hidden_cases(self, seed: str) -> list[tuple]:
        """The cases of a seed, which may be any text; the same on every machine."""
        if self.draw_case is None:
            return []
        random = np.random.default_rng(list(f"{self.name} {seed}".encode()))
        return [self.draw_case(random) for _ in range(HIDDEN_CASES)]
