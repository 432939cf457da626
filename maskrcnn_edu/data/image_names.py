"""An image's file by the name that an annotation file gives it, in whatever form."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".heic",
)  # fmt: skip

SYSTEM_FOLDERS = ("__MACOSX",)
"""What macOS adds to archives: copies without content."""


class ImageNames:
    """The files of an image folder, found by names that are written in another form.

    The folder is looked through once, when the first name is not there as written.

    Args:
        folder: that ``file_name`` starts from.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self._by_form: dict[str, list[str]] | None = None
        self._found: dict[str, str] = {}

    def find(self, name: str) -> str:
        """The name as the disk has it, if this is one of its forms; else as it is.

        Forms are: backslashes, other capitals, letters and accents taken apart, ``%20``, and
        the image folder itself before the name. A form of two files stands for neither.
        """
        if name not in self._found:
            there = os.path.lexists(self.folder / name)
            self._found[name] = name if there else self._other_form(name)
        return self._found[name]

    def near(self, name: str) -> str | None:
        """The file that was probably meant by a name that none has, or None."""
        known = self._names()
        last = PurePosixPath(form(name)).name
        ends = [true for key, all in known.items() if key.split("/")[-1] == last for true in all]
        if ends:
            return ends[0]
        by_stem = {PurePosixPath(key).stem: all[0] for key, all in known.items()}
        stem = PurePosixPath(last).stem
        alike = [key for key in by_stem if _numbers(key) == _numbers(stem)]
        close = difflib.get_close_matches(stem, alike, n=1, cutoff=0.8)
        return by_stem[close[0]] if close else None

    def _other_form(self, name: str) -> str:
        parts = form(name).split("/")
        own = [form(part) for part in self.folder.absolute().parts]
        tries = ["/".join(parts)]
        tries += ["/".join(parts[n:]) for n in range(1, len(parts)) if own[-n:] == parts[:n]]
        for each in tries:
            if len(found := self._names().get(each, [])) == 1:
                return found[0]
        return name

    def _names(self) -> dict[str, list[str]]:
        """Form -> the names that have it."""
        if self._by_form is None:
            self._by_form = {}
            for place, folders, files in os.walk(self.folder):
                folders[:] = [each for each in folders if not is_hidden(Path(each))]
                for file in sorted(files):
                    path = Path(place, file).relative_to(self.folder)
                    if is_image_name(path):
                        self._by_form.setdefault(form(path.as_posix()), []).append(path.as_posix())
        return self._by_form


def form(name: str) -> str:
    """What all forms of a name have in common: slashes, no ``%20``, composed small letters."""
    plain = unquote(name).replace("\\", "/").removeprefix("./")
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", plain).casefold())


def is_hidden(path: Path) -> bool:
    """Whether programs keep this for themselves: .DS_Store, .ipynb_checkpoints, __MACOSX.

    Args:
        path: from the folder that is looked through.
    """
    return any(part.startswith(".") or part in SYSTEM_FOLDERS for part in path.parts)


def is_image_name(path: Path) -> bool:
    """Whether a file is meant to be an image; see `is_hidden`."""
    return path.suffix.lower() in IMAGE_ENDINGS and not is_hidden(path)


def _numbers(stem: str) -> list[int]:
    """0017 and 17 are one number; frame 17 is not frame 18."""
    return [int(digits) for digits in re.findall(r"[0-9]+", stem)]
