"""Weights on disk: a folder that holds everything a prediction needs.

``model.safetensors`` the weights, ``config.yml`` the configuration they belong to,
``classes.json`` the names and the annotation file's ids of the classes. None of the
three can run code when it is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import paddle
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from maskrcnn_edu.config import Config, build_model, load_config
from maskrcnn_edu.mask_rcnn import MaskRCNN

WEIGHTS, CONFIG, CLASSES = "model.safetensors", "config.yml", "classes.json"


@dataclass(frozen=True)
class Classes:
    """What the labels 0 .. C-1 mean.

    Attributes:
        names: C names.
        category_ids: C ids, those of the annotation file.
    """

    names: list[str]
    category_ids: list[int]


def write_safely(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file under another name, then rename: it is there whole, or not at all."""
    temporary = path.with_name(path.name + ".part")
    write(temporary)
    os.replace(temporary, path)


def save_model(folder: str | Path, model: MaskRCNN, config: Config, classes: Classes) -> None:
    """Write a model's folder; what was there before is replaced file by file."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {k: np.ascontiguousarray(v.numpy()) for k, v in model.state_dict().items()}
    write_safely(folder / CONFIG, lambda p: p.write_text(config.to_yaml(), encoding="utf-8"))
    write_safely(folder / CLASSES, lambda p: p.write_text(json.dumps(asdict(classes), indent=1)))
    write_safely(folder / WEIGHTS, lambda p: save_file(arrays, p))


def load_model(folder: str | Path) -> tuple[MaskRCNN, Config, Classes]:
    """Read a folder that `save_model` wrote; the model is ready to predict.

    Raises:
        ValueError: a file is missing, damaged, or does not fit the others.
    """
    folder = Path(folder)
    for name in (CONFIG, CLASSES, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder} has no {name}: give the folder that `maskrcnn-edu train --out` wrote"
            )
    config = load_config(folder / CONFIG)
    classes = Classes(**json.loads((folder / CLASSES).read_text(encoding="utf-8")))
    model = build_model(config)
    load_weights(model, folder)
    model.eval()
    return model, config, classes


def load_weights(model: MaskRCNN, source: str | Path) -> None:
    """Put stored weights into a model.

    Args:
        model: changed in place, and only if everything fits.
        source: a folder of `save_model`, or a ``.safetensors`` file.

    Raises:
        ValueError: the file is missing or damaged, or lists which weights are missing,
            unexpected, or of another shape.
    """
    path = Path(source)
    path = path / WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"there are no weights at {path}")
    try:
        arrays = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole .safetensors file: {error}") from error
    expected = {k: list(v.shape) for k, v in model.state_dict().items()}
    problems = _differences(expected, {k: list(v.shape) for k, v in arrays.items()})
    if problems:
        raise ValueError(f"{path} does not fit the model:\n  " + "\n  ".join(problems))
    model.set_state_dict({k: paddle.to_tensor(v) for k, v in arrays.items()})


def _differences(expected: dict[str, list], found: dict[str, list]) -> list[str]:
    """One line for every weight that is missing, unexpected or of another shape."""
    missing = [f"missing: {k} {expected[k]}" for k in expected if k not in found]
    unexpected = [f"unexpected: {k} {found[k]}" for k in found if k not in expected]
    shapes = [
        f"shape: {k} is {found[k]}, the model has {expected[k]}"
        for k in expected
        if k in found and expected[k] != found[k]
    ]
    return missing + unexpected + shapes
