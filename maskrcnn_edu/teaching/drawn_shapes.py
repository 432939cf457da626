"""The course's drawn scenes: made when they are first used, kept in the cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.system.files import cache_folder
from maskrcnn_edu.system.os_errors import in_words

IMAGES = {"train": 48, "val": 16}


def drawn_shapes(split: str = "train") -> CocoDataset:
    """A small dataset of drawn scenes, 48 to train and 16 to validate; drawn when first used.

    Raises:
        OSError: they cannot be kept; the message names ``MASKRCNN_EDU_CACHE``.
    """
    folder = cache_folder() / "classroom"
    if not _is_drawn(folder):
        try:
            _draw(folder)
        except OSError as problem:
            raise OSError(
                f"the scenes cannot be kept in {folder}: {in_words(problem)}; set the environment "
                "variable MASKRCNN_EDU_CACHE to a folder that can be written to"
            ) from problem
    return CocoDataset(folder / "annotations" / f"instances_{split}.json", folder / split)


def _is_drawn(folder: Path) -> bool:
    return (folder / "annotations" / "instances_val.json").is_file()  # it is written last


def _draw(folder: Path) -> None:
    """Draw the scenes; of several notebooks that do so at the same time the first one counts."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="classroom-", dir=folder.parent) as own:
        new = Path(own) / "new"
        write_shapes(new, train=IMAGES["train"], val=IMAGES["val"])
        if folder.is_dir() and not _is_drawn(folder):  # whole ones appear at once: it was given up
            shutil.rmtree(folder, ignore_errors=True)
        try:
            os.replace(new, folder)
        except OSError:
            if not _is_drawn(folder):
                raise
