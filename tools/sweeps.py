"""Recorded sweeps: what the notebooks' controls show, for pages that have no kernel.

A notebook is run once more; after each cell that shows a widget, every control of what the cell
made is moved through its values, and the pictures are kept. The stored notebook stays as it is.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
VIEW = "application/vnd.jupyter.widget-view+json"
QUALITY = 88
Sweep = dict[str, Any]

_seen: list[object] = []  # in a notebook's kernel: what has been recorded

# ---- in the notebook's kernel ------------------------------------------------------


def record(names: dict[str, object], folder: str, cell: int) -> None:
    """Record what a notebook has made since the last call, into ``folder/CELL.json``.

    Args:
        names: the notebook's variables.
        folder: where the pictures go as well.
        cell: number of the cell that shows them.
    """
    from maskrcnn_edu.teaching.widgets.live import LiveTraining
    from maskrcnn_edu.teaching.widgets.microscope import Microscope
    from maskrcnn_edu.teaching.widgets.scrubber import Scrubber

    kinds = (LiveTraining, Microscope, Scrubber)
    new = [thing for thing in names.values() if isinstance(thing, kinds)]
    new = [thing for thing in new if not any(thing is other for other in _seen)]
    _seen.extend(new)
    if new:
        text = json.dumps(sweep(new[-1], Path(folder)), ensure_ascii=False, indent=1)
        (Path(folder) / f"{cell}.json").write_text(text, encoding="utf-8")


def sweep(thing: Any, folder: Path) -> Sweep:
    """The controls of a microscope, a scrubber or a live training, and a picture for each value.

    Returns:
        ``controls``: of each its ``name``, ``kind`` (range or select), ``labels``, ``frames``
        (names of files) and ``start`` (a position among them); ``still``: a picture beside
        them that does not move, or None.
    """
    still = getattr(thing, "curves", None)
    if hasattr(thing, "frames"):
        frames = [keep(frame, folder) for frame in thing.frames]
        start = len(frames) - 1 if still else 0
        controls = [_control("", "range", list(thing.labels), frames, start)]
    else:
        controls = [_moved(thing, control, folder) for control in thing.controls.values()]
    return {"controls": controls, "still": keep(still.value, folder) if still else None}


def _moved(microscope: Any, control: Any, folder: Path) -> dict[str, Any]:
    """One control of a microscope moved through its values and back."""
    from maskrcnn_edu.teaching.widgets.microscope import choices

    before, values, frames = control.value, choices(control), []
    for value in values:
        control.value = value
        frames.append(keep(microscope.image.value, folder))
    control.value = before
    start = min(range(len(values)), key=lambda i: (values[i] != before, _far(values[i], before)))
    is_range = hasattr(control, "step")
    return _control(control.description, "range" if is_range else "select",
                    _labels(control, values), frames, start)  # fmt: skip


def _far(value: object, other: object) -> float:
    both = isinstance(value, (int, float)) and isinstance(other, (int, float))
    return abs(value - other) if both else 0.0


def _labels(control: Any, values: list[Any]) -> list[str]:
    """The values as the control writes them."""
    options = getattr(control, "options", None)
    if options is not None:
        return [str(o[0] if isinstance(o, tuple) else o) for o in options]
    return [f"{v:g}" if isinstance(v, float) else str(v) for v in values]


def _control(name: str, kind: str, labels: list[str], frames: list[str], start: int) -> Sweep:
    return {"name": name, "kind": kind, "labels": labels, "frames": frames, "start": start}


def keep(png: bytes, folder: Path) -> str:
    """Write a picture as WebP; equal pictures are one file. Its name."""
    name = f"{hashlib.sha256(png).hexdigest()[:16]}.webp"
    if not (folder / name).exists():
        with Image.open(io.BytesIO(png)) as image:
            image.convert("RGB").save(folder / name, "WEBP", quality=QUALITY, method=6)
    return name


# ---- outside -----------------------------------------------------------------------


def recorded(path: Path, folder: Path) -> dict[int, Sweep]:
    """Sweeps of a notebook, cell by cell; run and recorded unless that has been done.

    Recorded again when its cells of code, or what is stored of its last run, have changed.
    What the run showed is ``folder/executed.ipynb``.
    """
    notebook = json.loads(path.read_text(encoding="utf-8"))
    mark, digest = folder / "of", _digest(notebook)
    if not mark.is_file() or mark.read_text() != digest:
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        _execute(notebook, folder)
        mark.write_text(digest)
    found = folder.glob("[0-9]*.json")
    return {int(file.stem): json.loads(file.read_text(encoding="utf-8")) for file in found}


def _digest(notebook: dict) -> str:
    code = [(c["source"], c["outputs"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


def with_recorders(notebook: dict, folder: Path) -> dict:
    """A notebook with a call of `record` behind every cell that shows a widget."""
    cells = []
    for number, cell in enumerate(notebook["cells"]):
        cells.append(cell)
        if any(VIEW in output.get("data", {}) for output in cell.get("outputs", [])):
            call = f"__import__('tools.sweeps').sweeps.record(globals(), {str(folder)!r}, {number})"
            cells.append({"cell_type": "code", "id": f"record-{number}", "metadata": {},
                          "source": call, "outputs": [], "execution_count": None})  # fmt: skip
    return {**notebook, "cells": cells}


def _execute(notebook: dict, folder: Path) -> None:
    """Run it on the CPU with one thread, as the stored outputs were made."""
    import nbformat
    from nbclient import NotebookClient

    text = json.dumps(with_recorders(notebook, folder.resolve()))
    run = nbformat.reads(text, as_version=4)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
                   "MASKRCNN_EDU_DEVICE": "cpu"}  # fmt: skip
    place = {"metadata": {"path": str(ROOT / "notebooks")}}
    NotebookClient(run, timeout=600, resources=place).execute(env=environment)
    run.cells = [cell for cell in run.cells if not cell.id.startswith("record-")]
    nbformat.write(run, folder / "executed.ipynb")
