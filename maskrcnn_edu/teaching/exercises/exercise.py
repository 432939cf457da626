"""Exercise: what a learner's function is tried with, and what it should return."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

HIDDEN_CASES = 3
SEED_VARIABLE = "MASKRCNN_EDU_EXERCISE_SEED"


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

    def hidden_cases(self, seed: str | int | None = None) -> list[tuple]:
        """The hidden cases of a seed (see `random_of`)."""
        if self.draw_case is None:
            return []
        random = random_of(self.name, seed)
        return [self.draw_case(random) for _ in range(HIDDEN_CASES)]


def random_of(name: str, seed: str | int | None = None) -> np.random.Generator:
    """The random numbers of one exercise, the same on every machine.

    Args:
        name: of the exercise.
        seed: any text or number, so that every class may have its own; without it the
            environment variable MASKRCNN_EDU_EXERCISE_SEED, and without that 0.
    """
    seed = os.environ.get(SEED_VARIABLE, "0") if seed is None else seed
    return np.random.default_rng(list(f"{name} {seed}".encode()))
