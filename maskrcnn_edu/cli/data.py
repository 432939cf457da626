"""``maskrcnn-edu data``: make, fetch, import or check a dataset."""

from __future__ import annotations

import argparse

from maskrcnn_edu.cli import data_check, data_get, data_import
from maskrcnn_edu.data.shapes import write_shapes


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of ``data``."""
    kinds = command.add_subparsers(title="what to do", required=True, metavar="WHAT")
    shapes = kinds.add_parser("shapes", help="drawn shapes with exact masks, COCO format")
    shapes.add_argument("--out", default="data/shapes", help="folder (default: %(default)s)")
    shapes.add_argument("--train", type=int, default=1200, help="images (default: %(default)s)")
    shapes.add_argument("--val", type=int, default=200, help="images (default: %(default)s)")
    shapes.add_argument("--seed", type=int, default=0, help="another seed, other images")
    shapes.set_defaults(run=run_shapes)
    for command in (data_get, data_import, data_check):
        command.add(kinds)


def run_shapes(options: argparse.Namespace) -> int:
    """``data shapes``"""
    write_shapes(options.out, train=options.train, val=options.val, seed=options.seed)
    print(f"{options.train} training and {options.val} validation images are in {options.out}")
    return 0
