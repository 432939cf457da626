"""``.safetensors`` files, read by the library of that name, within limits and with a checksum.

Such a file is the length of its header (8 bytes), the header in JSON, and the arrays one
after the other. The library compares what the header says with the file and refuses what does
not fit. The header's ``__metadata__`` holds texts. Files of ours have a checksum there, over the
whole file: computed with zeros in its place, so that a flipped bit is noticed wherever it is.
Files without one (of others, and of earlier versions) are read as they are.
"""

from __future__ import annotations

import os
import re
import textwrap
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

MAX_BYTES = 3 << 29
"""1.5 GiB; a checkpoint of the largest model, with its optimizer's state, takes half of it."""

MAX_HEADER = 1 << 22
"""4 MiB; that checkpoint's header takes 300 kB."""

CHUNK = 1 << 20
CHECKSUM = "checksum"
MARK = b"maskrcnn_edu crc32 "
DIGITS = 8
TRACES = (b'"checksum":"', b"maskrcnn_edu cr", b"rc32 ")
"""One of them is left of a damaged checksum, and none is in files without one."""


def read_safetensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file by name, and the texts of its header.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is damaged, of another kind, or larger than any model; the message
            says what is wrong, without the file's name.
    """
    _check_file(Path(path))
    try:
        with safe_open(path, "numpy") as stored:
            arrays = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            return arrays, stored.metadata() or {}
    except SafetensorError as error:
        raise ValueError(textwrap.shorten(str(error), 200)) from error
    except TypeError as error:  # of numbers that numpy has not
        raise ValueError(f"{error}; save its arrays as float32") from error


def _check_file(path: Path) -> None:
    """ValueError if a file is too large, or if its checksum (when it has one) is another."""
    with path.open("rb") as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(8)
        if size > MAX_BYTES:
            raise ValueError(f"{size / 1e9:.1f} GB are more than any model's weights")
        length = int.from_bytes(start, "little")
        if MAX_HEADER < length < size:
            raise ValueError(f"its header of {length:,} bytes is longer than any model's")
        header = start + file.read(min(length, MAX_HEADER))
        if not any(part in header for part in TRACES):
            return
        found = re.search(re.escape(MARK) + rb"([0-9a-f]{%d})" % DIGITS, header)
        if found is None:
            raise ValueError("its checksum is damaged")
        begin, end = found.span(1)
        number = zlib.crc32(header[:begin] + b"0" * DIGITS + header[end:])
        while chunk := file.read(CHUNK):
            number = zlib.crc32(chunk, number)
        if number != int(found[1], 16):
            raise ValueError("its content has changed since it was written")


def write_safetensors(
    path: Path, arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a file with a checksum.

    Args:
        path: is overwritten.
        arrays: in C's order.
        metadata: texts for the header.
    """
    zeros = MARK + b"0" * DIGITS
    content = save(dict(arrays), {**(metadata or {}), CHECKSUM: zeros.decode()})
    with path.open("wb") as file:
        file.write(content)
        file.seek(content.index(zeros) + len(MARK))
        file.write(b"%08x" % zlib.crc32(content))
