"""Exercise: a task, its model answer, and the mistakes that people make in it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"  # what nbgrader looks for
INDENT = " " * 4


@dataclass(frozen=True)
class Exercise:
    """One function that the learner writes.

    Attributes:
        notebook: the notebook that it belongs to, without ``.ipynb``.
        task: one or two sentences, as the notebook shows them.
        answer: the model answer; its name is the exercise's name. It uses nothing but
            ``np`` and ``math``, which the notebook must have imported.
        truth: the same result from the package's own stages.
        cases: arguments to try the learner's function with. They tell every
            mistake from the right answer and from the other mistakes.
        mistakes: name of a mistake -> (text of the answer, text that replaces it).
        shows: one sentence that a right answer earns.
        tolerance: how far a number may be off, absolute or as a share of it.

    Raises:
        ValueError: a mistake replaces text that the answer does not contain.
    """

    notebook: str
    task: str
    answer: Callable[..., Any]
    truth: Callable[..., Any]
    cases: Sequence[tuple]
    mistakes: dict[str, tuple[str, str]]
    shows: str
    tolerance: float = 1e-4

    def __post_init__(self):
        for mistake, (old, _) in self.mistakes.items():
            if old not in self.solution:
                raise ValueError(f"{self.name}, {mistake!r}: the answer does not contain {old!r}")

    @property
    def name(self) -> str:
        """The name of the learner's function."""
        return self.answer.__name__

    @property
    def solution(self) -> str:
        """Source text of the model answer."""
        return inspect.getsource(self.answer)

    @property
    def wrong(self) -> dict[str, str]:
        """Name of a mistake -> source text of an answer that makes it."""
        edits = self.mistakes.items()
        return {mistake: self.solution.replace(old, new) for mistake, (old, new) in edits}

    @property
    def head(self) -> str:
        """The ``def`` line and the docstring, as the learner finds them."""
        docstring_end = self.solution.index('"""', self.solution.index('"""') + 3) + 3
        return self.solution[:docstring_end] + "\n"

    @property
    def stub(self) -> str:
        """Source text of the unattempted exercise."""
        return f"{self.head}{INDENT}raise NotImplementedError\n"

    @property
    def cell(self) -> str:
        """The notebook's cell: the answer, between the marks that nbgrader cuts out."""
        body = self.solution[len(self.head) :].strip("\n")
        return f"{self.head}{INDENT}{BEGIN}\n{body}\n{INDENT}{END}"

    def wrong_answers(self) -> dict[str, Callable[..., Any]]:
        """Name of a mistake -> function that makes it."""
        return {mistake: compiled(self.name, text) for mistake, text in self.wrong.items()}


def compiled(name: str, source: str) -> Callable[..., Any]:
    """The function of that name in a source text that knows ``np`` and ``math``."""
    names: dict[str, Any] = {"np": np, "math": math}
    exec(source, names)
    return names[name]
