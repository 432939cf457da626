"""Index masks: files as large as their images, whose pixels say which object they are.

Two layouts are known. Pascal VOC's has ``JPEGImages``, ``SegmentationObject`` (the number of
the object) and ``SegmentationClass`` (the number of the class). The other has ``images`` and
``masks``; a folder below ``masks`` holds the objects of the class it is named after.

Pixels: 0 is background, 1, 2, ... the objects; 255 in an 8-bit mask belongs to nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from maskrcnn_edu.data import rle
from maskrcnn_edu.data.image_file import open_image
from maskrcnn_edu.data.image_names import is_hidden, is_image_name
from maskrcnn_edu.data.importers.write_coco import ImportResult, LabeledImage, relative_name
from maskrcnn_edu.data.problems import InvalidAnnotation, Issue, collect_issue, shorten

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa",
    "train", "tvmonitor",
)  # fmt: skip
IMAGE_FOLDERS = ("images", "JPEGImages", "PNGImages")
MASK_FOLDERS = ("masks", "PedMasks")
NOBODY = 255
LOSSY = ("AVIF", "JPEG", "MPO", "WEBP")
SLOPED, DAMAGED = 0.01, 0.03
"""Shares of the pixels at edges. Drawn scenes and cells side by side have up to 0.01, objects
one pixel wide up to 0.003 of slopes; a JPEG of the best quality 0.014 and 0.085."""

MAX_OBJECTS = 10_000
"""More in one mask are no objects: an image was taken for a mask."""


def read_masks(folder: str | Path, class_name: str | None = None) -> ImportResult:
    """All masks of a folder, in either layout.

    Args:
        folder: see above.
        class_name: of masks that do not lie in the folder of a class.

    Raises:
        ValueError: the folders are not there, or nobody says the class.
    """
    folder = Path(folder)
    issues: list[Issue] = []
    images = _images(folder, issues)
    if (folder / "SegmentationObject").is_dir():
        return _read_voc(folder, images, issues)
    masks = next((folder / name for name in MASK_FOLDERS if (folder / name).is_dir()), None)
    if masks is None:
        raise ValueError(
            f'{folder}: no folder "masks" or "SegmentationObject"; put the masks there'
        )
    labeled: dict[str, LabeledImage] = {}
    broken = set()
    for path, name in _mask_files(masks, class_name):
        with collect_issue(issues, shorten(relative_name(folder, path))):
            stem = _stem_of(path, images)
            broken.add(stem)  # until the end has been reached
            mask = _read_mask(path)
            new = LabeledImage(images[stem], images[stem].name, [], mask.shape)
            objects = [(name, runs) for _, runs in _objects(mask)]
            labeled.setdefault(stem, new).annotations.extend(objects)
            broken.remove(stem)
    for stem in sorted(set(images) - set(labeled) - broken):
        fix = "make a mask, all 0 if there are no objects"
        issues.append(Issue(shorten(images[stem].name), None, "it has no mask", fix))
    return [labeled[stem] for stem in images if stem in labeled and stem not in broken], issues


def _images(folder: Path, issues: list[Issue]) -> dict[str, Path]:
    """Stem -> image; two of one stem are an issue, and the first by name counts."""
    images: dict[str, Path] = {}
    for name in IMAGE_FOLDERS:
        if (folder / name).is_dir():
            for path in _visible(folder / name):
                if not is_image_name(Path(path.name)):  # what lies beside an image
                    continue
                first = images.setdefault(path.stem, path)
                if first != path:
                    message = f"{shorten(first.name)} has the same name but for its ending"
                    fix = "keep one of the two, or rename one together with its mask"
                    issues.append(Issue(shorten(path.name), None, message, fix))
            return images
    raise ValueError(f"{folder}: no folder {', '.join(IMAGE_FOLDERS)}; put the images there")


def _visible(folder: Path) -> list[Path]:
    """A folder's files by name, without the hidden ones."""
    return sorted(p for p in folder.iterdir() if p.is_file() and not is_hidden(Path(p.name)))


def _mask_files(masks: Path, class_name: str | None) -> Iterator[tuple[Path, str]]:
    """(mask, class name); the files of class folders, then those that lie open."""
    for inside in sorted(masks.iterdir()):
        if inside.is_dir() and not is_hidden(Path(inside.name)):
            yield from ((path, inside.name) for path in _visible(inside))
    files = _visible(masks)
    if files and class_name is None:
        raise ValueError(f"{masks}: which class do these masks show? Name it: --class-name NAME")
    yield from ((path, class_name) for path in files)


def _stem_of(mask: Path, images: dict[str, Path]) -> str:
    for stem in (mask.stem, mask.stem.removesuffix("_mask")):
        if stem in images:
            return stem
    raise InvalidAnnotation("there is no image of this name", "add the image, or remove the mask")


def _read_voc(folder: Path, images: dict[str, Path], issues: list[Issue]) -> ImportResult:
    """Only images with a mask: Pascal VOC segmented a few of its images."""
    labeled: list[LabeledImage] = []
    for path in _visible(folder / "SegmentationObject"):
        with collect_issue(issues, shorten(path.name)):
            image = images[_stem_of(path, images)]
            classes = _read_mask(folder / "SegmentationClass" / path.name)
            mask = _read_mask(path)
            if classes.shape != mask.shape:
                raise InvalidAnnotation("its two masks differ in size", "export both masks again")
            objects = [(_voc_class(classes[inside]), runs) for inside, runs in _objects(mask)]
            labeled.append(LabeledImage(image, image.name, objects, mask.shape))
    return labeled, issues


def _voc_class(pixels: np.ndarray) -> str:
    """The class that most pixels of an object have."""
    known = pixels[(pixels > 0) & (pixels <= len(VOC_CLASSES))]
    if known.size == 0:
        message = "an object has no class in SegmentationClass"
        raise InvalidAnnotation(message, "export both masks again")
    return VOC_CLASSES[np.bincount(known).argmax() - 1]


def _objects(mask: np.ndarray) -> Iterator[tuple[np.ndarray, dict]]:
    """(where it is [h, w] bool, RLE) of each object of a mask."""
    numbers = np.unique(mask)
    numbers = numbers[numbers > 0]
    if mask.dtype == np.uint8:
        if numbers.tolist() == [NOBODY]:
            message = "it has no values but 0 and 255, and 255 belongs to nobody"
            raise InvalidAnnotation(message, "write 1, 2, ... for the objects")
        numbers = numbers[numbers != NOBODY]
    if len(numbers) > MAX_OBJECTS:
        message = f"it has {len(numbers)} objects: no index mask"
        raise InvalidAnnotation(message, "write one number each")
    for number in numbers.tolist():
        inside = mask == number
        yield inside, rle.encode(inside)


def _read_mask(path: Path) -> np.ndarray:
    """[h, w] uint8 or int64; a palette image's indices, not its colours."""
    try:
        with open_image(path) as stored:
            if stored.width * stored.height > Image.MAX_IMAGE_PIXELS:
                raise ValueError(f"more than {Image.MAX_IMAGE_PIXELS / 1e6:.0f} million pixels")
            mode, values = stored.mode, np.asarray(stored)
            packed = stored.info.get("compression", "") if stored.format == "TIFF" else ""
            kind = packed.upper() if packed in ("jpeg", "webp") else stored.format
    except FileNotFoundError:
        raise InvalidAnnotation(f"there is no {path.parent.name}/{path.name}", "add it") from None
    except Exception as error:  # broken files make Pillow's decoders raise many kinds
        message = f"cannot be read as an image ({error})"
        raise InvalidAnnotation(message, "export the mask again") from error
    if kind in LOSSY:
        message = f"{kind} keeps no exact numbers"
        raise InvalidAnnotation(message, "save the mask as PNG, from where it was drawn")
    if mode not in ("1", "I", "L", "P") and not mode.startswith("I;16"):
        message = f"its pixels are colours ({mode}), no numbers"
        raise InvalidAnnotation(message, "save it as grey or palette PNG")
    _refuse_damaged(values)
    return values if mode in ("P", "L") else values.astype(np.int64)


def _refuse_damaged(values: np.ndarray) -> None:
    """A mask that was scaled like a photo, or that once was a JPEG, has slopes and specks.

    On a slope a pixel lies strictly between its neighbours; a speck differs from all eight.
    In a sound mask both take objects one pixel wide, beside others; an object of one pixel is
    no speck, but another one of the same number is.
    """
    height, width = values.shape
    padded = np.pad(values, 1, mode="edge")
    around = [[padded[y : y + height, x : x + width] for x in range(3)] for y in range(3)]
    alone, edges, slopes = values > 0, np.zeros(values.shape, bool), np.zeros(values.shape, bool)
    for place in (0, 1, 2, 3, 5, 6, 7, 8):
        alone &= around[place // 3][place % 3] != values
    for one, other in ((around[0][1], around[2][1]), (around[1][0], around[1][2])):
        edges |= (one != values) | (other != values)
        slopes |= (np.minimum(one, other) < values) & (values < np.maximum(one, other))
    _, specks = np.unique(values[alone], return_counts=True)
    sloped = slopes.sum() / max(edges.sum(), 1)
    damaged = sloped + (specks - 1).sum() / max(edges.sum(), 1)
    if sloped > SLOPED and damaged > DAMAGED:
        message = f"{damaged:.0%} of its edges are slopes or specks: numbers of no objects"
        raise InvalidAnnotation(message, "export it again; resize masks by the nearest pixel only")
