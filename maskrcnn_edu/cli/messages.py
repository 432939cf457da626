"""What the commands print, and how: on any terminal, without tearing a progress bar."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator

from tqdm import tqdm

from maskrcnn_edu.data.problems import LeftOutWarning


def printable(text: str) -> str:
    """Text that any terminal takes: a file's name may hold bytes that are no letters."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


@contextlib.contextmanager
def left_out_as_lines() -> Iterator[None]:
    """Every `LeftOutWarning` becomes one line on stderr, above the progress bar if there is one.

    Training reads an image in every epoch, and warns the first time only.
    """
    warned: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", LeftOutWarning)
        others = warnings.showwarning

        def show(message, category, *place, **more):
            if not issubclass(category, LeftOutWarning):
                others(message, category, *place, **more)
            elif str(message) not in warned:
                warned.add(str(message))
                text = str(message).encode("utf-8", "backslashreplace").decode("utf-8")
                tqdm.write(text, file=sys.stderr)

        warnings.showwarning = show
        yield
