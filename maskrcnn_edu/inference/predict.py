"""From photos to overlays and a file of results."""

from __future__ import annotations

import itertools
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import paddle

from maskrcnn_edu.config.build import build
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.coco import sample_from_array
from maskrcnn_edu.data.image_file import read_image
from maskrcnn_edu.data.loader import collate
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.rle import encode_crop
from maskrcnn_edu.data.transforms import Decode, apply_transforms
from maskrcnn_edu.inference.coco_results import coco_results
from maskrcnn_edu.inference.onednn import compiled
from maskrcnn_edu.inference.overlay import Overlay
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch, Detections, PredictionStages
from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.weights.folder import ClassNames

PHOTO_ENDINGS = (
    ".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".avif", ".heic",
)  # fmt: skip


def predict_image(model: MaskRCNN, config: Config, image: np.ndarray) -> PredictionStages:
    """Find the objects in one picture.

    All masks are pasted at the picture's size at once: that takes a byte for every
    pixel and object. `predict_photos` needs no more than the objects are large.

    Args:
        model: in prediction mode (as `maskrcnn_edu.weights.folder.load_model` returns it).
        config: the model's configuration; its ``EvalReader`` says how to resize.
        image: [h, w, 3] uint8, RGB.

    Returns:
        Every intermediate; ``.detections[0]`` is the answer, in the picture's own frame.
    """
    with paddle.no_grad():
        return model(_batch(config, image))


def _batch(config: Config, image: np.ndarray) -> Batch:
    """One picture as the network sees it."""
    sample_transforms, batch_transforms = build(config, Reader, ("EvalReader",)).transforms()
    steps = [t for t in sample_transforms if not isinstance(t, Decode)]  # it is decoded
    samples = [apply_transforms(sample_from_array(image), steps, np.random.default_rng(0))]
    for transform in batch_transforms:
        samples = transform(samples)
    return collate(samples)


def find_photos(paths: Iterable[str | Path]) -> list[Path]:
    """The photos meant by files and folders (a folder's photos in order of name).

    A folder's hidden files are not photos, whatever their ending.

    Raises:
        ValueError: a path does not exist, or a folder holds no photo.
        OSError: a folder cannot be looked into.
    """
    photos: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if _looks_like_a_photo(p))
            if not inside:
                raise ValueError(f"{path}: no photo in this folder ({', '.join(PHOTO_ENDINGS)})")
            photos += inside
        elif path.exists():
            photos.append(path)
        else:
            raise ValueError(f"{path}: there is no such file or folder")
    return photos


def _looks_like_a_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTO_ENDINGS and not path.name.startswith(".")


def overlay_names(photos: Sequence[Path], out_dir: Path) -> list[str]:
    """``x_found.png`` for ``x.jpg``, ``x_2_found.png`` for the next photo called x.

    No two names are equal, upper and lower case aside, and none is that of a photo.
    """
    here = [p.name for p in photos if p.parent.resolve() == out_dir.resolve()]
    taken = {name.casefold() for name in here}
    names = []
    for photo in photos:
        # a file system takes names of 255 bytes
        stem = photo.stem if len(os.fsencode(photo.stem)) < 230 else photo.stem[:50]
        stems = itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(2)))
        tries = (f"{s}_found.png" for s in stems)
        names.append(next(name for name in tries if name.casefold() not in taken))
        taken.add(names[-1].casefold())
    return names


def warn(photo: Path, problem: OSError) -> None:
    """A warning about a photo that cannot be read."""
    warnings.warn(str(problem), stacklevel=3)


def predict_photos(
    model: MaskRCNN,
    config: Config,
    classes: ClassNames,
    photos: Iterable[Path],
    out_dir: str | Path,
    min_score: float = 0.5,
    on_photo: Callable[[Path, Detections], None] = lambda photo, found: None,
    on_problem: Callable[[Path, OSError], None] = warn,
) -> list[dict]:
    """Write an overlay for every photo, and ``results.json`` and ``photos.json`` for all.

    ``results.json`` holds every detection in COCO's results format, with the photo's
    name and the class's name added; overlays show those from ``min_score`` up.
    ``photos.json`` says of every photo (``image_id`` is its number) its path, height,
    width, overlay and number of detections; or why it has none of these.

    A photo that cannot be read is left out. If something ends the work early (Ctrl-C, a
    full disk), both files hold what was found until then.

    Args:
        model, config: see `predict_image`.
        classes: what the model's labels mean.
        photos: files.
        out_dir: folder for all that is written; made if need be.
        min_score: draw from this score up, 0 .. 1.
        on_photo: called after every photo, with its detections (without masks).
        on_problem: called instead if a photo cannot be read.

    Returns:
        What ``results.json`` holds.

    Raises:
        ValueError: ``min_score`` is not from 0 to 1, or there are not as many classes as
            the model has.
    """
    _check(model, classes, min_score)
    photos, out_dir = list(photos), Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    results: list[dict] = []
    records = _records(photos)
    try:
        with compiled(model, len(photos)):
            for record, photo, name in zip(records, photos, overlay_names(photos, out_dir)):
                try:
                    image = _read_quietly(photo)
                except OSError as problem:
                    record["problem"] = str(problem)
                    on_problem(photo, problem)
                    continue
                overlay = Overlay(image, min_score)
                found, own = _predict_photo(model, config, classes, image, record, overlay)
                draw = overlay.draw(classes.names).savefig
                atomic_write(out_dir / name, lambda p, draw=draw: draw(p, dpi=120, format="png"))
                height, width = image.shape[:2]
                record |= {"height": height, "width": width, "overlay": name, "found": len(found)}
                record["problem"] = None
                results += own
                on_photo(photo, found)
    finally:
        for name, content in (("results.json", results), ("photos.json", records)):
            text = json.dumps(content)
            atomic_write(out_dir / name, lambda p, text=text: p.write_text(text, encoding="utf-8"))
    return results


def _check(model: MaskRCNN, classes: ClassNames, min_score: float) -> None:
    if not 0 <= min_score <= 1:
        raise ValueError(f"min_score must be from 0 to 1, got {min_score}")
    count = model.bbox_head.num_classes
    if len(classes.names) != count:
        raise ValueError(
            f"the model knows {count} classes, but {len(classes.names)} are named: "
            f"{', '.join(classes.names[:10])}; name the classes that it was trained for"
        )


def _records(photos: Sequence[Path]) -> list[dict]:
    """What ``photos.json`` says before anything is done."""
    names = Counter(photo.name for photo in photos)
    return [
        {
            "image_id": number,
            "file_name": photo.name if names[photo.name] == 1 else photo.as_posix(),
            "path": str(photo),
            "problem": "the work ended before this photo was done",
        }
        for number, photo in enumerate(photos)
    ]


def _read_quietly(photo: Path) -> np.ndarray:
    """Read a photo without Pillow's warnings about what it copes with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_image(photo)


def _predict_photo(
    model: MaskRCNN,
    config: Config,
    classes: ClassNames,
    image: np.ndarray,
    record: dict,
    overlay: Overlay,
) -> tuple[Detections, list[dict]]:
    """A photo's detections, and its part of ``results.json``; the overlay receives them too."""
    names = dict(zip(classes.category_ids, classes.names))
    stages = model.detect(_batch(config, image))
    detections, size = stages.detections[0], stages.image_size[0]
    masks = model.mask_post_process.paste_in_boxes(stages.mask_probs[0], detections.boxes, *size)
    rles = []
    for row, mask in enumerate(masks):
        overlay.add(detections, row, mask)
        rles.append(encode_crop(mask, *size))
    results = coco_results(record["image_id"], detections, classes.category_ids, rles)
    about = {"file_name": record["file_name"]}
    named = [{**about, "category": names[r["category_id"]], **r} for r in results]
    return detections, named
