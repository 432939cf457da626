"""``maskrcnn-edu predict``"""

from __future__ import annotations

import argparse
import contextlib
import math
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from maskrcnn_edu.cli.messages import printable
from maskrcnn_edu.cli.options import add_weights, own_config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.image_file import count_frames
from maskrcnn_edu.inference.annotations import write_coco, write_labelme
from maskrcnn_edu.inference.class_match import match_all
from maskrcnn_edu.inference.overlay import OverlayStyle
from maskrcnn_edu.inference.predict import find_images, predict_images
from maskrcnn_edu.structures import Detections
from maskrcnn_edu.system.interrupt import handle_signals
from maskrcnn_edu.system.progress import progress
from maskrcnn_edu.system.text_files import read_json
from maskrcnn_edu.viz.fonts import font_advice
from maskrcnn_edu.weights.folder import ClassNames, load_model, read_classes
from maskrcnn_edu.weights.pretrained import stored_classes

LABELME, COCO = "labelme", "instances.json"


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of ``predict``."""
    command.add_argument(
        "images", nargs="+", metavar="IMAGE|FOLDER", help="images, or folders of them"
    )
    add_weights(command)
    command.add_argument(
        "--classes", metavar="JSON", help="what a file's labels mean: any COCO annotation file"
    )
    command.add_argument("--out", required=True, help="folder for overlays and results.json")
    command.add_argument(
        "--min-score", type=float, default=0.5, help="draw from this score up (default: 0.5)"
    )
    _add_drawing(command)
    command.add_argument(
        "--labelme", action="store_true",
        help=f"write OUT/{LABELME}: the images, with what is drawn as LabelMe files to correct",
    )  # fmt: skip
    command.add_argument(
        "--coco", action="store_true",
        help=f"write OUT/{COCO}: what is drawn as annotations in COCO format",
    )  # fmt: skip
    command.set_defaults(run=run)


def _add_drawing(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--labels", choices=("auto", "none"), default="auto",
        help="none: no text in overlays (default: what finds room)",
    )  # fmt: skip
    command.add_argument(
        "--size", type=pixels, metavar="PIXELS|full",
        help="longest side of an image in its overlay (default: what fits a screen)",
    )  # fmt: skip
    command.add_argument(
        "--truth", metavar="JSON", help="annotations in COCO format, to draw beside the detections"
    )


def pixels(text: str) -> float:
    """A number of pixels, or ``full``: as many as the image has."""
    return math.inf if text == "full" else int(text)


def run(options: argparse.Namespace) -> int:
    """``predict``: 0 if all images could be read, 1 if some could not, 2 if none could."""
    paths = find_images(options.images)
    if options.labelme and (Path(options.out) / LABELME).exists():
        raise ValueError(
            f"{Path(options.out) / LABELME} is there already, perhaps corrected: choose another "
            "--out, or remove it"
        )
    style = OverlayStyle(options.min_score, options.labels, options.size)
    truth = CocoDataset(options.truth, paths[0].parent) if options.truth else None
    named = read_classes(options.classes) if options.classes else None
    model, config, classes = load_model(options.weights, own_config(options), named)
    if named is not None:
        classes = _renumbered(classes, named, options)
    if advice := font_advice(classes.names):
        print(printable(advice), file=sys.stderr)
    with ImageBar(len(paths)) as bar, sigterm_is_ctrl_c() as terminated:
        try:
            results = predict_images(
                model, config, classes, paths, options.out, style, truth,
                on_image=bar.done, on_problem=bar.failed,
            )  # fmt: skip
        except KeyboardInterrupt:
            bar.log(
                f"interrupted after {bar.count} of {len(paths)} images; the results of these are "
                f"in {options.out}/results.json, and the same command goes on from there"
            )
            return 143 if terminated else 130
    _write_annotations(results, classes, options)
    return summary(bar.unreadable, len(paths), results, options)


def _write_annotations(
    results: list[dict], classes: ClassNames, options: argparse.Namespace
) -> None:
    """What ``--labelme`` and ``--coco`` ask for, of the images that could be read."""
    out = Path(options.out)
    photos = [photo for photo in read_json(out / "photos.json") if photo["problem"] is None]
    if options.labelme and photos:
        write_labelme(results, photos, out / LABELME, options.min_score)
        print(
            f"correct them: labelme {out / LABELME}\nthen: maskrcnn-edu data import labelme "
            f"{out / LABELME} --out NEW_FOLDER"
        )
    if options.coco and photos:
        images = write_coco(results, photos, out / COCO, options.min_score, classes)
        print(f"{out / COCO} names images in {images}")


def summary(
    unreadable: list[Path], count: int, results: list[dict], options: argparse.Namespace
) -> int:
    """Print what was done, and return the command's answer."""
    if unreadable:
        names = [path.name for path in unreadable[:10]]
        more = ", ..." if len(unreadable) > 10 else ""
        total = f"{len(unreadable)} of {count} images could not be read"
        print(printable(f"{total}: {', '.join(names)}{more}"), file=sys.stderr)
    if len(unreadable) == count:
        return 2
    drawn = sum(r["score"] >= options.min_score for r in results)
    print(f"{drawn} objects drawn; overlays, results.json and photos.json are in {options.out}")
    return 1 if unreadable else 0


def _renumbered(own: ClassNames, named: ClassNames, options: argparse.Namespace) -> ClassNames:
    """A model's own classes with the ids of ``--classes``, if its folder or the zoo knows names."""
    known = stored_classes(options.weights)
    if known is None:
        return own  # they are those of --classes
    ids = match_all(known.names, named, options.weights, options.classes)
    return ClassNames(known.names, ids)


@contextlib.contextmanager
def sigterm_is_ctrl_c() -> Iterator[list[int]]:
    """Within the block SIGTERM ends the work like Ctrl-C; the list then holds its number."""
    seen: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    with handle_signals(interrupt, [signal.SIGTERM]):
        yield seen


class ImageBar:
    """A progress bar over images, with a line for each that cannot be read.

    Attributes:
        unreadable: the files of these.
    """

    def __init__(self, total: int):
        self.bar = progress(total, unit="image")
        self.unreadable: list[Path] = []

    def __enter__(self) -> ImageBar:
        return self

    def __exit__(self, *problem) -> None:
        self.bar.close()

    @property
    def count(self) -> int:
        """Images done so far, those that could not be read among them."""
        return self.bar.n

    def log(self, message: str) -> None:
        """Print without tearing the bar."""
        self.bar.write(printable(message), file=sys.stderr)

    def done(self, path: Path, detections: Detections | None) -> None:
        """One image is done, now or (None) by an interrupted command."""
        frames = count_frames(path)
        if frames > 1:
            self.log(f"{path}: has {frames} frames or pages; the first one was used")
        self.bar.update()

    def failed(self, path: Path, problem: OSError) -> None:
        """One image cannot be read."""
        self.unreadable.append(path)
        self.log(str(problem))
        self.bar.update()
