"""Types of parameters that also say which values make sense.

An impossible value is refused where a part is built; the message begins with the parameter.
"""

from __future__ import annotations

import functools
import inspect
import math
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple


class Range(NamedTuple):
    """Which numbers make sense: in words, and as a test that NaN does not pass."""

    words: str
    includes: Callable[[float], bool]


class Length(int):
    """How many numbers a list must have."""


FROM_0 = Range("at least 0", lambda value: value >= 0)
OR_OFF = Range("0 .. 1, or -1 for no such limit", lambda value: value == -1 or 0 <= value <= 1)

Count = Annotated[int, Range("at least 1", lambda value: value >= 1)]
CountOrAll = Annotated[int, Range("positive, or -1 for all", lambda n: n == -1 or n > 0)]
Whole = Annotated[int, FROM_0]
FromMinus1 = Annotated[int, Range("at least -1", lambda value: value >= -1)]
ZeroOrOne = Annotated[int, Range("0 or 1", lambda value: value in (0, 1))]

NotNegative = Annotated[float, FROM_0]
Positive = Annotated[float, Range("above 0", lambda value: 0 < value < math.inf)]
AtMost1 = Annotated[float, Range("at most 1", lambda value: value <= 1)]
Share = Annotated[float, Range("0 .. 1", lambda value: 0 <= value <= 1)]
ShareAbove0 = Annotated[float, Range("above 0 and at most 1", lambda value: 0 < value <= 1)]
ShareBetween = Annotated[float, Range("between 0 and 1", lambda value: 0 < value < 1)]
ShareOrOff = Annotated[float, OR_OFF]
FourFactors = Annotated[Sequence[Positive], Length(4)]


def check(function: Callable, values: dict[str, Any], place: str = "") -> None:
    """Raises ValueError for a value beyond the range of its parameter; of lists, for any number.

    Args:
        function: its parameters' types are looked at (a dataclass: its fields').
        values: by parameter; None, and what has no range, may be anything.
        place: what the parameter's name in the message begins with.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    for name, value in values.items():
        for allowed in _ranges(hints.get(name)):
            if isinstance(allowed, Length):
                if len(value) != allowed:
                    raise ValueError(f"{place}{name} must be {allowed} numbers, got {list(value)}")
                continue
            for where, number in _numbers(place + name, value):
                if not allowed.includes(number):
                    raise ValueError(f"{where} must be {allowed.words}, got {number}")


def _ranges(hint: Any) -> list[Range | Length]:
    """The ranges in a type, in ``Positive | Sequence[Positive]`` two equal ones."""
    own = list(getattr(hint, "__metadata__", ()))
    return own + [found for part in typing.get_args(hint) for found in _ranges(part)]


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """A number, or those of a list at any depth, and where each is: ``cascade_iou.1``."""
    if isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            yield from _numbers(f"{name}.{i}", item)
    elif value is not None:
        yield name, value


class Checked:
    """A dataclass whose fields are checked when it is made."""

    def __post_init__(self):
        check(type(self), vars(self))


def checked(constructor: Callable[..., None]) -> Callable[..., None]:
    """A constructor that checks its arguments first."""

    @functools.wraps(constructor)
    def build(*args: Any, **kwargs: Any) -> None:
        check(constructor, inspect.signature(constructor).bind(*args, **kwargs).arguments)
        constructor(*args, **kwargs)

    return build


def in_order(**values: float) -> None:
    """Raises ValueError if the first value is larger than the second."""
    (low_name, low), (high_name, high) = values.items()
    if not low <= high:
        raise ValueError(f"{low_name} ({low}) must not exceed {high_name} ({high})")
