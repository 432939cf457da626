"""Letting a bug out, and catching it again.

    with release("anchors_xy_swapped"):
        ...  # the package makes this mistake until the block ends

The wrong version of a function is compiled from its patched source and replaces the right
one wherever a module of the package has it, so stages that imported it by name make the
mistake as well. A name that a notebook or a test has imported itself stays right: call the
stage, or write ``boxes.nms`` instead of ``nms``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType, TracebackType

from maskrcnn_edu.system.suggest import did_you_mean
from maskrcnn_edu.teaching.bugs.bug import Bug
from maskrcnn_edu.teaching.bugs.catalog import BUGS
from maskrcnn_edu.teaching.bugs.place import PACKAGE, Place

ENVIRONMENT_VARIABLE = "MASKRCNN_EDU_BUG"


class Release:
    """A bug that is out, until ``catch()`` or the end of a ``with`` block.

    Made by `release`; the ``with`` statement yields the `Bug`.

    Raises:
        ValueError: the source text of a place is not what the bug's patches expect; then
            nothing has been replaced.
    """

    def __init__(self, bug: Bug):
        self.bug = bug
        places = {name: Place.find(name) for name in bug.places}
        wrong = [(p, p.compiled(bug.patched(n, p.source), bug.name)) for n, p in places.items()]
        self._undo = [_put(place, function) for place, function in wrong]
        _OUT.append(self)

    def catch(self) -> None:
        """Put the right functions back; nothing happens the second time.

        Raises:
            RuntimeError: a bug that was released later is still out.
        """
        if self not in _OUT:
            return
        if _OUT[-1] is not self:
            raise RuntimeError(f"catch {_OUT[-1].bug.name!r} before {self.bug.name!r}")
        for undo in reversed(self._undo):
            undo()
        _OUT.remove(self)

    def __enter__(self) -> Bug:
        return self.bug

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.catch()


_OUT: list[Release] = []


def release(name: str, together: bool = False) -> Release:
    """Let a bug out, at once and in the whole process.

    Args:
        name: one of `BUGS`.
        together: allow it while another bug is out; they are caught in reverse order.

    Returns:
        What to call ``catch()`` on, or to use in a ``with`` statement.

    Raises:
        ValueError: there is no such bug; or, with another one out, its words are gone.
        RuntimeError: another bug is out, and ``together`` is off; or this one is out.
    """
    if name not in BUGS:
        raise ValueError(f"there is no bug {name!r}{did_you_mean(name, BUGS)}")
    if name in released() or (_OUT and not together):
        raise RuntimeError(f"cannot release {name!r}: {', '.join(released())} is out already")
    return Release(BUGS[name])


def released() -> list[str]:
    """The names of the bugs that are out, in the order of their release."""
    return [each.bug.name for each in _OUT]


def release_from_environment() -> Release | None:
    """Release the bug that the environment variable MASKRCNN_EDU_BUG names.

    Nobody calls this unasked: an installed package does not change by a variable alone.

    Returns:
        As `release`, or None if the variable is not set or empty.
    """
    name = os.environ.get(ENVIRONMENT_VARIABLE)
    return release(name) if name else None


# ---- replacing a function ---------------------------------------------------------


def _put(place: Place, wrong: Callable) -> Callable[[], None]:
    """Put the wrong version in its place; the answer puts the right one back."""
    right = place.function
    if place.owner is not None:
        setattr(place.owner, place.name, wrong)
        return partial(setattr, place.owner, place.name, right)
    _replace_everywhere(right, wrong)
    # by the same search, so that a module imported in the meantime is put right as well
    return partial(_replace_everywhere, wrong, right)


def _replace_everywhere(old: Callable, new: Callable) -> None:
    """Replace a function in all loaded modules of the package."""
    for module in _loaded_modules():
        for name in [n for n, value in vars(module).items() if value is old]:
            setattr(module, name, new)


def _loaded_modules() -> list[ModuleType]:
    named = list(sys.modules.items())
    return [module for name, module in named if f"{name}.".startswith(f"{PACKAGE}.")]
