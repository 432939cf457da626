"""What a bug of the zoo is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """One mistake.

    Attributes:
        name: what `release` is called with.
        title: the mistake in a few words (ASCII, fits on a button).
        story: how one comes to make it, and what happens then.
        stage: the room of the package where it lives.
        wrong: for each place the wrong version. A place is ``module:function`` or
            ``module:Class.method``, the module without the package's name.
        tests: test files, from the repository's root, that should notice.
        notebooks: stems of the notebooks that should notice.
    """

    name: str
    title: str
    story: str
    stage: str
    wrong: dict[str, Callable]
    tests: tuple[str, ...]
    notebooks: tuple[str, ...]

    @property
    def where(self) -> str:
        """The place or places of the mistake, separated by commas."""
        return ", ".join(self.wrong)

    def source(self) -> str:
        """The Python text of the wrong versions, to be read next to the right ones."""
        return "\n\n".join(inspect.getsource(function) for function in self.wrong.values())
