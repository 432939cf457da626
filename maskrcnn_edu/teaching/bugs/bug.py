"""What a bug of the zoo is: a few words of the package's source, and the wrong words."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from maskrcnn_edu.teaching.bugs.place import Place


@dataclass(frozen=True)
class Patch:
    """One piece of text to replace in the source of one function.

    Attributes:
        place: ``module:function`` or ``module:Class.method``, the module without the
            package's name.
        old: text that stands exactly once in the function's source, indented as there.
        new: what takes its place.
    """

    place: str
    old: str
    new: str

    def apply(self, source: str) -> str:
        """The source text with the new words.

        Raises:
            ValueError: the old text does not stand there exactly once.
        """
        count = source.count(self.old)
        if count != 1:
            raise ValueError(f"{self.place} has {self.old!r} {count} times, not once")
        return source.replace(self.old, self.new)


@dataclass(frozen=True)
class Bug:
    """One mistake.

    Attributes:
        name: what `release` is called with.
        title: the mistake in a few words (ASCII, fits on a button).
        story: how one comes to make it, and what happens then.
        patches: what differs from the right source; those of one place are applied in turn.
        tests: test files, from the repository's root, that should notice.
        notebooks: stems of the notebooks that should notice.
    """

    name: str
    title: str
    story: str
    patches: tuple[Patch, ...]
    tests: tuple[str, ...]
    notebooks: tuple[str, ...]

    @property
    def places(self) -> list[str]:
        """The places of the mistake, each once."""
        return list(dict.fromkeys(patch.place for patch in self.patches))

    def patched(self, place: str, source: str) -> str:
        """The source text of one place with the mistake in it.

        Raises:
            ValueError: an old text does not stand there exactly once.
        """
        for patch in self.patches:
            if patch.place == place:
                source = patch.apply(source)
        return source

    def diff(self) -> str:
        """What the mistake changes, as a unified diff of each function, to be read."""
        parts = []
        for place in self.places:
            right = Place.find(place).source
            parts += [place, *_changed_lines(right, self.patched(place, right))]
        return "\n".join(parts)


def _changed_lines(right: str, wrong: str) -> Sequence[str]:
    """The lines of a diff, without the heads that name files and line numbers."""
    lines = difflib.unified_diff(right.splitlines(), wrong.splitlines(), n=1, lineterm="")
    return [line for line in lines if not line.startswith(("---", "+++", "@@"))]
