"""Arrays into a model and out of it, all or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from paddle import nn

from maskrcnn_edu.weights.pdparams import read_pdparams
from maskrcnn_edu.weights.safetensors_file import read_safetensors
from maskrcnn_edu.weights.zoo import find_weights

WEIGHTS, CONFIG, CLASSES = "model.safetensors", "config.yml", "classes.json"
MAX_LINES = 40  # of what does not fit


# ---------------------------------------------------------------- arrays into a model


def read_arrays(source: str | Path) -> dict[str, np.ndarray]:
    """The weights of a folder, a ``.safetensors`` file, a ``.pdparams`` file, or by name.

    Returns:
        State dict name -> array, of whatever shapes and types the file holds.

    Raises:
        ValueError: there is no such file, or it is damaged or of another kind.
    """
    path = _weights_file(source)
    if path.suffix == ".pdparams":
        return read_pdparams(path)
    try:
        return read_safetensors(path)[0]
    except ValueError as error:
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
    differences = _differences(expected, {k: list(v.shape) for k, v in arrays.items()})
    if differences:
        lines = "\n  ".join(differences[:MAX_LINES])
        more = len(differences) - MAX_LINES
        rest = f"\n  ... and {more} more" if more > 0 else ""
        raise ValueError(f"{path} does not fit the model:\n  {lines}{rest}")
    set_state(model, arrays)


def array_shapes(model: nn.Layer) -> dict[str, list[int]]:
    """The shape of every weight of a model, by its name in the state dict."""
    return {k: list(v.shape) for k, v in model.state_dict().items()}


def set_state(model: nn.Layer, arrays: Mapping[str, np.ndarray]) -> None:
    """Put arrays into a model by name; names that either side lacks are passed over.

    One after the other, so that memory for one of them is enough. float16 arrays become
    float32, as all weights of a model are.

    Args:
        model: changed in place.
        arrays: state dict name -> array of the weight's shape.
    """
    for name, tensor in model.state_dict().items():
        if name in arrays:
            array = arrays[name]
            tensor.set_value(array.astype(np.float32) if array.dtype == np.float16 else array)


def _differences(expected: dict[str, list], stored: dict[str, list]) -> list[str]:
    """One line for every weight that is missing, unexpected or of another shape."""
    missing = [f"missing: {k} {expected[k]}" for k in expected if k not in stored]
    unexpected = [f"unexpected: {k} {stored[k]}" for k in stored if k not in expected]
    shapes = [
        f"shape: {k} is {stored[k]}, the model has {expected[k]}"
        for k in expected
        if k in stored and expected[k] != stored[k]
    ]
    return missing + unexpected + shapes
