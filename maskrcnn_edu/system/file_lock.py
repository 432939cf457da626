"""One process at a time in a folder, by a lock that ends with its process, however it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

if os.name == "posix":
    import fcntl
else:
    import msvcrt

LOCK = ".lock"


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Within the block no other process, nor another block of this one, has the folder.

    The system keeps the lock with the open file ``.lock``, which means nothing if it is left.
    Where the disk knows no locks (some that are mounted by network) nobody is held up.

    Args:
        folder: must exist.

    Raises:
        BlockingIOError: somebody has it.
    """
    path = folder / LOCK
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("a"))
        try:
            _lock(file)
        except (BlockingIOError, PermissionError) as taken:
            raise BlockingIOError(
                f"{folder} is in use: a run that goes on at this moment writes to it; wait for "
                "its end, or choose another --out"
            ) from taken
        except OSError:
            pass
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(file.fileno())):
            stack.enter_context(folder_lock(folder))  # its owner has just removed it
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows removes no file that is open
                path.unlink()


def _lock(file: IO) -> None:
    if os.name == "posix":
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
