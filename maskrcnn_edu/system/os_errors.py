"""Errors of the system in words: ``x.json: there is no such file``, not ``[Errno 2]``."""

from __future__ import annotations

import errno
import os

REASONS = {
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EISDIR: "this is a folder, not a file",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EEXIST: "there is such a file already",
    errno.ENOSPC: "no space left on the disk",
    errno.EROFS: "the disk cannot be written to",
}


def in_words(error: Exception) -> str:
    """What an error says, without numbers; those with a text of their own keep it."""
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    words = REASONS.get(error.errno) or error.strerror or type(error).__name__
    named = error.filename
    return f"{os.fsdecode(named)}: {words}" if isinstance(named, str | bytes) else words
