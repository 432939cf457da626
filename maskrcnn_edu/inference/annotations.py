"""Detections become annotations that people correct and train on: LabelMe's files, or COCO's."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from matplotlib.path import Path as Outline

from maskrcnn_edu.data import rle
from maskrcnn_edu.data.coco_export import to_coco_dict
from maskrcnn_edu.data.object_entry import read_object
from maskrcnn_edu.data.problems import InvalidAnnotation
from maskrcnn_edu.data.validation import Annotations, ImageEntry
from maskrcnn_edu.structures import BitMask
from maskrcnn_edu.system.files import atomic_folder, atomic_write
from maskrcnn_edu.viz.data import outline_paths
from maskrcnn_edu.weights.folder import ClassNames

TOLERANCE = 0.35
"""Pixels by which corners are left out. A mask's outline runs half way between the centres of
pixels, at least 0.354 from each, so all of them stay on their side."""


def polygons(mask: BitMask) -> list[np.ndarray]:
    """The parts of a mask as closed curves of few corners, [n, 2] (x, y) in its box's frame.

    The last corner is the first again. LabelMe's and COCO's polygons have no holes: a curve goes
    on from its first corner around the hole and comes back, so that the way there has no area.
    """
    parts: list[np.ndarray] = []
    for path in outline_paths(mask):
        for ring in np.split(path.vertices, np.flatnonzero(path.codes == Outline.MOVETO)[1:]):
            x, y = (ring - ring[0]).T
            ring = simplified(ring)
            if x[:-1] @ y[1:] > x[1:] @ y[:-1]:  # it goes round the other way than a hole
                parts.append(ring)
            else:
                start = np.hypot(*(ring[:-1] - parts[-1][0]).T).argmin()
                hole = np.roll(ring[:-1], -start, axis=0)
                parts[-1] = np.concatenate([parts[-1], hole, hole[:1], parts[-1][:1]])
    return parts


def simplified(curve: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """The corners of a curve [n, 2] that are needed to stay within ``tolerance`` (pixels) of it.

    Source: Douglas and Peucker, 1973.
    """
    keep, pieces = np.zeros(len(curve), bool), [(0, len(curve) - 1)]
    keep[[0, -1]] = True
    while pieces:
        first, last = pieces.pop()
        (dx, dy), away = curve[last] - curve[first], curve[first + 1 : last] - curve[first]
        length = np.hypot(dx, dy)
        off = np.abs(away @ [dy, -dx]) / length if length else np.hypot(*away.T)
        if len(off) and off.max() > tolerance:
            middle = first + 1 + int(off.argmax())
            keep[middle] = True
            pieces += [(first, middle), (middle, last)]
    return curve[keep]


def write_labelme(
    results: Sequence[dict], photos: Sequence[dict], folder: str | Path, min_score: float
) -> None:
    """Write a folder with a copy of every image and a LabelMe file beside it, all or nothing.

    Args:
        results: what ``results.json`` holds.
        photos: what ``photos.json`` holds of the images that could be read.
        folder: is made.
        min_score: leave out what is less certain.

    Raises:
        ValueError: there is such a folder: somebody may have corrected it.
    """
    with atomic_folder(folder) as unfinished:
        for photo, objects in _outlined(results, photos, min_score):
            stem = photo["overlay"].removesuffix("_found.png")  # no two of them are equal
            name = f"{stem}{Path(photo['path']).suffix}"
            shutil.copyfile(photo["path"], unfinished / name)
            content = {
                "version": "5.0.1", "flags": {}, "imagePath": name, "imageData": None,
                "imageHeight": photo["height"], "imageWidth": photo["width"],
                "shapes": [s for n, each in enumerate(objects) for s in _shapes(n, *each)],
            }  # fmt: skip
            (unfinished / f"{stem}.json").write_text(json.dumps(content, indent=1), "utf-8")


def _shapes(number: int, result: dict, parts: Sequence[np.ndarray]) -> Iterator[dict]:
    """LabelMe's shapes of one object; those of several have its number as their group."""
    for part in parts:
        yield {
            "label": result["category"], "points": part.tolist(), "shape_type": "polygon",
            "group_id": number if len(parts) > 1 else None, "flags": {},
            "description": f"score {result['score']:.2f}",
        }  # fmt: skip


def write_coco(
    results: Sequence[dict], photos: Sequence[dict], file: Path, min_score: float,
    classes: ClassNames,
) -> Path:  # fmt: skip
    """Write an annotation file in COCO's format, with polygons.

    Args:
        results, photos, min_score: see `write_labelme`.
        file: is replaced.
        classes: all that the model knows.

    Returns:
        The folder that the names of the images begin in.
    """
    folder = Path(os.path.commonpath([Path(p["path"]).absolute().parent for p in photos]))
    names = dict(zip(classes.category_ids, classes.names))
    labels = {number: label for label, number in enumerate(classes.category_ids)}
    made = Annotations(names, [], [], [], {})
    for photo, objects in _outlined(results, photos, min_score):
        name = Path(photo["path"]).absolute().relative_to(folder).as_posix()
        size = photo["height"], photo["width"]
        made.images.append(ImageEntry(photo["image_id"], name, *size))
        made.objects.append([])
        for result, parts in objects:
            outline = [part.ravel().tolist() for part in parts]
            entry = {"category_id": result["category_id"], "segmentation": outline}
            with contextlib.suppress(InvalidAnnotation):  # a speck in the middle of no pixel
                made.objects[-1].append(read_object(entry, labels, *size, lambda *_: None))
    text = json.dumps(to_coco_dict(made))
    atomic_write(file, lambda place: place.write_text(text, "utf-8"))
    return folder


def _outlined(
    results: Sequence[dict], photos: Sequence[dict], min_score: float
) -> Iterator[tuple[dict, list[tuple[dict, list[np.ndarray]]]]]:
    """Every image and its objects, each with the corners of its parts."""
    found: dict[int, list[dict]] = {photo["image_id"]: [] for photo in photos}
    for result in results:
        if result["score"] >= min_score and result["image_id"] in found:
            found[result["image_id"]].append(result)
    for photo in photos:
        size, objects = (photo["height"], photo["width"]), []
        for result in found[photo["image_id"]]:
            with contextlib.suppress(InvalidAnnotation):  # a mask without a pixel
                mask = rle.decode_crop(rle.parse(result["segmentation"], *size), size[0])
                objects.append((result, [part[:-1].round(2) for part in polygons(mask)]))
        yield photo, objects
