"""What is wrong with a dataset: one record for each thing, and their table.

`validation` says what is wrong with an annotation file, `image_file` what is wrong with an
image, the importers what is wrong with another tool's files: each with a message and a fix.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import reprlib
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NAME_OR_NUMBER = re.compile(r'"[^"]*"|\d[\d.,]*')
"""What differs between two issues of one kind."""

COLUMNS = (28, 12, 56, 44)  # characters: image, annotation, issue, fix


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong, and what to do about it.

    Attributes:
        image: its file name, or the place in the file that stands for it; None if no image
            is concerned.
        annotation: its id, or the place in the file if it has none; None if no annotation
            is concerned.
        message: what is wrong, and what becomes of it if that is not plain.
        fix: what to do.
    """

    image: str | None
    annotation: int | str | None
    message: str
    fix: str

    @property
    def place(self) -> str:
        """Image and annotation, as far as there are any."""
        place = [] if self.image is None else [self.image]
        if self.annotation is not None:
            place.append(f"annotation {self.annotation}")
        return ", ".join(place)

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.message}; {self.fix}"


class InvalidAnnotation(ValueError):
    """Why one entry of a file cannot be used.

    Attributes:
        message: what is wrong.
        fix: what to do.
    """

    def __init__(self, message: str, fix: str):
        super().__init__(f"{message}; {fix}")
        self.message, self.fix = message, fix


class UnreadableImage(OSError):
    """An image file that is missing, broken, or of another size than the annotations say.

    Attributes:
        message: what is wrong, without the file's name.
        fix: what to do.
    """

    def __init__(self, path: str | Path, message: str, fix: str):
        super().__init__(f"{path}: {message}; {fix}")
        self.message, self.fix = message, fix


class LeftOutWarning(UserWarning):
    """An image is left out, and the work goes on without it."""


@contextlib.contextmanager
def collect_issue(
    issues: list[Issue], image: str | None, annotation: int | str | None = None
) -> Iterator[None]:
    """What makes an entry or an image unusable becomes an issue; the rest is used.

    Args:
        issues: what an `InvalidAnnotation` or `UnreadableImage` is added to.
        image, annotation: see `Issue`.
    """
    try:
        yield
    except (InvalidAnnotation, UnreadableImage) as reason:
        issues.append(Issue(image, annotation, reason.message, reason.fix))


def shorten(value: object) -> str:
    """A value of a file as a message can hold it: short, and on one line."""
    if isinstance(value, str) and value.strip() and value.isprintable() and len(value) <= 80:
        return value
    text = reprlib.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def summarize(issues: Sequence[Issue], name: str, examples: int = 3) -> str:
    """The issues of a file called ``name``: a line for each kind; what concerns all comes last."""
    if not issues:
        return ""
    count = f"{len(issues)} problem{'s' if len(issues) > 1 else ''}"
    more = "; `maskrcnn-edu data check` lists them" if len(issues) > 1 else ""
    return "\n".join([f"{name}: {count}{more}", *(f"  {line}" for line in kinds(issues, examples))])


def kinds(issues: Sequence[Issue], examples: int = 3) -> list[str]:
    """A line for each kind of issue: how many there are, and where the first ones are.

    Issues are of one kind if only names and numbers differ. The kinds come in the order of
    their first issue, those that concern no single image last.
    """
    found: dict[str, list[Issue]] = {}
    for issue in last_for_all(issues):
        text = f"{issue.message}; {issue.fix}"
        found.setdefault(NAME_OR_NUMBER.sub("#", text), []).append(issue)
    lines = []
    for first, *more in found.values():
        if not more:
            lines.append(str(first))
            continue
        places = [place for each in (first, *more)[:examples] if (place := each.place)]
        etc = ", ..." if len(more) >= examples else ""
        where = f" ({'; '.join(places)}{etc})" if places else ""
        lines.append(f"{len(more) + 1} x {first.message}; {first.fix}{where}")
    return lines


def last_for_all(issues: Sequence[Issue]) -> list[Issue]:
    """In the same order, but what concerns no single image or annotation at the end."""
    return sorted(issues, key=lambda each: each.image is None and each.annotation is None)


def table(issues: Sequence[Issue], limit: int = 50) -> str:
    """The issues as text in four columns, long ones wrapped.

    Args:
        issues: in the order of the rows.
        limit: at most so many rows; below them is a line for each kind of issue.
    """
    rows = [("image", "annotation", "issue", "fix")]
    for issue in last_for_all(issues)[:limit]:
        annotation = "" if issue.annotation is None else str(issue.annotation)
        rows.append((issue.image or "", annotation, issue.message, issue.fix))
    wrapped = [[textwrap.wrap(t, w) for t, w in zip(row, COLUMNS)] for row in rows]
    widths = [max(len(line) for row in wrapped for line in row[c] or [""]) for c in range(4)]
    lines = []
    for row in wrapped:
        for cells in itertools.zip_longest(*row, fillvalue=""):
            lines.append("  ".join(t.ljust(w) for t, w in zip(cells, widths)).rstrip())
    if len(issues) > limit:
        lines += [f"... and {len(issues) - limit} more; all {len(issues)} by kind:", *kinds(issues)]
    return "\n".join(lines)
