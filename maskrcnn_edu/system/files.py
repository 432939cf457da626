"""Files that are there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_safely(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file under another name, then rename: it is there whole, or not at all.

    The bytes reach the disk before the name does, so not even a power failure leaves a
    name without its content. What was there before stays if anything goes wrong.

    Args:
        path: the file.
        write: writes the file that it is given.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        write(temporary)
        _flush(temporary)
        os.replace(temporary, path)
    except BaseException as problem:
        temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError) and problem.filename is None:
            problem.filename = str(path)  # "no space left" where?
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened, nor need it be
        _flush(path.parent)


def _flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
