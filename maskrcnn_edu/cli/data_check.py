"""``maskrcnn-edu data check``"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tqdm import tqdm

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.problems import Issue, table
from maskrcnn_edu.system.files import atomic_write


def add(kinds: argparse._SubParsersAction) -> None:
    """The options of ``data check``."""
    check = kinds.add_parser(
        "check", help="list everything that is wrong with a dataset in COCO format"
    )
    check.add_argument("file", metavar="JSON", help="COCO annotation file")
    check.add_argument("--images", required=True, help="folder of its photos")
    check.add_argument("--json", help="write all issues to this file, for programs")
    check.add_argument(
        "--limit", type=int, default=50, help="rows of the table (default: %(default)s)"
    )
    check.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """``data check``: 0 if all is well, 1 if there are issues, 2 if it is no dataset."""
    if options.limit < 0:
        raise ValueError(f"--limit is {options.limit}, but must be 0 or more")
    dataset = CocoDataset(options.file, options.images)
    rows = tqdm(range(len(dataset)), unit="photo", leave=False)
    photos = {row: issue for row in rows if (issue := dataset.image_issue(row))}
    issues = [*dataset.issues, *photos.values()]
    used = use(dataset, set(photos))
    if options.json:
        _write(Path(options.json), options.file, issues, used)
    if issues:
        print(printable(table(issues, options.limit)))
    print(printable(_summary(options.file, len(issues), used)))
    if not used["images"][0]:
        print("maskrcnn-edu: none of the photos can be read; check --images", file=sys.stderr)
        return 2
    return 1 if issues else 0


def use(dataset: CocoDataset, unreadable: set[int]) -> dict:
    """What training will use: (used, listed) of each kind, and objects per class.

    Args:
        dataset: a dataset.
        unreadable: rows whose photos cannot be read.
    """
    listed = dataset.entry_counts()
    classes = dataset.objects_per_class(unreadable)
    return {
        "images": (len(dataset) - len(unreadable), listed["images"]),
        "annotations": (sum(classes.values()), listed["annotations"]),
        "categories": (dataset.num_classes, listed["categories"]),
        "objects_per_class": classes,
    }


def _summary(file: str, count: int, used: dict) -> str:
    said = f"{count} issue{'s' if count > 1 else ''}" if count else "no issues"
    of = {kind: f"{used[kind][0]} of {used[kind][1]} {kind}" for kind in used if kind[0] != "o"}
    classes = [f"{name} {n}" for name, n in used["objects_per_class"].items()]
    more = f", ... ({len(classes)} classes)" if len(classes) > 20 else ""
    return (
        f"{file}: {said}. Training uses {of['images']}, {of['annotations']} and "
        f"{of['categories']}: {', '.join(classes[:20])}{more}"
    )


def _write(path: Path, file: str, issues: list[Issue], used: dict) -> None:
    content = {"file": file, "used": used, "problems": [_fields(each) for each in issues]}
    text = json.dumps(content, indent=1)
    atomic_write(path, lambda place: place.write_text(text, encoding="utf-8"))


def _fields(issue: Issue) -> dict:
    """The keys that programs read."""
    place = {"image": issue.image, "annotation": issue.annotation}
    return place | {"what": issue.message, "cure": issue.fix}


def printable(text: str) -> str:
    """Text that any terminal takes."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
