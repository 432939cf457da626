"""What happens when a learner's function is called: a value, an error, a text, or no end."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import inspect
import sys
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

TIME_LIMIT = 5.0  # seconds for one call
PATIENCE = 1.0  # seconds until a call that was told to stop is left alone
LOOK = 0.05  # seconds; waiting in one piece would not hear Ctrl-C on Windows


@dataclass
class Outcome:
    """What one call came to.

    Attributes:
        value: what it returned.
        error: what it raised, Ctrl-C and exit included; None if nothing.
        printed: what it printed.
        ended: whether it came to an end within `TIME_LIMIT`.
    """

    value: Any = None
    error: BaseException | None = None
    printed: str = ""
    ended: bool = False


class _Stop(BaseException):
    """Raised within a call that takes too long; ``except Exception`` does not hold it."""


class _Heard:
    """Standard output that is passed on, and remembered."""

    def __init__(self, out: Any):
        self.out = out
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return self.out.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.out, name)


def outcome_of(function: Callable[..., Any], case: tuple) -> Outcome:
    """Call a function with a copy of the arguments, in a thread of its own.

    So an exit or a KeyboardInterrupt that the function raises ends nothing but the call,
    a real Ctrl-C reaches the caller, and an endless loop can be stopped on every system.
    Only a loop within C code cannot; it is left running.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    outcome, done = Outcome(), threading.Event()
    worker = threading.Thread(target=_work, args=(function, case, outcome, done), daemon=True)
    with warnings.catch_warnings(), contextlib.redirect_stdout(_Heard(sys.stdout)) as heard:
        warnings.simplefilter("ignore")
        try:
            worker.start()
            _wait(done)
            outcome = copy.copy(outcome)  # as it is now
        finally:
            _stop(worker, done)
    outcome.printed = heard.text
    return outcome


def _work(
    function: Callable[..., Any], case: tuple, outcome: Outcome, done: threading.Event
) -> None:
    try:
        with np.errstate(all="ignore"):
            outcome.value = function(*copy.deepcopy(case))
    except BaseException as error:
        outcome.error = error
    finally:
        outcome.ended = True
        done.set()


def _wait(done: threading.Event) -> None:
    """As ``Thread.join``, which after Ctrl-C takes a thread for ended that is not."""
    end = time.monotonic() + TIME_LIMIT
    while not done.is_set() and time.monotonic() < end:
        done.wait(LOOK)


def _stop(worker: threading.Thread, done: threading.Event) -> None:
    """Raise `_Stop` within the thread, again and again: it may be held by a bare ``except``."""
    end = time.monotonic() + PATIENCE
    while not done.is_set() and time.monotonic() < end:
        ident, stop = ctypes.c_ulong(worker.ident or 0), ctypes.py_object(_Stop)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, stop)
        done.wait(LOOK)


def is_blank(function: Callable[..., Any], outcome: Outcome) -> bool:
    """Whether the learner has not written anything yet: a body of ``pass``, or the stub's.

    An own NotImplementedError in another function is an error like any other.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None or code.co_nlocals > len(inspect.signature(function).parameters):
        return False
    if not {*code.co_names, *code.co_freevars} <= {"NotImplementedError"}:
        return False
    if outcome.error is not None:
        return isinstance(outcome.error, NotImplementedError)
    return outcome.ended and (outcome.value is None or outcome.value is ...)
