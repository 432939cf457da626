"""The nearest known word, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from maskrcnn_edu.system.language import say


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown word: the one that was probably meant, or all
    of those that are known.
    """
    return nearest(word, known) or say("; known are {words}").format(words=", ".join(known))


def nearest(word: str, known: Iterable[str]) -> str:
    """The same for a message that names the known words itself; empty if none is near."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.4)
    return say("; did you mean {word}?").format(word=near[0]) if near else ""
