"""AP by pycocotools: results files, and the tables that everybody quotes."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle
import pycocotools.mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Detections

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
    """

    bbox: dict[str, float]
    segm: dict[str, float]
    tables: str
    results: list[dict]


def evaluate(
    model: MaskRCNN,
    dataset: CocoDataset,
    reader: Reader,
    limit: int | None = None,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Evaluation:
    """Predict every image of a dataset and compare with its annotations.

    Args:
        model: put into prediction mode for the time of the call.
        dataset: images with annotations.
        reader: the configuration's ``EvalReader``.
        limit: only the first so many images, for a quick look. Photos that cannot be read
            are left out, with a warning for each.
        on_batch: called with the number of images done (for a progress bar).
    """
    results: list[dict] = []
    image_ids: dict[int, None] = {}  # a set that keeps its order
    was_training = model.training
    model.eval()
    with paddle.no_grad():
        for batch in reader.loader(dataset).epoch(0):
            stages = model(batch)
            for image_id, found in zip(batch.image_id, stages.detections):
                if image_id not in image_ids:  # it may have taken the place of a broken photo
                    results += coco_results(image_id, found, dataset.category_ids)
                    image_ids[image_id] = None
            on_batch(len(batch))
            if limit is not None and len(image_ids) >= limit:
                break
    if was_training:
        model.train()
    with tempfile.TemporaryDirectory() as folder:
        # not the file itself, in which pycocotools would stumble over the smallest fault
        truth = Path(folder) / "truth.json"
        truth.write_text(json.dumps(dataset.truth()), encoding="utf-8")
        return score(results, truth, list(image_ids))


def coco_results(image_id: int, found: Detections, category_ids: Sequence[int]) -> list[dict]:
    """Detections (image frame) in COCO's results format, with the file's own ids."""
    boxes = found.boxes.numpy().astype(np.float64)
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    columns = zip(found.labels.tolist(), found.scores.tolist(), sides.tolist(), _rles(found))
    return [
        {
            "image_id": image_id,
            "category_id": category_ids[label],
            "score": score,
            "bbox": box,
            "segmentation": rle,
        }
        for label, score, box, rle in columns
    ]


def _rles(found: Detections) -> list[dict]:
    """The masks, run-length encoded, as JSON can hold them."""
    if len(found) == 0:
        return []
    masks = found.masks.numpy().astype(np.uint8).transpose(1, 2, 0)  # [h, w, D]
    encoded = coco_mask.encode(np.asfortranarray(masks))
    return [{"size": list(r["size"]), "counts": r["counts"].decode("ascii")} for r in encoded]


def score(results: list[dict], json_file: str | Path, image_ids: Sequence[int]) -> Evaluation:
    """pycocotools' verdict on results, over the given images (those without results too)."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(json_file))
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


def only(results: list[dict], kind: str) -> list[dict]:
    """Results with boxes (``bbox``) or masks (``segm``) alone.

    From results that have both, pycocotools takes the box's area for the mask's too, and
    then counts a thin object as a large one (APs, APm, APl).
    """
    other = {"bbox": "segmentation", "segm": "bbox"}[kind]
    return [{k: v for k, v in r.items() if k != other} for r in results]


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
