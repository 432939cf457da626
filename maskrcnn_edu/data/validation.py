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

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from maskrcnn_edu.data.object_entry import ObjectEntry, Report, read_id, read_name, read_object
from maskrcnn_edu.data.problems import InvalidAnnotation, Issue, collect_issue, shorten
from maskrcnn_edu.system.text_files import describe_value, read_json, whole_number

MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 10**9)
"""Pillow decodes no image with more."""

MAX_OBJECTS = 100
"""Of one image: so many detections are kept (``keep_top_k``) and counted (``maxDets``)."""

SizeOf = Callable[[str], "tuple[int, int] | None"]
"""File name -> (height, width) of the upright image; None if it cannot be read."""


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
    labels |= {number: labels[first] for number, first in check.same.items()}
    for i, entry in enumerate(annotations):
        check.annotation(entry, f"annotations[{i}]", labels)
    check.issues.extend(_judge_whole(check.objects))
    counts = {"categories": len(categories), "images": len(images), "annotations": len(annotations)}
    by_id = dict(sorted(check.categories.items()))
    return Annotations(by_id, check.images, check.objects, check.issues, counts)


def _judge_whole(objects: list[list[ObjectEntry]]) -> Iterator[Issue]:
    """What only all objects of a file together show; objects: a list for each image."""
    everything = [each for row in objects for each in row]
    if not everything:
        message = "there is no usable annotation: nothing can be learned or measured"
        yield Issue(None, None, message, "annotate some objects")
    elif all(each.is_crowd for each in everything):
        message = 'every object is a crowd ("iscrowd" 1): nothing can be learned or measured'
        yield Issue(None, None, message, 'write "iscrowd": 0 for single objects')
    elif all(each.ignore or each.is_crowd for each in everything):
        message = 'every object is marked "ignore": nothing can be learned'
        yield Issue(None, None, message, 'write "ignore": 0 for objects to train on')
    counts = [sum(not each.is_crowd for each in row) for row in objects]
    crowded = sum(count > MAX_OBJECTS for count in counts)
    if crowded:
        message = (
            f"{crowded} of {len(objects)} images hold more than {MAX_OBJECTS} objects, up to "
            f"{max(counts)}; prediction keeps {MAX_OBJECTS} (keep_top_k), and AP counts "
            f"{MAX_OBJECTS} (maxDets)"
        )
        fix = f"--set BBoxPostProcess.nms.keep_top_k={max(counts)}, or cut the images"
        yield Issue(None, None, message, fix)


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
    same: dict[int, int] = field(default_factory=dict)  # category id -> first one of its name
    images: list[ImageEntry] = field(default_factory=list)
    objects: list[list[ObjectEntry]] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    rows: dict[int, int | None] = field(default_factory=dict)  # image id -> row; None: left out
    names: dict[str, int] = field(default_factory=dict)  # file name -> image id
    seen: dict[int, Any] = field(default_factory=dict)  # annotation id -> first entry

    def category(self, entry: Any, place: str) -> None:
        try:
            number, name = read_id(entry, "id"), read_name(entry, "name")
            if number in self.categories or number in self.same:
                message = f"the id {number} is used twice"
                raise InvalidAnnotation(message, "give every category its own id")
            first = next((n for n, known in self.categories.items() if known == name), None)
            if first is None:
                self.categories[number] = name
            else:
                self.same[number] = first
                message = f"the name {shorten(name)} is used twice; {number} is taken for {first}"
                raise InvalidAnnotation(message, "give every class one category, with its own name")
        except InvalidAnnotation as reason:
            self.issues.append(Issue(None, None, f"{place}: {reason.message}", reason.fix))

    def image(self, entry: Any, place: str) -> None:
        if isinstance(entry, dict) and entry.get("file_name"):
            place = shorten(entry["file_name"])
        with collect_issue(self.issues, place):
            number = read_id(entry, "id")
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
        name = read_name(entry, "file_name")
        if name in self.names:
            message = f"the image is listed twice, as {self.names[name]} and as {number}"
            raise InvalidAnnotation(message, "keep one entry, with all annotations")
        height, width = (whole_number(entry.get(key)) for key in ("height", "width"))
        if not (height and width) or min(height, width) < 0:
            height, width = self._size_of_file(entry, name, place)
        if height * width > MAX_PIXELS:
            message = f"{shorten(width)} x {shorten(height)} pixels are more than Pillow decodes"
            raise InvalidAnnotation(message, "make the image smaller, or write its true size")
        return ImageEntry(number, name, height, width)

    def _size_of_file(self, entry: dict[str, Any], name: str, place: str) -> tuple[int, int]:
        stated = ", ".join(f'"{k}" {describe_value(entry.get(k))}' for k in ("height", "width"))
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
        name = place if whole_number(number) is None else whole_number(number)
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
        number = read_id(entry, "image_id")
        if number not in self.rows:
            message = f'its "image_id" {number} is not among images'
            raise InvalidAnnotation(message, "add the image, or remove the annotation")
        return self.rows[number]

    def _check_id(self, entry: dict[str, Any], report: Report) -> None:
        """Ids of annotations are only names: those without a good one are used all the same."""
        try:
            number = read_id(entry, "id")
        except InvalidAnnotation as reason:
            report(f"{reason.message}; it is used all the same", reason.fix)
            return
        if number not in self.seen:
            self.seen[number] = entry
        elif self.seen[number] == entry:
            raise InvalidAnnotation("it is listed twice", "remove one of the two")
        else:
            report("its id is used twice; both are used", "give every annotation its own id")
