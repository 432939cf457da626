"""A record's arrays by name, as a file holds them, and the record made of them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar

import numpy as np
import paddle

Record = TypeVar("Record")


def to_arrays(
    record: Any, pattern: str = "{}", renamed: Mapping[str, str] | None = None
) -> dict[str, np.ndarray]:
    """The fields of a record that hold a tensor or an array; all others are left out.

    Args:
        record: one of `maskrcnn_edu.structures`, or any other dataclass.
        pattern: what an array is called; the field's name fills the braces.
        renamed: field -> the name to use instead of the field's.

    Returns:
        name -> array, of the field's shape and dtype.
    """
    arrays = {}
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, (np.ndarray, paddle.Tensor)):
            array = value.numpy() if isinstance(value, paddle.Tensor) else value
            arrays[_key(field.name, pattern, renamed)] = array
    return arrays


def from_arrays(
    cls: type[Record],
    arrays: Mapping[str, np.ndarray],
    pattern: str = "{}",
    renamed: Mapping[str, str] | None = None,
    **others: Any,
) -> Record:
    """The record whose arrays `to_arrays` returned, its arrays as Paddle tensors.

    Args:
        cls: the record's class.
        arrays: name -> array; those of other records do not matter.
        pattern, renamed: as for `to_arrays`.
        others: the fields that hold no array.

    Raises:
        KeyError: the array of a field without a default is missing.
    """
    values = dict(others)
    for field in fields(cls):
        key = _key(field.name, pattern, renamed)
        has_default = field.default is not MISSING or field.default_factory is not MISSING
        if field.name not in others and (key in arrays or not has_default):
            values[field.name] = paddle.to_tensor(arrays[key])
    return cls(**values)


def _key(field: str, pattern: str, renamed: Mapping[str, str] | None) -> str:
    return pattern.format((renamed or {}).get(field, field))
