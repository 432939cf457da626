"""The words of a command line, before they are parsed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

KEY_VALUE = re.compile(r"[A-Za-z]\w*(\.\w+)*=")


def with_home(argument: str) -> str:
    """``~`` at the start of a path is the home folder, after ``--option=`` and ``KEY=`` too.

    The shell leaves it alone there, and where there is no shell.
    """
    option, path = re.fullmatch(r"((?:--)?(?:[\w.-]+=)+)?(.*)", argument, re.DOTALL).groups("")
    return option + os.path.expanduser(path)


def one_set_for_each(arguments: Iterable[str]) -> list[str]:
    """``-o A=1 B=2``, as PaddleDetection has it, becomes ``-o A=1 -o B=2``.

    What follows and is no ``KEY=VALUE`` is left alone: it may be an image.
    """
    spread: list[str] = []
    for word in arguments:
        goes_on = len(spread) > 1 and spread[-2] in ("--set", "-o") and KEY_VALUE.match(word)
        spread += [spread[-2], word] if goes_on else [word]
    return spread
