"""The command ``maskrcnn-edu``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from maskrcnn_edu.config import Config, load_config, make, shipped_configs
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.evaluate import Evaluation, evaluate, write_results
from maskrcnn_edu.export import export_onnx, export_paddle
from maskrcnn_edu.official import OFFICIAL, find_weights, official
from maskrcnn_edu.parallel import best_process_count, process_group, rank
from maskrcnn_edu.pdparams import write_pdparams
from maskrcnn_edu.predict import find_photos, predict_photos
from maskrcnn_edu.train import Budget, History, Step, train
from maskrcnn_edu.viz.curves import draw_curves
from maskrcnn_edu.weights import (
    Classes,
    load_model,
    read_classes,
    write_meaning,
    write_safely,
)

EXAMPLES = """\
examples:
  maskrcnn-edu data shapes --out data/shapes
  maskrcnn-edu train --config shapes_fpn --minutes 5 --out runs/shapes \\
      --train-json data/shapes/annotations/instances_train.json --train-images data/shapes/train \\
      --val-json data/shapes/annotations/instances_val.json --val-images data/shapes/val
  maskrcnn-edu eval --weights runs/shapes --out runs/shapes/eval \\
      --json data/shapes/annotations/instances_val.json --images data/shapes/val
  maskrcnn-edu predict --weights runs/shapes --out runs/shapes/photos data/shapes/val
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if it worked, 2 if the input was at fault (one line says how)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(arguments)
    try:
        return options.run(options, arguments)
    except (ValueError, OSError) as error:  # the input's fault: no traceback
        print(f"maskrcnn-edu: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskrcnn-edu: interrupted", file=sys.stderr)
        return 130


# ---------------------------------------------------------------- commands


def run_shapes(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """``data shapes``"""
    write_shapes(options.out, train=options.train, val=options.val, seed=options.seed)
    print(f"{options.train} training and {options.val} validation images are in {options.out}")
    return 0


def run_train(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """``train``"""
    train_set = CocoDataset(options.train_json, options.train_images)
    val_set = CocoDataset(options.val_json, options.val_images)
    classes = f"num_classes={train_set.num_classes}"  # the data decides, not the configuration
    config = load_config(options.config, [*options.set, classes])
    batch_size = make(config, Reader, ("TrainReader",)).batch_size
    budget = _budget(options, len(train_set) // batch_size, config.values.get("epoch", 12))
    processes = options.processes or best_process_count(batch_size)
    pretrain = options.pretrain
    if pretrain is None and options.weights is None:
        pretrain = config.values.get("pretrain_weights")
    if rank() == 0 and pretrain is not None:
        _find_pretrained(pretrain)  # fetched once, before the other processes want it
    with process_group(processes, arguments):
        if rank() == 0:
            _describe(train_set, val_set, processes)
        with TrainingBar(budget, visible=rank() == 0) as bar:
            _, history = train(
                config, train_set, val_set, options.out, budget, options.seed, options.weights,
                on_step=bar, pretrain=pretrain, on_pretrained=bar.say,
            )  # fmt: skip
    if rank() == 0:
        _finish_training(history, Path(options.out))
    return 0


def _find_pretrained(source: str) -> None:
    try:
        find_weights(source)
    except ValueError as error:
        raise ValueError(
            f"{error}\nor start from random weights: --set pretrain_weights=null"
        ) from error


def _budget(options: argparse.Namespace, steps_per_epoch: int, epochs: int) -> Budget:
    if options.steps is None and options.minutes is None:
        return Budget(steps=max(1, steps_per_epoch * epochs))
    return Budget(steps=options.steps, minutes=options.minutes)


def _describe(train_set: CocoDataset, val_set: CocoDataset, processes: int) -> None:
    names = ", ".join(train_set.class_names)
    print(f"{len(train_set)} training and {len(val_set)} validation images; classes: {names}")
    for dataset in (train_set, val_set):
        for line in dataset.skipped[:5]:
            print(f"  skipped: {line}")
        if len(dataset.skipped) > 5:
            print(f"  ... and {len(dataset.skipped) - 5} more")
    print(f"training in {processes} process{'es' if processes > 1 else ''}", flush=True)


def _finish_training(history: History, out: Path) -> None:
    draw_curves(history.steps, history.evaluations).savefig(out / "curves.png", dpi=110)
    print(f"weights, metrics.jsonl and curves.png are in {out}")


class TrainingBar:
    """A progress bar with the five losses, images per second and the time left."""

    def __init__(self, budget: Budget, visible: bool = True):
        self.minutes = budget.minutes
        unit = "s" if budget.minutes else "step"
        total = round(60 * budget.minutes) if budget.minutes else budget.steps
        self.bar = tqdm(total=total, unit=unit, disable=not visible, dynamic_ncols=True)

    def __enter__(self) -> TrainingBar:
        return self

    def __exit__(self, *problem) -> None:
        self.bar.close()

    def say(self, message: object) -> None:
        """Print without tearing the bar."""
        if not self.bar.disable:
            self.bar.write(str(message))

    def __call__(self, step: Step) -> None:
        """Show a step."""
        if self.bar.disable:
            return
        self.bar.update(int(step.seconds if self.minutes else step.step) - self.bar.n)
        if step.step % 5 == 0 or step.progress >= 1.0:
            losses = {k.removeprefix("loss_"): f"{v:.3f}" for k, v in step.losses().items()}
            speed = f"{step.images / step.seconds:.1f}"
            self.bar.set_postfix({**losses, "images/s": speed, "step": step.step})


def run_eval(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """``eval``"""
    find_weights(options.weights)
    dataset = CocoDataset(options.json, options.images)
    named = Classes(dataset.class_names, dataset.category_ids)
    model, config, classes = load_model(options.weights, _own_config(options), named)
    if dataset.category_ids != classes.category_ids:
        there = dict(zip(dataset.category_ids, dataset.class_names))
        here = dict(zip(classes.category_ids, classes.names))
        raise ValueError(
            f"{options.json}: its categories {there} are not those of {options.weights}: {here}"
        )
    reader = make(config, Reader, ("EvalReader",))
    with tqdm(total=len(dataset), unit="image") as bar:
        result = evaluate(model, dataset, reader, on_batch=bar.update)
    write_results(result, options.out)
    print(result.tables)
    print(f"bbox.json, segm.json, ap.json and ap.txt are in {options.out}")
    print(summary(result))
    return 0


def _own_config(options: argparse.Namespace) -> Config | None:
    """The configuration that the options name for a file of weights."""
    if options.config is None and not options.set:
        return None
    known = official(options.weights)
    name = options.config or (known and known.config)
    if name is None:
        raise ValueError("--set changes a configuration: name it with --config")
    changes = known.changes if known and not options.config else ()
    return load_config(name, [*changes, *options.set])


def summary(result: Evaluation) -> str:
    """The four numbers that are compared."""
    return (
        f"mask AP {result.segm['AP']:.3f}  mask AP50 {result.segm['AP50']:.3f}  "
        f"box AP {result.bbox['AP']:.3f}  box AP50 {result.bbox['AP50']:.3f}"
    )


def run_predict(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """``predict``"""
    photos = find_photos(options.photos)
    classes = read_classes(options.classes) if options.classes else None
    model, config, classes = load_model(options.weights, _own_config(options), classes)
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


FORMATS = ("paddle", "onnx", "pdparams")


def run_export(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    """``export``"""
    classes = read_classes(options.classes) if options.classes else None
    model, config, classes = load_model(options.weights, _own_config(options), classes)
    wants_onnx = config.values.get("export_onnx", False)
    formats = options.format or (["paddle", "onnx"] if wants_onnx else ["paddle"])
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    if "paddle" in formats:
        export_paddle(model, out)
    if "onnx" in formats:
        export_onnx(model, out)
    if "pdparams" in formats:
        write_safely(out / "model.pdparams", lambda path: write_pdparams(path, model.state_dict()))
    write_meaning(out, config, classes)
    print(f"{', '.join(sorted(p.name for p in out.glob('*')))} are in {out}")
    return 0


# ---------------------------------------------------------------- options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maskrcnn-edu",
        description="Train, measure and use Mask R-CNN on any dataset in COCO format.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_data(commands)
    _add_train(commands)
    _add_eval(commands)
    _add_predict(commands)
    _add_export(commands)
    return parser


def _add_data(commands) -> None:
    data = commands.add_parser("data", help="make a dataset")
    kinds = data.add_subparsers(title="datasets", required=True, metavar="DATASET")
    shapes = kinds.add_parser("shapes", help="drawn shapes with exact masks, COCO format")
    shapes.add_argument("--out", default="data/shapes", help="folder (default: %(default)s)")
    shapes.add_argument("--train", type=int, default=1200, help="images (default: %(default)s)")
    shapes.add_argument("--val", type=int, default=200, help="images (default: %(default)s)")
    shapes.add_argument("--seed", type=int, default=0, help="another seed, other images")
    shapes.set_defaults(run=run_shapes)


def _add_train(commands) -> None:
    names = ", ".join(shipped_configs())
    command = commands.add_parser("train", help="train a model on a dataset in COCO format")
    command.add_argument("--config", required=True, help=f"a YAML file, or one of {names}")
    _add_set(command)
    for split in ("train", "val"):
        command.add_argument(f"--{split}-json", required=True, help="COCO annotation file")
        command.add_argument(f"--{split}-images", required=True, help="folder of its pictures")
    command.add_argument("--out", required=True, help="folder for weights, metrics and curves")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="stop after so many steps")
    length.add_argument("--minutes", type=float, help="stop after so many minutes of training")
    command.add_argument("--seed", type=int, default=0, help="same seed, same losses")
    command.add_argument("--weights", help="start from a trained folder or file, all of it")
    command.add_argument(
        "--pretrain",
        metavar="FILE|NAME",
        help="start from what fits of a .pdparams or .safetensors file, or of a published one: "
        f"{', '.join(OFFICIAL)} (default: the configuration's pretrain_weights)",
    )
    command.add_argument(
        "--processes",
        type=int,
        help="share every batch among so many processes (default: one per CPU core, at most "
        "one for two images; 1 with a GPU)",
    )
    command.set_defaults(run=run_train)


def _add_set(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of the configuration, e.g. LearningRate.base_lr=0.0005",
    )


def _add_weights(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--weights",
        required=True,
        metavar="FOLDER|FILE|NAME",
        help="folder that `train` wrote, a .pdparams or .safetensors file, or a published one: "
        + ", ".join(name for name, known in OFFICIAL.items() if known.config),
    )
    command.add_argument(
        "--config", help="configuration of a file of weights (a published file's is known)"
    )
    _add_set(command)


def _add_eval(commands) -> None:
    command = commands.add_parser("eval", help="measure a trained model's AP with pycocotools")
    _add_weights(command)
    command.add_argument("--json", required=True, help="COCO annotation file")
    command.add_argument("--images", required=True, help="folder of its pictures")
    command.add_argument("--out", required=True, help="folder for bbox.json, segm.json, ap.txt")
    command.set_defaults(run=run_eval)


def _add_predict(commands) -> None:
    command = commands.add_parser("predict", help="find the objects in photos")
    command.add_argument("photos", nargs="+", metavar="PHOTO|FOLDER", help="photos, or folders")
    _add_weights(command)
    command.add_argument(
        "--classes", metavar="JSON", help="what a file's labels mean: any COCO annotation file"
    )
    command.add_argument("--out", required=True, help="folder for overlays and results.json")
    command.add_argument(
        "--min-score", type=float, default=0.5, help="draw from this score up (default: 0.5)"
    )
    command.set_defaults(run=run_predict)


def _add_export(commands) -> None:
    command = commands.add_parser(
        "export", help="write a model for Paddle Inference, ONNX or PaddleDetection"
    )
    _add_weights(command)
    command.add_argument(
        "--classes", metavar="JSON", help="what a file's labels mean: any COCO annotation file"
    )
    command.add_argument("--out", required=True, help="folder for the files")
    command.add_argument(
        "--format",
        nargs="+",
        choices=FORMATS,
        help="paddle: a program for Paddle Inference; onnx: the same for ONNX (needs paddle2onnx); "
        "pdparams: the weights as PaddleDetection reads them "
        "(default: paddle, and onnx if the configuration says export_onnx: true)",
    )
    command.set_defaults(run=run_export)
