"""``.safetensors`` files: everything in them is checked against everything else.

Such a file is the length of its header (8 bytes), the header in JSON, and the arrays one
after the other. The header says of each array its type, its shape and its place; its
``__metadata__`` holds texts. Files of ours have a checksum there, over the whole file:
computed with zeros in its place, so that a flipped bit is noticed wherever it is. Files
without one (of others, and of earlier versions) are read as they are.
"""

from __future__ import annotations

import json
import math
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors.numpy import save

MAX_BYTES = 3 << 29
"""1.5 GiB; a checkpoint of the largest model, with its optimizer's state, takes half of it."""

MAX_HEADER = 1 << 22
"""4 MiB; that checkpoint's header takes 300 kB."""

TYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8",
}  # fmt: skip

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
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_BYTES:
            raise ValueError(f"{size / 1e9:.1f} GB are more than any model's weights")
        raw = _raw_header(file, size)
        header = _parse(raw[8:])
        metadata = _metadata(header.pop("__metadata__", {}))
        expected, number = _checksum(raw, metadata)
        arrays = {}
        for name, kind, shape in _in_order(header, size - len(raw)):
            array = np.fromfile(file, kind, math.prod(shape))
            number = zlib.crc32(array.view(np.uint8), number)
            arrays[name] = array.reshape(shape)
    if expected is not None and number != expected:
        raise ValueError("its content has changed since it was written")
    return arrays, metadata


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


def _raw_header(file: BinaryIO, size: int) -> bytes:
    """The length and the header."""
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if size < 8 or length > size - 8:
        raise ValueError(f"its header of {length:,} bytes is longer than the file")
    if length > MAX_HEADER:
        raise ValueError(f"its header of {length:,} bytes is longer than any model's")
    return start + file.read(length)


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    except UnicodeDecodeError:
        raise ValueError("its header is no text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"its header is no JSON ({error.msg} at byte {error.pos})") from None
    except ValueError as error:  # a name twice, a number of thousands of digits
        raise ValueError(f"its header: {error}") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no table of arrays")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name stands there twice")
    return made


def _metadata(texts: Any) -> dict[str, str]:
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise ValueError("its __metadata__ is no table of texts")
    return texts


def _in_order(header: dict[str, Any], room: int) -> Iterator[tuple[str, np.dtype, list[int]]]:
    """(name, type, shape) of every array, first to last; they fill the file without a gap."""
    places = {name: _place(name, entry) for name, entry in header.items()}
    at = 0
    for name, (begin, end, kind, shape) in sorted(places.items(), key=lambda item: item[1][:2]):
        if begin != at or end > room:
            raise ValueError(f"the array {name[:60]} is not where the one before it ends")
        at = end
        yield name, kind, shape
    if at != room:
        raise ValueError(f"its arrays have {at:,} bytes, but the file has room for {room:,}")


def _place(name: str, entry: Any) -> tuple[int, int, np.dtype, list[int]]:
    """Begin, end, type and shape of an array, which fit each other."""
    try:
        kind, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not all(type(n) is int and 0 <= n <= MAX_BYTES for n in (*shape, begin, end)):
            raise TypeError
    except (TypeError, KeyError, ValueError):
        raise ValueError(f"its header does not say where the array {name[:60]} is") from None
    if not isinstance(kind, str) or kind not in TYPES:
        raise ValueError(f"the array {name[:60]} has numbers {str(kind)[:20]}; save it as F32")
    number = np.dtype(TYPES[kind])
    if len(shape) > 32 or math.prod(shape) * number.itemsize != end - begin:
        raise ValueError(f"the array {name[:60]} has not as many numbers as its shape says")
    return begin, end, number, shape


def _checksum(raw: bytes, metadata: dict[str, str]) -> tuple[int | None, int]:
    """What a header promises for the whole file, and what it is for the header itself."""
    found = re.search(re.escape(MARK) + rb"([0-9a-f]{%d})" % DIGITS, raw)
    if not any(part in raw for part in TRACES):
        return None, 0
    if found is None or metadata.get(CHECKSUM) != found[0].decode():
        raise ValueError("its checksum is damaged")
    start, end = found.span(1)
    return int(found[1], 16), zlib.crc32(raw[:start] + b"0" * DIGITS + raw[end:])
