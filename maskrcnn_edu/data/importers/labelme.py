"""LabelMe: one JSON file beside each image, with polygons, rectangles, circles
and masks."""

from __future__ import annotations

import base64
import binascii
import io
import math
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from maskrcnn_edu.data import rle
from maskrcnn_edu.data.importers.write_coco import (
    ImportResult,
    LabeledImage,
    collect_file_issue,
    ellipse,
    find_json,
    image_inside,
    polygon,
    rectangle,
    relative_name,
)
from maskrcnn_edu.data.object_entry import is_name, read_name
from maskrcnn_edu.data.problems import InvalidAnnotation, Issue, collect_issue, shorten
from maskrcnn_edu.system.text_files import read_json

FOUR_CORNERS = ("rectangle", "rotation", "oriented_rectangle", "rotated_rectangle")
"""Boxes that may be turned, by their four corners."""


def read_labelme(folder: str | Path) -> ImportResult:
    """All JSON files below a folder.

    Shapes with the same label and ``group_id`` are parts of one object. The image inside a
    file (``imageData``) is used only if there is none beside it.

    Raises:
        ValueError: there is no JSON file.
    """
    folder = Path(folder)
    labeled: list[LabeledImage] = []
    issues: list[Issue] = []
    owners: dict[Path, str] = {}
    for file in find_json(folder, "**/*.json", "give the folder that LabelMe saved in"):
        name = shorten(relative_name(folder, file))
        with collect_file_issue(issues, name, file):
            new = _read_file(file, folder, name, issues)
            owner = owners.setdefault(new.path.resolve(), name)
            if owner != name:
                message = f"its image {shorten(new.name)} is annotated by {owner} too"
                raise InvalidAnnotation(message, "keep one of the two files")
            labeled.append(new)
    return labeled, issues


def _read_file(file: Path, folder: Path, name: str, issues: list[Issue]) -> LabeledImage:
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        message = 'no list "shapes": not LabelMe\'s format'
        raise InvalidAnnotation(message, "remove it from the folder")
    path = image_inside(folder, _find_image(file, read_name(content, "imagePath")))
    sides = content.get("imageHeight"), content.get("imageWidth")
    size = sides if all(type(side) is int and side > 0 for side in sides) else None
    objects = _objects(content["shapes"], size, name, issues)
    embedded = _embedded(content.get("imageData")) if not path.exists() else None
    return LabeledImage(path, relative_name(folder, path), objects, size, embedded)


def _find_image(file: Path, path: str) -> Path:
    """The image that a file names; beside the file if its folder has been moved."""
    named = file.parent / path
    beside = file.parent / PureWindowsPath(path).name  # knows both kinds of slash
    return beside if not named.is_file() else named


def _embedded(data: object) -> bytes | None:
    try:
        return base64.b64decode(data, validate=True) if isinstance(data, str) else None
    except (binascii.Error, ValueError):
        return None


def _objects(
    shapes: list[Any], size: tuple[int, int] | None, name: str, issues: list[Issue]
) -> list[tuple[str, Any]]:
    """(label, segmentation) of each object; one with a ``group_id`` has several shapes."""
    objects: list[tuple[str, list[Any]]] = []
    groups: dict[tuple[str, str], list[Any]] = {}
    for place, shape in enumerate(shapes, 1):
        with collect_issue(issues, name, f"shape {place}"):
            label, outline = _outline(shape, size)
            group = shape.get("group_id")
            parts = groups.setdefault((label, repr(group)), []) if group is not None else []
            if not parts:
                objects.append((label, parts))
            parts.append(outline)
    return [(label, _joined(parts, size)) for label, parts in objects]


def _joined(parts: list[Any], size: tuple[int, int] | None) -> Any:
    """Polygons as they are; with a mask among them, all as one mask."""
    if all(isinstance(part, list) for part in parts):
        return parts
    inside = np.zeros(size, bool)
    for part in parts:
        runs = coco_mask.frPyObjects([part], *size)[0] if isinstance(part, list) else part
        inside |= coco_mask.decode(runs).astype(bool)
    return rle.encode(inside)


def _outline(shape: Any, size: tuple[int, int] | None) -> tuple[str, Any]:
    """Class name and polygon (or RLE of the whole image) of a shape."""
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not is_name(label):
        raise InvalidAnnotation(f"its label is {shorten(label)}", "give it the name of a class")
    kind, points = shape.get("shape_type", "polygon"), shape.get("points")
    corners = polygon(points)
    if kind == "mask":
        return label.strip(), _mask(shape.get("mask"), corners, size)
    if kind == "polygon" or (kind in FOUR_CORNERS and len(corners) == 8):
        return label.strip(), corners
    if kind == "rectangle" and len(corners) == 4:
        return label.strip(), rectangle(*corners)
    if kind == "circle" and len(corners) == 4:
        x, y, on_x, on_y = corners
        radius = math.hypot(on_x - x, on_y - y)
        return label.strip(), ellipse(x, y, radius, radius)
    message = f"a {shorten(kind)} of {len(corners) // 2} points is no outline"
    raise InvalidAnnotation(message, "draw a polygon, a rectangle, a circle or a mask")


def _mask(data: Any, corners: list[float], size: tuple[int, int] | None) -> dict[str, Any]:
    """The RLE of a mask, which is a PNG in base64 whose first pixel is the first point's."""
    fix = "draw it again, or remove it"
    png = _embedded(data)
    if png is None or len(corners) != 4 or size is None:
        message = "its mask has no PNG, no two corners, or no size of its image"
        raise InvalidAnnotation(message, fix)
    x, y = round(corners[0]), round(corners[1])
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as stored:
            width, height = stored.size
            fits = min(x, y) >= 0 and y + height <= size[0] and x + width <= size[1]
            pixels = np.asarray(stored.convert("L")) > 0 if fits else None
    except Exception as error:  # broken files make Pillow's decoders raise many kinds
        raise InvalidAnnotation(f"its mask cannot be read ({error})", fix) from error
    if pixels is None:
        raise InvalidAnnotation(f"its mask of {height} x {width} pixels leaves the image", fix)
    inside = np.zeros(size, bool)
    inside[y : y + height, x : x + width] = pixels
    return rle.encode(inside)
