"""``maskrcnn-edu eval``"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from maskrcnn_edu.cli.messages import printable
from maskrcnn_edu.cli.options import add_weights, own_config
from maskrcnn_edu.config.build import build
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.problems import summarize
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.inference.class_match import match_dataset
from maskrcnn_edu.inference.evaluate import CURVES, Evaluation, class_table, evaluate, write_results
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.system.processes import distributed, launch, rank, should_launch, world_size
from maskrcnn_edu.system.progress import progress
from maskrcnn_edu.weights.folder import load_model
from maskrcnn_edu.weights.pretrained import stored_classes
from maskrcnn_edu.weights.zoo import find_weights


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of ``eval``."""
    add_weights(command)
    command.add_argument("--json", required=True, help="COCO annotation file")
    command.add_argument("--images", required=True, help="folder of its images")
    command.add_argument("--out", required=True, help="folder for results, AP and curves")
    command.add_argument(
        "--processes", type=int, default=1, help="share the images among so many processes"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """``eval``"""
    find_weights(options.weights)  # fetched once, before other processes want it
    if should_launch(options.processes):
        return launch(options.processes, options.arguments)
    dataset = CocoDataset(options.json, options.images)
    model, config, classes = load_model(options.weights, own_config(options))
    names = _names(classes.names, dataset, stored_classes(options.weights) is None)
    ids = match_dataset(names, dataset, options.weights)
    if dataset.issues and rank() == 0:
        print(printable(summarize(dataset.issues, options.json)))
    reader = build(config, Reader, ("EvalReader",))
    with distributed():
        result = _measure(model, dataset, ids, reader)
    if result is None:  # process 0 writes and prints for all
        return 0
    tables = f"{result.tables}\n{class_table(result)}\n"
    print(printable(tables), flush=True)  # whatever becomes of the files
    write_results(result, options.out)
    if result.left_out:
        print(f"{len(result.left_out)} images cannot be read and do not count: {result.left_out}")
    print(f"bbox.json, segm.json, ap.json, ap.txt and {CURVES} are in {options.out}")
    print(summary(result))
    return 0


def _names(names: list[str], dataset: CocoDataset, unknown: bool) -> list[str]:
    """What the model's labels mean; if nobody says it (``unknown``), the dataset's classes."""
    if not unknown:
        return names
    if len(names) != dataset.num_classes:
        raise ValueError(
            f"the model knows {len(names)} classes, but {dataset.json_file} has "
            f"{dataset.num_classes}: {', '.join(dataset.class_names)}"
        )
    return dataset.class_names


def _measure(
    model: MaskRCNN, dataset: CocoDataset, ids: Sequence[int | None], reader: Reader
) -> Evaluation | None:
    """Evaluate with a progress bar; the other processes are about as far as this one."""
    total = len(dataset)
    with progress(total, rank() == 0, unit="image") as bar:

        def advance(images: int) -> None:
            bar.update(min(images * world_size(), total - bar.n))

        return evaluate(model, dataset, reader, category_ids=ids, on_batch=advance, shared=True)


def summary(result: Evaluation) -> str:
    """The four numbers that are compared; -1 is pycocotools' word for nothing to compare with."""
    if result.segm["AP"] == -1:
        return "there is no AP: no single object is annotated, so nothing can be measured"
    return (
        f"mask AP {result.segm['AP']:.3f}  mask AP50 {result.segm['AP50']:.3f}  "
        f"box AP {result.bbox['AP']:.3f}  box AP50 {result.bbox['AP50']:.3f}"
    )
