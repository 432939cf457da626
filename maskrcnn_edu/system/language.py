"""The language of pictures, widgets and verdicts: English, or Chinese by a small table.

English stands in the code, ``say("{n} anchors").format(n=...)``; `TABLES` have the rest. So that
they can be compared, ``say`` is given literals, or words of a file of data.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

VARIABLE = "MASKRCNN_EDU_LANG"
TABLES = {"zh": Path(__file__).with_name("words.zh.yml")}
"""Language -> file of its words: English -> that language."""


def language() -> str:
    """``en``, or a key of `TABLES`: what the environment variable MASKRCNN_EDU_LANG says.

    Raises:
        ValueError: it says something else.
    """
    chosen = os.environ.get(VARIABLE) or "en"
    if chosen != "en" and chosen not in TABLES:
        raise ValueError(f"{VARIABLE} is {chosen!r}; choose one of {', '.join(['en', *TABLES])}")
    return chosen


def say(text: str) -> str:
    """A text in the language that is chosen; a template keeps its ``{fields}``.

    Raises:
        KeyError: the language's table has no such text.
        ValueError: there is no such language.
    """
    chosen = language()
    if chosen == "en":
        return text
    if text not in words(chosen):
        raise KeyError(f"{TABLES[chosen].name} has no translation of {text!r}")
    return words(chosen)[text]


@lru_cache
def words(chosen: str) -> dict[str, str]:
    """The table of a language."""
    import yaml  # without it the command still writes a course

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(TABLES[chosen].read_text(encoding="utf-8"), loader)
