"""Labeled images, from whatever tool, become a dataset in COCO's format."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_edu.data.coco_export import to_coco_dict
from maskrcnn_edu.data.image_file import read_image
from maskrcnn_edu.data.image_names import is_hidden
from maskrcnn_edu.data.object_entry import ObjectEntry, read_object
from maskrcnn_edu.data.problems import (
    InvalidAnnotation,
    Issue,
    UnreadableImage,
    collect_issue,
    shorten,
)
from maskrcnn_edu.data.validation import Annotations, ImageEntry
from maskrcnn_edu.system.os_errors import in_words


@dataclass(frozen=True)
class LabeledImage:
    """One image and the objects that are annotated in it.

    Attributes:
        path: the file; if it does not exist, ``content`` is written in its place.
        name: what it is called in the new dataset, folders included.
        annotations: (class name, COCO's segmentation) of each object.
        size: (height, width) that the annotations were made for; None if nobody says.
        content: the bytes of an image that came with the annotations.
    """

    path: Path
    name: str
    annotations: list[tuple[str, Any]]
    size: tuple[int, int] | None = None
    content: bytes | None = None


ImportResult = tuple[list[LabeledImage], list[Issue]]
"""What a reader of another format returns: what it understood, and what it did not."""


def polygon(points: Sequence[Sequence[float]]) -> list[float]:
    """[[x, y], ...] -> [x1, y1, x2, y2, ...].

    Raises:
        InvalidAnnotation: these are no points.
    """
    flat: list[float] = []
    for point in points if isinstance(points, (list, tuple)) else (None,):
        if not isinstance(point, (list, tuple)) or len(point) != 2:
            raise InvalidAnnotation(f"{shorten(points)} are no points [x, y]", "draw it again")
        flat += [number(value) for value in point]
    return flat


def number(value: object) -> float:
    """A finite number, as float.

    Raises:
        InvalidAnnotation: it is none.
    """
    if type(value) not in (int, float) or not abs(value) < 1e9:
        raise InvalidAnnotation(f"{shorten(value)} is no number of pixels", "draw it again")
    return float(value)


def rectangle(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    """Two opposite corners -> polygon."""
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> list[float]:
    """Centre, the two radii and the turn (radians, x towards y) -> polygon.

    It has so many corners that it leaves the curve by a quarter of a pixel at most.

    Raises:
        InvalidAnnotation: a radius is not positive, or absurdly large.
    """
    if not 0 < min(rx, ry) or not max(rx, ry) < 1e6:
        raise InvalidAnnotation(f"a circle of radius {rx:g}, {ry:g} has no area", "draw it again")
    count = max(12, math.ceil(math.pi * math.sqrt(2 * max(rx, ry))))
    turn = np.arange(count) * (2 * math.pi / count)
    dx, dy = rx * np.cos(turn), ry * np.sin(turn)
    xs = x + dx * math.cos(angle) - dy * math.sin(angle)
    ys = y + dx * math.sin(angle) + dy * math.cos(angle)
    return np.stack([xs, ys], axis=1).ravel().round(2).tolist()


def relative_name(folder: Path, path: Path) -> str:
    """What an image is called in the new dataset: its path below ``folder``, else its name."""
    try:
        return path.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        return path.name


def find_json(folder: Path, pattern: str, fix: str) -> list[Path]:
    """A tool's files, by name; hidden ones are copies that programs keep for themselves.

    Raises:
        ValueError: there is none.
    """
    files = sorted(p for p in folder.glob(pattern) if not is_hidden(p.relative_to(folder)))
    if not files:
        raise ValueError(f"{folder}: no .json file here; {fix}")
    return files


def image_inside(folder: Path, path: Path) -> Path:
    """The path of an image, without ``..``.

    Raises:
        InvalidAnnotation: it leads out of the folder, or the disk cannot have it.
    """
    there = Path(os.path.normpath(path.absolute()))
    if not there.is_relative_to(os.path.normpath(folder.absolute())):
        message = f"its image {shorten(str(path))} is outside of {shorten(str(folder))}"
        raise InvalidAnnotation(message, "copy it into the folder, or give a folder of both")
    try:
        there.is_file()
    except (OSError, ValueError) as error:  # a name too long, or with a byte 0
        message = f"its image {shorten(str(path))}: {in_words(error)}"
        raise InvalidAnnotation(message, "give it another name") from None
    return there


@contextlib.contextmanager
def collect_file_issue(issues: list[Issue], name: str, file: Path) -> Iterator[None]:
    """`collect_issue` for a file called ``name``, which may also be missing or no JSON."""
    with collect_issue(issues, name):
        try:
            yield
        except InvalidAnnotation:
            raise
        except (OSError, ValueError) as error:
            message = in_words(error).removeprefix(f"{file}: ")
            raise InvalidAnnotation(message, "save the file again") from error


def split(
    labeled: Sequence[LabeledImage], val_share: float, seed: int
) -> dict[str, list[LabeledImage]]:
    """A random share to validate on, the rest to train on, each in the order given.

    Raises:
        ValueError: the share is not in 0 .. 1 (1 excluded).
    """
    if not 0 <= val_share < 1 or seed < 0:
        raise ValueError(f"--val-share must be 0 to below 1 and --seed 0 or more, "
                         f"not {val_share:g} and {seed}")  # fmt: skip
    count = round(len(labeled) * val_share)
    if val_share > 0 and len(labeled) > 1:
        count = min(max(count, 1), len(labeled) - 1)
    val = set(np.random.default_rng(seed).permutation(len(labeled))[:count].tolist())
    return {
        "train": [each for i, each in enumerate(labeled) if i not in val],
        "val": [each for i, each in enumerate(labeled) if i in val],
    }


def write_dataset(
    splits: dict[str, list[LabeledImage]],
    folder: Path,
    classes: Sequence[str] = (),
    *,
    link: bool = False,
    on_image: Callable[[], object] = lambda: None,
) -> list[Issue]:
    """Write ``SPLIT/`` with the images and ``annotations/instances_SPLIT.json``.

    Every image is read and every object checked; only what can be used is written, so the
    result passes ``maskrcnn-edu data check``.

    Args:
        splits: "train" and "val".
        folder: is made, or filled.
        classes: names in the order of their ids 1, 2, ...; without any, those that occur.
        link: link to the images instead of copying them.
        on_image: called after every image (for a progress bar).

    Returns:
        What was left out.

    Raises:
        ValueError: no image or no class is left.
        OSError: the disk is full, or the folder cannot be written to.
    """
    everything = [each for part in splits.values() for each in part]
    names = list(classes) or sorted({name for each in everything for name, _ in each.annotations})
    if not names:
        raise ValueError("there is no object in any of the images; mark some and try again")
    issues: list[Issue] = []
    for part, labeled in splits.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        usable = Annotations(dict(enumerate(names, 1)), [], [], issues, {})
        taken: set[str] = set()
        for each in labeled:
            with collect_issue(issues, shorten(each.name)):
                name = _free_name(each.name, taken)
                size = _copy_image(each, folder / part / name, link=link)
                usable.images.append(ImageEntry(len(usable.images) + 1, name, *size))
                usable.objects.append(_objects(each, names, size, issues))
            on_image()
        if labeled and not usable.images:
            raise ValueError(f"none of the {len(labeled)} images can be used: {issues[0]}")
        path = folder / "annotations" / f"instances_{part}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(to_coco_dict(usable)), encoding="utf-8")
    return issues


def _free_name(name: str, taken: set[str]) -> str:
    """The name, with a number added if another image has it."""
    path, count = Path(name), 1
    while name.lower() in taken:  # some disks do not tell capitals from small letters
        count += 1
        name = path.with_name(f"{path.stem}_{count}{path.suffix}").as_posix()
    taken.add(name.lower())
    return name


def _copy_image(each: LabeledImage, target: Path, *, link: bool) -> tuple[int, int]:
    """Copy or link the image, if it can be read; (height, width)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    embedded = each.content is not None and not each.path.exists()
    if embedded:
        target.write_bytes(each.content)
    try:
        size = read_image(target if embedded else each.path, each.size).shape[:2]
    except UnreadableImage:
        target.unlink(missing_ok=True)
        raise
    if link and not embedded:
        os.symlink(each.path.resolve(), target)
    elif not embedded:
        shutil.copyfile(each.path, target)
    return size


def _objects(
    each: LabeledImage, names: list[str], size: tuple[int, int], issues: list[Issue]
) -> list[ObjectEntry]:
    labels = {number: number - 1 for number in range(1, len(names) + 1)}
    image, objects = shorten(each.name), []
    for place, (name, segmentation) in enumerate(each.annotations, 1):
        who = f"{place}, {name}"

        def report(message: str, fix: str, who: str = who) -> None:
            issues.append(Issue(image, who, message, fix))

        entry = {"category_id": names.index(name) + 1, "segmentation": segmentation}
        with collect_issue(issues, image, who):
            objects.append(read_object(entry, labels, *size, report))
    return objects
