"""The right answers, read from the notebooks, and answers that make a known mistake."""

from __future__ import annotations

import importlib
import json
import math
import textwrap
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_edu.teaching import student

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

Patch = tuple[str, ...]
"""Old text, new text, old text, new text ... of a right answer."""


@lru_cache(maxsize=1)
def cells() -> dict[str, str]:
    """Name of an exercise -> source of its notebook cell, the answer between the marks."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            if student.BEGIN in source:
                found[source.removeprefix("def ").partition("(")[0]] = source
    return found


def solution(name: str) -> str:
    """Source text of the right answer."""
    marks = (student.BEGIN, student.END)
    return "\n".join(x for x in cells()[name].split("\n") if x.strip() not in marks) + "\n"


def stub(name: str) -> str:
    """Source text of the unattempted exercise, as nbgrader makes it."""
    return student.stub(cells()[name]) + "\n"


def mistakes(name: str) -> dict[str, list[Patch]]:
    """Words for a mistake -> the patches of the right answer that make it."""
    for path in sorted((Path(__file__).parent / "mistakes").glob("nb*.py")):
        found = importlib.import_module(f"instructor.mistakes.{path.stem}").MISTAKES
        if name in found:
            patches = found[name].items()
            return {words: p if isinstance(p, list) else [p] for words, p in patches}
    return {}


def wrong_answers(name: str) -> Iterator[tuple[str, str]]:
    """(words for the mistake, source text of an answer that makes it), every version of it.

    Raises:
        ValueError: a patch replaces text that the right answer does not contain.
    """
    for words, patches in mistakes(name).items():
        for patch in patches:
            yield words, _patched(solution(name), patch, f"{name}, {words!r}")


def _patched(source: str, patch: Patch, where: str) -> str:
    if len(patch) == 1:  # another body altogether
        end = source.index('"""', source.index('"""') + 3) + 3
        return source[:end] + "\n" + textwrap.indent(textwrap.dedent(patch[0]).strip(), "    ")
    for old, new in zip(patch[::2], patch[1::2]):
        if old not in source:
            raise ValueError(f"{where}: the answer does not contain {old!r}")
        source = source.replace(old, new)
    return source


def compiled(name: str, source: str) -> Callable[..., Any]:
    """The function of that name in a source text that knows ``np`` and ``math``."""
    names: dict[str, Any] = {"np": np, "math": math}
    exec(source, names)
    return names[name]
