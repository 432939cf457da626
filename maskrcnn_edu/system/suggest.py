"""The nearest known word, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown word: the one that was probably meant."""
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.4)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
