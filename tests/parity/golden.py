"""Reading golden cases, and comparing our outputs with theirs (numpy only).

A component is a pair of files, ``<component>.npz`` and ``<component>.json``. Arrays are
named ``<case>/in/<x>``, ``<case>/out/<x>`` and ``<case>/sd/<state-dict key>``; a list is
stored as ``<x>.0``, ``<x>.1``, ... and its length as ``<x>.len``. The JSON file says the
rest of each case: ``params``, ``polygons``, ``note``, and ``raises`` if the peer raised.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

COMMITTED = Path(__file__).parent / "cases"
DIRECTORY = Path(os.environ.get("MASKRCNN_EDU_GOLDEN") or COMMITTED)
COMPONENTS = (
    "anchors", "boxes_util", "label_box", "rpn_target", "rpn_loss", "proposals",
    "proposal_target", "roi_align", "heads", "small_rcnn", "bbox_loss", "mask_target",
    "mask_loss", "bbox_post", "mask_post",
)  # fmt: skip
WHOLE = "whole_"  # components of whole models begin with this
NOT_A_COMPONENT = {"provenance"}

Arrays = dict[str, Any]
"""Name -> array, or list of arrays."""


class Tolerance(NamedTuple):
    """How far floats may be apart. Integers must be equal."""

    rtol: float
    atol: float | np.ndarray


GEOMETRY = Tolerance(1e-5, 1e-5)
LOSS = Tolerance(1e-4, 1e-6)
NETWORK = Tolerance(1e-4, 1e-4)


@dataclass(frozen=True, eq=False)
class Component:
    """All cases of one pair of files."""

    name: str
    path: Path

    @cached_property
    def meta(self) -> dict[str, dict]:
        """The JSON file's content."""
        return json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))

    @cached_property
    def archive(self):
        """The arrays; read from the file when asked for."""
        return np.load(self.path.with_suffix(".npz"), allow_pickle=False)

    @property
    def cases(self) -> list[Case]:
        return [Case(self, name, self.meta[name]) for name in sorted(self.meta)]

    def arrays(self, prefix: str) -> Arrays:
        """Everything below a prefix, with lists put together again."""
        names = [n[len(prefix) :] for n in self.archive.files if n.startswith(prefix)]
        arrays: Arrays = {}
        for name in names:
            if name.endswith(".len"):
                stem, length = name[: -len(".len")], int(self.archive[prefix + name])
                arrays[stem] = [self.archive[f"{prefix}{stem}.{i}"] for i in range(length)]
        items = {f"{stem}.{i}" for stem in arrays for i in range(len(arrays[stem]))}
        for name in names:
            if not name.endswith(".len") and name not in items:
                arrays[name] = self.archive[prefix + name]
        return arrays


@dataclass(frozen=True, eq=False)
class Case:
    """Inputs and the peer's outputs."""

    component: Component
    name: str
    meta: dict = field(repr=False)

    @property
    def params(self) -> dict:
        return self.meta.get("params", {})

    @property
    def polygons(self) -> list | None:
        return self.meta.get("polygons")

    @property
    def raises(self) -> str | None:
        return self.meta.get("raises")

    @cached_property
    def inputs(self) -> Arrays:
        return self.component.arrays(f"{self.name}/in/")

    @cached_property
    def outputs(self) -> Arrays:
        return self.component.arrays(f"{self.name}/out/")

    @cached_property
    def weights(self) -> Arrays:
        return self.component.arrays(f"{self.name}/sd/")

    @property
    def siblings(self) -> list[Case]:
        """The other cases of the component."""
        return [c for c in self.component.cases if c.name != self.name]

    def known(self, params: str = "", inputs: str = "") -> None:
        """Fail if the case says something that its adapter does not look at."""
        strange = set(self.params) - set(params.split())
        strange |= set(self.inputs) - set(inputs.split())
        if strange:
            raise AssertionError(f"{self}: the adapter does not understand {sorted(strange)}")

    def __str__(self) -> str:
        return f"{self.component.name}-{self.name}"


@lru_cache
def components() -> dict[str, Component]:
    """Every component in the directory."""
    names = sorted({p.stem for p in DIRECTORY.iterdir() if p.suffix in (".npz", ".json")})
    return {n: Component(n, DIRECTORY / n) for n in names if n not in NOT_A_COMPONENT}


def cases(component: str) -> list[Case]:
    """The cases of a component; none if the directory does not have it."""
    assert component in COMPONENTS, component
    return components()[component].cases if component in components() else []


def whole_cases() -> list[Case]:
    """The cases of all whole models."""
    return [c for n, part in components().items() if n.startswith(WHOLE) for c in part.cases]


@dataclass
class Comparison:
    """What comparing two sets of outputs showed."""

    problems: list[str] = field(default_factory=list)
    floats: int = 0
    integers: int = 0
    largest: float = 0.0  # absolute difference of two floats

    def outputs(self, want: Arrays, got: Arrays, ordinary: Tolerance) -> Comparison:
        """Compare everything that ``want`` names."""
        for name, value in want.items():
            tolerance = ordinary
            if name == "grad_sum":
                # terms of both signs nearly cancel: the error is relative to what was summed up
                tolerance = Tolerance(ordinary.rtol, ordinary.rtol * got["grad_l1"])
            if name not in got:
                self.problems.append(f"{name}: we do not have it")
            elif isinstance(value, list):
                self._list(name, value, got[name], tolerance)
            else:
                self._array(name, np.asarray(value), np.asarray(got[name]), tolerance)
        return self

    def _list(self, name: str, want: list, got: list, tolerance: Tolerance) -> None:
        if len(want) != len(got):
            self.problems.append(f"{name}: {len(got)} parts instead of {len(want)}")
        for i, (w, g) in enumerate(zip(want, got)):
            self._array(f"{name}.{i}", np.asarray(w), np.asarray(g), tolerance)

    def _array(self, name: str, want: np.ndarray, got: np.ndarray, tolerance: Tolerance) -> None:
        if want.shape != got.shape:
            self.problems.append(f"{name}: shape {got.shape} instead of {want.shape}")
        elif want.dtype.kind in "iub" and got.dtype.kind in "iub":
            self.integers += want.size
            wrong = np.argwhere(want != got)
            if len(wrong):
                at = [tuple(w) for w in wrong[:3].tolist()]
                self.problems.append(f"{name}: {len(wrong)} of {want.size} differ, at {at} ...")
        else:
            self._floats(name, want.astype(np.float64), got.astype(np.float64), tolerance)

    def _floats(self, name: str, want: np.ndarray, got: np.ndarray, tolerance: Tolerance) -> None:
        self.floats += want.size
        same = (want == got) | (np.isnan(want) & np.isnan(got))  # also both infinite
        with np.errstate(invalid="ignore"):
            apart = np.where(same, 0.0, np.abs(want - got))
        apart = np.where(np.isnan(apart), np.inf, apart)
        largest = float(apart.max(initial=0.0))
        self.largest = max(self.largest, largest)
        limit = tolerance.atol + tolerance.rtol * np.abs(np.where(np.isfinite(want), want, 0.0))
        wrong = apart > limit
        if wrong.any():
            worst = np.unravel_index(np.argmax(np.where(wrong, apart - limit, -1)), want.shape)
            self.problems.append(
                f"{name}: {int(wrong.sum())} of {want.size} differ, by {largest:.3g} at most; at "
                f"{tuple(map(int, worst))} {got[worst]!r} instead of {want[worst]!r}"
            )
