"""The command ``maskrcnn-edu``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from maskrcnn_edu.commands import bench, data, doctor, evaluate, export, predict, train
from maskrcnn_edu.commands.left_out import photos_left_out_are_told
from maskrcnn_edu.device import choose_device

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
WITHOUT_MODEL = ("data", "doctor")
"""Commands that compute nothing on a device."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if it worked, 2 if the input was at fault (one line says how)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser().parse_args(arguments, argparse.Namespace(arguments=arguments))
    try:
        if options.command not in WITHOUT_MODEL:
            choose_device()
        with photos_left_out_are_told():
            return options.run(options)
    except (ValueError, OSError) as error:  # the input's fault: no traceback
        print(f"maskrcnn-edu: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskrcnn-edu: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="maskrcnn-edu",
        description="Train, measure and use Mask R-CNN on any dataset in COCO format.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND"
    )
    for command in (data, train, evaluate, predict, export, bench, doctor):
        command.add(commands)
    return parser
