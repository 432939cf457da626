"""From image files to overlays and a file of results."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import paddle

from maskrcnn_edu.config.build import build
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.coco import CocoDataset, sample_from_array
from maskrcnn_edu.data.image_file import read_image
from maskrcnn_edu.data.image_names import IMAGE_ENDINGS, is_image_name
from maskrcnn_edu.data.loader import collate
from maskrcnn_edu.data.problems import UnreadableImage
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.rle import encode_crop
from maskrcnn_edu.data.transforms import Decode, apply_transforms
from maskrcnn_edu.inference.coco_results import coco_results
from maskrcnn_edu.inference.onednn import use_onednn
from maskrcnn_edu.inference.overlay import Overlay, OverlayStyle
from maskrcnn_edu.inference.unfinished import Done, leave_mark, made_by, take_over
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch, Detections, PredictionStages
from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.system.os_errors import in_words
from maskrcnn_edu.weights.folder import ClassNames


def predict_image(model: MaskRCNN, config: Config, image: np.ndarray) -> PredictionStages:
    """Find the objects in one image.

    All masks are pasted at the image's size at once: that takes a byte for every
    pixel and object. `predict_images` needs no more than the objects are large.

    Args:
        model: in prediction mode (as `maskrcnn_edu.weights.folder.load_model` returns it).
        config: the model's configuration; its ``EvalReader`` says how to resize.
        image: [h, w, 3] uint8, RGB.

    Returns:
        Every intermediate; ``.detections[0]`` is the answer, in the image's own frame.
    """
    with paddle.no_grad():
        return model(_batch(config, image))


def _batch(config: Config, image: np.ndarray) -> Batch:
    """One image as the network sees it."""
    sample_transforms, batch_transforms = build(config, Reader, ("EvalReader",)).transforms()
    steps = [t for t in sample_transforms if not isinstance(t, Decode)]  # it is decoded
    samples = [apply_transforms(sample_from_array(image), steps, np.random.default_rng(0))]
    for transform in batch_transforms:
        samples = transform(samples)
    return collate(samples)


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """The image files meant by files and folders (a folder's in order of name).

    A folder's hidden files are not meant, whatever their ending, nor overlays beside
    their images.

    Raises:
        ValueError: a path does not exist, or a folder holds no image.
        OSError: a folder cannot be looked into.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = _images_inside(path)
            if not inside:
                raise ValueError(f"{path}: no image in this folder ({', '.join(IMAGE_ENDINGS)})")
            files += inside
        elif path.exists():
            files.append(path)
        else:
            raise ValueError(f"{path}: there is no such file or folder")
    return files


def _images_inside(folder: Path) -> list[Path]:
    """A folder's images by name, without the overlays that `predict_images` has made of them."""
    images = sorted(path for path in folder.iterdir() if is_image_name(Path(path.name)))
    stems = {path.stem for path in images}
    return [path for path in images if not _is_overlay(path.name, stems)]


def _is_overlay(name: str, stems: Collection[str]) -> bool:
    """Whether `overlay_names` gives this name to an image with one of these stems."""
    stem = name.removesuffix("_found.png")
    return stem != name and (stem in stems or re.sub(r"_[0-9]+$", "", stem) in stems)


def overlay_names(paths: Sequence[Path], out_dir: Path) -> list[str]:
    """``x_found.png`` for ``x.jpg``, ``x_2_found.png`` for the next image called x.

    No two names are equal, upper and lower case aside, and none is that of an image.
    """
    here = [p.name for p in paths if p.parent.resolve() == out_dir.resolve()]
    taken = {name.casefold() for name in here}
    names = []
    for path in paths:
        # a file system takes names of 255 bytes
        stem = path.stem if len(os.fsencode(path.stem)) < 230 else path.stem[:50]
        stems = itertools.chain([stem], (f"{stem}_{n}" for n in itertools.count(2)))
        tries = (f"{s}_found.png" for s in stems)
        names.append(next(name for name in tries if name.casefold() not in taken))
        taken.add(names[-1].casefold())
    return names


def warn(path: Path, problem: OSError) -> None:
    """A warning about an image that cannot be read."""
    warnings.warn(str(problem), stacklevel=3)


def predict_images(
    model: MaskRCNN,
    config: Config,
    classes: ClassNames,
    paths: Iterable[Path],
    out_dir: str | Path,
    style: OverlayStyle = OverlayStyle(),
    truth: CocoDataset | None = None,
    on_image: Callable[[Path, Detections | None], None] = lambda path, detections: None,
    on_problem: Callable[[Path, OSError], None] = warn,
) -> list[dict]:
    """Write an overlay for every image, and ``results.json`` and ``photos.json`` for all.

    ``results.json`` holds every detection in COCO's results format, with the file's
    name and the class's name added; overlays show those from ``style.min_score`` up.
    ``photos.json`` says of every image (``image_id`` is its number) its path, height,
    width, overlay and number of detections; or why it has none of these.

    An image that cannot be read is left out. If something ends the work early (Ctrl-C, a
    full disk), both files hold the results until then, and the same call goes on from there.

    Args:
        model, config: see `predict_image`.
        classes: what the model's labels mean.
        paths: image files.
        out_dir: folder for all that is written; made if need be.
        style: how to draw overlays.
        truth: annotations to draw beside; images are known by their names.
        on_image: called after every image, with its detections (without masks), or None if
            they were there already.
        on_problem: called instead if an image cannot be read.

    Returns:
        What ``results.json`` holds.

    Raises:
        ValueError: there are not as many classes as the model has, or ``truth`` annotates
            none of the images.
    """
    _check(model, classes)
    paths, out_dir = list(paths), Path(out_dir)
    overlays = _overlays(paths, style, truth)
    predict_one = partial(_predict_one, model, config, classes)
    out_dir.mkdir(parents=True, exist_ok=True)
    results, records, names = [], _records(paths), overlay_names(paths, out_dir)
    key = partial(made_by, model, config, classes, style, truth and truth.to_coco())
    with _kept(out_dir, key, results, records) as done, use_onednn(model, len(paths)):
        for path, record, name, overlay in zip(paths, records, names, overlays):
            try:
                again = _again(record, done.get((str(path), name)))
                found, own = again or predict_one(record, out_dir / name, overlay)
            except UnreadableImage as problem:
                record["problem"] = in_words(problem)
                on_problem(path, problem)
            else:
                results += own
                on_image(path, found)
    return results


@contextlib.contextmanager
def _kept(
    out_dir: Path, key: Callable[[], str], results: list[dict], records: list[dict]
) -> Iterator[Done]:
    """Write ``results.json`` and ``photos.json`` after the block, however it ends.

    The block receives what the same call, by its ``key``, did before it was interrupted.
    """
    try:
        yield take_over(out_dir, key)
    except BaseException:
        with contextlib.suppress(OSError):  # a full disk, which is said anyway
            leave_mark(out_dir, key, records)
        raise
    finally:
        for name, content in (("results.json", results), ("photos.json", records)):
            text = json.dumps(content)
            atomic_write(out_dir / name, lambda p, text=text: p.write_text(text, encoding="utf-8"))


def _again(record: dict, earlier: tuple[dict, list[dict]] | None) -> tuple[None, list[dict]] | None:
    """An image's results of an earlier call, under today's number and name, if there are any."""
    if earlier is None:
        return None
    own = {key: record[key] for key in ("image_id", "file_name")}
    record |= earlier[0] | own
    return None, [result | own for result in earlier[1]]


NewOverlay = Callable[[np.ndarray], Overlay]


def _overlays(
    paths: Sequence[Path], style: OverlayStyle, truth: CocoDataset | None
) -> list[NewOverlay]:
    """What makes the overlay of each image, with its annotated objects if there are any."""
    if truth is None:
        return [partial(Overlay, style=style)] * len(paths)
    rows = {Path(truth.file_name(i)).name: i for i in range(len(truth))}
    if not any(path.name in rows for path in paths):
        raise ValueError(f"{truth.json_file} annotates none of these {len(paths)} images")

    def beside(name: str, image: np.ndarray) -> Overlay:  # an image's masks when its turn comes
        gt = truth[rows[name]].gt if name in rows else None
        return Overlay(image, style, gt, truth.class_names)

    return [partial(beside, path.name) for path in paths]


def _check(model: MaskRCNN, classes: ClassNames) -> None:
    count = model.bbox_head.num_classes
    if len(classes.names) != count:
        raise ValueError(
            f"the model knows {count} classes, but {len(classes.names)} are named: "
            f"{', '.join(classes.names[:10])}; name the classes that it was trained for"
        )


def _records(paths: Sequence[Path]) -> list[dict]:
    """What ``photos.json`` says before anything is done."""
    names = Counter(path.name for path in paths)
    return [
        {
            "image_id": number,
            "file_name": path.name if names[path.name] == 1 else path.as_posix(),
            "path": str(path),
            "problem": "the work ended before this image was done",
        }
        for number, path in enumerate(paths)
    ]


def _predict_one(
    model: MaskRCNN,
    config: Config,
    classes: ClassNames,
    record: dict,
    place: Path,
    new_overlay: NewOverlay,
) -> tuple[Detections, list[dict]]:
    """An image's detections and part of ``results.json``; its overlay and record are made too."""
    image = read_image(Path(record["path"]))
    names = dict(zip(classes.category_ids, classes.names))
    overlay = new_overlay(image)
    stages = model.detect(_batch(config, image))
    detections, size = stages.detections[0], stages.image_size[0]
    masks = model.mask_post_process.paste_in_boxes(stages.mask_probs[0], detections.boxes, *size)
    rles = []
    for row, mask in enumerate(masks):
        overlay.add(detections, row, mask)
        rles.append(encode_crop(mask, *size))
    results = coco_results(record["image_id"], detections, classes.category_ids, rles)
    overlay.save(place, classes.names)
    record |= {"height": image.shape[0], "width": image.shape[1], "overlay": place.name}
    record |= {"found": len(detections), "problem": None}
    about = {"file_name": record["file_name"]}
    named = [{**about, "category": names[r["category_id"]], **r} for r in results]
    return detections, named
