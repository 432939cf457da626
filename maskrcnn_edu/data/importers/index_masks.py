"""Index masks: an image as large as the photo, whose pixels say which object they are.

Two layouts are known. Pascal VOC's has ``JPEGImages``, ``SegmentationObject`` (the number of
the object) and ``SegmentationClass`` (the number of the class). The other has ``images`` and
``masks``; a folder below ``masks`` holds the objects of the class it is named after.

Pixels: 0 is background, 1, 2, ... the objects; 255 in an 8-bit mask belongs to nobody.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from maskrcnn_edu.data import rle
from maskrcnn_edu.data.importers.write_coco import ImportResult, LabeledImage, relative_name
from maskrcnn_edu.data.problems import InvalidAnnotation, Issue, shorten

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
PHOTO_FOLDERS = ("images", "JPEGImages", "PNGImages")
MASK_FOLDERS = ("masks", "PedMasks")
NOBODY = 255
MOST_OBJECTS = 10_000
"""More in one mask are no objects: a photo was taken for a mask."""


def read_masks(folder: str | Path, class_name: str | None = None) -> ImportResult:
    """All masks of a folder, in either layout.

    Args:
        folder: see above.
        class_name: of masks that do not lie in the folder of a class.

    Raises:
        ValueError: the folders are not there, or nobody says the class.
    """
    folder = Path(folder)
    photos = _photos(folder)
    if (folder / "SegmentationObject").is_dir():
        return _read_voc(folder, photos)
    masks = next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), None)
    if masks is None:
        raise ValueError(
            f'{folder}: no folder "masks" or "SegmentationObject"; put the masks there'
        )
    found: dict[str, LabeledImage] = {}
    issues: list[Issue] = []
    broken = set()
    for path, name in _mask_files(masks, class_name):
        try:
            stem = _stem_of(path, photos)
            broken.add(stem)  # until the end has been reached
            mask = _read_mask(path)
            new = LabeledImage(photos[stem], photos[stem].name, [], mask.shape)
            found.setdefault(stem, new).annotations.extend(
                (name, runs) for _, runs in _objects(mask)
            )
            broken.remove(stem)
        except InvalidAnnotation as reason:
            issues.append(
                Issue(shorten(relative_name(folder, path)), None, reason.message, reason.fix)
            )
    for stem in sorted(set(photos) - set(found) - broken):
        fix = "make a mask, all 0 if there are no objects"
        issues.append(Issue(shorten(photos[stem].name), None, "it has no mask", fix))
    return [found[stem] for stem in photos if stem in found and stem not in broken], issues


def _photos(folder: Path) -> dict[str, Path]:
    """Stem -> photo."""
    for name in PHOTO_FOLDERS:
        if (folder / name).is_dir():
            files = sorted(p for p in (folder / name).iterdir() if p.is_file())
            return {path.stem: path for path in files}
    raise ValueError(f"{folder}: no folder {', '.join(PHOTO_FOLDERS)}; put the photos there")


def _mask_files(masks: Path, class_name: str | None) -> Iterator[tuple[Path, str]]:
    """(mask, class name); the files of class folders, then those that lie open."""
    for inside in sorted(masks.iterdir()):
        if inside.is_dir():
            yield from ((path, inside.name) for path in sorted(inside.iterdir()) if path.is_file())
    files = sorted(path for path in masks.iterdir() if path.is_file())
    if files and class_name is None:
        raise ValueError(f"{masks}: which class do these masks show? Name it: --class-name NAME")
    yield from ((path, class_name) for path in files)


def _stem_of(mask: Path, photos: dict[str, Path]) -> str:
    for stem in (mask.stem, mask.stem.removesuffix("_mask")):
        if stem in photos:
            return stem
    raise InvalidAnnotation("there is no photo of this name", "add the photo, or remove the mask")


def _read_voc(folder: Path, photos: dict[str, Path]) -> ImportResult:
    """Only photos with a mask: Pascal VOC segmented a few of its photos."""
    labeled, issues = [], []
    for path in sorted((folder / "SegmentationObject").iterdir()):
        try:
            stem = _stem_of(path, photos)
            classes = _read_mask(folder / "SegmentationClass" / path.name)
            objects = _read_mask(path)
            if classes.shape != objects.shape:
                raise InvalidAnnotation("its two masks differ in size", "export both masks again")
            annotations = [
                (_voc_class(classes[inside]), runs) for inside, runs in _objects(objects)
            ]
            labeled.append(
                LabeledImage(photos[stem], photos[stem].name, annotations, objects.shape)
            )
        except InvalidAnnotation as reason:
            issues.append(Issue(shorten(path.name), None, reason.message, reason.fix))
    return labeled, issues


def _voc_class(pixels: np.ndarray) -> str:
    """The class that most pixels of an object have."""
    known = pixels[(pixels > 0) & (pixels <= len(VOC_CLASSES))]
    if known.size == 0:
        raise InvalidAnnotation(
            "an object has no class in SegmentationClass", "export both masks again"
        )
    return VOC_CLASSES[np.bincount(known).argmax() - 1]


def _objects(mask: np.ndarray) -> Iterator[tuple[np.ndarray, dict]]:
    """(where it is [h, w] bool, RLE) of each object of a mask."""
    numbers = np.unique(mask)
    numbers = numbers[numbers > 0]
    if mask.dtype == np.uint8:
        if numbers.tolist() == [NOBODY]:
            what = "it has no values but 0 and 255, and 255 belongs to nobody"
            raise InvalidAnnotation(what, "write 1, 2, ... for the objects")
        numbers = numbers[numbers != NOBODY]
    if len(numbers) > MOST_OBJECTS:
        raise InvalidAnnotation(
            f"it has {len(numbers)} objects: no index mask", "write one number each"
        )
    for number in numbers.tolist():
        inside = mask == number
        yield inside, rle.encode(inside)


def _read_mask(path: Path) -> np.ndarray:
    """[h, w] uint8 or int64; a palette image's indices, not its colours."""
    try:
        with warnings.catch_warnings(), Image.open(path) as stored:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            mode, values = stored.mode, np.asarray(stored)
    except FileNotFoundError:
        raise InvalidAnnotation(f"there is no {path.parent.name}/{path.name}", "add it") from None
    except Exception as error:  # broken files make Pillow's decoders raise many kinds
        raise InvalidAnnotation(
            f"cannot be read as an image ({error})", "export the mask again"
        ) from error
    if mode in ("P", "L"):
        return values
    if mode in ("1", "I") or mode.startswith("I;16"):
        return values.astype(np.int64)
    raise InvalidAnnotation(
        f"its pixels are colours ({mode}), no numbers", "save it as grey or palette PNG"
    )
