"""``maskrcnn-edu data check``: what is wrong with a dataset, how it looks, what suits it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from maskrcnn_edu.cli.advice import advise, default_steps
from maskrcnn_edu.cli.messages import printable
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.problems import Issue, table
from maskrcnn_edu.data.transforms import Decode, Resize
from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.system.progress import with_progress
from maskrcnn_edu.viz.data import draw_ground_truth

LONGEST_SIDE = 2000
"""Pixels; larger images are shrunk for drawing."""


def run(options: argparse.Namespace) -> int:
    """``data check``: 0 if all is well, 1 if there are issues, 2 if it is no dataset."""
    if options.limit < 0:
        raise ValueError(f"--limit is {options.limit}, but must be 0 or more")
    dataset = CocoDataset(options.file, options.images)
    rows, seen = with_progress(range(len(dataset)), "image"), {}
    unreadable = {row: issue for row in rows if (issue := dataset.image_issue(row, seen))}
    issues = [*dataset.issues, *unreadable.values()]
    used = count_used(dataset, set(unreadable))
    if options.json:
        _write_report(Path(options.json), options.file, issues, used)
    if issues:
        print(printable(table(issues, options.limit)))
    if options.draw:
        draw_annotations(dataset, unreadable, Path(options.draw))
    print(printable("\n".join(_advice(dataset, options))))
    print(printable(_verdict(options.file, len(issues), used)))
    if not used["images"][0]:
        print("maskrcnn-edu: none of the images can be read; check --images", file=sys.stderr)
        return 2
    return 1 if issues else 0


def _advice(dataset: CocoDataset, options: argparse.Namespace) -> list[str]:
    config = load_config(options.config, [*options.set, f"num_classes={dataset.num_classes}"])
    steps = default_steps(config, len(dataset) // config.values["TrainReader"]["batch_size"])
    return [f"with {options.config}:", *(f"  {line}" for line in advise(dataset, config, steps))]


def draw_annotations(dataset: CocoDataset, without: Collection[int], folder: Path) -> None:
    """A picture of every image with its objects, as ``NUMBER_NAME.png``.

    Args:
        dataset: a dataset.
        without: rows that cannot be read.
        folder: is made if need be.

    Raises:
        ValueError: it is the folder of the images, or in it.
    """
    if folder.resolve().is_relative_to(dataset.image_dir.resolve()):
        raise ValueError(f"--draw {folder}: images are there; choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for row in with_progress(sorted(set(range(len(dataset))) - set(without)), "image"):
        sample = Decode()(dataset[row], (rng := np.random.default_rng()))
        if max(dataset.size(row)) > LONGEST_SIDE:
            sample = Resize((LONGEST_SIDE, LONGEST_SIDE))(sample, rng)
        figure = draw_ground_truth(sample.image, sample.gt, dataset.class_names)
        name = f"{row + 1:06d}_{Path(dataset.file_name(row)).stem[:50]}.png"
        atomic_write(folder / name, lambda place, f=figure: f.savefig(place, dpi=120, format="png"))


def count_used(dataset: CocoDataset, unreadable: set[int]) -> dict[str, Any]:
    """What training will use: (used, listed) of each kind, and objects per class.

    Args:
        dataset: a dataset.
        unreadable: rows whose images cannot be read.
    """
    listed = dataset.entry_counts()
    classes = dataset.objects_per_class(unreadable)
    return {
        "images": (len(dataset) - len(unreadable), listed["images"]),
        "annotations": (sum(classes.values()), listed["annotations"]),
        "categories": (dataset.num_classes, listed["categories"]),
        "objects_per_class": classes,
    }


def _verdict(file: str, count: int, used: dict[str, Any]) -> str:
    issues = f"{count} issue{'s' if count > 1 else ''}" if count else "no issues"
    parts = [f"{used[k][0]} of {used[k][1]} {k}" for k in ("images", "annotations", "categories")]
    classes = [f"{name} {n}" for name, n in used["objects_per_class"].items()]
    more = f", ... ({len(classes)} classes)" if len(classes) > 20 else ""
    return (
        f"{file}: {issues}. Training uses {parts[0]}, {parts[1]} and {parts[2]}: "
        f"{', '.join(classes[:20])}{more}"
    )


def _write_report(path: Path, file: str, issues: list[Issue], used: dict[str, Any]) -> None:
    rows = [  # these keys are what programs read
        {"image": i.image, "annotation": i.annotation, "what": i.message, "cure": i.fix}
        for i in issues
    ]
    text = json.dumps({"file": file, "used": used, "problems": rows}, indent=1)
    atomic_write(path, lambda place: place.write_text(text, encoding="utf-8"))
