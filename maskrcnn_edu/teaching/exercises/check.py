"""check: what is wrong with a learner's answer?"""

from __future__ import annotations

import inspect
import json
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from maskrcnn_edu.system.language import say
from maskrcnn_edu.system.suggest import did_you_mean
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
from maskrcnn_edu.teaching.exercises import outcome as run
from maskrcnn_edu.teaching.exercises.compare import difference, shown
from maskrcnn_edu.teaching.exercises.exercise import Exercise
from maskrcnn_edu.teaching.exercises.hunts import HUNTS, judge_guess
from maskrcnn_edu.teaching.exercises.kinds import kind_of

_NOTEBOOKS = (
    nb00_tour, nb01_data, nb02_anchors, nb03_rpn, nb04_bbox_assigner, nb05_roi_align,
    nb06_bbox_head, nb07_mask_targets, nb08_mask_head, nb09_train, nb10_evaluate,
    nb11_your_own_photos,
)  # fmt: skip

EXERCISES: dict[str, Exercise] = {e.name: e for module in _NOTEBOOKS for e in module.EXERCISES}
"""All exercises by name, in the order of the notebooks."""

MISTAKES = Path(__file__).parent / "mistakes.json"


class Verdict(str):
    """The checker's answer: plain text, shown without quotes at the end of a cell."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    @property
    def is_right(self) -> bool:
        """Whether the exercise is solved."""
        return self.startswith(say("right: "))


class _Blank(Exception):
    """The learner has not written anything yet."""


class _Failed(Exception):
    """The learner's function gave nothing to judge; the message says why, and on which input."""


def check(name: str, answer: Any, seed: str | int | None = None) -> Verdict:
    """Judge a learner's function.

    Args:
        name: of the exercise, a key of `EXERCISES`, or of
            `maskrcnn_edu.teaching.exercises.hunts.HUNTS`.
        answer: the learner's function (in a hunt: the bug or its file); None or ``...`` if
            there is none yet.
        seed: of the hidden cases, see `maskrcnn_edu.teaching.exercises.exercise.random_of`.

    Returns:
        "not attempted", "right: ..." with what it shows, or "not yet: ..." with the name
        of the mistake (where it is a known one), the input and the first difference.
        Nothing that the learner's function does makes this raise.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    exercise = EXERCISES.get(str(name))
    if exercise is None and str(name) not in HUNTS:
        known = [*EXERCISES, *HUNTS]
        words = say("there is no exercise {name!r}").format(name=str(name))
        return Verdict(words + did_you_mean(name, known))
    if answer is None or answer is ...:
        return Verdict(say("not attempted"))
    if exercise is None:
        return Verdict(judge_guess(name, answer, seed))
    fault = _fault(exercise, answer)
    if fault:
        return _not_yet(fault)
    try:
        return _judge(exercise, answer, seed)
    except _Blank:
        return Verdict(say("not attempted"))
    except _Failed as failure:
        return _not_yet(str(failure))


def _not_yet(words: str) -> Verdict:
    return Verdict(say("not yet: ") + words)


def _fault(exercise: Exercise, answer: Any) -> str:
    """What can be said without calling it; empty if it can be called."""
    name, wanted = exercise.name, exercise.arguments
    if not callable(answer):
        words = say("hand over the function itself, as in {call}: {answer} is none")
        return words.format(call=f"check({name!r}, {name})", answer=shown(answer))
    if str(getattr(answer, "__module__", "")).startswith("maskrcnn_edu."):
        return say("this is a function of the package; write your own")
    try:
        signature = inspect.signature(answer)
        signature.bind(*wanted)
    except TypeError:
        words = say("it is called with {n} arguments ({names}); yours takes {m} {signature}")
        m = len(signature.parameters)
        return words.format(n=len(wanted), names=", ".join(wanted), m=m, signature=signature)
    except Exception:  # a function written in C does not say
        return ""
    return ""


def _judge(exercise: Exercise, answer: Callable[..., Any], seed: str | int | None) -> Verdict:
    results = [_result(exercise, answer, case) for case in exercise.cases]
    expected = [exercise.truth(*case) for case in exercise.cases]
    differences = [difference(r, e, exercise.tolerance) for r, e in zip(results, expected)]
    colon = say(": ")
    for case, text in zip(exercise.cases, differences):
        if text:
            words = _mistake(exercise, results, expected) or _fickle(exercise, answer, case)
            return _not_yet(f"{words}{_call(exercise, case)}{colon}{text}")
    for case in exercise.hidden_cases(seed):
        result = _result(exercise, answer, case)
        text = difference(result, exercise.truth(*case), exercise.tolerance)
        if text:
            words = say("right in the first cases, but not in all")
            return _not_yet(f"{words}\n{_call(exercise, case)}{colon}{text}")
    return Verdict(say("right: ") + say(exercise.shows))


def _mistake(exercise: Exercise, results: list, expected: list) -> str:
    """A line with the mistake that gives the same results; empty if none is known to."""
    for words, versions in _known(exercise.name).items():
        for version in versions:  # None stands where the mistake makes no difference
            wrong = [e if v is None else v for v, e in zip(version, expected)]
            if not any(difference(r, w, exercise.tolerance) for r, w in zip(results, wrong)):
                return say(words) + "\n"
    words = kind_of(exercise, results, expected)
    return f"{words}\n" if words else ""


def _fickle(exercise: Exercise, answer: Callable[..., Any], case: tuple) -> str:
    """A line for an answer that is not the same twice; empty otherwise."""
    first, second = (_result(exercise, answer, case) for _ in range(2))
    if difference(first, first, 0) or not difference(second, first, exercise.tolerance):
        return ""
    return say("called twice with the same arguments it gives two results") + "\n"


@lru_cache(maxsize=1)
def _all_known() -> dict:
    return json.loads(MISTAKES.read_text(encoding="utf-8"))


def _known(name: str) -> dict[str, list[list]]:
    """Words for a mistake -> its results for the cases, in one version or several."""
    return _all_known().get(name, {})


def _result(exercise: Exercise, answer: Callable[..., Any], case: tuple) -> Any:
    """What the learner's function returns."""
    outcome = run.outcome_of(answer, case)
    if run.is_blank(answer, outcome):
        raise _Blank
    if not outcome.ended:
        words = say("it did not end within {n:g} seconds: is there a loop without end?")
        raise _Failed(f"{words.format(n=run.TIME_LIMIT)}\n{_call(exercise, case)}")
    if outcome.error is not None:
        words = traceback.format_exception_only(outcome.error)[-1].strip()
        words = say("it raised {error}").format(error=words)
        raise _Failed(f"{words}\n{_call(exercise, case)}")
    if outcome.value is None:
        printed = say("it prints its answer, but returns None: return it")
        words = printed if outcome.printed else say("it returns None: is a return missing?")
        raise _Failed(f"{words}\n{_call(exercise, case)}")
    return outcome.value


def _call(exercise: Exercise, case: tuple) -> str:
    """The arguments of a call with their names, for a message."""
    pairs = zip(exercise.arguments, case)
    return say("for ") + ", ".join(f"{name} = {shown(value)}" for name, value in pairs)
