"""Paddle's own weight files (``.pdparams``), read without running anything in them.

Such a file is a pickle, and a pickle is a program: it names functions and says what to
call them with. This reader knows the handful of names that stand for arrays, gives each
of them a harmless meaning of its own, and refuses a file that names anything else.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import paddle

NAME_TABLE = "StructuredToParameterName@@"
"""An entry that Paddle adds: other names of the same weights."""

NUMBER_TYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


class _DType:
    """Stands for `numpy.dtype`: a kind of number and its byte order."""

    def __init__(self, code: str, *flags: bool):
        if code not in NUMBER_TYPES:
            raise ValueError(f"arrays of type {code!r} are no weights")
        self.numpy = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        order = state[1]  # (version, byte order, ...)
        self.numpy = self.numpy.newbyteorder(order if order in "<>=" else "=")


class _Array:
    """Stands for `numpy.ndarray`; ``numpy`` is the array, once the pickle's state has arrived."""

    numpy: np.ndarray

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran_order, content = state
        self.numpy = _to_array(content, dtype, shape, "F" if fortran_order else "C")


def _to_array(content: bytes, dtype: _DType, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(content, dtype.numpy).reshape(shape, order=order)


def _reconstruct(cls: type, shape: tuple, typecode: bytes) -> _Array:
    return _Array()  # an empty array; `_Array.__setstate__` follows


def _from_buffer(content: bytes, dtype: _DType, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.numpy = _to_array(content, dtype, shape, order)
    return array


def _scalar(dtype: _DType, content: bytes) -> _Array:
    return _from_buffer(content, dtype, (), "C")


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # how old pickles write bytes
        raise ValueError(f"text in {encoding!r} is no part of a weights file")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""  # how old pickles write the content of an empty array


MEANING = {
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    ("__builtin__", "tuple"): tuple,
    ("builtins", "tuple"): tuple,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    **{
        (f"numpy.{core}.{module}", name): meaning
        for core in ("core", "_core")  # numpy 1 and numpy 2
        for module, name, meaning in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
"""Every name that a file may use, and what it means here."""


class _Reader(pickle.Unpickler):
    """An unpickler that knows arrays and plain containers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Called for every name in the file."""
        if (module, name) not in MEANING:
            raise ValueError(f"it wants to call {module}.{name}, which is no array")
        return MEANING[module, name]


def read_pdparams(path: str | Path) -> dict[str, np.ndarray]:
    """The weights in a ``.pdparams`` file: name -> array.

    Nothing in the file is run, whatever it holds.

    Raises:
        ValueError: the file holds something other than named arrays, or is damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = _read(file)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise anything, MemoryError too
        raise ValueError(f"{path}: not a weights file that can be trusted: {error}") from error
    return content


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    content = _Reader(file, encoding="latin1").load()
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__} instead of named arrays")
    content.pop(NAME_TABLE, None)
    return {_checked(name): _array(name, value) for name, value in content.items()}


def _checked(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"it has an entry {name!r}, which is no name")
    return name


def _array(name: str, value: Any) -> np.ndarray:
    if isinstance(value, tuple) and len(value) == 2:  # Paddle's (name, array)
        value = value[1]
    if not isinstance(value, _Array) or not hasattr(value, "numpy"):
        raise ValueError(f"{name} is a {type(value).__name__}, not an array")
    return value.numpy


def write_pdparams(path: str | Path, state_dict: dict[str, paddle.Tensor]) -> None:
    """Write a state dict as Paddle and PaddleDetection read it."""
    paddle.save(state_dict, str(path))
