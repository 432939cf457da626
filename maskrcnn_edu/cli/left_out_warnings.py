"""How the commands say that a photo is left out: one line each, once."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator

from tqdm import tqdm

from maskrcnn_edu.data.problems import LeftOutWarning


@contextlib.contextmanager
def photos_left_out_are_told() -> Iterator[None]:
    """Every `LeftOutWarning` becomes one line on stderr, above the progress bar if there is one.

    Training reads a photo in every epoch, and says it the first time only.
    """
    told: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", LeftOutWarning)
        others = warnings.showwarning

        def show(message, category, *place, **more):
            if not issubclass(category, LeftOutWarning):
                others(message, category, *place, **more)
            elif str(message) not in told:
                told.add(str(message))
                text = str(message).encode("utf-8", "backslashreplace").decode("utf-8")
                tqdm.write(text, file=sys.stderr)

        warnings.showwarning = show
        yield
