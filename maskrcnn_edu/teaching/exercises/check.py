"""check: what is wrong with a learner's answer? And the notebooks' cells."""

from __future__ import annotations

import copy
import difflib
import inspect
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from maskrcnn_edu.teaching.exercises import (
    nb00_tour,
    nb01_data,
    nb02_anchors,
    nb03_rpn,
    nb04_bbox_assigner,
    nb05_roi_align,
    nb06_bbox_head,
    nb07_mask_targets,
    nb08_mask_head,
    nb09_train,
    nb10_evaluate,
    nb11_your_own_photos,
)
from maskrcnn_edu.teaching.exercises.compare import difference, shown
from maskrcnn_edu.teaching.exercises.exercise import Exercise

_NOTEBOOKS = (
    nb00_tour, nb01_data, nb02_anchors, nb03_rpn, nb04_bbox_assigner, nb05_roi_align,
    nb06_bbox_head, nb07_mask_targets, nb08_mask_head, nb09_train, nb10_evaluate,
    nb11_your_own_photos,
)  # fmt: skip

EXERCISES: dict[str, Exercise] = {e.name: e for module in _NOTEBOOKS for e in module.EXERCISES}
"""All exercises by name, in the order of the notebooks."""

NOT_ATTEMPTED = "not attempted"


class Verdict(str):
    """The checker's answer: plain text, shown without quotes at the end of a cell."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    @property
    def is_right(self) -> bool:
        """Whether the exercise is solved."""
        return self.startswith("right")


class _Blank(Exception):
    """The learner has not written anything yet."""


class _Failed(Exception):
    """The learner's function raised; the message says what, and on which input."""


def check(name: str, answer: Any) -> Verdict:
    """Judge a learner's function.

    Args:
        name: of the exercise, a key of `EXERCISES`.
        answer: the learner's function; None or ``...`` if there is none yet.

    Returns:
        "not attempted", "right: ..." with what it shows, or "not yet: ..." with the name
        of the mistake (where it is a known one), the input and the first difference.
        Nothing that the learner's function does makes this raise.
    """
    exercise = EXERCISES.get(str(name))
    if exercise is None:
        near = difflib.get_close_matches(str(name), EXERCISES, n=1) or list(EXERCISES)
        return Verdict(f"there is no exercise {str(name)!r}; is it {', '.join(near)}?")
    if answer is None or answer is ...:
        return Verdict(NOT_ATTEMPTED)
    if not callable(answer):
        return Verdict(f"not yet: hand over the function itself, as in check({name!r}, {name})")
    try:
        results = [_result(answer, case) for case in exercise.cases]
    except _Blank:
        return Verdict(NOT_ATTEMPTED)
    except _Failed as failure:
        return Verdict(f"not yet: {failure}")
    return _judge(exercise, results)


def cell(name: str) -> str:
    """The source of an exercise's notebook cell, in nbgrader's form.

    Raises:
        KeyError: there is no exercise of that name.
    """
    return EXERCISES[name].cell


def _judge(exercise: Exercise, results: list) -> Verdict:
    expected = [_quiet(exercise.truth, case) for case in exercise.cases]
    differences = [difference(r, e, exercise.tolerance) for r, e in zip(results, expected)]
    if not any(differences):
        return Verdict(f"right: {exercise.shows}")
    at = next(i for i, text in enumerate(differences) if text)
    first = f"{_call(exercise.answer, exercise.cases[at])}: {differences[at]}"
    mistake = _mistake(exercise, results)
    return Verdict(f"not yet: {mistake}\n{first}" if mistake else f"not yet: {first}")


def _mistake(exercise: Exercise, results: list) -> str:
    """The name of the known wrong answer that gives the same results; empty if none does."""
    for mistake, wrong in exercise.wrong_answers().items():
        expected = [_quiet(wrong, case) for case in exercise.cases]
        if not any(difference(r, e, exercise.tolerance) for r, e in zip(results, expected)):
            return mistake
    return ""


def _result(answer: Callable[..., Any], case: tuple) -> Any:
    """What the learner's function returns."""
    try:
        value = _quiet(answer, case)
    except NotImplementedError as error:
        raise _Blank from error
    except (Exception, SystemExit) as error:
        words = traceback.format_exception_only(error)[-1].strip()
        raise _Failed(f"it raised {words}\n{_call(answer, case)}") from error
    if value is None or value is ...:
        raise _Blank
    return value


def _quiet(function: Callable[..., Any], case: tuple) -> Any:
    """The result for a copy of the arguments, without numpy's warnings."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(*copy.deepcopy(case))


def _call(function: Callable[..., Any], case: tuple) -> str:
    """The arguments of a call with their names, for a message."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # a function written in C
        names = []
    names += [f"argument {i}" for i in range(len(names), len(case))]
    return "for " + ", ".join(f"{n} = {shown(v)}" for n, v in zip(names, case))
