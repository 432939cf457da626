"""Letting a bug out, and catching it again."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType, TracebackType

from maskrcnn_edu.system.suggest import did_you_mean
from maskrcnn_edu.teaching.bugs.bug import Bug
from maskrcnn_edu.teaching.bugs.catalog import BUGS

ENVIRONMENT_VARIABLE = "MASKRCNN_EDU_BUG"
PACKAGE = "maskrcnn_edu"


class Release:
    """A bug that is out, until ``catch()`` or the end of a ``with`` block.

    Made by `release`; the ``with`` statement yields the `Bug`.
    """

    def __init__(self, bug: Bug):
        self.bug = bug
        self._undo = [_put(place, wrong) for place, wrong in bug.wrong.items()]
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
        ValueError: there is no such bug.
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


def release_from_environment() -> Bug | None:
    """Release the bug that the environment variable MASKRCNN_EDU_BUG names, for good.

    Nobody calls this unasked: an installed package does not change by a variable alone.

    Returns:
        The bug, or None if the variable is not set or empty.
    """
    name = os.environ.get(ENVIRONMENT_VARIABLE)
    return release(name).bug if name else None


# ---- replacing a function ---------------------------------------------------------


def _put(place: str, wrong: Callable) -> Callable[[], None]:
    """Put the wrong version in its place; the answer puts the right one back."""
    module_name, path = place.split(":")
    module = importlib.import_module(f"{PACKAGE}.{module_name}")
    *owner, name = path.split(".")
    if not owner:
        right = getattr(module, name)
        _replace_everywhere(right, wrong)
        # by the same search, so that a module imported in the meantime is put right as well
        return partial(_replace_everywhere, wrong, right)
    owner_class = getattr(module, owner[0])
    right = vars(owner_class)[name]
    setattr(owner_class, name, wrong)
    return partial(setattr, owner_class, name, right)


def _replace_everywhere(old: Callable, new: Callable) -> None:
    """Replace a function in all loaded modules of the package but this one."""
    for module in _loaded_modules():
        for name in [n for n, value in vars(module).items() if value is old]:
            setattr(module, name, new)


def _loaded_modules() -> list[ModuleType]:
    named = [(n, m) for n, m in sys.modules.items() if f"{n}.".startswith(f"{PACKAGE}.")]
    return [module for name, module in named if name != __name__]
