"""``python -m benchmarks``: how fast is it here?"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import compare, comparison_report, growth, measure
from benchmarks.machine import describe
from benchmarks.peers import PaddleDetection, Peer, TorchVision
from benchmarks.work import MODES, Case, own_size
from maskrcnn_edu.cli.options import add_set
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.system.device import choose_device
from maskrcnn_edu.system.files import atomic_write

CONFIGS = ("shapes_fpn", "shapes_c4", "photos_fpn", "mask_rcnn_r50_fpn_1x_coco")
"""Measured unless others are named: those whose step takes seconds, not minutes, on a CPU."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0 if it worked, 2 if the input was at fault (one line says how)."""
    warnings.filterwarnings("ignore", message=".*ccache.*")  # Paddle's; nothing is compiled here
    options = _parser().parse_args(arguments)
    try:
        choose_device()
        return run(options)
    except (ValueError, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    command = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Seconds by stage, beside two peers, and as the work grows.",
    )
    command.add_argument("--config", nargs="+", default=CONFIGS, metavar="NAME|FILE",
                         help="what to measure (%(default)s)")  # fmt: skip
    command.add_argument("--size", nargs="+", type=int, metavar="PIXELS",
                         help="sides of the square images (what the configuration reads, "
                         "at most 256)")  # fmt: skip
    command.add_argument("--batch", nargs="+", type=int, default=[1], help="images per step (1)")
    command.add_argument("--mode", nargs="+", choices=MODES, default=MODES, help="(both)")
    command.add_argument("--repeat", type=int, default=5, help="steps that count, per case (5)")
    command.add_argument("--threads", type=int, help="threads of Paddle's CPU code (its default)")
    command.add_argument("--json", metavar="FILE", help="all numbers, for programs")
    command.add_argument("--growth", action="store_true",
                         help="instead: how each stage's time grows with the work")  # fmt: skip
    command.add_argument("--peer", metavar="PYTHON",
                         help="instead: compare with PaddleDetection; PYTHON is the interpreter "
                         "of an environment that has paddledet 2.6.0")  # fmt: skip
    command.add_argument("--peer-torchvision", metavar="PYTHON",
                         help="instead, or besides: compare with torchvision; PYTHON is the "
                         "interpreter of an environment with torch and torchvision")  # fmt: skip
    command.add_argument("--peer-code", metavar="FOLDER",
                         help="take PaddleDetection from this source folder")  # fmt: skip
    command.add_argument("--pairs", type=int, default=5, help="measurements of each side (5)")
    add_set(command)
    return command


def run(options: argparse.Namespace) -> int:
    """What the options ask for."""
    _check(options)
    machine = describe() | ({"threads": options.threads} if options.threads else {})
    about = _about(machine)
    if options.growth:
        grown = growth.measure_growth(growth.AXES, _log)
        _print("As the work grows", about, growth.report(grown))
        content = {"growth": [{"axis": vars(g.axis), "stages": g.stages} for g in grown]}
    elif peers := _peers(options):
        compared = []
        for peer in peers:
            plan = compare.Plan(peer, options.pairs, options.threads)
            compared += compare.compare_all(_cases(options), plan, _log)
        names = " and ".join(peer.name for peer in peers)
        _print(f"Beside {names}", about, comparison_report.report(compared))
        content = {"pairs": [compare.as_json(c) for c in compared]}
    else:
        measured = measure.measure_all(_cases(options), options.repeat, options.threads, _log)
        _print("By stage", about, measure.summary(measured), *map(measure.by_stage, measured))
        content = {"cases": [measure.as_json(m) for m in measured]}
    if options.json:
        _write({"machine": machine, **content}, Path(options.json))
    return 0


def _peers(options: argparse.Namespace) -> list[Peer]:
    """With whom to compare."""
    peers: list[Peer] = []
    if options.peer:
        peers.append(PaddleDetection(options.peer, options.peer_code))
    if options.peer_torchvision:
        peers.append(TorchVision(options.peer_torchvision))
    return peers


def _check(options: argparse.Namespace) -> None:
    """Whether the options make sense, before minutes are spent."""
    for name in ("repeat", "pairs", "threads"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    for peer in _peers(options):
        if options.growth:
            raise ValueError(f"--growth and {peer.option} are two different measurements: "
                             "give one of them")  # fmt: skip
        if shutil.which(peer.python) is None:
            raise ValueError(f"{peer.option} {peer.python}: there is no such program; name a "
                             "Python interpreter, for example peer-env/bin/python")  # fmt: skip
    if options.peer_code and not options.peer:
        raise ValueError("--peer-code needs --peer, the interpreter that is to run it")
    if options.peer_code and not (Path(options.peer_code) / "ppdet").is_dir():
        raise ValueError(f"--peer-code {options.peer_code}: there is no folder ppdet in it; "
                         "name the folder of PaddleDetection's source")  # fmt: skip
    if options.json and not Path(options.json).resolve().parent.is_dir():
        raise ValueError(f"--json {options.json}: there is no such folder; make it first")


def _cases(options: argparse.Namespace) -> list[Case]:
    """Every configuration at every size, batch and mode."""
    changes = tuple(options.set)
    cases = []
    for name in options.config:
        sizes: Sequence[int] = options.size or [own_size(load_config(name, changes))]
        cases += [
            Case(name, size, batch, mode, changes)
            for size in sizes for batch in options.batch for mode in options.mode
        ]  # fmt: skip
    return cases


def _about(machine: dict[str, Any]) -> str:
    return (
        f"{machine['processor']}, {machine['cores']} core(s), {machine['threads']} thread(s), "
        f"{machine['device']}; Paddle {machine['paddle']}, Python {machine['python']}, "
        f"{machine['system']}"
    )


def _print(*paragraphs: str) -> None:
    """A section of Markdown."""
    print("\n## " + "\n\n".join(paragraphs))


def _log(text: str) -> None:
    """Progress goes to stderr, so that stdout is a page of Markdown."""
    print(text, file=sys.stderr, flush=True)


def _write(content: dict[str, Any], file: Path) -> None:
    text = json.dumps(content, indent=1)
    atomic_write(file, lambda path: path.write_text(text, encoding="utf-8"))
