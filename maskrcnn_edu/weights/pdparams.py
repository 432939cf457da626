"""Paddle's own weight files (``.pdparams``), read without running anything in them.

Such a file is a pickle, and a pickle is a program for a little machine with a stack: it
names functions and says what to call them with. Python's own machine believes whatever
the program says, so this one stands in its place. It knows the few instructions that
arrays need, gives the few names that stand for arrays a harmless meaning of its own, and
refuses all others; and what it makes is never larger than the file it was made from.
"""

from __future__ import annotations

import mmap
import os
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import paddle

NAME_TABLE = "StructuredToParameterName@@"
"""An entry that Paddle adds: other names of the same weights."""

MAX_BYTES = 400_000_000
"""The largest model of the package has 250 MB of weights."""

MAX_INSTRUCTIONS = 200_000
"""The largest model of the package, some 700 arrays, needs 30,000."""

NUMBER_TYPES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}


# ---------------------------------------------------------------- what the names mean


class _DType:
    """Stands for `numpy.dtype`: a kind of number and its byte order."""

    def __init__(self, code: str, *flags: bool):
        if not isinstance(code, str) or code not in NUMBER_TYPES:
            raise ValueError(f"arrays of numbers {_shown(code)} are no weights")
        self.numpy = np.dtype(code)

    def set_state(self, state: tuple) -> None:
        """``state``: (version, byte order, ...)."""
        if state[1] not in ("<", ">", "=", "|"):
            raise ValueError(f"{_shown(state[1])} is no byte order")
        self.numpy = self.numpy.newbyteorder(state[1].replace("|", "="))


class _Array:
    """Stands for `numpy.ndarray`; ``numpy`` is the array, once the pickle's state has arrived."""

    numpy: np.ndarray

    def set_state(self, state: tuple) -> None:
        """``state``: (version, shape, dtype, whether in Fortran's order, content)."""
        _, shape, dtype, fortran_order, content = state
        self.numpy = _to_array(content, dtype, shape, "F" if fortran_order else "C")


def _to_array(content: bytes, dtype: _DType, shape: tuple, order: str) -> np.ndarray:
    if not isinstance(dtype, _DType) or not isinstance(shape, tuple):
        raise ValueError(f"an array of a shape {_shown(shape)} and numbers {_shown(dtype)}")
    return np.frombuffer(content, dtype.numpy).reshape(shape, order=order)


def _from_buffer(content: bytes, dtype: _DType, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.numpy = _to_array(content, dtype, shape, order)
    return array


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # how old pickles write bytes
        raise ValueError(f"text in {_shown(encoding)} is no part of a weights file")
    return text.encode("latin1")


def _ordered_dict(pairs: list = ()) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        _set_item(made, name, value)
    return made


def _set_item(target: dict, name: Any, value: Any) -> None:
    if type(target) is not dict or type(name) is not str:  # to look up a tuple can take for ever
        raise ValueError(f"it has an entry {_shown(name)}, which is no name")
    target[name] = value


def _tuple(values: tuple) -> tuple:
    if type(values) is not tuple:
        raise ValueError(f"a {type(values).__name__} is to become a tuple")
    return values


def _class_only(*_: Any) -> Any:
    raise ValueError("an array is made without its content")  # named, but never called


MEANING = {
    ("collections", "OrderedDict"): _ordered_dict,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",  # the content of an empty array in old pickles
    ("__builtin__", "tuple"): _tuple,
    ("builtins", "tuple"): _tuple,
    ("numpy", "ndarray"): _class_only,
    ("numpy", "dtype"): _DType,
    **{
        (f"numpy.{core}.{module}", name): meaning
        for core in ("core", "_core")  # numpy 1 and numpy 2
        for module, name, meaning in (
            ("multiarray", "_reconstruct", lambda *_: _Array()),  # `_Array.set_state` follows
            ("multiarray", "scalar", lambda dtype, data: _from_buffer(data, dtype, (), "C")),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
"""Every name that a file may use, and what it means here."""


def _shown(value: Any) -> str:
    """A value in a message: short, whatever it is (a nested tuple can be endless)."""
    return repr(value[:60]) if isinstance(value, str) else f"of type {type(value).__name__}"


# ---------------------------------------------------------------- the machine


@dataclass(frozen=True)
class _Known:
    """A name on the stack: it can be called, and nothing else."""

    meaning: Callable


class _Machine:
    """Runs the program: a stack of values, marks in it, and a memo of values by number.

    Attributes:
        room: bytes that calls may still make, at first as many as the file has.
    """

    def __init__(self, room: int):
        self.room = room
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, program: mmap.mmap) -> Any:
        """What is on the stack when the program ends."""
        for count, (instruction, argument, _) in enumerate(pickletools.genops(program)):
            if instruction.name not in INSTRUCTIONS:
                raise ValueError(f"it uses {instruction.name}, which no array needs")
            if count == MAX_INSTRUCTIONS:
                raise ValueError(f"more than {count:,} instructions")
            INSTRUCTIONS[instruction.name](self, argument)
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop_to_mark(self) -> list:
        """Everything above the last mark."""
        at = self.marks.pop()
        values = self.stack[at:]
        del self.stack[at:]
        return values

    def pop_tuple(self, count: int) -> None:
        """The last few values become one."""
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.push(values)

    def name(self, module: str, name: str) -> None:
        if (module, name) not in MEANING:
            raise ValueError(f"it wants to call {module[:60]}.{name[:60]}, which is no array")
        self.push(_Known(MEANING[module, name]))

    def stack_name(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if type(name) is not str or type(module) is not str:
            raise ValueError(f"it names something {_shown(name)}")
        self.name(module, name)

    def call(self) -> None:
        arguments, known = self.stack.pop(), self.stack.pop()
        if type(known) is not _Known or type(arguments) is not tuple:
            raise ValueError(f"it wants to call something {_shown(known)}")
        result = known.meaning(*arguments)
        self.room -= len(result) if isinstance(result, (bytes, dict)) else 0
        if self.room < 0:
            raise ValueError("it unpacks to more than the file holds")
        self.push(result)

    def build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (_Array, _DType)):
            raise ValueError(f"it wants to change something {_shown(self.stack[-1])}")
        self.stack[-1].set_state(state)

    def append(self, values: list) -> None:
        if type(self.stack[-1]) is not list:
            raise ValueError(f"it appends to something {_shown(self.stack[-1])}")
        self.stack[-1].extend(values)

    def set_items(self, flat: list) -> None:
        """``flat``: name, value, name, value, ..."""
        for name, value in zip(flat[::2], flat[1::2]):
            _set_item(self.stack[-1], name, value)

    def new_dict(self, flat: list) -> None:
        self.push({})
        self.set_items(flat)


VALUES = (
    "INT BININT BININT1 BININT2 LONG LONG1 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE "
    "BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)

INSTRUCTIONS: dict[str, Callable[[_Machine, Any], object]] = {
    **dict.fromkeys(VALUES.split(), _Machine.push),
    **{name: lambda m, _: None for name in ("PROTO", "FRAME", "STOP")},
    **{
        name: lambda m, n: m.memo.update({n: m.stack[-1]})
        for name in ("PUT", "BINPUT", "LONG_BINPUT")
    },
    **{name: lambda m, n: m.push(m.memo[n]) for name in ("GET", "BINGET", "LONG_BINGET")},
    "MEMOIZE": lambda m, _: m.memo.update({len(m.memo): m.stack[-1]}),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.stack.pop(),
    "POP_MARK": lambda m, _: m.pop_to_mark(),
    "TUPLE": lambda m, _: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, _: m.pop_tuple(1),
    "TUPLE2": lambda m, _: m.pop_tuple(2),
    "TUPLE3": lambda m, _: m.pop_tuple(3),
    "LIST": lambda m, _: m.push(m.pop_to_mark()),
    "DICT": lambda m, _: m.new_dict(m.pop_to_mark()),
    "APPEND": lambda m, _: m.append([m.stack.pop()]),
    "APPENDS": lambda m, _: m.append(m.pop_to_mark()),
    "SETITEM": lambda m, _: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    "SETITEMS": lambda m, _: m.set_items(m.pop_to_mark()),
    "GLOBAL": lambda m, names: m.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.stack_name(),
    "REDUCE": lambda m, _: m.call(),
    "BUILD": lambda m, _: m.build(),
}
"""Every instruction that a file may use, by its name in Python's `pickletools`."""


# ---------------------------------------------------------------- files


def read_pdparams(path: str | Path) -> dict[str, np.ndarray]:
    """The weights in a ``.pdparams`` file: name -> array.

    Nothing in the file is run, whatever it holds, and no more memory is taken than its
    bytes and some 100,000 small values need.

    Raises:
        ValueError: the file holds something other than named arrays, or is damaged.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError:
        raise
    except ValueError as error:
        reason = str(error)[:300]
    except Exception as error:  # a damaged program can raise anything, MemoryError too
        reason = f"{type(error).__name__} {str(error)[:300]}".strip()
    raise ValueError(f"{path}: not a weights file that can be trusted: {reason}")


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    size = os.fstat(file.fileno()).st_size
    if size > MAX_BYTES:
        raise ValueError(f"{size / 1e9:.1f} GB are more than any model's weights")
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as program:
        content = _Machine(size).run(program)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__} instead of named arrays")
    content.pop(NAME_TABLE, None)
    return {name: _array(name, value) for name, value in content.items()}


def _array(name: str, value: Any) -> np.ndarray:
    if isinstance(value, tuple) and len(value) == 2:  # Paddle's (name, array)
        value = value[1]
    if not isinstance(value, _Array) or not hasattr(value, "numpy"):
        raise ValueError(f"{name[:60]} is a {type(value).__name__}, not an array")
    return value.numpy


def write_pdparams(path: str | Path, state_dict: dict[str, paddle.Tensor]) -> None:
    """Write a state dict as Paddle and PaddleDetection read it."""
    paddle.save(state_dict, str(path))
