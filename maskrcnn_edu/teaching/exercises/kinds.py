"""Kinds of mistakes that any answer may have: another form, another order, other units.

Each kind changes the right result as the mistake would. An answer that equals the changed
result in every case has made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from maskrcnn_edu.system.language import say
from maskrcnn_edu.teaching.exercises.compare import difference, is_ragged
from maskrcnn_edu.teaching.exercises.exercise import Exercise

Change = Callable[[np.ndarray, tuple], Any]
"""Right result, arguments of the case -> what the mistake makes of it; may raise if nothing."""


def kind_of(exercise: Exercise, results: list, expected: list) -> str:
    """What is wrong with the form of an answer; empty if nothing that is known.

    Args:
        exercise: it says what its results are, and how exact.
        results: what the learner's function returned, case by case.
        expected: what it should have returned.
    """
    forms = (say(words) for words, looks in FORMS.items() if _all(looks, results, expected))
    return next(forms, "") or _changed(exercise, results, expected) or _shifted(results, expected)


def _all(looks: Callable[[Any, Any], bool], results: list, expected: list) -> bool:
    try:
        return all(looks(value, right) for value, right in zip(results, expected))
    except Exception:  # a learner's object may do anything
        return False


# ---- other forms --------------------------------------------------------------------


def _is_words(right: Any) -> bool:
    return not isinstance(right, Mapping) and not is_ragged(right) and _kind(right) == "U"


def _kind(right: Any) -> str:
    return np.asarray(right).dtype.kind


def _is_single(right: Any) -> bool:
    return not isinstance(right, Mapping) and not is_ragged(right) and np.ndim(right) == 0


def _has_other_shape(value: Any, right: Any) -> bool:
    value, right = np.asarray(value), np.asarray(right)
    return value.shape != right.shape and value.size > 1 and _same(value.ravel(), right.ravel())


FORMS: dict[str, Callable[[Any, Any], bool]] = {
    "it returns text; return what the text says": (
        lambda value, right: isinstance(value, (str, bytes)) and not _is_words(right)
    ),
    "it returns a set, which has no order; return a list": (
        lambda value, right: isinstance(value, (set, frozenset))
    ),
    "it returns a generator; make a list of it": lambda value, right: isinstance(value, Iterator),
    "it returns a function; call it": lambda value, right: callable(value),
    "it returns a dict; that is not asked for": (
        lambda value, right: isinstance(value, Mapping) and not isinstance(right, Mapping)
    ),
    "one number is wanted, not several": (
        lambda value, right: _is_single(right) and np.size(value) > 1
    ),
    "several numbers are wanted, not one": (
        lambda value, right: np.ndim(value) == 0 and not _is_single(right)
    ),
    "the numbers are right, their shape is not": _has_other_shape,
}
"""What a look at value and right result tells, whatever the exercise."""


# ---- other order, other units -------------------------------------------------------


def _rounded(digits: int = 0, how: Callable[[np.ndarray], np.ndarray] = np.rint) -> Change:
    """The change of all numbers, also of a tuple of arrays."""

    def change(right: Any, case: tuple) -> Any:
        parts = right if is_ragged(right) else [right]
        rounded = [how(np.asarray(part) * 10.0**digits) / 10.0**digits for part in parts]
        return rounded if is_ragged(right) else rounded[0]

    return change


def _as_sides(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], axis=-1)


def _as_centre(boxes: np.ndarray) -> np.ndarray:
    sides = boxes[..., 2:] - boxes[..., :2]
    return np.concatenate([boxes[..., :2] + sides / 2, sides], axis=-1)


def _as_mask(rows: Any, count: int) -> np.ndarray:
    return np.isin(np.arange(count), rows)


EVERY: dict[str, Change] = {
    "the numbers are rounded; keep their fractions": _rounded(),
    "the numbers are rounded down; keep their fractions": _rounded(how=np.floor),
    **{f"the numbers are rounded to {n} decimals; keep them all": _rounded(n) for n in (1, 2, 3)},
    "rows and columns are swapped": lambda right, case: right.T,
    "everything is there, in reversed order": lambda right, case: right[::-1],
}
"""Words for a mistake that any result may have -> what it makes of the right result."""

CHANGES: dict[str, dict[str, Change]] = {
    "numbers": {},  # or words
    "share": {"the answer is in per cent; give a share, 0 to 1": lambda right, case: 100 * right},
    "boxes": {
        "return corners x1, y1, x2, y2, not x, y, width, height": (
            lambda right, case: _as_sides(right)
        ),
        "return corners x1, y1, x2, y2, not centre and size": lambda right, case: _as_centre(right),
        "x goes before y: x1, y1, x2, y2": lambda right, case: right[..., [1, 0, 3, 2]],
        "corner by corner: x1, y1, x2, y2, not x1, x2, y1, y2": (
            lambda right, case: right[..., [0, 2, 1, 3]]
        ),
    },
    "deltas": {
        "x and y are swapped: dx, dy, dw, dh": lambda right, case: right[..., [1, 0, 3, 2]],
        "the order is dx, dy, dw, dh": lambda right, case: right[..., [0, 2, 1, 3]],
    },
    "rows": {
        "give the rows, not True and False for every box": (
            lambda right, case: _as_mask(right, len(case[0]))
        ),
        "give the rows, not what stands in them": lambda right, case: case[0][right],
        "give the rows, not their scores": lambda right, case: case[1][right],
        "give the rows, not how many there are": lambda right, case: len(right),
        "give the rows that stay, not those that go": (
            lambda right, case: np.flatnonzero(~_as_mask(right, len(case[0])))
        ),
    },
    "pair": {
        "the two parts are in the wrong order": lambda right, case: right[::-1],
        "return two parts, not all in one": lambda right, case: np.concatenate([*right]),
        "give the rows, not True and False for every row": (
            lambda right, case: [_as_mask(part, len(case[0])) for part in right]
        ),
        "give the rows, not what stands in them": (
            lambda right, case: [case[0][part] for part in right]
        ),
        "give the rows, not how many there are": lambda right, case: [len(part) for part in right],
    },
    "mask": {
        "inside is 1, outside is 0": lambda right, case: 1 - right,
        "it is upside down: row 0 is at the top": lambda right, case: right[::-1],
        "left and right are swapped": lambda right, case: right[:, ::-1],
    },
    "size": {"height goes first, then width": lambda right, case: right[::-1]},
}
"""What a result is -> words for a mistake -> what it makes of the right result."""


def _changed(exercise: Exercise, results: list, expected: list) -> str:
    for words, change in {**CHANGES[exercise.gives], **EVERY}.items():
        try:
            pairs = zip(expected, exercise.cases)
            changed = [change(_array(right), case) for right, case in pairs]
        except Exception:  # this change has no meaning for this result
            continue
        if not any(difference(v, c, exercise.tolerance) for v, c in zip(results, changed)):
            return say(words)
    return ""


def _array(right: Any) -> Any:
    return right if is_ragged(right) else np.asarray(right)


def _same(value: np.ndarray, right: np.ndarray) -> bool:
    return np.allclose(value, right, rtol=1e-4, atol=1e-4 * np.abs(right).max())


# ---- all numbers off by the same ----------------------------------------------------


def _shifted(results: list, expected: list) -> str:
    """Whether all numbers of all cases are off by one term, or by one factor."""
    try:
        pairs = [(np.asarray(v, float), np.asarray(r, float)) for v, r in zip(results, expected)]
        if any(value.shape != right.shape for value, right in pairs):
            return ""
        value, right = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in range(2))
        return _words_for_shift(value, right)
    except Exception:  # they are no numbers
        return ""


def _words_for_shift(value: np.ndarray, right: np.ndarray) -> str:
    if len(np.unique(right.round(4))) < 3 or not np.isfinite(value).all():
        return ""
    term = (value - right).mean()
    if _same(value, right + term):
        if term > 0:
            return say("all numbers are too large by {n:.4g}").format(n=term)
        return say("all numbers are too small by {n:.4g}").format(n=-term)
    factor = (value * right).sum() / (right * right).sum()
    if abs(factor) < 1e-9 or not _same(value, right * factor):
        return ""
    if abs(factor + 1) < 1e-4:
        return say("the sign is wrong")
    return say("all numbers are {n:.4g} times the right").format(n=factor)
