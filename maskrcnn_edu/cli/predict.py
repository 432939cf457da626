"""``maskrcnn-edu predict``"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from tqdm import tqdm

from maskrcnn_edu.cli.options import add_weights, own_config
from maskrcnn_edu.data.image_file import count_frames
from maskrcnn_edu.inference.predict import find_images, predict_images
from maskrcnn_edu.structures import Detections
from maskrcnn_edu.weights.folder import load_model, read_classes


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of ``predict``."""
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
    """``predict``: 0 if all photos could be read, 1 if some could not, 2 if none could."""
    photos = find_images(options.photos)
    classes = read_classes(options.classes) if options.classes else None
    model, config, classes = load_model(options.weights, own_config(options), classes)
    with PhotoBar(len(photos)) as bar:
        try:
            results = predict_images(
                model, config, classes, photos, options.out, options.min_score,
                on_image=bar.done, on_problem=bar.failed,
            )  # fmt: skip
        except KeyboardInterrupt:
            bar.say(
                f"interrupted after {bar.count} of {len(photos)} photos; what was found until "
                f"then is in {options.out}/results.json"
            )
            return 130
    if bar.problems:
        names = [photo.name for photo in bar.problems[:10]]
        more = ", ..." if len(bar.problems) > 10 else ""
        total = f"{len(bar.problems)} of {len(photos)} photos could not be read"
        print(printable(f"{total}: {', '.join(names)}{more}"), file=sys.stderr)
    if len(bar.problems) == len(photos):
        return 2
    shown = sum(r["score"] >= options.min_score for r in results)
    print(f"{shown} objects drawn; overlays, results.json and photos.json are in {options.out}")
    return 1 if bar.problems else 0


def printable(text: str) -> str:
    """Text that any terminal takes: a file's name may hold bytes that are no letters."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


class PhotoBar:
    """A progress bar over photos, that says what is wrong with some of them."""

    def __init__(self, total: int):
        self.bar = tqdm(total=total, unit="photo")
        self.problems: list[Path] = []

    def __enter__(self) -> PhotoBar:
        return self

    def __exit__(self, *problem) -> None:
        self.bar.close()

    @property
    def count(self) -> int:
        """Photos done so far, those that could not be read among them."""
        return self.bar.n

    def say(self, message: str) -> None:
        """Print without tearing the bar."""
        self.bar.write(printable(message), file=sys.stderr)

    def done(self, photo: Path, found: Detections) -> None:
        """One photo is done."""
        with warnings.catch_warnings():  # about its size, which was no problem
            warnings.simplefilter("ignore")
            frames = count_frames(photo)
        if frames > 1:
            self.say(f"{photo}: has {frames} frames or pages; the first one was used")
        self.bar.update()

    def failed(self, photo: Path, problem: OSError) -> None:
        """One photo cannot be read."""
        self.problems.append(photo)
        self.say(str(problem))
        self.bar.update()
