"""From photos to overlays and a file of results."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import paddle

from maskrcnn_edu.config import Config, make
from maskrcnn_edu.data.coco import read_image, sample_from_array
from maskrcnn_edu.data.loader import collate
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.transforms import Decode, apply_transforms
from maskrcnn_edu.evaluate import coco_results
from maskrcnn_edu.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Detections, PredictionStages
from maskrcnn_edu.viz.detections import draw_detections
from maskrcnn_edu.weights import Classes

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


def predict_image(model: MaskRCNN, config: Config, image: np.ndarray) -> PredictionStages:
    """Find the objects in one picture.

    Args:
        model: in prediction mode (as `maskrcnn_edu.weights.load_model` returns it).
        config: the model's configuration; its ``EvalReader`` says how to resize.
        image: [h, w, 3] uint8, RGB.

    Returns:
        Every intermediate; ``.detections[0]`` is the answer, in the picture's own frame.
    """
    sample_transforms, batch_transforms = make(config, Reader, ("EvalReader",)).transforms()
    steps = [t for t in sample_transforms if not isinstance(t, Decode)]  # it is decoded
    samples = [apply_transforms(sample_from_array(image), steps, np.random.default_rng(0))]
    for transform in batch_transforms:
        samples = transform(samples)
    with paddle.no_grad():
        return model(collate(samples))


def find_photos(paths: Iterable[str | Path]) -> list[Path]:
    """The photos meant by files and folders (a folder's photos in order of name).

    Raises:
        ValueError: a path does not exist, or a folder holds no photo.
    """
    photos: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PHOTO_ENDINGS)
            if not inside:
                raise ValueError(f"{path}: no photo in this folder ({', '.join(PHOTO_ENDINGS)})")
            photos += inside
        elif path.is_file():
            photos.append(path)
        else:
            raise ValueError(f"{path}: there is no such file or folder")
    return photos


def predict_photos(
    model: MaskRCNN,
    config: Config,
    classes: Classes,
    photos: Iterable[Path],
    out_dir: str | Path,
    min_score: float = 0.5,
    on_photo: Callable[[Path, Detections], None] = lambda photo, found: None,
) -> list[dict]:
    """Write an overlay for every photo, and ``results.json`` for all.

    ``results.json`` holds every detection in COCO's results format, with the photo's
    name and the class's name added; overlays show those from ``min_score`` up.

    Returns:
        What ``results.json`` holds.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    results: list[dict] = []
    names = dict(zip(classes.category_ids, classes.names))
    for number, photo in enumerate(photos):
        image = read_image(photo)
        found = predict_image(model, config, image).detections[0]
        figure = draw_detections(image, found, classes.names, min_score)
        figure.savefig(out_dir / f"{photo.stem}_found.png", dpi=120)
        for result in coco_results(number, found, classes.category_ids):
            results.append(
                {"file_name": photo.name, "category": names[result["category_id"]], **result}
            )
        on_photo(photo, found)
    (out_dir / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return results
