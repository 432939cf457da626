"""AP by pycocotools: results files, and the tables that everybody quotes."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_edu.data.coco import CocoDataset, Sample
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.rle import encode_crop
from maskrcnn_edu.inference.coco_results import coco_results, only
from maskrcnn_edu.inference.onednn import compiled
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch
from maskrcnn_edu.system.processes import all_gather_object, rank, world_size

STATISTICS = (
    "AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl",
)  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on a dataset.

    Attributes:
        bbox: pycocotools' twelve statistics of the boxes, by name (AP, AP50, ...).
        segm: the same of the masks.
        tables: pycocotools' printed tables.
        results: the detections in COCO's results format.
        left_out: ids of images whose photo cannot be read; they do not count.
    """

    bbox: dict[str, float]
    segm: dict[str, float]
    tables: str
    results: list[dict]
    left_out: Sequence[int] = ()


def evaluate(
    model: MaskRCNN,
    dataset: CocoDataset,
    reader: Reader,
    limit: int | None = None,
    on_batch: Callable[[int], None] = lambda images: None,
    shared: bool = False,
) -> Evaluation | None:
    """Predict every image of a dataset and compare with its annotations.

    Args:
        model: put into prediction mode for the time of the call.
        dataset: images with annotations.
        reader: the configuration's ``EvalReader``.
        limit: only the batches with the first so many images, for a quick look. Photos that
            cannot be read are left out, with a warning for each.
        on_batch: called with the number of images done (for a progress bar).
        shared: all processes of the group make this call, and each predicts every
            ``world_size()``-th batch. The batches are those of a single process, so the
            detections are the same to the last bit.

    Returns:
        The verdict; with ``shared`` in process 0 only, None in the others.
    """
    number, count = (rank(), world_size()) if shared else (0, 1)
    reader = replace(reader, shuffle=False, drop_last=False)  # every image, in order
    rows = range(len(dataset))[:limit]
    starts = range(0, len(rows), reader.batch_size)
    batches = [range(len(dataset))[i : i + reader.batch_size] for i in starts]
    own = batches[number::count]
    was_training = model.training
    model.eval()
    with compiled(model, sum(map(len, own))):
        found = list(_predict(model, dataset, reader, own, on_batch))
    if was_training:
        model.train()
    shares = all_gather_object(found) if shared else [found]
    if number > 0:
        return None
    in_order = [b for turn in itertools.zip_longest(*shares) for b in turn if b is not None]
    results = [result for batch in in_order for result in batch["results"]]
    image_ids = [i for batch in in_order for i in batch["image_ids"]]
    asked = [dataset.image_ids[row] for batch in batches for row in batch]
    left_out = sorted(set(asked) - set(image_ids))
    return replace(score(results, dataset.to_coco(), image_ids), left_out=left_out)


@dataclass(frozen=True)
class _Rows:
    """Some rows of a dataset, as a dataset of their own."""

    dataset: CocoDataset
    rows: Sequence[int]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> Sample:
        return self.dataset[self.rows[i]]


def _predict(
    model: MaskRCNN,
    dataset: CocoDataset,
    reader: Reader,
    batches: Sequence[Sequence[int]],
    on_batch: Callable[[int], None],
) -> Iterator[dict]:
    """``image_ids`` and ``results`` of every batch (rows of the dataset)."""
    rows = _Rows(dataset, [row for batch in batches for row in batch])
    if len(rows) == 0:  # more processes than batches
        return
    for asked, batch in zip(batches, reader.loader(rows).epoch(0)):
        yield _batch_results(model, dataset, asked, batch)
        on_batch(len(asked))


def _batch_results(
    model: MaskRCNN, dataset: CocoDataset, rows: Sequence[int], batch: Batch
) -> dict[str, list]:
    """``image_ids`` and ``results`` of a batch made of these rows of the dataset."""
    stages = model.detect(batch)
    image_ids, results = [], []
    for row, image_id, detections, probs, size in zip(
        rows, batch.image_id, stages.detections, stages.mask_probs, stages.image_size
    ):
        if image_id != dataset.image_ids[row]:  # its place was taken: it cannot be read
            continue
        masks = model.mask_post_process.paste_in_boxes(probs, detections.boxes, *size)
        rles = [encode_crop(mask, *size) for mask in masks]
        image_ids.append(image_id)
        results += coco_results(image_id, detections, dataset.category_ids, rles)
    return {"image_ids": image_ids, "results": results}


def score(results: list[dict], truth: str | Path | dict, image_ids: Sequence[int]) -> Evaluation:
    """pycocotools' verdict on results, over the given images (those without results too).

    Args:
        results: in COCO's results format.
        truth: an annotation file, or its content.
        image_ids: the images that count.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _as_truth(truth)
    printed = io.StringIO()
    statistics = {}
    for kind in ("bbox", "segm"):
        with contextlib.redirect_stdout(io.StringIO()):
            judge = COCOeval(truth, _as_coco(truth, only(results, kind)), kind)
            judge.params.imgIds = sorted(image_ids)
            judge.evaluate()
            judge.accumulate()
        with contextlib.redirect_stdout(printed):
            print(f"{kind}:")
            judge.summarize()
        statistics[kind] = dict(zip(STATISTICS, map(float, judge.stats)))
    return Evaluation(statistics["bbox"], statistics["segm"], printed.getvalue(), results)


def _as_truth(source: str | Path | dict) -> COCO:
    if not isinstance(source, dict):
        return COCO(str(source))
    truth = COCO()
    truth.dataset = source
    truth.createIndex()
    return truth


def _as_coco(truth: COCO, results: list[dict]) -> COCO:
    """Results as pycocotools wants them; it cannot read an empty list by itself."""
    if results:
        return truth.loadRes([dict(r) for r in results])
    nothing = COCO()
    nothing.dataset = {**truth.dataset, "annotations": []}
    nothing.createIndex()
    return nothing


def write_results(evaluation: Evaluation, folder: str | Path) -> None:
    """Write ``bbox.json``, ``segm.json`` (COCO's results format), ``ap.json``, ``ap.txt``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    boxes, masks = only(evaluation.results, "bbox"), only(evaluation.results, "segm")
    ap = {"bbox": evaluation.bbox, "segm": evaluation.segm}
    for name, content in (("bbox", boxes), ("segm", masks), ("ap", ap)):
        indent = 1 if name == "ap" else None
        (folder / f"{name}.json").write_text(json.dumps(content, indent=indent))
    (folder / "ap.txt").write_text(evaluation.tables)
