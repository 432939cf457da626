"""Arrays into a model and out of it, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from paddle import nn
from safetensors import SafetensorError
from safetensors.numpy import load_file

from maskrcnn_edu.weights.pdparams import read_pdparams
from maskrcnn_edu.weights.zoo import find_weights

WEIGHTS, CONFIG, CLASSES = "model.safetensors", "config.yml", "classes.json"


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
    arrays, expected = read_arrays(path), array_shapes(model)
    problems = _differences(expected, {k: list(v.shape) for k, v in arrays.items()})
    if problems:
        raise ValueError(f"{path} does not fit the model:\n  " + "\n  ".join(problems))
    assign(model, arrays)


def array_shapes(model: nn.Layer) -> dict[str, list[int]]:
    """The shape of every weight of a model, by its name in the state dict."""
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
