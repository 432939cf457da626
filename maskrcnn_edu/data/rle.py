"""Run-length encoding (RLE), COCO's: a mask as the lengths of its runs of zeros and ones.

The mask is read column by column. ``counts`` holds the lengths in turn, zeros first:
a list of numbers, or a string that packs them.

Decoded here and not by pycocotools, which answers a damaged string with whatever was
in memory instead of an error.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_edu.data.problems import InvalidAnnotation, shorten
from maskrcnn_edu.structures import BitMask

PACKED = re.compile(r"(?:[P-o]{0,12}[0-O])*")
"""A packed string: "P" to "o" say that the number goes on, and 13 characters are enough."""

REDRAW = "export the mask again, or remove the annotation"


def parse(rle: dict[str, Any], height: int, width: int) -> np.ndarray:
    """The lengths of the runs of an annotation's RLE.

    Args:
        rle: ``{"size": [height, width], "counts": list or string}``.
        height, width: of the image.

    Returns:
        [runs] int64, zeros first; they fill the image.

    Raises:
        InvalidAnnotation: they are for another size, cannot be decoded, or there are no ones.
    """
    if rle.get("size") != [height, width]:
        what = f"its RLE is for size {shorten(rle.get('size'))}, the image is {[height, width]}"
        raise InvalidAnnotation(what, REDRAW)
    counts = rle.get("counts")
    if isinstance(counts, str):
        counts = decompress_counts(counts) if PACKED.fullmatch(counts) else None
    whole = isinstance(counts, list) and all(type(c) is int and c >= 0 for c in counts)
    if not whole or sum(counts) != height * width:
        raise InvalidAnnotation("its RLE cannot be decoded: the runs do not fill the image", REDRAW)
    if sum(counts[1::2]) == 0:
        raise InvalidAnnotation("its RLE is empty", REDRAW)
    return np.array(counts, np.int64)


def decompress_counts(text: str) -> list[int]:
    """The run lengths in a compressed RLE string.

    A character holds 6 bits above "0": five of a number, lowest first, and one
    that says whether the number goes on. From the fourth run on, the number is
    the difference to the run before the last.
    """
    counts: list[int] = []
    number = bits = 0
    for character in text:
        code = ord(character) - 48
        number |= (code & 31) << bits
        bits += 5
        if code & 32:
            continue
        if code & 16:  # the highest bit is the sign
            number -= 1 << bits
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = bits = 0
    return counts


def to_bbox(runs: np.ndarray, height: int) -> np.ndarray:
    """The box [x1, y1, x2, y2] float32 of the ones, without decoding the mask.

    Args:
        runs: [runs] as `parse` returns them.
        height: of the image.
    """
    ends = np.cumsum(runs)
    first, last = (ends - runs)[1::2], ends[1::2] - 1  # first and last pixel of each run of ones
    first, last = first[first <= last], last[first <= last]
    x1, x2 = first[0] // height, last[-1] // height + 1
    if (first // height != last // height).any():  # a run goes on at the top of the next column
        y1, y2 = 0, height
    else:
        y1, y2 = (first % height).min(), (last % height).max() + 1
    return np.array([x1, y1, x2, y2], np.float32)


def decode(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask [height, width] uint8 (0 or 1) that `parse`'s runs [runs] stand for."""
    values = np.arange(len(runs), dtype=np.uint8) % 2
    return np.repeat(values, runs).reshape(width, height).T  # runs go down the columns


def decode_crop(runs: np.ndarray, height: int) -> BitMask:
    """`decode` and `crop` in one: only the columns that hold ones are decoded.

    Args:
        runs: [runs] as `parse` returns them.
        height: of the image.
    """
    ends = np.cumsum(runs)
    ones = np.flatnonzero(runs[1::2]) * 2 + 1
    left = (ends - runs)[ones[0]] // height
    right = (ends[ones[-1]] - 1) // height + 1
    inside = np.diff(np.clip(ends, left * height, right * height), prepend=left * height)
    found = crop(decode(inside, height, right - left))
    return BitMask(found.pixels, found.box + np.array([left, 0, left, 0], np.float32))


def crop(mask: np.ndarray) -> BitMask:
    """A mask [h, w] of the whole image, not empty, as a `BitMask` cropped to its ones."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    y1, y2 = rows[0], rows[-1] + 1
    x1, x2 = columns[0], columns[-1] + 1
    pixels = np.ascontiguousarray(mask[y1:y2, x1:x2])
    return BitMask(pixels, np.array([x1, y1, x2, y2], np.float32))


def encode(mask: np.ndarray) -> dict[str, Any]:
    """A mask [h, w], nonzero inside, as COCO's RLE with a packed string."""
    encoded = coco_mask.encode(np.asfortranarray(mask != 0, np.uint8))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}


def encode_crop(mask: BitMask, height: int, width: int) -> dict[str, Any]:
    """`encode` of an image's mask of which only a crop is given; beyond it there is nothing.

    Only the crop is looked at, so that a small object in a huge image costs little.

    Args:
        mask: the crop; its box holds whole numbers.
        height, width: of the image.
    """
    x1, y1 = mask.box[:2].astype(np.int64)
    columns, rows = mask.pixels.shape[::-1]
    framed = np.zeros([columns, rows + 2], bool)  # nothing above and below
    framed[:, 1:-1] = mask.pixels.T
    column, row = np.nonzero(framed[:, 1:] != framed[:, :-1])
    changes = (x1 + column) * height + y1 + row  # in the image's pixels, read down the columns
    # a run that reaches the bottom goes on at the top of the next column: no change at all
    again = np.flatnonzero(changes[1:] == changes[:-1])
    changes = np.delete(changes, [again, again + 1])
    counts = np.diff(changes, prepend=0, append=height * width)
    if counts[-1] == 0:
        counts = counts[:-1]
    encoded = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, 0, 0)
    return {"size": [height, width], "counts": encoded["counts"].decode("ascii")}
