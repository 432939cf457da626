"""``maskrcnn-edu export``"""

from __future__ import annotations

import argparse
from pathlib import Path

from maskrcnn_edu.cli.options import add_weights, own_config
from maskrcnn_edu.inference.export import export_onnx, export_paddle
from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.weights.folder import load_model, read_classes, save_metadata
from maskrcnn_edu.weights.pdparams import write_pdparams

FORMATS = ("paddle", "onnx", "pdparams")


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of ``export``."""
    add_weights(command)
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
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """``export``"""
    classes = read_classes(options.classes) if options.classes else None
    model, config, classes = load_model(options.weights, own_config(options), classes)
    wants_onnx = config.values.get("export_onnx", False)
    formats = options.format or (["paddle", "onnx"] if wants_onnx else ["paddle"])
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    if "paddle" in formats:
        export_paddle(model, out)
    if "onnx" in formats:
        export_onnx(model, out)
    if "pdparams" in formats:
        atomic_write(out / "model.pdparams", lambda path: write_pdparams(path, model.state_dict()))
    save_metadata(out, config, classes)
    print(f"{', '.join(sorted(p.name for p in out.glob('*')))} are in {out}")
    return 0
