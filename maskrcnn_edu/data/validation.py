"""A COCO annotation file, checked entry by entry: what can be used, and what is wrong.

The file is JSON with three lists::

    images       id, file_name, width, height
    categories   id, name              ids may have gaps and start anywhere
    annotations  id, image_id, category_id, bbox [x, y, w, h], segmentation, iscrowd

``segmentation`` is a list of polygons, or a run-length encoding (see `rle`).

Training, evaluation and ``maskrcnn-edu data check`` all read a file with
`read_annotations`, so what one of them leaves out, all leave out. Only a file without
the three lists, or without any category or image that can be used, is an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskrcnn_edu.data import rle
from maskrcnn_edu.data.problems import InvalidAnnotation, Issue, collect_issue, shorten
from maskrcnn_edu.structures import Polygons

MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 10**9)
"""Pillow decodes no image with more."""

MIN_SIDE = 1e-3
"""Pixels. A smaller box is a mistake, and could lose its area to rounding when it is resized."""

MAX_ID = 2**53
"""Every JSON reader agrees on whole numbers up to here."""

SizeOf = Callable[[str], "tuple[int, int] | None"]
"""File name -> (height, width) of the upright image; None if it cannot be read."""

Report = Callable[[str, str], None]
"""Takes message and fix of something that is left out while the rest is used."""


@dataclass(frozen=True)
class ImageEntry:
    """An entry of ``images`` that can be used.

    Attributes:
        id: as the file has it.
        file_name: from the image folder.
        height, width: of the upright image, in pixels.
    """

    id: int
    file_name: str
    height: int
    width: int


@dataclass(frozen=True)
class ObjectEntry:
    """An entry of ``annotations`` that can be used; coordinates in pixels of the image file.

    Attributes:
        bbox: x, y, width and height as the file has them; from the shape if there are none.
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


@dataclass(frozen=True)
class Annotations:
    """What can be used of a file.

    Attributes:
        categories: id -> name, by rising id; label l stands for the l-th.
        images: in the order of the file.
        objects: a list for each image.
        issues: everything else.
        counts: how many entries each of the three lists has.
    """

    categories: dict[int, str]
    images: list[ImageEntry]
    objects: list[list[ObjectEntry]]
    issues: list[Issue]
    counts: dict[str, int]


def read_annotations(json_file: str | Path, size_of: SizeOf) -> Annotations:
    """Read and check an annotation file.

    Args:
        json_file: a COCO instances file.
        size_of: asked about images whose height and width the file does not say.

    Raises:
        OSError: the file cannot be opened.
        ValueError: not JSON, a list is missing, or no category or no image can be used.
            The message names the file and the fix.
    """
    return check_content(read_json(json_file), size_of, str(json_file))


def read_json(path: str | Path) -> Any:
    """What a JSON file holds.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not JSON; the message names it.
    """
    try:
        # files written on Windows may begin with a byte order mark
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise ValueError(
            f"{path}: its lists are nested too deeply; export the file again"
        ) from None
    except ValueError as error:  # also raised by bytes that are no UTF-8
        fix = "download or export the file again"
        raise ValueError(f"{path}: not JSON ({error}); {fix}") from error


def check_content(content: Any, size_of: SizeOf, name: str) -> Annotations:
    """`read_annotations` for content that is already in memory, called ``name`` in messages."""
    categories, images, annotations = (
        _section(content, section, name) for section in ("categories", "images", "annotations")
    )
    check = _Check(size_of)
    for i, entry in enumerate(categories):
        check.category(entry, f"categories[{i}]")
    _refuse_nothing(check.categories, "categories", check.issues, name)
    for i, entry in enumerate(images):
        check.image(entry, f"images[{i}]")
    _refuse_nothing(check.images, "images", check.issues, name)
    labels = {number: label for label, number in enumerate(sorted(check.categories))}
    for i, entry in enumerate(annotations):
        check.annotation(entry, f"annotations[{i}]", labels)
    if not any(check.objects):
        message = "there is no usable annotation: nothing can be learned or measured"
        check.issues.append(Issue(None, None, message, "annotate some objects"))
    counts = {"categories": len(categories), "images": len(images), "annotations": len(annotations)}
    by_id = dict(sorted(check.categories.items()))
    return Annotations(by_id, check.images, check.objects, check.issues, counts)


def _section(content: Any, section: str, name: str) -> list[Any]:
    entries = content.get(section) if isinstance(content, dict) else None
    if type(entries) is not list:
        raise ValueError(
            f'{name}: no list "{section}"; give a COCO instances file, '
            f'or add "{section}": [] if there are none'
        )
    return entries


def _refuse_nothing(usable: Any, section: str, issues: list[Issue], name: str) -> None:
    if not usable:
        first = f"; the first: {issues[-1]}" if issues else ": there are none"
        raise ValueError(f"{name}: none of its {section} can be used{first}")


@dataclass
class _Check:
    """Goes through the entries one by one and keeps what can be used."""

    size_of: SizeOf
    categories: dict[int, str] = field(default_factory=dict)
    images: list[ImageEntry] = field(default_factory=list)
    objects: list[list[ObjectEntry]] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    rows: dict[int, int | None] = field(default_factory=dict)  # image id -> row; None: left out
    names: dict[str, int] = field(default_factory=dict)  # file name -> image id
    seen: dict[int, Any] = field(default_factory=dict)  # annotation id -> first entry

    def category(self, entry: Any, place: str) -> None:
        try:
            number, name = _id(entry, "id"), _text(entry, "name")
            if number in self.categories:
                message = f"the id {number} is used twice"
                raise InvalidAnnotation(message, "give every category its own id")
            self.categories[number] = name
        except InvalidAnnotation as reason:
            self.issues.append(Issue(None, None, f"{place}: {reason.message}", reason.fix))

    def image(self, entry: Any, place: str) -> None:
        if isinstance(entry, dict) and entry.get("file_name"):
            place = shorten(entry["file_name"])
        with collect_issue(self.issues, place):
            number = _id(entry, "id")
            if number in self.rows:
                message = f"the image id {number} is used twice"
                raise InvalidAnnotation(message, "give every image its own id")
            self.rows[number] = None  # left out, unless all goes well
            image = self._image_entry(number, entry, place)
            self.rows[number] = len(self.images)
            self.names[image.file_name] = number
            self.images.append(image)
            self.objects.append([])

    def _image_entry(self, number: int, entry: dict[str, Any], place: str) -> ImageEntry:
        name = _text(entry, "file_name")
        if name in self.names:
            message = f"the image is listed twice, as {self.names[name]} and as {number}"
            raise InvalidAnnotation(message, "keep one entry, with all annotations")
        height, width = entry.get("height"), entry.get("width")
        if not all(type(side) is int and side > 0 for side in (height, width)):
            height, width = self._size_of_file(entry, name, place)
        if height * width > MAX_PIXELS:
            message = f"{shorten(width)} x {shorten(height)} pixels are more than Pillow decodes"
            raise InvalidAnnotation(message, "make the image smaller, or write its true size")
        return ImageEntry(number, name, height, width)

    def _size_of_file(self, entry: dict[str, Any], name: str, place: str) -> tuple[int, int]:
        stated = ", ".join(f'"{key}" {shorten(entry.get(key))}' for key in ("height", "width"))
        size = self.size_of(name)
        if size is None:
            message = f"no size ({stated}), and the image cannot be read"
            raise InvalidAnnotation(message, "put it into the image folder")
        fix = f'write "height": {size[0]}, "width": {size[1]}'
        message = f"no size ({stated}); that of the file is used"
        self.issues.append(Issue(place, None, message, fix))
        return size

    def annotation(self, entry: Any, place: str, labels: dict[int, int]) -> None:
        number = entry.get("id") if isinstance(entry, dict) else None
        name = number if type(number) is int and abs(number) <= MAX_ID else place
        row = None
        with collect_issue(self.issues, None, name):
            row = self._row(entry)
        if row is None:  # its image is left out, and that has been reported
            return
        image = self.images[row]
        file_name = shorten(image.file_name)

        def report(message: str, fix: str) -> None:
            self.issues.append(Issue(file_name, name, message, fix))

        with collect_issue(self.issues, file_name, name):
            self._check_id(entry, report)
            made = read_object(entry, labels, image.height, image.width, report)
            self.objects[row].append(made)
            if made.ignore:
                report("it is marked ignore, and not trained on", "nothing, if that is meant")

    def _row(self, entry: Any) -> int | None:
        number = _id(entry, "image_id")
        if number not in self.rows:
            message = f'its "image_id" {number} is not among images'
            raise InvalidAnnotation(message, "add the image, or remove the annotation")
        return self.rows[number]

    def _check_id(self, entry: dict[str, Any], report: Report) -> None:
        """Ids of annotations are only names: those without a good one are used all the same."""
        try:
            number = _id(entry, "id")
        except InvalidAnnotation as reason:
            report(f"{reason.message}; it is used all the same", reason.fix)
            return
        if number not in self.seen:
            self.seen[number] = entry
        elif self.seen[number] == entry:
            raise InvalidAnnotation("it is listed twice", "remove one of the two")
        else:
            report("its id is used twice; both are used", "give every annotation its own id")


def _id(entry: Any, key: str) -> int:
    if not isinstance(entry, dict):
        raise InvalidAnnotation(f"{shorten(entry)} is no entry", 'write it as {"id": ..., ...}')
    if key not in entry:
        raise InvalidAnnotation(f'no "{key}"', f'add a whole number as "{key}"')
    number = entry[key]
    if type(number) is not int or abs(number) > MAX_ID:
        kind = "the text " if isinstance(number, str) else ""
        message = f'"{key}" is {kind}{shorten(number)}, no whole number'
        raise InvalidAnnotation(message, f'write "{key}" as a number without quotes, everywhere')
    return number


def _text(entry: dict[str, Any], key: str) -> str:
    if key not in entry:
        raise InvalidAnnotation(f'no "{key}"', f'add "{key}"')
    text = entry[key]
    if not isinstance(text, str) or not text.strip() or not text.isprintable():
        message = f'"{key}" is {shorten(text)}, no printable text'
        raise InvalidAnnotation(message, f'write "{key}" as text')
    return text


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
    category = _id(entry, "category_id")
    if category not in labels:
        message = f'its "category_id" {category} is not among categories'
        raise InvalidAnnotation(message, "add the category, or remove the annotation")
    is_crowd = entry.get("iscrowd", 0)
    if type(is_crowd) not in (int, bool) or is_crowd not in (0, 1):
        message = f'its "iscrowd" is {shorten(is_crowd)}'
        raise InvalidAnnotation(message, 'write "iscrowd": 0, or 1 for a crowd')
    shape = _shape(entry.get("segmentation"), height, width, report)
    bbox = _bbox(entry.get("bbox"), shape, height, width)
    area = entry.get("area")
    if area is not None and not (are_numbers([area]) and area > 0):
        message = f'its "area" is {shorten(area)}; that of the mask is used'
        report(message, "write the number of its pixels, or nothing")
        area = None
    ignore = bool(entry.get("ignore"))
    return ObjectEntry(bbox, labels[category], shape, bool(is_crowd), ignore, area)


def _shape(segmentation: Any, height: int, width: int, report: Report) -> Polygons | np.ndarray:
    fix = "outline the object, or remove the annotation"
    if not segmentation:
        message = "no segmentation, and masks cannot be trained from a box"
        raise InvalidAnnotation(message, fix)
    if isinstance(segmentation, dict):
        return rle.parse(segmentation, height, width)
    parts = []
    for part in segmentation if isinstance(segmentation, list) else ():
        reason = _bad_part(part, height, width)
        if reason is None:
            parts.append(np.array(part, np.float64))
        else:
            report(reason, "outline this part again, or remove it")
    if not parts:
        raise InvalidAnnotation("no usable polygon", fix)
    return parts


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
        return math.isfinite(sum(values))  # one nan or inf spoils the sum
    except OverflowError:  # a whole number that no float can hold
        return False


def _bbox(
    bbox: Any, shape: Polygons | np.ndarray, height: int, width: int
) -> tuple[float, float, float, float]:
    """x, y, width and height; checked to have area in the image, and to meet the shape."""
    fix = "draw it again, or remove the annotation"
    x1, y1, x2, y2 = _extent(shape, height)
    if bbox is None:
        bbox = [x1, y1, x2 - x1, y2 - y1]
    elif not are_numbers(bbox) or len(bbox) != 4:
        raise InvalidAnnotation(f"its bbox is {shorten(bbox)}, not [x, y, w, h]", fix)
    box = clip_boxes(np.array([bbox], np.float64), height, width)[0]
    if (box[2:] - box[:2] < MIN_SIDE).any():
        raise InvalidAnnotation("its box has no area inside the image", fix)
    if min(box[2], x2) <= max(box[0], x1) or min(box[3], y2) <= max(box[1], y1):
        raise InvalidAnnotation("its segmentation has no area inside its box", fix)
    return tuple(bbox)


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
