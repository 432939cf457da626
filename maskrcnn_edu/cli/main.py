"""The command ``maskrcnn-edu``."""

from __future__ import annotations

import argparse
import importlib
import sys
import warnings
from collections.abc import Sequence

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
COMMANDS = {
    "data": "make, fetch, import or check a dataset",
    "train": "train a model on a dataset in COCO format",
    "eval": "measure a trained model's AP with pycocotools",
    "predict": "find the objects in images",
    "export": "write a model for Paddle Inference, ONNX or PaddleDetection",
    "doctor": "what this machine has, and what to put right",
}
"""Every command and its line of help; ``x`` is in ``cli/x.py``."""

FILES = {"eval": "evaluate"}
WITHOUT_MODEL = ("data", "doctor")
"""Commands that compute nothing on a device."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if it worked, 2 if the input was at fault (one line says how)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    warnings.filterwarnings("ignore", message=".*ccache.*")  # Paddle's; nothing is compiled here
    options = _parser(arguments).parse_args(arguments, argparse.Namespace(arguments=arguments))
    try:
        return _run(options)
    except (ValueError, OSError) as error:  # the input's fault: no traceback
        print(f"maskrcnn-edu: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskrcnn-edu: interrupted", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    if options.command == "doctor":  # imports nothing that may be missing
        return options.run(options)
    from maskrcnn_edu.cli.messages import left_out_as_lines

    if options.command not in WITHOUT_MODEL:
        from maskrcnn_edu.system.device import choose_device

        choose_device()
    with left_out_as_lines():
        return options.run(options)


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """All commands, and the options of the one that is asked for: only its file is imported."""
    parser = argparse.ArgumentParser(
        prog="maskrcnn-edu",
        description="Train, measure and use Mask R-CNN on any dataset in COCO format.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND"
    )
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line)
        if name == asked:
            _add_options(command, name)
    return parser


def _add_options(command: argparse.ArgumentParser, name: str) -> None:
    if name == "doctor":  # it has none, and must work where nothing else can be imported
        doctor = importlib.import_module("maskrcnn_edu.system.doctor")
        command.set_defaults(run=lambda options: doctor.main())
    else:
        importlib.import_module(f"maskrcnn_edu.cli.{FILES.get(name, name)}").add_options(command)
