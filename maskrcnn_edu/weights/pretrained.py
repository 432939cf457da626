"""Finetuning starts from other weights: what fits of them, and what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from paddle import nn

from maskrcnn_edu.weights.arrays import CLASSES, WEIGHTS, array_shapes, read_arrays, set_state
from maskrcnn_edu.weights.folder import ClassNames, read_classes
from maskrcnn_edu.weights.zoo import coco_classes, find_weights, zoo_entry


@dataclass(frozen=True)
class LoadReport:
    """Which weights of a model came from a file.

    Attributes:
        source: the file.
        used: model's names that received stored weights.
        missing: model's names that the file has nothing for.
        shape_mismatch: one line each for stored weights of another shape (another number of
            classes, for instance).
        unexpected: the file's names that the model has no place for.
        classes: names of classes whose rows were found by name, see `load_pretrained`.
    """

    source: str
    used: list[str]
    missing: list[str]
    shape_mismatch: list[str]
    unexpected: list[str]
    classes: list[str]

    def __str__(self) -> str:
        total = len(self.used) + len(self.missing) + len(self.shape_mismatch)
        lines = [f"{len(self.used)} of {total} weights from {self.source}"]
        for title, names in (
            ("not in the file, start at random", self.missing),
            ("of another shape, start at random", self.shape_mismatch),
            ("in the file, but without a place", self.unexpected),
            ("of its classes keep what was learned about them", self.classes),
        ):
            if names:
                first = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
                lines.append(f"  {len(names)} {title}: {first}")
        return "\n".join(lines)


def load_pretrained(
    model: nn.Layer, source: str | Path, class_names: Sequence[str] = ()
) -> LoadReport:
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
    arrays, expected = read_arrays(source), array_shapes(model)
    old = stored_classes(source)
    shared = [name for name in class_names if old and name in old.names]
    if shared and list(class_names) != old.names:
        arrays |= _class_rows(model, arrays, old.names, class_names)
    stored_name = {key: _stored_name(key, arrays) for key in expected}
    matched = {key: name for key, name in stored_name.items() if name is not None}
    fits = {k: arrays[n] for k, n in matched.items() if list(arrays[n].shape) == expected[k]}
    if not fits:
        raise ValueError(f"{source}: none of its weights fits this model")
    set_state(model, fits)
    return LoadReport(
        str(source),
        used=list(fits),
        missing=[k for k in expected if k not in matched],
        shape_mismatch=[
            f"{k} {list(arrays[name].shape)} instead of {expected[k]}"
            for k, name in matched.items()
            if k not in fits
        ],
        unexpected=sorted(set(arrays) - set(matched.values())),
        classes=shared,
    )


def stored_classes(source: str | Path) -> ClassNames | None:
    """What the labels of stored weights mean: a folder's or COCO's classes; None if unknown."""
    path = find_weights(source)
    folder = path.parent if path.name == WEIGHTS else path
    if (folder / CLASSES).is_file():
        return read_classes(folder / CLASSES)
    known = zoo_entry(source)
    return ClassNames(*coco_classes()) if known and known.config else None


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
