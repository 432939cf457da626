"""``maskrcnn-edu data get``"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from maskrcnn_edu.data.problems import summarize
from maskrcnn_edu.data.public import DATASETS, get_dataset

MIRROR = "MASKRCNN_EDU_MIRROR"


def add(kinds: argparse._SubParsersAction) -> None:
    """The options of ``data get``."""
    get = kinds.add_parser("get", help="fetch a public dataset, ready to train on")
    get.add_argument(
        "name",
        choices=list(DATASETS),
        help="; ".join(f"{name}: {_size(name)}" for name in DATASETS),
    )
    get.add_argument("--out", help="folder (default: data/NAME)")
    get.epilog = (
        f"${MIRROR} names a server that has the same archives, "
        f"for example one in the classroom: python -m http.server"
    )
    get.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
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
    length = "--minutes 12 " if DATASETS[name].config == "photos_fpn" else ""
    return (
        f"maskrcnn-edu train --config {DATASETS[name].config} {length}--out runs/{name} \\\n"
        f"    --train-json {folder / splits.train_json} \\\n"
        f"    --train-images {folder / splits.train_images} \\\n"
        f"    --val-json {folder / splits.val_json} --val-images {folder / splits.val_images}"
    )


def _size(name: str) -> str:
    total = sum(archive.size for archive in DATASETS[name].archives)
    return f"{total / 1e9:.1f} GB" if total > 10**9 else f"{total / 1e6:.0f} MB"
