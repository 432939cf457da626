"""Files and folders that are there whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

CACHE = "MASKRCNN_EDU_CACHE"


def cache_folder() -> Path:
    """Where what was fetched is kept: ``$MASKRCNN_EDU_CACHE``, or a folder of the user's cache."""
    named = os.environ.get(CACHE)
    return Path(named).expanduser() if named else Path.home() / ".cache" / "maskrcnn_edu"


def atomic_write(path: Path, write: Callable[[Path], object], sync: bool = True) -> None:
    """Write a file under another name, then rename: it is there whole, or not at all.

    The bytes reach the disk before the name does, so not even a power failure leaves a
    name without its content. What was there before stays if anything goes wrong.

    Args:
        path: the file; its folder must exist.
        write: writes the file that it is given.
        sync: wait for the disk. Without it a power failure may leave a damaged file:
            for many small files that can be made again.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    temporary = path.with_name(path.name + ".part")
    try:
        write(temporary)
        rename_synced(temporary, path) if sync else os.replace(temporary, path)
    except BaseException as problem:
        temporary.unlink(missing_ok=True)
        if isinstance(problem, OSError) and problem.filename is None:
            problem.filename = str(path)  # "no space left" where?
        raise


def rename_synced(source: Path, target: Path) -> None:
    """Rename a file once its bytes are on the disk, and wait until the name is there too."""
    _sync(source)
    os.replace(source, target)
    if os.name == "posix":  # elsewhere a folder cannot be opened, nor need it be
        _sync(target.parent)


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def atomic_folder(out_dir: str | Path, temporary: Path | None = None) -> Iterator[Path]:
    """A folder to fill that becomes ``out_dir`` when all is done; nothing half-written stays.

    Args:
        out_dir: must not exist, or be empty.
        temporary: where it is filled (on the same disk; emptied first), ``OUT_DIR.part``
            by default.

    Raises:
        ValueError: there is something at ``out_dir`` already.
    """
    out_dir = Path(out_dir)
    if out_dir.is_file() or (out_dir.is_dir() and any(out_dir.iterdir())):
        raise ValueError(f"{out_dir} is there already; choose another --out, or remove it")
    temporary = temporary or out_dir.with_name(out_dir.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if out_dir.is_dir():
            out_dir.rmdir()
        os.replace(temporary, out_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
