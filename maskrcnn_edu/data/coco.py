"""A COCO annotation file as a sequence of samples.

The file is JSON with three lists::

    images       id, file_name, width, height
    categories   id, name              ids may have gaps and start anywhere
    annotations  image_id, category_id, bbox [x, y, w, h], segmentation, iscrowd

``segmentation`` is a list of polygons, or a run-length encoding (RLE): the mask
is read column by column, and ``counts`` holds the lengths of the runs of zeros
and ones in turn, zeros first. ``counts`` is a list, or a string that packs it.

What the file cannot mean (an unknown category, a missing field) is a `ValueError`.
What is merely useless for training (a box without area, an empty mask) is left
out and told in `CocoDataset.skipped`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..structures import BitMask, GroundTruth, Polygons, Segmentation
from .photo import read_image as read_image  # where it was looked for until now


@dataclass(frozen=True)
class Sample:
    """One image on its way from the file to the network.

    Attributes:
        image: None before `Decode`, then [h, w, 3] uint8 RGB, float32 after
            `NormalizeImage`, [3, h, w] after `Permute`.
        image_id: id in the annotation file.
        im_shape: [2] float32, height and width of the current image.
        scale_factor: [2] float32, (y, x): current pixels per pixel of the file.
        gt: numpy ground truth in the frame of the current image, or None.
        path: the image file; None if the image came as an array.
    """

    image: np.ndarray | None
    image_id: int
    im_shape: np.ndarray
    scale_factor: np.ndarray
    gt: GroundTruth | None = None
    path: Path | None = None


def sample_from_array(rgb: np.ndarray, image_id: int = 0) -> Sample:
    """A sample for predicting on an image that is already in memory.

    Args:
        rgb: [h, w, 3] uint8.
        image_id: what `Batch.image_id` will say.

    Raises:
        ValueError: another shape or type.
    """
    rgb = np.asarray(rgb)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"an image is [h, w, 3] uint8 RGB, not {rgb.dtype} {list(rgb.shape)}")
    ones = np.ones(2, np.float32)
    return Sample(rgb, image_id, np.array(rgb.shape[:2], np.float32), ones)


@dataclass(frozen=True)
class _Object:
    """A checked annotation. ``shape``: polygons, or the counts of an RLE (small until used)."""

    box: np.ndarray
    label: int
    shape: Polygons | np.ndarray
    is_crowd: bool


class CocoDataset:
    """Samples of one annotation file, in the order of its ``images``.

    Label l stands for category ``category_ids[l]``, called ``class_names[l]``.
    Images without annotations are kept.

    Attributes:
        json_file: the annotation file.
        image_dir: the folder that ``file_name`` starts from.
        category_ids: C ids, ascending.
        class_names: C names.
        image_ids: one id per sample.
        skipped: one message per annotation (or part of one) that was left out.
    """

    def __init__(self, json_file: str | Path, image_dir: str | Path) -> None:
        """Read and check all annotations; photos are read later, by `Decode`.

        Raises:
            OSError: the annotation file cannot be opened.
            ValueError: it does not parse, lacks a field, or refers to an unknown
                image or category. The message names the file, the field, the cure.
        """
        self.json_file = Path(json_file)
        self.image_dir = Path(image_dir)
        content = self._read_json()
        categories = sorted(content["categories"], key=lambda category: category["id"])
        self.category_ids: list[int] = self._unique_ids("categories", categories)
        self.class_names: list[str] = [category["name"] for category in categories]
        self._images: list[dict[str, Any]] = content["images"]
        self.image_ids: list[int] = self._unique_ids("images", self._images)
        self.skipped: list[str] = []
        self._objects = self._read_objects(content["annotations"])

    @property
    def num_classes(self) -> int:
        """C, without background."""
        return len(self.category_ids)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, i: int) -> Sample:
        """Sample ``i`` with ground truth in the image frame and the photo not yet read."""
        height, width = self._size(i)
        objects = self._objects[i]
        gt = GroundTruth(
            boxes=np.array([each.box for each in objects], np.float32).reshape(-1, 4),
            labels=np.array([each.label for each in objects], np.int64),
            segms=[_segmentation(each.shape, height, width) for each in objects],
            is_crowd=np.array([each.is_crowd for each in objects], bool),
        )
        shape = np.array([height, width], np.float32)
        ones = np.ones(2, np.float32)
        return Sample(None, self.image_ids[i], shape, ones, gt, self.image_path(i))

    def file_name(self, i: int) -> str:
        """The name of sample ``i``'s photo as the annotation file has it."""
        return self._images[i]["file_name"]

    def image_path(self, i: int) -> Path:
        """Where sample ``i``'s photo is."""
        return self.image_dir / self.file_name(i)

    def _size(self, i: int) -> tuple[int, int]:
        return int(self._images[i]["height"]), int(self._images[i]["width"])

    # ---- reading -------------------------------------------------------------

    def _read_json(self) -> dict[str, Any]:
        try:
            content = json.loads(self.json_file.read_text(encoding="utf-8"))
        except ValueError as error:  # also raised by bytes that are no UTF-8
            raise ValueError(
                f"{self.json_file}: not JSON ({error}); download or export the file again"
            ) from error
        needed = {
            "images": ("id", "file_name", "width", "height"),
            "categories": ("id", "name"),
            "annotations": ("image_id", "category_id"),
        }
        for section, fields in needed.items():
            self._check_fields(content, section, fields)
        for i, image in enumerate(content["images"]):
            if not all(isinstance(image[k], int) and image[k] > 0 for k in ("height", "width")):
                raise ValueError(
                    f'{self.json_file}: images[{i}] has a "height" or "width" that is no positive '
                    f"whole number; write the size of {image['file_name']} in pixels"
                )
        return content

    def _check_fields(self, content: Any, section: str, fields: tuple[str, ...]) -> None:
        entries = content.get(section) if isinstance(content, dict) else None
        if type(entries) is not list:
            raise ValueError(
                f'{self.json_file}: no list "{section}"; give a COCO instances file, '
                f'or add "{section}": [] if there are none'
            )
        for i, entry in enumerate(entries):
            for field in fields:
                if not isinstance(entry, dict) or field not in entry:
                    raise ValueError(
                        f'{self.json_file}: {section}[{i}] has no "{field}"; '
                        f"every entry of {section} needs {', '.join(fields)}"
                    )

    def _unique_ids(self, section: str, entries: list[dict[str, Any]]) -> list[int]:
        ids = [entry["id"] for entry in entries]
        if len(set(ids)) < len(ids):
            twice = next(i for i in ids if ids.count(i) > 1)
            raise ValueError(
                f'{self.json_file}: {section} has the "id" {twice} twice; number them anew'
            )
        return ids

    def _read_objects(self, annotations: list[dict[str, Any]]) -> list[list[_Object]]:
        row_of = {image_id: row for row, image_id in enumerate(self.image_ids)}
        label_of = {category_id: label for label, category_id in enumerate(self.category_ids)}
        objects: list[list[_Object]] = [[] for _ in self._images]
        for annotation in annotations:
            row = self._look_up(annotation, "image_id", row_of, "images")
            label = self._look_up(annotation, "category_id", label_of, "categories")
            try:
                made = self._read_object(annotation, label, *self._size(row))
            except _Unusable as reason:
                self._skip(annotation, str(reason))
            else:
                objects[row].append(made)
        return objects

    def _look_up(
        self, annotation: dict[str, Any], field: str, index_of: dict[int, int], section: str
    ) -> int:
        if annotation[field] not in index_of:
            raise ValueError(
                f"{self.json_file}: annotation {annotation.get('id')} has the "
                f'"{field}" {annotation[field]}, which is not among {section}; '
                f"add it there or remove the annotation"
            )
        return index_of[annotation[field]]

    def _read_object(
        self, annotation: dict[str, Any], label: int, height: int, width: int
    ) -> _Object:
        if annotation.get("ignore"):
            raise _Unusable("it is marked ignore")
        segmentation = annotation.get("segmentation")
        if not segmentation:
            raise _Unusable("no segmentation, and masks cannot be trained from a box")
        if isinstance(segmentation, dict):
            shape = _rle_counts(segmentation, height, width)
        else:
            shape = _polygons(segmentation, lambda reason: self._skip(annotation, reason))
        box = _box(annotation.get("bbox"), shape, height, width)
        return _Object(box, label, shape, bool(annotation.get("iscrowd", 0)))

    def _skip(self, annotation: dict[str, Any], reason: str) -> None:
        self.skipped.append(f"{self.json_file}: annotation {annotation.get('id')}: {reason}")


class _Unusable(ValueError):
    """Why an annotation is left out."""


def _polygons(segmentation: Any, note: Callable[[str], None]) -> Polygons:
    """The parts that are outlines, float64; the others are noted and dropped."""
    parts = []
    for part in segmentation if isinstance(segmentation, list) else ():
        if _are_numbers(part) and len(part) >= 6 and len(part) % 2 == 0:
            parts.append(np.array(part, np.float64))
        else:
            note("a polygon part is not [x1, y1, x2, y2, ...] with 3 points or more")
    if not parts:
        raise _Unusable("no usable polygon")
    return parts


def _box(bbox: Any, shape: Polygons | np.ndarray, height: int, width: int) -> np.ndarray:
    """[4] float32 corners, clipped to the image; from the shape if there is no bbox."""
    if bbox is None:
        corners = _extent(_segmentation(shape, height, width))
    elif _are_numbers(bbox) and len(bbox) == 4:
        x, y, w, h = bbox
        corners = np.array([x, y, x + w, y + h], np.float64)
    else:
        raise _Unusable(f"its bbox is {bbox}, not [x, y, w, h]")
    box = np.clip(corners, 0, [width, height, width, height]).astype(np.float32)
    if (box[2:] <= box[:2]).any():
        raise _Unusable("its box has no area inside the image")
    return box


def _extent(segmentation: Segmentation) -> np.ndarray:
    if isinstance(segmentation, BitMask):
        return segmentation.box
    points = np.concatenate(segmentation).reshape(-1, 2)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _are_numbers(values: Any) -> bool:
    """Whether this is a list of finite numbers."""
    if not isinstance(values, list) or not set(map(type, values)) <= {int, float}:
        return False
    return math.isfinite(sum(values))  # one nan or inf spoils the sum


# ---- run-length encoding -------------------------------------------------------
# Decoded here and not by pycocotools, which answers a damaged string with
# whatever was in memory instead of an error.


def _rle_counts(rle: dict[str, Any], height: int, width: int) -> np.ndarray:
    """[runs] int64, zeros first; raises `_Unusable` unless they fill the image."""
    if rle.get("size") != [height, width]:
        raise _Unusable(f"its RLE is for size {rle.get('size')}, the image is {[height, width]}")
    counts = rle.get("counts")
    if isinstance(counts, str):
        counts = _unpack(counts)
    whole = isinstance(counts, list) and all(isinstance(c, int) and c >= 0 for c in counts)
    if not whole or sum(counts) != height * width:
        raise _Unusable("its RLE cannot be decoded: the runs do not fill the image")
    if sum(counts[1::2]) == 0:
        raise _Unusable("its RLE is empty")
    return np.array(counts, np.int64)


def _unpack(text: str) -> list[int]:
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


def _segmentation(shape: Polygons | np.ndarray, height: int, width: int) -> Segmentation:
    """Fresh arrays for the ground truth: copied polygons, or runs drawn and cropped."""
    if isinstance(shape, list):
        return [part.copy() for part in shape]
    values = np.arange(len(shape), dtype=np.uint8) % 2
    mask = np.repeat(values, shape).reshape(width, height).T  # runs go down the columns
    return _crop(mask)


def _crop(mask: np.ndarray) -> BitMask:
    """A mask [h, w] of the whole image, not empty, as a `BitMask` cropped to its pixels."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    y1, y2 = rows[0], rows[-1] + 1
    x1, x2 = columns[0], columns[-1] + 1
    pixels = np.ascontiguousarray(mask[y1:y2, x1:x2])
    return BitMask(pixels, np.array([x1, y1, x2, y2], np.float32))
