"""The command ``maskrcnn-edu``."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import platform
import sys
import warnings
from collections.abc import Sequence
from importlib import metadata

import maskrcnn_edu
from maskrcnn_edu.cli.arguments import one_set_for_each, with_home
from maskrcnn_edu.system.os_errors import in_words

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
    "course": "write the notebooks into a folder, to work in",
    "doctor": "what this machine has, and what to put right",
}
"""Every command and its line of help; ``x`` is in ``cli/x.py``."""

FILES = {"eval": "evaluate"}
WITHOUT_MODEL = ("data",)
"""Commands that compute nothing on a device."""

WITHOUT_LIBRARIES = ("course", "doctor")
"""Commands that import nothing that may be missing."""

COMPLETION, SHELLS = "--print-completion", ("bash", "zsh", "tcsh")
PACKAGES = {"paddle": "paddlepaddle", "PIL": "pillow", "yaml": "pyyaml"}
"""What to install for a module; the other names are the same."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if it worked, 2 if the input was at fault (one line says how)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    arguments = one_set_for_each(map(with_home, arguments))
    warnings.filterwarnings("ignore", message=".*ccache.*")  # Paddle's; nothing is compiled here
    warnings.filterwarnings("ignore", message="Glyph .* missing from")  # `font_advice` says it
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # where it keeps its cache
    try:
        if arguments[:1] == [COMPLETION]:
            return print_completion(arguments[1:])
        options = _parser(arguments).parse_args(arguments, argparse.Namespace(arguments=arguments))
        return _run(options)
    except BrokenPipeError:  # `| head` has seen enough; nothing more can be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13  # as if by the signal that Python ignores
    except (ValueError, OSError) as error:  # the input's fault: no traceback
        print(f"maskrcnn-edu: {in_words(error)}", file=sys.stderr)
        return 2
    except ImportError as error:
        if (error.name or "").startswith("maskrcnn_edu"):
            raise  # our own fault
        print(f"maskrcnn-edu: {what_to_install(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("maskrcnn-edu: interrupted", file=sys.stderr)
        return 130


def what_to_install(error: ImportError) -> str:
    """The cure for a library that is missing, or that cannot start."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return f"{error} (maskrcnn-edu doctor looks for the reason)"
    module = error.name.split(".")[0]
    cure = f"{module} is not installed: pip install {PACKAGES.get(module, module)}"
    gpu = " (for a GPU, maskrcnn-edu doctor says which build)" if module == "paddle" else ""
    return cure + gpu


def _run(options: argparse.Namespace) -> int:
    if options.command in WITHOUT_LIBRARIES:
        return options.run(options)
    from maskrcnn_edu.cli.messages import left_out_as_lines

    if options.command not in WITHOUT_MODEL:
        from maskrcnn_edu.system.device import DEVICE, choose_device

        if options.device:
            os.environ[DEVICE] = options.device  # other processes of a training read it, too
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
    parser.add_argument("--version", action="version", version=versions())
    parser.add_argument(
        COMPLETION, choices=SHELLS, help="what makes the shell complete commands (needs shtab)"
    )
    commands = parser.add_subparsers(
        title="commands", dest="command", required=True, metavar="COMMAND"
    )
    asked = next((word for word in arguments if not word.startswith("-")), None)
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        if name == asked or COMPLETION in arguments:
            _add_options(command, name)
    return parser


def _add_options(command: argparse.ArgumentParser, name: str) -> None:
    if name == "doctor":  # it has none, and must work where nothing else can be imported
        doctor = importlib.import_module("maskrcnn_edu.system.doctor")
        command.set_defaults(run=lambda options: doctor.main())
    else:
        importlib.import_module(f"maskrcnn_edu.cli.{FILES.get(name, name)}").add_options(command)
    if name not in (*WITHOUT_MODEL, *WITHOUT_LIBRARIES):
        help_ = "what computes (default: the GPU if there is one)"
        command.add_argument("--device", choices=("cpu", "gpu"), help=help_)


def versions() -> str:
    """One line about what is installed here."""
    parts = [f"maskrcnn-edu {maskrcnn_edu.__version__}"]
    for package in ("paddlepaddle", "paddlepaddle-gpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            parts.append(f"{package} {metadata.version(package)}")
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def print_completion(shells: Sequence[str]) -> int:
    """``--print-completion SHELL``; all commands are imported for it."""
    if len(shells) != 1 or shells[0] not in SHELLS:
        raise ValueError(f"{COMPLETION} needs one of {', '.join(SHELLS)}")
    shtab = importlib.import_module("shtab")
    print(shtab.complete(_parser([COMPLETION]), shell=shells[0]))
    return 0
