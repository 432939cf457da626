"""A model on disk: a folder of our own, or a single file, PaddleDetection's among them.

A folder holds everything a prediction needs: ``model.safetensors`` the weights,
``config.yml`` the configuration they belong to, ``classes.json`` the names and the
annotation file's ids of the classes. None of the three can run code when it is read, and
neither can a ``.pdparams`` file (see `maskrcnn_edu.weights.pdparams`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.problems import shorten
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.system.text_files import read_json, whole_number
from maskrcnn_edu.weights.arrays import CLASSES, CONFIG, WEIGHTS, load_weights
from maskrcnn_edu.weights.safetensors_file import write_safetensors
from maskrcnn_edu.weights.zoo import coco_classes, find_weights, zoo_entry


@dataclass(frozen=True)
class ClassNames:
    """What the labels 0 .. C-1 mean.

    Attributes:
        names: C names.
        category_ids: C ids, those of the annotation file.
    """

    names: list[str]
    category_ids: list[int]


def save_model(
    folder: str | Path, model: MaskRCNN, config: Config, classes: ClassNames,
    facts: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Write a model's folder; what was there before is replaced file by file.

    ``facts`` stand in the header of the weights.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {k: np.ascontiguousarray(v.numpy()) for k, v in model.state_dict().items()}
    save_metadata(folder, config, classes)
    atomic_write(folder / WEIGHTS, lambda p: write_safetensors(p, arrays, facts))


def save_metadata(folder: Path, config: Config, classes: ClassNames) -> None:
    """Write the configuration and the class names that weights belong to, beside them."""
    atomic_write(folder / CONFIG, lambda p: p.write_text(config.to_yaml(), encoding="utf-8"))
    atomic_write(folder / CLASSES, lambda p: p.write_text(json.dumps(asdict(classes), indent=1)))


def load_model(
    source: str | Path, config: Config | None = None, classes: ClassNames | None = None
) -> tuple[MaskRCNN, Config, ClassNames]:
    """Read a model that is ready to predict.

    Args:
        source: a folder that `save_model` wrote; or a ``.pdparams`` or ``.safetensors``
            file, or the name of a published one.
        config: the configuration of a file; a published one's is known.
        classes: what a file's labels mean; COCO's classes if there are 80 of them, else
            numbers.

    Raises:
        ValueError: something is missing, damaged, or does not fit; the message lists what.
    """
    path = find_weights(source)
    if path.is_dir():
        config, classes = _read_folder(path, config)
    else:
        config = config or _zoo_config(source)
        classes = classes or default_classes(config.values.get("num_classes", 80))
    model = build_model(config)
    load_weights(model, path)
    model.eval()
    return model, config, classes


def _read_folder(folder: Path, config: Config | None) -> tuple[Config, ClassNames]:
    for name in (CONFIG, CLASSES, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder} has no {name}: give the folder that `maskrcnn-edu train --out` wrote"
            )
    if config is not None:
        raise ValueError(f"{folder} has a configuration of its own; leave --config out")
    return load_config(folder / CONFIG), read_classes(folder / CLASSES)


def _zoo_config(source: str | Path) -> Config:
    """The configuration of a published file, known by its name."""
    known = zoo_entry(source)
    if known is None or known.config is None:
        raise ValueError(
            f"{source}: which configuration do these weights belong to? Name it: --config NAME|FILE"
        )
    return load_config(known.config, known.changes)


def default_classes(count: int) -> ClassNames:
    """What labels mean when nobody says it: COCO's classes if there are 80."""
    if count == 80:
        return ClassNames(*coco_classes())
    return ClassNames([f"class {i}" for i in range(count)], list(range(1, count + 1)))


def read_classes(path: str | Path) -> ClassNames:
    """Class names from a ``classes.json`` or from an annotation file in COCO format.

    Raises:
        ValueError: the file is neither, or a class in it is no name with an id of its own.
    """
    content = read_json(path)
    sections = content if isinstance(content, dict) else {}
    rows, names, ids = (sections.get(key) for key in ("categories", "names", "category_ids"))
    if isinstance(rows, list):
        pairs = [(r.get("id"), r.get("name")) if isinstance(r, dict) else (r, None) for r in rows]
    elif isinstance(names, list) and isinstance(ids, list) and len(names) == len(ids):
        pairs = list(zip(ids, names))
    else:
        raise ValueError(
            f"{path}: neither a classes.json nor an annotation file with categories (it needs "
            "two lists of the same length, names and category_ids, or one, categories)"
        )
    seen: dict[int, str] = {}
    for i, (number, name) in enumerate(pairs):
        whole = whole_number(number)
        if whole is None or whole in seen or not isinstance(name, str) or not name.strip():
            what = f"id {shorten(number)}, name {shorten(name)}"
            raise ValueError(f"{path}: class {i} ({what}) is no name with an id of its own")
        seen[whole] = name
    if isinstance(rows, list):
        seen = dict(sorted(seen.items()))
    return ClassNames(list(seen.values()), list(seen))
