"""LabelMe: one JSON file beside each photo, with polygons, rectangles and circles."""

from __future__ import annotations

import base64
import binascii
import math
from pathlib import Path, PureWindowsPath
from typing import Any

from maskrcnn_edu.data.importers.write_coco import (
    ImportResult,
    LabeledImage,
    ellipse,
    polygon,
    rectangle,
    relative_name,
)
from maskrcnn_edu.data.problems import InvalidAnnotation, Issue, shorten
from maskrcnn_edu.data.validation import read_json


def read_labelme(folder: str | Path) -> ImportResult:
    """All JSON files below a folder.

    Shapes with the same label and ``group_id`` are parts of one object. The photo inside a
    file (``imageData``) is used only if there is none beside it.

    Raises:
        ValueError: there is no JSON file.
    """
    folder = Path(folder)
    files = sorted(folder.rglob("*.json"))
    if not files:
        raise ValueError(f"{folder}: no .json file here; give the folder that LabelMe saved in")
    labeled: list[LabeledImage] = []
    issues: list[Issue] = []
    photos: dict[Path, str] = {}
    for file in files:
        name = shorten(relative_name(folder, file))
        try:
            made = _read_file(file, folder, name, issues)
            twice = photos.setdefault(made.photo.resolve(), name)
            if twice != name:
                what = f"its photo {shorten(made.name)} is annotated by {twice} too"
                raise InvalidAnnotation(what, "keep one of the two files")
            labeled.append(made)
        except InvalidAnnotation as reason:
            issues.append(Issue(name, None, reason.message, reason.fix))
        except (OSError, ValueError) as error:
            what = str(error).removeprefix(f"{file}: ")
            issues.append(Issue(name, None, what, "save the file again"))
    return labeled, issues


def _read_file(file: Path, folder: Path, name: str, issues: list[Issue]) -> LabeledImage:
    content = read_json(file)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise InvalidAnnotation(
            'no list "shapes": not LabelMe\'s format', "remove it from the folder"
        )
    path = content.get("imagePath")
    if not isinstance(path, str) or not path.isprintable() or not path:
        raise InvalidAnnotation(f'"imagePath" is {shorten(path)}', "write the name of the photo")
    photo = _find_photo(file, path)
    sides = content.get("imageHeight"), content.get("imageWidth")
    known = all(type(side) is int and side > 0 for side in sides)
    annotations = _marks(content["shapes"], name, issues)
    data = _embedded(content.get("imageData")) if not photo.exists() else None
    return LabeledImage(
        photo, relative_name(folder, photo), annotations, sides if known else None, data
    )


def _find_photo(file: Path, path: str) -> Path:
    """The photo that a file names; beside the file if its folder has been moved."""
    named = file.parent / path
    beside = file.parent / PureWindowsPath(path).name  # knows both kinds of slash
    return beside if not named.is_file() else named


def _embedded(data: object) -> bytes | None:
    try:
        return base64.b64decode(data, validate=True) if isinstance(data, str) else None
    except (binascii.Error, ValueError):
        return None


def _marks(shapes: list[Any], name: str, issues: list[Issue]) -> list[tuple[str, Any]]:
    annotations: list[tuple[str, Any]] = []
    groups: dict[tuple[str, str], list[list[float]]] = {}
    for place, shape in enumerate(shapes, 1):
        try:
            label, outline = _outline(shape)
        except InvalidAnnotation as reason:
            issues.append(Issue(name, f"shape {place}", reason.message, reason.fix))
            continue
        group = shape.get("group_id")
        parts = groups.setdefault((label, repr(group)), []) if group is not None else []
        if not parts:
            annotations.append((label, parts))
        parts.append(outline)
    return annotations


def _outline(shape: Any) -> tuple[str, list[float]]:
    """Class name and polygon of a shape."""
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not label.strip() or not label.isprintable():
        raise InvalidAnnotation(f"its label is {shorten(label)}", "give it the name of a class")
    kind, points = shape.get("shape_type", "polygon"), shape.get("points")
    corners = polygon(points)
    if kind == "polygon" or (kind == "rectangle" and len(corners) == 8):
        return label.strip(), corners
    if kind == "rectangle" and len(corners) == 4:
        return label.strip(), rectangle(*corners)
    if kind == "circle" and len(corners) == 4:
        x, y, on_x, on_y = corners
        radius = math.hypot(on_x - x, on_y - y)
        return label.strip(), ellipse(x, y, radius, radius)
    what = f"a {shorten(kind)} of {len(corners) // 2} points is no outline"
    raise InvalidAnnotation(what, "draw a polygon, a rectangle or a circle")
