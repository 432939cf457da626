"""``maskrcnn-edu predict``"""

from __future__ import annotations

import argparse

from tqdm import tqdm

from maskrcnn_edu.commands.options import add_weights, own_config
from maskrcnn_edu.predict import find_photos, predict_photos
from maskrcnn_edu.weights import load_model, read_classes


def add(commands: argparse._SubParsersAction) -> None:
    """The options of ``predict``."""
    command = commands.add_parser("predict", help="find the objects in photos")
    command.add_argument("photos", nargs="+", metavar="PHOTO|FOLDER", help="photos, or folders")
    add_weights(command)
    command.add_argument(
        "--classes", metavar="JSON", help="what a file's labels mean: any COCO annotation file"
    )
    command.add_argument("--out", required=True, help="folder for overlays and results.json")
    command.add_argument(
        "--min-score", type=float, default=0.5, help="draw from this score up (default: 0.5)"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """``predict``"""
    photos = find_photos(options.photos)
    classes = read_classes(options.classes) if options.classes else None
    model, config, classes = load_model(options.weights, own_config(options), classes)
    with tqdm(total=len(photos), unit="photo") as bar:
        results = predict_photos(
            model,
            config,
            classes,
            photos,
            options.out,
            options.min_score,
            on_photo=lambda photo, found: bar.update(),
        )
    shown = sum(r["score"] >= options.min_score for r in results)
    print(f"{shown} objects drawn; overlays and results.json are in {options.out}")
    return 0
