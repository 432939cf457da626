"""Comparing what a learner's function returns with what it should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskrcnn_edu.system.language import say

LONGEST = 400  # characters of a value in a message


def difference(value: Any, expected: Any, tolerance: float) -> str:
    """Where two results differ first, in words; empty if they do not.

    Lists, tuples, arrays and tensors of the same numbers count as equal. Words are
    compared as they are.

    Args:
        value: what the learner's function returned: anything at all.
        expected: numbers, words, arrays, or lists and dicts of them.
        tolerance: how far a number may be off, absolute or as a share of it.
    """
    if isinstance(expected, Mapping):
        return _first_of_mapping(value, expected, tolerance)
    if is_ragged(expected):
        return _first_of_parts(value, expected, tolerance)
    try:
        given, wanted = np.asarray(value), np.asarray(expected)
        if given.dtype == object or (given.dtype.kind in "US") != (wanted.dtype.kind in "US"):
            return _both(shown(value), shown(expected))
        return _first_of_arrays(given, wanted, tolerance)
    except Exception:  # whatever a learner's own object does
        return _both(shown(value), shown(expected))


def _both(value: str, expected: str) -> str:
    return say("yours is {value}, expected {expected}").format(value=value, expected=expected)


def is_ragged(expected: Any) -> bool:
    """Whether this is a list whose parts do not make one array."""
    if not isinstance(expected, (list, tuple)):
        return False
    return len({np.shape(part) for part in expected}) > 1


def _first_of_mapping(value: Any, expected: Mapping, tolerance: float) -> str:
    if not isinstance(value, Mapping):
        wanted = say("a dict with {keys}").format(keys=", ".join(map(str, expected)))
        return _both(shown(value), wanted)
    if set(value) != set(expected):
        words = say("your keys are {keys}, expected {expected}")
        return words.format(keys=shown(list(value)), expected=shown(list(expected)))
    differences = ((key, difference(value[key], expected[key], tolerance)) for key in expected)
    return next((f"{key}: {text}" for key, text in differences if text), "")


def _first_of_parts(value: Any, expected: list | tuple, tolerance: float) -> str:
    if not isinstance(value, (list, tuple, np.ndarray)) or len(value) != len(expected):
        words = say("{n} parts: {parts}")
        return _both(shown(value), words.format(n=len(expected), parts=shown(expected)))
    differences = (difference(v, e, tolerance) for v, e in zip(value, expected))
    return next(
        (say("part {i}: ").format(i=i) + text for i, text in enumerate(differences) if text), ""
    )


def _first_of_arrays(given: np.ndarray, wanted: np.ndarray, tolerance: float) -> str:
    if given.size == wanted.size == 0:
        return ""
    if given.shape != wanted.shape:
        shaped = say("{value} of shape {shape}")
        return _both(*(shaped.format(value=shown(a), shape=list(a.shape)) for a in (given, wanted)))
    if wanted.dtype.kind in "US":
        same = given == wanted
    else:
        given, wanted = given.astype(np.float64), wanted.astype(np.float64)
        same = np.isclose(given, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
    if same.all():
        return ""
    where = tuple(int(i) for i in np.argwhere(~same)[0])
    place = say("at {place} ").format(place=list(where)) if where else ""
    return place + _both(shown(given[where]), shown(wanted[where]))


def shown(value: Any) -> str:
    """A value on one line, rounded and not too long; never raises."""
    try:
        return _cut(_text(value))
    except Exception:
        return say("a {kind}").format(kind=type(value).__name__)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_text, value)) + "]"
    if hasattr(value, "numpy"):  # a tensor would print its device
        value = value.numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        return _text(value.tolist())
    return f"{value:.5g}" if isinstance(value, float) else repr(value)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST] + " ..."
