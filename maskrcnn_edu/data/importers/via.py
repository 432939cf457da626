"""VGG Image Annotator (VIA) 2: one JSON file for all images, a project or an export."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from maskrcnn_edu.data.importers.write_coco import (
    ImportResult,
    LabeledImage,
    collect_file_issue,
    ellipse,
    find_json,
    image_inside,
    number,
    polygon,
    rectangle,
    relative_name,
)
from maskrcnn_edu.data.object_entry import is_name, read_name
from maskrcnn_edu.data.problems import InvalidAnnotation, Issue, collect_issue, shorten
from maskrcnn_edu.system.text_files import read_json

ATTRIBUTES = ("class", "label", "name", "type", "category", "object")
"""Region attributes that usually hold the class, in the order they are looked for."""


def read_via(
    folder: str | Path, class_name: str | None = None, attribute: str | None = None
) -> ImportResult:
    """VIA's JSON file, and the images beside it.

    Args:
        folder: where it is; the file itself if there are several.
        class_name: of every region that does not say one.
        attribute: the region attribute that holds the class; without it, one of
            `ATTRIBUTES`, or the only one there is.

    Raises:
        ValueError: there is no JSON file, or there are several of VIA's.
    """
    files, folder = [Path(folder)], Path(folder)
    if folder.is_file():
        folder = folder.parent
    else:
        files = find_json(folder, "*.json", "save the VIA project beside the images")
    labeled: list[LabeledImage] = []
    issues: list[Issue] = []
    contents: dict[Path, list[Any]] = {}
    for file in files:
        with collect_file_issue(issues, shorten(file.name), file):
            contents[file] = _entries(read_json(file))
    if len(contents) > 1:
        names = ", ".join(shorten(file.name) for file in contents)
        raise ValueError(
            f"{folder}: {len(contents)} VIA files ({names}); which one? Name it instead of the "
            f"folder: data import via {next(iter(contents))}"
        )
    for entries in contents.values():
        key = attribute or _class_attribute(entries)
        for place, entry in enumerate(entries, 1):
            with collect_issue(issues, f"entry {place}"):
                labeled.append(_read_entry(entry, folder, key, class_name, issues))
    return _drop_duplicates(labeled, issues), issues


def _entries(content: Any) -> list[Any]:
    """One entry for each image; a project has them one floor below an export."""
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)
    entries = list(content.values()) if isinstance(content, dict) else []
    if not any(isinstance(each, dict) and "regions" in each for each in entries):
        message = 'no "regions" in it: not VIA\'s format'
        raise InvalidAnnotation(message, "export the annotations as JSON, or remove the file")
    return entries


def _regions(entry: Any) -> list[Any]:
    """VIA 1 numbers the regions with keys, VIA 2 lists them."""
    regions = entry.get("regions") if isinstance(entry, dict) else None
    return list(regions.values()) if isinstance(regions, dict) else regions or []


def _class_attribute(entries: list[Any]) -> str | None:
    keys: Counter[str] = Counter()
    for entry in entries:
        regions = _regions(entry)
        for region in regions if isinstance(regions, list) else ():
            attributes = region.get("region_attributes") if isinstance(region, dict) else None
            keys.update(attributes.keys() if isinstance(attributes, dict) else ())
    usual = [key for key in ATTRIBUTES if key in keys]
    return usual[0] if usual else next(iter(keys)) if len(keys) == 1 else None


def _read_entry(
    entry: Any, folder: Path, key: str | None, class_name: str | None, issues: list[Issue]
) -> LabeledImage:
    file_name = read_name(entry if isinstance(entry, dict) else {}, "filename")
    regions = _regions(entry)
    if not isinstance(regions, list):
        message = f'"regions" of {shorten(file_name)} is no list'
        raise InvalidAnnotation(message, "save the file again")
    objects = []
    for row, region in enumerate(regions, 1):
        with collect_issue(issues, file_name, f"region {row}"):
            objects.append((_class_of(region, key, class_name), [_outline(region)]))
    path = image_inside(folder, folder / file_name)
    return LabeledImage(path, relative_name(folder, path), objects)


def _class_of(region: Any, key: str | None, class_name: str | None) -> str:
    attributes = region.get("region_attributes") if isinstance(region, dict) else None
    value = attributes.get(key) if isinstance(attributes, dict) and key is not None else None
    if isinstance(value, dict):  # ticked boxes: {"cat": true}
        ticked = [name for name, on in value.items() if on]
        value = ticked[0] if len(ticked) == 1 else None
    if isinstance(value, str) and is_name(value):
        return value.strip()
    if class_name is None:
        message = f"its class is not known: region_attributes are {shorten(attributes)}"
        raise InvalidAnnotation(message, "fill it in, or give --class-name or --attribute")
    return class_name


def _outline(region: Any) -> list[float]:
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    if not isinstance(shape, dict):
        raise InvalidAnnotation('no "shape_attributes"', "draw it again")
    kind = shape.get("name")
    if kind in ("polygon", "polyline"):
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
            raise InvalidAnnotation("its points have no x, or no y", "draw it again")
        return polygon(list(zip(xs, ys)))
    if kind == "rect":
        x, y, w, h = (number(shape.get(k)) for k in ("x", "y", "width", "height"))
        return rectangle(x, y, x + w, y + h)
    if kind == "circle":
        x, y, r = (number(shape.get(k)) for k in ("cx", "cy", "r"))
        return ellipse(x, y, r, r)
    if kind == "ellipse":
        x, y, rx, ry = (number(shape.get(k)) for k in ("cx", "cy", "rx", "ry"))
        return ellipse(x, y, rx, ry, number(shape.get("theta", 0)))
    message = f"a {shorten(kind)} is no outline"
    raise InvalidAnnotation(message, "draw a polygon, a rectangle, a circle or an ellipse")


def _drop_duplicates(labeled: list[LabeledImage], issues: list[Issue]) -> list[LabeledImage]:
    """Each image once: the first entry counts."""
    by_path: dict[Path, LabeledImage] = {}
    for each in labeled:
        if by_path.setdefault(each.path, each) is not each:
            message = "the image is annotated twice"
            issues.append(Issue(shorten(each.name), None, message, "keep one of the entries"))
    return list(by_path.values())
