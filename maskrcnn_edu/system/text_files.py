"""Text as the world saves it: which bytes are which letters, and what a value really is."""

from __future__ import annotations

import codecs
import json
import math
from pathlib import Path
from typing import Any

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins like UTF-16's: asked first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""What a file may begin with, and the encoding that it stands for."""

MAX_WHOLE_NUMBER = 2**63 - 1
"""The largest number that the arrays of ids hold (int64)."""


# ---------------------------------------------------------------- reading


def read_text(path: str | Path, max_bytes: int | None = None) -> str:
    """The text of a file in UTF-8 or UTF-16, with or without a mark at its start.

    Args:
        path: the file.
        max_bytes: larger files are refused before they are read.

    Raises:
        OSError: it cannot be opened.
        ValueError: another encoding, or too large; the message names file and fix.
    """
    with Path(path).open("rb") as file:
        data = file.read(-1 if max_bytes is None else max_bytes + 1)
    if max_bytes is not None and len(data) > max_bytes:
        raise ValueError(f"{path}: larger than {max_bytes:,} bytes; is it the right file?")
    mark, encoding = next(((m, e) for m, e in MARKS if data.startswith(m)), (b"", _unmarked(data)))
    try:
        return data[len(mark) :].decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}: line {line} is not {encoding.upper()}{_other_encoding(data)}; open it in "
            "an editor and save it as UTF-8"
        ) from None


def _unmarked(data: bytes) -> str:
    """The encoding of text without a mark, whose first letter is one of ASCII's."""
    if data[:1] == b"\0":
        return "utf-16-be"
    return "utf-16-le" if data[1:2] == b"\0" else "utf-8"


def _other_encoding(data: bytes) -> str:
    """Which encoding bytes that are no UTF-8 probably are, as the part of a message."""
    for encoding, name in (("gb18030", "GBK"), ("cp1252", "Windows-1252")):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return f" (it may be {name})"
    return ""


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: it cannot be opened.
        ValueError: another encoding, or no JSON; the message names file, line and fix.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except RecursionError:
        problem = "its lists are nested too deeply"
    except json.JSONDecodeError as error:
        problem = f"not JSON (line {error.lineno}, column {error.colno}: {error.msg})"
    except ValueError as error:  # a whole number of thousands of digits
        problem = f"not JSON ({error})"
    if not text.strip():
        problem = "the file is empty"
    raise ValueError(f"{path}: {problem}; download or export the file again")


# ---------------------------------------------------------------- values


def whole_number(value: Any) -> int | None:
    """1 for 1 and for 1.0; None for what is no whole number (a text, true, 1.5, NaN, 2**63)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if abs(value) <= MAX_WHOLE_NUMBER else None


def finite_number(value: Any) -> float | int | None:
    """The number if it is one; None for a text, true, NaN, infinity, or beyond a double."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:
        return None


def describe_value(value: Any) -> str:
    """A value as a message names it: ``the text "0"``, ``null``, ``true``, ``a list of 3``."""
    if isinstance(value, str):
        text = value if len(value) <= 60 else f"{value[:57]}..."
        return f"the text {json.dumps(text, ensure_ascii=False)}" if text else "an empty text"
    if isinstance(value, (list, tuple)):
        short = str(list(value))
        return short if len(short) <= 60 else f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"a section with {', '.join(map(str, list(value)[:3]))}" if value else "{}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int) and abs(value) > 10**20:
        return f"a number of {int(math.log10(abs(value))) + 1} digits"
    return str(value)
