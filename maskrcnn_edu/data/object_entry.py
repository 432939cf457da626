"""One entry of a COCO file's ``annotations``: its fields, its outline, and whether they fit.

What is written in another form than COCO's, but can only mean one thing, is used: points in
pairs, an RLE inside a list, 1.0 for 1. What cannot be meant is left out, or replaced by what
the outline says.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_edu.data import rle
from maskrcnn_edu.data.problems import InvalidAnnotation, shorten
from maskrcnn_edu.structures import Polygons
from maskrcnn_edu.system.text_files import describe_value, finite_number, whole_number

MIN_SIDE = 1e-3
"""Pixels. A smaller box is a mistake, and could lose its area to rounding when it is resized."""

MEANT_OTHERWISE, MEANT_SO = 0.95, 0.9
"""A box that overlaps its outline's by less than the second (IoU), and by more than the first
if it is read in another way, is taken for one that is written in that way."""

UNRELATED = 0.3
"""A box that overlaps its outline's by less (IoU) is no box of this object."""

THIN = 2.0
"""Pixels, area by length of the outline: a thicker shape covers the middle of a pixel."""

AREA_RATIO, AREA_PIXELS = 2.0, 16.0
"""An ``area`` that differs from the mask's by more than both, is another object's."""

Report = Callable[[str, str], None]
"""Takes message and fix of something that is left out while the rest is used."""

REDRAW = "draw it again, or remove the annotation"
OUTLINE = "outline the object, or remove the annotation"


@dataclass(frozen=True)
class ObjectEntry:
    """An entry of ``annotations`` that can be used; coordinates in pixels of the image file.

    Attributes:
        bbox: x, y, width and height as the file has them; from the shape if there are none,
            or none that belong to it.
        label: 0 .. C-1.
        shape: outlines [x1, y1, x2, y2, ...] float64, or the runs of an RLE ([runs] int64,
            see `rle.parse`), which stay small until they are decoded.
        is_crowd: a region of many objects.
        ignore: not to be trained on.
        area: as the file has it, in pixels; None if it says nothing that is usable.
    """

    bbox: tuple[float, float, float, float]
    label: int
    shape: Polygons | np.ndarray
    is_crowd: bool
    ignore: bool
    area: float | None


def read_object(
    entry: dict[str, Any], labels: dict[int, int], height: int, width: int, report: Report
) -> ObjectEntry:
    """One annotation.

    Args:
        entry: as the file has it.
        labels: category id -> label.
        height, width: of its image.
        report: hears of parts that are left out while the rest is used.

    Raises:
        InvalidAnnotation: it says why.
    """
    category = read_id(entry, "category_id")
    if category not in labels:
        message = f'its "category_id" {category} is not among categories'
        raise InvalidAnnotation(message, "add the category, or remove the annotation")
    is_crowd = _yes_or_no(entry.get("iscrowd"))
    if is_crowd is None:
        message = f'its "iscrowd" is {describe_value(entry["iscrowd"])}'
        raise InvalidAnnotation(message, 'write "iscrowd": 0, or 1 for a crowd')
    ignore = _yes_or_no(entry.get("ignore"))
    if ignore is None:
        message = f'its "ignore" is {describe_value(entry["ignore"])}; it is used all the same'
        report(message, 'write "ignore": 0, or 1 for what is not to be trained on')
    shape = _shape(entry.get("segmentation"), height, width, report)
    _refuse_empty(shape, height, width)
    bbox = _bbox(entry.get("bbox"), shape, height, width, report)
    area = _area(entry.get("area"), shape, height, width, report)
    return ObjectEntry(bbox, labels[category], shape, is_crowd, bool(ignore), area)


# ---------------------------------------------------------------- fields


def read_id(entry: Any, key: str) -> int:
    """The whole number of a field; 1.0 is 1.

    Raises:
        InvalidAnnotation: there is none.
    """
    if not isinstance(entry, dict):
        message = f"{describe_value(entry)} is no entry"
        raise InvalidAnnotation(message, 'write it as {"id": ..., ...}')
    if key not in entry:
        raise InvalidAnnotation(f'no "{key}"', f'add a whole number as "{key}"')
    number = whole_number(entry[key])
    if number is None:
        message = f'"{key}" is {describe_value(entry[key])}, no whole number'
        raise InvalidAnnotation(message, f'write "{key}" as a number without quotes, everywhere')
    return number


def read_name(entry: dict[str, Any], key: str) -> str:
    """The text of a field: a name that a disk or a person may give, in one line.

    Raises:
        InvalidAnnotation: there is none.
    """
    if key not in entry:
        raise InvalidAnnotation(f'no "{key}"', f'add "{key}"')
    text = entry[key]
    if not isinstance(text, str) or not is_name(text):
        message = f'"{key}" is {shorten(text)}, no printable text'
        raise InvalidAnnotation(message, f'write "{key}" as text')
    return text


def is_name(text: str) -> bool:
    """Whether letters, digits, signs or emoji are in it, and nothing that controls a terminal.

    Spaces of any width and the invisible joints of emoji are letters of names.
    """
    if text.isprintable():
        return bool(text.strip())
    return bool(text.strip()) and not any(
        unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text
    )


def _yes_or_no(value: Any) -> bool | None:
    """0, 1, false, true, or nothing at all, which is no; None for anything else."""
    if value is None or isinstance(value, bool):
        return bool(value)
    number = whole_number(value)
    return bool(number) if number in (0, 1) else None


def _area(
    area: Any, shape: Polygons | np.ndarray, height: int, width: int, report: Report
) -> float | None:
    """The area if it is one, and this mask's."""
    fix = "write the number of its pixels, or nothing"
    if area is None:
        return None
    number = finite_number(area)
    if number is None or number <= 0:
        report(f'its "area" is {describe_value(area)}; that of the mask is used', fix)
        return None
    if _is_far(number, shape_area(shape)) and _is_far(number, count_pixels(shape, height, width)):
        pixels = count_pixels(shape, height, width)
        report(f'its "area" is {number:g}, but its mask has {pixels} pixels; these are used', fix)
        return None
    return area


def _is_far(area: float, other: float) -> bool:
    low, high = sorted((area, other))
    return high > AREA_RATIO * low and high - low > AREA_PIXELS


# ---------------------------------------------------------------- the outline


def _shape(segmentation: Any, height: int, width: int, report: Report) -> Polygons | np.ndarray:
    if not segmentation:
        message = "no segmentation, and masks cannot be trained from a box"
        raise InvalidAnnotation(message, OUTLINE)
    if isinstance(segmentation, list) and len(segmentation) == 1:
        segmentation = segmentation[0] if isinstance(segmentation[0], dict) else segmentation
    if isinstance(segmentation, dict):
        return _runs(segmentation, height, width)
    if are_numbers(segmentation):  # one outline, without the list around it
        segmentation = [segmentation]
    parts = []
    for part in segmentation if isinstance(segmentation, list) else ():
        part = _in_one_row(part)
        reason = _bad_part(part, height, width)
        if reason is None:
            parts.append(np.array(part, np.float64))
        else:
            report(reason, "outline this part again, or remove it")
    if not parts:
        raise InvalidAnnotation("no usable polygon", OUTLINE)
    return parts


def _runs(segmentation: dict[str, Any], height: int, width: int) -> np.ndarray:
    counts = segmentation.get("counts")
    if isinstance(counts, str) and counts[:2] in ("b'", 'b"'):
        message = "its RLE's \"counts\" is b'...', how Python prints bytes, not the text itself"
        raise InvalidAnnotation(message, 'write counts.decode() as "counts"')
    return rle.parse(segmentation, height, width)


def _in_one_row(part: Any) -> Any:
    """[[x, y], ...] -> [x, y, ...]; everything else stays."""
    pairs = isinstance(part, list) and all(isinstance(p, list) and len(p) == 2 for p in part)
    return [value for pair in part for value in pair] if pairs else part


def _bad_part(part: Any, height: int, width: int) -> str | None:
    """Why a polygon is none; None if it is one."""
    if not are_numbers(part) or len(part) < 6 or len(part) % 2:
        return "a polygon part is not [x1, y1, x2, y2, ...] with 3 points or more"
    for values, side in ((part[0::2], width), (part[1::2], height)):
        # a shape that leaves the image may keep its corners
        if min(values) < -2 * side or max(values) > 3 * side:
            return "a polygon part lies far outside the image"
    return None


def are_numbers(values: Any) -> bool:
    """Whether this is a list of finite numbers."""
    if not isinstance(values, list) or not set(map(type, values)) <= {int, float}:
        return False
    try:
        return finite_number(sum(values)) is not None  # one nan or inf spoils the sum
    except OverflowError:  # a whole number that no float can hold
        return False


def _refuse_empty(shape: Polygons | np.ndarray, height: int, width: int) -> None:
    """An outline that covers the middle of no pixel cannot be learned."""
    if not isinstance(shape, list):
        return
    points = np.concatenate(shape).reshape(-1, 2)
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    if min(x1, y1) >= 0 and max(x2, y2) <= 1 < min(height, width):
        message = "its outline lies in 0 .. 1: these are shares of the image, no pixels"
        raise InvalidAnnotation(message, "multiply x by the image's width, and y by its height")
    if x1 >= width or y1 >= height or min(x2, y2) <= 0:
        raise InvalidAnnotation("its outline lies outside the image", REDRAW)
    leaves = min(x1, y1) < 0 or x2 > width or y2 > height
    if not leaves and shape_area(shape) > THIN * sum(map(_length, shape)):
        return
    if count_pixels(shape, height, width) == 0:
        message = "its outline encloses no pixel (a line, or a speck)"
        raise InvalidAnnotation(message, OUTLINE)


def shape_area(shape: Polygons | np.ndarray) -> float:
    """Pixels inside, as geometry has it: parts that overlap count twice."""
    if not isinstance(shape, list):
        return float(shape[1::2].sum())
    return float(sum(abs(_signed_area(part)) for part in shape))


def _signed_area(part: np.ndarray) -> float:
    x, y = part[0::2], part[1::2]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _length(part: np.ndarray) -> float:
    points = part.reshape(-1, 2)
    return float(np.hypot(*(points - np.roll(points, 1, axis=0)).T).sum())


def count_pixels(shape: Polygons | np.ndarray, height: int, width: int) -> int:
    """Pixels of the mask, as pycocotools draws it."""
    if not isinstance(shape, list):
        return int(shape[1::2].sum())
    runs = coco_mask.frPyObjects([part.tolist() for part in shape], height, width)
    return int(coco_mask.area(coco_mask.merge(runs)))


# ---------------------------------------------------------------- the box


def _bbox(
    bbox: Any, shape: Polygons | np.ndarray, height: int, width: int, report: Report
) -> tuple[float, float, float, float]:
    """x, y, width and height; checked to have area in the image, and to be the shape's."""
    x1, y1, x2, y2 = _extent(shape, height)
    of_shape = [x1, y1, x2 - x1, y2 - y1]
    if bbox is None:
        bbox = of_shape
    elif not are_numbers(bbox) or len(bbox) != 4:
        raise InvalidAnnotation(f"its bbox is {describe_value(bbox)}, not [x, y, w, h]", REDRAW)
    elif message := _other_reading(bbox, of_shape, height, width):
        fix = 'write "bbox" as [x, y, width, height] in pixels, or leave it out'
        report(f"{message}; the outline's box is used", fix)
        bbox = of_shape
    box = clip_boxes(np.array([bbox], np.float64), height, width)[0]
    if (box[2:] - box[:2] < MIN_SIDE).any():
        raise InvalidAnnotation("its box has no area inside the image", REDRAW)
    if min(box[2], x2) <= max(box[0], x1) or min(box[3], y2) <= max(box[1], y1):
        raise InvalidAnnotation("its segmentation has no area inside its box", REDRAW)
    return tuple(bbox)


def _other_reading(bbox: list[float], of_shape: list[float], height: int, width: int) -> str | None:
    """What a box that is not its outline's holds instead of x, y, width and height."""
    overlap = _iou(bbox, of_shape, height, width)
    if overlap >= MEANT_SO:
        return None
    a, b, c, d = bbox
    unit = " in shares of the image" if max(bbox) <= 1 else ""
    if unit:
        a, b, c, d = a * width, b * height, c * width, d * height
    readings = {
        "two corners [x1, y1, x2, y2]": [a, b, c - a, d - b],
        "its centre [x, y, w, h]": [a - c / 2, b - d / 2, c, d],
        "x, y, width and height": [a, b, c, d],
    }
    for name, reading in readings.items():
        if _iou(reading, of_shape, height, width) > MEANT_OTHERWISE:
            return f"its bbox holds {name}{unit}"
    if 0 < overlap < UNRELATED:
        return f"its box and its outline do not belong together (IoU {overlap:.2f})"
    return None


def _iou(one: list[float], other: list[float], height: int, width: int) -> float:
    """Intersection over union of two boxes x, y, width, height, inside the image."""
    a, b = clip_boxes(np.array([one, other], np.float64), height, width).astype(np.float64)
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = np.prod(np.maximum(sides, 0))
    union = np.prod(np.maximum(a[2:] - a[:2], 0)) + np.prod(b[2:] - b[:2]) - both
    return float(both / union) if union > 0 else 0.0


def _extent(shape: Polygons | np.ndarray, height: int) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of the whole shape."""
    if not isinstance(shape, list):
        return tuple(rle.to_bbox(shape, height).tolist())
    points = np.concatenate(shape).reshape(-1, 2)
    return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def clip_boxes(bboxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """[G, 4] x, y, width, height -> [G, 4] float32 corners inside the image."""
    corners = np.concatenate([bboxes[:, :2], bboxes[:, :2] + bboxes[:, 2:]], axis=1)
    return np.clip(corners, 0, [width, height, width, height]).astype(np.float32)
