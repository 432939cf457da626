"""``maskrcnn-edu data``: make, fetch, import or check a dataset."""

from __future__ import annotations

import argparse
import importlib
import os
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from maskrcnn_edu.cli.messages import printable
from maskrcnn_edu.data.importers.index_masks import VOC_CLASSES, read_masks
from maskrcnn_edu.data.importers.labelme import read_labelme
from maskrcnn_edu.data.importers.via import read_via
from maskrcnn_edu.data.importers.write_coco import LabeledImage, split, write_dataset
from maskrcnn_edu.data.problems import Issue, summarize, table
from maskrcnn_edu.data.public import DATASETS, get_dataset
from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.system.files import atomic_folder
from maskrcnn_edu.system.progress import progress

MIRROR = "MASKRCNN_EDU_MIRROR"
FORMATS = {
    "labelme": "one JSON file for each image",
    "via": "VGG Image Annotator 2: one JSON file for all images",
    "masks": "Pascal VOC's folders, or images in images/ and index masks in masks/",
}


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of ``data``."""
    kinds = command.add_subparsers(title="what to do", required=True, metavar="WHAT")
    for kind, line, add in (
        ("shapes", "drawn shapes with exact masks, COCO format", add_shapes),
        ("get", "fetch a public dataset, ready to train on", add_get),
        ("import", "turn labels of another tool into a dataset in COCO format", add_import),
        ("check", "list everything that is wrong with a dataset in COCO format", add_check),
    ):
        add(kinds.add_parser(kind, help=line, description=f"{line[0].upper()}{line[1:]}."))


# ---------------------------------------------------------------- shapes


def add_shapes(command: argparse.ArgumentParser) -> None:
    """The options of ``data shapes``."""
    command.add_argument("--out", default="data/shapes", help="folder (default: %(default)s)")
    command.add_argument("--train", type=int, default=1200, help="images (default: %(default)s)")
    command.add_argument("--val", type=int, default=200, help="images (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="another seed, other images")
    command.set_defaults(run=run_shapes)


def run_shapes(options: argparse.Namespace) -> int:
    """``data shapes``"""
    write_shapes(options.out, train=options.train, val=options.val, seed=options.seed)
    print(f"{options.train} training and {options.val} validation images are in {options.out}")
    return 0


# ---------------------------------------------------------------- get


def add_get(command: argparse.ArgumentParser) -> None:
    """The options of ``data get``."""
    command.add_argument(
        "name",
        choices=list(DATASETS),
        help="; ".join(f"{name}: {_size(name)}" for name in DATASETS),
    )
    command.add_argument("--out", help="folder (default: data/NAME)")
    command.epilog = (
        f"${MIRROR} names a server that has the same archives, "
        f"for example one in the classroom: python -m http.server"
    )
    command.set_defaults(run=run_get)


def _size(name: str) -> str:
    total = sum(archive.size for archive in DATASETS[name].archives)
    return f"{total / 1e9:.1f} GB" if total > 10**9 else f"{total / 1e6:.0f} MB"


def run_get(options: argparse.Namespace) -> int:
    """``data get``"""
    out = options.out or f"data/{options.name}"
    issues = get_dataset(options.name, out, os.environ.get(MIRROR))
    if issues:
        print(summarize(issues, out))
    print(f"{options.name} is in {out}. Train on it:\n")
    print(training_command(options.name, out))
    return 0


def training_command(name: str, out: str) -> str:
    """The command that trains on a public dataset."""
    splits, folder = DATASETS[name].splits, Path(out)
    length = "--minutes 12 " if DATASETS[name].config.startswith("photos") else ""
    return (
        f"maskrcnn-edu train --config {DATASETS[name].config} {length}--out runs/{name} \\\n"
        f"    --train-json {folder / splits.train_json} \\\n"
        f"    --train-images {folder / splits.train_images} \\\n"
        f"    --val-json {folder / splits.val_json} --val-images {folder / splits.val_images}"
    )


# ---------------------------------------------------------------- import


def add_import(command: argparse.ArgumentParser) -> None:
    """The options of ``data import``."""
    formats = "; ".join(f"{name}: {about}" for name, about in FORMATS.items())
    command.add_argument("format", choices=list(FORMATS), help=formats)
    command.add_argument(
        "folder", metavar="FOLDER", help="images and labels (via: or the JSON file beside them)"
    )
    command.add_argument("--out", required=True, help="new folder for the dataset")
    command.add_argument(
        "--val-share", type=float, default=0.2, help="images to validate on (default: 0.2)"
    )
    command.add_argument(
        "--val", metavar="FOLDER", help="validate on the images of this folder, not on a share"
    )
    command.add_argument("--seed", type=int, default=0, help="another seed, another split")
    command.add_argument("--class-name", help="of what does not say its class (via, masks)")
    command.add_argument("--attribute", help="region attribute that holds the class (via)")
    command.add_argument("--link", action="store_true", help="link to the images, do not copy")
    command.add_argument(
        "--limit", type=int, default=50, help="rows of the table of issues (default: 50)"
    )
    command.set_defaults(run=run_import)


def run_import(options: argparse.Namespace) -> int:
    """``data import``: 0 if everything was taken over, 1 if something was left out."""
    labeled, issues, classes = _read_labels(Path(options.folder), options)
    if options.val:
        val, more, _ = _read_labels(Path(options.val), options)
        splits, issues = {"train": labeled, "val": val}, [*issues, *more]
    else:
        splits = split(labeled, options.val_share, options.seed)
    total = sum(map(len, splits.values()))
    with atomic_folder(options.out) as unfinished, progress(total, unit="image") as bar:
        issues += write_dataset(splits, unfinished, classes, link=options.link, on_image=bar.update)
    if issues:
        print(printable(table(issues, options.limit)))
    count = f"{len(issues)} thing{'s' if len(issues) > 1 else ''}" if issues else "nothing was"
    print(f"{count} left out; the dataset is in {options.out}:")
    for part in splits:
        print(f"  {part}: annotations/instances_{part}.json, images in {part}/")
    print(printable(class_counts(chain.from_iterable(splits.values()))))
    return 1 if issues else 0


def class_counts(labeled: Iterable[LabeledImage]) -> str:
    """Every class with its number of objects, and the names that may mean the same."""
    counts = Counter(name for each in labeled for name, _ in each.annotations)
    alike: dict[str, list[str]] = {}
    for name in sorted(counts):
        alike.setdefault("".join(name.split()).casefold(), []).append(name)
    lines = ["classes: " + ", ".join(f'"{name}" {counts[name]}' for name in sorted(counts))]
    for names in alike.values():
        if len(names) > 1:
            quoted = ", ".join(f'"{name}"' for name in names)
            lines.append(f"{quoted} are different classes; if one is meant, rename the others")
    return "\n".join(lines)


def _read_labels(
    folder: Path, options: argparse.Namespace
) -> tuple[list[LabeledImage], list[Issue], tuple[str, ...]]:
    """Images with their labels, what cannot be used, and the classes if the format has its own."""
    is_via_file = options.format == "via" and folder.is_file()
    if not folder.is_dir() and not is_via_file:
        raise ValueError(f"{folder}: there is no such folder")
    classes: tuple[str, ...] = ()
    if options.format == "labelme":
        labeled, issues = read_labelme(folder)
    elif options.format == "via":
        labeled, issues = read_via(folder, options.class_name, options.attribute)
    else:
        labeled, issues = read_masks(folder, options.class_name)
        classes = VOC_CLASSES if (folder / "SegmentationObject").is_dir() else ()
    if not labeled:
        first = f"; the first issue: {issues[0]}" if issues else ""
        raise ValueError(f"{folder}: nothing here can be imported{first}")
    return labeled, issues, classes


# ---------------------------------------------------------------- check


def add_check(command: argparse.ArgumentParser) -> None:
    """The options of ``data check``."""
    command.add_argument("file", metavar="JSON", help="COCO annotation file")
    command.add_argument("--images", required=True, help="folder of its images")
    command.add_argument("--json", help="write all issues to this file, for programs")
    command.add_argument(
        "--limit", type=int, default=50, help="rows of the table (default: %(default)s)"
    )
    command.add_argument("--draw", metavar="DIR", help="draw the annotations into this folder")
    command.add_argument(
        "--config", default="photos_fpn", help="say how it suits this one (default: %(default)s)"
    )
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one of its values"
    )
    command.set_defaults(run=run_check)


def run_check(options: argparse.Namespace) -> int:
    """``data check``; imports Paddle and matplotlib, which the other commands do without."""
    return importlib.import_module("maskrcnn_edu.cli.check").run(options)
