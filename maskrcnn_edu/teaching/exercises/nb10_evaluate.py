"""Exercises of 10_evaluate: matching detections to objects, and average precision."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import paddle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskrcnn_edu.inference.coco_results import coco_results
from maskrcnn_edu.inference.evaluate import coco_evaluate
from maskrcnn_edu.structures import Detections
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def _true_matches(
    boxes: np.ndarray, scores: np.ndarray, objects: np.ndarray, threshold: float
) -> list:
    with contextlib.redirect_stdout(io.StringIO()):
        detections = [{**a, "score": float(s)} for a, s in zip(_annotations(boxes), scores)]
        judge = COCOeval(_coco(_annotations(objects)), _coco(detections), "bbox")
        judge.params.iouThrs = np.array([threshold])
        judge.evaluate()
    verdict = judge.evalImgs[0]  # of all sizes; its ids are rows + 1, 0 for no object
    pairs = zip(verdict["dtIds"], verdict["dtMatches"][0])
    return [int(g) - 1 for _, g in sorted(pairs)]


def _annotations(boxes: np.ndarray) -> list[dict]:
    common = {"image_id": 1, "category_id": 1, "iscrowd": 0}
    sides = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in np.asarray(boxes).tolist()]
    return [
        {**common, "id": i, "bbox": s, "area": s[2] * s[3], "segmentation": []}
        for i, s in enumerate(sides, start=1)
    ]


def _content(annotations: list[dict], width: int = 640) -> dict:
    return {
        "images": [{"id": 1, "file_name": "a.png", "height": 10, "width": width}],
        "categories": [{"id": 1, "name": "thing"}],
        "annotations": annotations,
    }


def _coco(annotations: list[dict]) -> COCO:
    made = COCO()
    made.dataset = _content(annotations)
    made.createIndex()
    return made


def _true_ap(hits: list, objects: int) -> float:
    """The package's evaluation of detections that lie on objects, or on nothing."""
    places = [[12.0 * i, 1.0, 12.0 * i + 10, 9.0] for i in range(len(hits) + objects)]
    width = 12 * len(places)
    free = iter(range(objects, len(places)))
    rows = [sum(hits[:i]) if hit else next(free) for i, hit in enumerate(hits)]
    boxes = np.array([places[r] for r in rows], np.float32).reshape(-1, 4)
    masks = np.zeros([len(rows), 10, width], bool)
    scores = np.linspace(0.9, 0.1, len(rows)).astype(np.float32)
    zeros = paddle.zeros([len(rows)], dtype="int64")
    tensors = [paddle.to_tensor(a) for a in (boxes, scores, masks)]
    detections = Detections(tensors[0], zeros, tensors[1], zeros, tensors[2])
    outlined = _annotations(np.array(places[:objects]))
    for each in outlined:
        x, y, w, h = each["bbox"]
        each["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "instances.json"
        file.write_text(json.dumps(_content(outlined, width)), encoding="utf-8")
        return coco_evaluate(coco_results(1, detections, [1]), file, [1]).bbox["AP50"]


def _draw_detections(random: np.random.Generator) -> tuple:
    corners = random.uniform(0, 12, (4, 2))
    objects = np.concatenate([corners, corners + random.uniform(8, 16, (4, 2))], axis=1)
    detections = objects[random.integers(0, 4, 6)] + random.uniform(-2, 2, (6, 4))
    threshold = float(random.choice([0.5, 0.6, 0.75]))
    return detections.round(2), random.permutation(6) / 10 + 0.25, objects.round(2), threshold


def _draw_hits(random: np.random.Generator) -> tuple:
    hits = (random.random(random.integers(3, 9)) < 0.6).tolist()
    return hits, sum(hits) + int(random.integers(1, 4))


_OBJECTS = np.array([[0.0, 0, 10, 10], [2, 0, 12, 10], [40, 40, 50, 60]])
_DETECTIONS = np.array([[1.2, 0, 11.2, 10], [1.1, 0, 11.1, 10], [3, 0, 13, 10], [40, 40, 50, 50.5]])
_HALF = np.array([[0.0, 0, 4, 2]]), np.array([0.6]), np.array([[0.0, 0, 4, 4]])
_CROWD = (
    np.array([[8.0, 10, 23, 17], [8, 5, 20, 16], [0, 5, 2, 16], [9, 6, 23, 18]]),
    np.array([0.7, 0.5, 0.2, 0.3]),
    np.array([[1.0, 5, 5, 17], [6, 8, 21, 19], [9, 7, 23, 21]]),
)
_PILE = (
    np.array([[-3.0, 8, 13, 18], [-2, 12, 17, 13], [7, 11, 18, 21], [7, 14, 22, 20]]),
    np.array([0.9, 0.2, 0.3, 0.7]),
    np.array([[9.0, 11, 20, 18], [0, 11, 15, 15], [6, 7, 13, 15]]),
)

EXERCISES = (
    Exercise(
        "match_detections",
        "10_evaluate",
        _true_matches,
        cases=[
            (_DETECTIONS, np.array([0.3, 0.9, 0.8, 0.4]), _OBJECTS, 0.5),
            (_DETECTIONS, np.array([0.6, 0.7, 0.2, 0.4]), _OBJECTS, 0.75),
            (*_HALF, 0.55),
            (*_HALF, 0.5),
            (*_CROWD, 0.4),
            (*_PILE, 0.5),
            (_DETECTIONS[:1], np.array([0.6]), np.zeros([0, 4]), 0.5),
        ],
        shows="a second detection of the same object is a miss, however good its box.",
        draw_case=_draw_detections,
    ),
    Exercise(
        "average_precision",
        "10_evaluate",
        _true_ap,
        cases=[
            ([True, False, True, True, False, True], 7),
            ([False, True, True], 3),
            ([True, True], 2),
            ([False, False], 3),
            ([True, False, False, True], 4),
        ],
        shows="AP rewards early hits, and is limited by the objects that nobody finds.",
        draw_case=_draw_hits,
        gives="share",
        tolerance=1e-5,
    ),
)
