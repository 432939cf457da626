"""``maskrcnn-edu data import``"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from maskrcnn_edu.cli.data_check import printable
from maskrcnn_edu.data.importers.index_masks import VOC_CLASSES, read_masks
from maskrcnn_edu.data.importers.labelme import read_labelme
from maskrcnn_edu.data.importers.via import read_via
from maskrcnn_edu.data.importers.write_coco import split, write_dataset
from maskrcnn_edu.data.problems import table
from maskrcnn_edu.system.files import atomic_folder

FORMATS = {
    "labelme": "one JSON file for each photo",
    "via": "VGG Image Annotator 2: one JSON file for all photos",
    "masks": "Pascal VOC's folders, or photos in images/ and index masks in masks/",
}


def add(kinds: argparse._SubParsersAction) -> None:
    """The options of ``data import``."""
    command = kinds.add_parser(
        "import", help="turn labels of another tool into a dataset in COCO format"
    )
    formats = "; ".join(f"{name}: {what}" for name, what in FORMATS.items())
    command.add_argument("format", choices=list(FORMATS), help=formats)
    command.add_argument("folder", metavar="FOLDER", help="photos and labels")
    command.add_argument("--out", required=True, help="new folder for the dataset")
    command.add_argument(
        "--val-share", type=float, default=0.2, help="photos to validate on (default: 0.2)"
    )
    command.add_argument("--seed", type=int, default=0, help="another seed, another split")
    command.add_argument("--class-name", help="of what does not say its class (via, masks)")
    command.add_argument("--attribute", help="region attribute that holds the class (via)")
    command.add_argument("--link", action="store_true", help="link to the photos, do not copy")
    command.add_argument(
        "--limit", type=int, default=50, help="rows of the table of issues (default: 50)"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """``data import``: 0 if everything was taken over, 1 if something was left out."""
    folder = Path(options.folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    classes: tuple[str, ...] = ()
    if options.format == "labelme":
        labeled, issues = read_labelme(folder)
    elif options.format == "via":
        labeled, issues = read_via(folder, options.class_name, options.attribute)
    else:
        labeled, issues = read_masks(folder, options.class_name)
        if (folder / "SegmentationObject").is_dir():
            classes = VOC_CLASSES
    if not labeled:
        first = f"; the first issue: {issues[0]}" if issues else ""
        raise ValueError(f"{folder}: nothing here can be imported{first}")
    splits = split(labeled, options.val_share, options.seed)
    with atomic_folder(options.out) as made, tqdm(total=len(labeled), unit="photo") as bar:
        issues += write_dataset(splits, made, classes, options.link, bar.update)
    if issues:
        print(printable(table(issues, options.limit)))
    print(f"{_count(len(issues))} left out; the dataset is in {options.out}:")
    for part in splits:
        print(f"  {part}: annotations/instances_{part}.json, photos in {part}/")
    return 1 if issues else 0


def _count(issues: int) -> str:
    return "nothing was" if issues == 0 else f"{issues} thing{'s' if issues > 1 else ''}"
