"""Weights on disk: folders of our own, and single files, PaddleDetection's among them.

A folder holds everything a prediction needs: ``model.safetensors`` the weights,
``config.yml`` the configuration they belong to, ``classes.json`` the names and the
annotation file's ids of the classes. None of the three can run code when it is read, and
neither can a ``.pdparams`` file (see `maskrcnn_edu.pdparams`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from paddle import nn
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from maskrcnn_edu.config import Config, build_model, load_config
from maskrcnn_edu.files import write_safely
from maskrcnn_edu.mask_rcnn import MaskRCNN
from maskrcnn_edu.official import coco_classes, find_weights, official
from maskrcnn_edu.pdparams import read_pdparams

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


def save_model(folder: str | Path, model: MaskRCNN, config: Config, classes: Classes) -> None:
    """Write a model's folder; what was there before is replaced file by file."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {k: np.ascontiguousarray(v.numpy()) for k, v in model.state_dict().items()}
    write_meaning(folder, config, classes)
    write_safely(folder / WEIGHTS, lambda p: p.write_bytes(save(arrays)))


def write_meaning(folder: Path, config: Config, classes: Classes) -> None:
    """Write the configuration and the classes that weights belong to."""
    write_safely(folder / CONFIG, lambda p: p.write_text(config.to_yaml(), encoding="utf-8"))
    write_safely(folder / CLASSES, lambda p: p.write_text(json.dumps(asdict(classes), indent=1)))


def load_model(
    source: str | Path, config: Config | None = None, classes: Classes | None = None
) -> tuple[MaskRCNN, Config, Classes]:
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
        config = config or _official_config(path)
        classes = classes or default_classes(config.values.get("num_classes", 80))
    model = build_model(config)
    load_weights(model, path)
    model.eval()
    return model, config, classes


def _read_folder(folder: Path, config: Config | None) -> tuple[Config, Classes]:
    for name in (CONFIG, CLASSES, WEIGHTS):
        if not (folder / name).is_file():
            raise ValueError(
                f"{folder} has no {name}: give the folder that `maskrcnn-edu train --out` wrote"
            )
    if config is not None:
        raise ValueError(f"{folder} has a configuration of its own; leave --config out")
    content = json.loads((folder / CLASSES).read_text(encoding="utf-8"))
    return load_config(folder / CONFIG), Classes(**content)


def _official_config(path: Path) -> Config:
    """The configuration of a published file, known by its name."""
    known = official(path)
    if known is None or known.config is None:
        raise ValueError(
            f"{path}: which configuration do these weights belong to? Name it: --config NAME|FILE"
        )
    return load_config(known.config, known.changes)


def default_classes(count: int) -> Classes:
    """What labels mean when nobody says it: COCO's classes if there are 80."""
    if count == 80:
        return Classes(*coco_classes())
    return Classes([f"class {i}" for i in range(count)], list(range(1, count + 1)))


def read_classes(path: str | Path) -> Classes:
    """Classes from a ``classes.json`` or from an annotation file in COCO format.

    Raises:
        ValueError: the file is neither.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if "categories" in content:
            rows = sorted((c["id"], c["name"]) for c in content["categories"])
            return Classes([name for _, name in rows], [number for number, _ in rows])
        return Classes(list(content["names"]), list(content["category_ids"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: neither a classes.json nor an annotation file with categories ({error!r})"
        ) from error


# ---------------------------------------------------------------- arrays into a model


def read_arrays(source: str | Path) -> dict[str, np.ndarray]:
    """The weights of a folder, a ``.safetensors`` file, a ``.pdparams`` file, or by name.

    Raises:
        ValueError: there is no such file, or it is damaged or of another kind.
    """
    path = _weights_file(source)
    if path.suffix == ".pdparams":
        return read_pdparams(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole .safetensors file: {error}") from error


def _weights_file(source: str | Path) -> Path:
    path = find_weights(source)
    path = path / WEIGHTS if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"there are no weights at {path}")
    return path


def load_weights(model: nn.Layer, source: str | Path) -> None:
    """Put stored weights into a model; every weight must be there, and fit.

    Args:
        model: changed in place, and only if everything fits.
        source: see `read_arrays`.

    Raises:
        ValueError: as `read_arrays`, or lists which weights are missing, unexpected, or of
            another shape.
    """
    path = _weights_file(source)
    arrays, expected = read_arrays(path), _shapes(model)
    problems = _differences(expected, {k: list(v.shape) for k, v in arrays.items()})
    if problems:
        raise ValueError(f"{path} does not fit the model:\n  " + "\n  ".join(problems))
    assign(model, arrays)


@dataclass(frozen=True)
class Pretrained:
    """Which weights of a model came from a file.

    Attributes:
        source: the file.
        used: model's names that received stored weights.
        missing: model's names that the file has nothing for.
        misshapen: one line each for stored weights of another shape (another number of
            classes, for instance).
        unexpected: the file's names that the model has no place for.
        classes: names of classes whose rows were found by name, see `load_pretrained`.
    """

    source: str
    used: list[str]
    missing: list[str]
    misshapen: list[str]
    unexpected: list[str]
    classes: list[str]

    def __str__(self) -> str:
        total = len(self.used) + len(self.missing) + len(self.misshapen)
        lines = [f"{len(self.used)} of {total} weights from {self.source}"]
        for title, names in (
            ("not in the file, start at random", self.missing),
            ("of another shape, start at random", self.misshapen),
            ("in the file, but without a place", self.unexpected),
            ("of its classes keep what was learned about them", self.classes),
        ):
            if names:
                shown = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
                lines.append(f"  {len(names)} {title}: {shown}")
        return "\n".join(lines)


def load_pretrained(
    model: nn.Layer, source: str | Path, class_names: Sequence[str] = ()
) -> Pretrained:
    """Put those stored weights into a model that fit it, whatever the others are.

    A stored name counts as a model's if it is its end: ``res2.res2a...`` of a backbone
    file is ``backbone.res2.res2a...`` of the model. A backbone's ``res5`` also goes to a
    C4 model's box head.

    The last layers have numbers for every class. If the stored model's classes are known
    (a folder's, a published file's) and some have the same name here, these classes and
    the background take theirs along, and only the other classes start at random.

    Args:
        model: changed in place.
        source: see `read_arrays`.
        class_names: what the model's labels mean, C names.

    Raises:
        ValueError: as `read_arrays`, or nothing fits at all.
    """
    arrays, expected = read_arrays(source), _shapes(model)
    old = stored_classes(source)
    shared = [name for name in class_names if old and name in old.names]
    if shared and list(class_names) != old.names:
        arrays |= _class_rows(model, arrays, old.names, class_names)
    stored_name = {key: _stored_name(key, arrays) for key in expected}
    found = {key: name for key, name in stored_name.items() if name is not None}
    fits = {k: arrays[name] for k, name in found.items() if list(arrays[name].shape) == expected[k]}
    if not fits:
        raise ValueError(f"{source}: none of its weights fits this model")
    assign(model, fits)
    return Pretrained(
        str(source),
        used=list(fits),
        missing=[k for k in expected if k not in found],
        misshapen=[
            f"{k} {list(arrays[name].shape)} instead of {expected[k]}"
            for k, name in found.items()
            if k not in fits
        ],
        unexpected=sorted(set(arrays) - set(found.values())),
        classes=shared,
    )


def stored_classes(source: str | Path) -> Classes | None:
    """What the labels of stored weights mean; None if nobody knows."""
    path = find_weights(source)
    folder = path.parent if path.name == WEIGHTS else path
    if (folder / CLASSES).is_file():
        return read_classes(folder / CLASSES)
    known = official(path)
    return Classes(*coco_classes()) if known and known.config else None


CLASS_LAYERS = {
    "bbox_head.bbox_score": (-1, 1),
    "bbox_head.bbox_delta": (-1, 4),
    "mask_head.mask_fcn_logits": (0, 1),
}
"""Layers that have numbers for every class: along which axis, and how many for each."""


def _class_rows(
    model: nn.Layer, arrays: dict[str, np.ndarray], old: list[str], new: Sequence[str]
) -> dict[str, np.ndarray]:
    """The class layers with the model's own numbers, but the stored ones for shared classes."""
    made = {}
    for key, tensor in model.state_dict().items():
        layer, stored = key.rpartition(".")[0], arrays.get(key)
        if layer not in CLASS_LAYERS or stored is None:
            continue
        axis, each = CLASS_LAYERS[layer]
        own = np.moveaxis(tensor.numpy().copy(), axis, 0)
        stored = np.moveaxis(stored, axis, 0)
        rest = len(stored) - each * len(old)  # 1 if the background has a row, the last one
        same_kind = rest in (0, 1) and len(own) == each * len(new) + rest
        if not same_kind or own.shape[1:] != stored.shape[1:]:
            continue  # not by class (or of another model)
        for i, j in ((i, old.index(name)) for i, name in enumerate(new) if name in old):
            own[i * each : (i + 1) * each] = stored[j * each : (j + 1) * each]
        own[len(own) - rest :] = stored[len(stored) - rest :]
        made[key] = np.moveaxis(own, 0, axis)
    return made


def _stored_name(key: str, arrays: dict[str, np.ndarray]) -> str | None:
    """The longest stored name that is the end of a model's name."""
    words = key.split(".")
    for start in range(len(words)):
        end = ".".join(words[start:])
        for name in (end, f"backbone.{end}") if words[start] == "res5" else (end,):
            if name in arrays:
                return name
    return None


def _shapes(model: nn.Layer) -> dict[str, list[int]]:
    return {k: list(v.shape) for k, v in model.state_dict().items()}


def assign(model: nn.Layer, arrays: Mapping[str, np.ndarray]) -> None:
    """Put arrays into a model by name, one after the other: memory for one of them is enough.

    Half-precision arrays are half as large, not half a model: weights stay float32.
    """
    for name, tensor in model.state_dict().items():
        if name in arrays:
            array = arrays[name]
            tensor.set_value(array.astype(np.float32) if array.dtype == np.float16 else array)


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
