"""AP by pycocotools: results files, and the tables that everybody quotes."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from paddle.io import Subset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.rle import encode_crop
from maskrcnn_edu.inference.coco_results import coco_results, split_results
from maskrcnn_edu.inference.onednn import use_onednn
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch
from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.system.language import say
from maskrcnn_edu.system.processes import all_gather_object, rank, world_size
from maskrcnn_edu.viz.precision_recall import draw_precision_recall

STATISTICS = (
    "AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl",
)  # fmt: skip
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
CURVES = "precision_recall.png"


@dataclass(frozen=True)
class Evaluation:
    """How good a model is on a dataset.

    Attributes:
        bbox: pycocotools' twelve statistics of the boxes, by name (AP, AP50, ...).
        segm: the same of the masks.
        tables: pycocotools' printed tables.
        results: the detections in COCO's results format.
        left_out: ids of images whose file cannot be read; they do not count.
        classes: names of the annotation file's C classes, by rising id.
        precision: of ``bbox`` and ``segm``, what pycocotools' AP is the mean of: [T, R, C], at
            `IOU_THRESHOLDS` and recalls 0, 0.01 .. 1; -1 for a class without objects.
    """

    bbox: dict[str, float]
    segm: dict[str, float]
    tables: str
    results: list[dict]
    left_out: Sequence[int] = ()
    classes: Sequence[str] = ()
    precision: dict[str, np.ndarray] = field(default_factory=dict, compare=False)

    def class_ap(self) -> list[dict[str, str | float]]:
        """Each class's ``name``, and its ``segm_AP``, ``segm_AP50``, ``bbox_AP``, ``bbox_AP50``.

        The mean over classes is what ``bbox`` and ``segm`` say; -1 for a class without objects.
        """
        return [
            {"name": name}
            | {
                f"{kind}_{word}": float(self.precision[kind][rows, :, c].mean())
                for kind in ("segm", "bbox")
                for word, rows in (("AP", slice(None)), ("AP50", 0))
            }
            for c, name in enumerate(self.classes)
        ]


def evaluate(
    model: MaskRCNN,
    dataset: CocoDataset,
    reader: Reader,
    category_ids: Sequence[int | None] | None = None,
    limit: int | None = None,
    on_batch: Callable[[int], None] = lambda images: None,
    shared: bool = False,
) -> Evaluation | None:
    """Predict every image of a dataset and compare with its annotations.

    Args:
        model: put into prediction mode for the time of the call.
        dataset: images with annotations.
        reader: the configuration's ``EvalReader``.
        category_ids: the dataset's ids of the model's classes, None for one that it has not (see
            `maskrcnn_edu.inference.class_match`); by default labels are as in the dataset.
        limit: only the batches with the first so many images, for a quick look. Images that
            cannot be read are left out, with a warning for each.
        on_batch: called with the number of images done (for a progress bar).
        shared: all processes of the group make this call, and each predicts every
            ``world_size()``-th batch. The batches are those of a single process, so the
            detections are the same to the last bit.

    Returns:
        The statistics; with ``shared`` in process 0 only, None in the others.
    """
    number, count = (rank(), world_size()) if shared else (0, 1)
    reader = replace(reader, shuffle=False, drop_last=False)  # every image, in order
    rows = range(len(dataset))
    starts = range(0, len(rows[:limit]), reader.batch_size)
    batches = [rows[start : start + reader.batch_size] for start in starts]
    with _predicting(model, sum(map(len, batches[number::count]))):
        ids = dataset.category_ids if category_ids is None else category_ids
        own = list(_predict(model, dataset, reader, ids, batches[number::count], on_batch))
    shares = all_gather_object(own) if shared else [own]
    if number > 0:
        return None
    in_order = [b for turn in itertools.zip_longest(*shares) for b in turn if b is not None]
    results = [result for batch in in_order for result in batch["results"]]
    image_ids = [i for batch in in_order for i in batch["image_ids"]]
    asked = {dataset.image_ids[row] for batch in batches for row in batch}
    evaluation = coco_evaluate(results, dataset.to_coco(), image_ids)
    return replace(evaluation, left_out=sorted(asked - set(image_ids)))


@contextlib.contextmanager
def _predicting(model: MaskRCNN, images: int) -> Iterator[None]:
    """Within the block the model is in prediction mode, and fast for so many images."""
    was_training = model.training
    model.eval()
    try:
        with use_onednn(model, images):
            yield
    finally:
        if was_training:
            model.train()


def _predict(
    model: MaskRCNN,
    dataset: CocoDataset,
    reader: Reader,
    category_ids: Sequence[int | None],
    batches: Sequence[Sequence[int]],
    on_batch: Callable[[int], None],
) -> Iterator[dict]:
    """``image_ids`` and ``results`` of every batch (rows of the dataset).

    Only images of one size are predicted together, so that an image's detections are the
    same whatever it is batched with.
    """
    rows = Subset(dataset, [row for batch in batches for row in batch])
    if len(rows) == 0:  # more processes than batches
        return
    parts = reader.loader(rows, same_size=True).epoch(0)
    for asked in batches:
        done: dict[str, list] = {"image_ids": [], "results": []}
        left = list(asked)
        while left:
            part = next(parts)
            own, left = left[: len(part.image_id)], left[len(part.image_id) :]
            for name, values in _batch_results(model, dataset, category_ids, own, part).items():
                done[name] += values
        yield done
        on_batch(len(asked))


def _batch_results(
    model: MaskRCNN, dataset: CocoDataset, category_ids: Sequence[int | None],
    rows: Sequence[int], batch: Batch,
) -> dict[str, list]:  # fmt: skip
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
        found = coco_results(image_id, detections, category_ids, rles)
        results += [each for each in found if each["category_id"] is not None]
    return {"image_ids": image_ids, "results": results}


def coco_evaluate(
    results: list[dict], truth: str | Path | dict, image_ids: Sequence[int]
) -> Evaluation:
    """pycocotools' statistics of results, over the given images (those without results too).

    Args:
        results: in COCO's results format.
        truth: an annotation file, or its content.
        image_ids: the images that count.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        annotations = _to_coco(truth)
    printed, statistics, precision = io.StringIO(), {}, {}
    for kind in ("bbox", "segm"):
        with contextlib.redirect_stdout(io.StringIO()):
            detections = _results_to_coco(annotations, split_results(results, kind))
            coco_eval = COCOeval(annotations, detections, kind)
            coco_eval.params.imgIds = sorted(image_ids)
            coco_eval.evaluate()
            coco_eval.accumulate()
        with contextlib.redirect_stdout(printed):
            print(f"{kind}:")
            coco_eval.summarize()
        statistics[kind] = dict(zip(STATISTICS, map(float, coco_eval.stats)))
        precision[kind] = coco_eval.eval["precision"][..., 0, -1]  # all areas, 100 detections
    names = [c["name"] for c in annotations.loadCats(coco_eval.params.catIds)]
    tables = printed.getvalue()
    return Evaluation(**statistics, tables=tables, results=results, classes=names,
                      precision=precision)  # fmt: skip


def _to_coco(source: str | Path | dict) -> COCO:
    if not isinstance(source, dict):
        return COCO(str(source))
    coco = COCO()
    coco.dataset = source
    coco.createIndex()
    return coco


def _results_to_coco(truth: COCO, results: list[dict]) -> COCO:
    """Results as pycocotools wants them; it cannot read an empty list by itself."""
    if results:
        return truth.loadRes([dict(r) for r in results])
    return _to_coco({**truth.dataset, "annotations": []})


def class_table(evaluation: Evaluation) -> str:
    """A line of AP for every class; ``-`` where there is no object to find."""
    rows = evaluation.class_ap()
    width = max(len(name) for name in ("class", *evaluation.classes))
    lines = [f"{'class':{width}}  mask AP   AP50 box AP   AP50"]
    for row in rows:
        name, *numbers = row.values()
        words = (f"{'-' if n < 0 else format(n, '.3f'):>7}" for n in numbers)
        lines.append(f"{name:{width}}  {''.join(words)}")
    return "\n".join(lines)


def save_precision_recall(evaluation: Evaluation, path: Path) -> None:
    """A PNG file of the masks' precision against recall."""
    precision = evaluation.precision["segm"]
    figure = draw_precision_recall(precision, evaluation.classes, IOU_THRESHOLDS, say("masks"))
    atomic_write(path, lambda place: figure.savefig(place, dpi=110, format="png"))


def write_results(evaluation: Evaluation, folder: str | Path) -> None:
    """Write ``bbox.json`` and ``segm.json`` (COCO's results format), AP in two files, `CURVES`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    boxes, masks = (split_results(evaluation.results, kind) for kind in ("bbox", "segm"))
    ap = {"bbox": evaluation.bbox, "segm": evaluation.segm, "classes": evaluation.class_ap()}
    texts = {"bbox.json": json.dumps(boxes), "segm.json": json.dumps(masks)}
    tables = f"{evaluation.tables}{class_table(evaluation)}\n"
    texts |= {"ap.json": json.dumps(ap, indent=1), "ap.txt": tables}
    for name, text in texts.items():
        atomic_write(folder / name, lambda p, text=text: p.write_text(text, encoding="utf-8"))
    save_precision_recall(evaluation, folder / CURVES)
