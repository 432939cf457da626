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


def match_detections(
    boxes: np.ndarray,
    scores: np.ndarray,
    objects: np.ndarray,
    threshold: float,
) -> list:
    """For every detection (boxes [D, 4]) the row of its object [G, 4], or -1.

    The best detection chooses first: of the objects that nobody has taken,
    the one it overlaps most, if the IoU is at least `threshold`.
    """

    def iou(a, b):
        w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
        h = max(0, min(a[3], b[3]) - max(a[1], b[1]))
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return w * h / (sum(areas) - w * h)

    matches = [-1] * len(boxes)
    for d in np.argsort(-scores, kind="stable"):
        best = threshold
        free = [g for g in range(len(objects)) if g not in matches]
        for g in free:
            if iou(boxes[d], objects[g]) >= best:
                best = iou(boxes[d], objects[g])
                matches[d] = g
    return matches


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


def average_precision(hits: list, objects: int) -> float:
    """AP of ranked detections as COCO computes it.

    `hits` is 1 for a detection that matched an object, else 0; best first.
    `objects` is how many there are. The precision at a recall is the best one
    at this recall or a higher one, 0 where no recall is as high; AP is its
    mean over the recalls 0, 0.01, ..., 1.
    """
    matched = np.cumsum(hits)
    recall = matched / objects
    precision = matched / np.arange(1, len(hits) + 1)
    total = 0.0
    for level in np.linspace(0, 1, 101):
        reached = precision[recall >= level]
        total += reached.max() if len(reached) else 0.0
    return total / 101


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


_OBJECTS = np.array([[0.0, 0, 10, 10], [2, 0, 12, 10], [40, 40, 50, 60]])
_FOUND = np.array([[1.2, 0, 11.2, 10], [1.1, 0, 11.1, 10], [3, 0, 13, 10], [40, 40, 50, 50.5]])

EXERCISES = (
    Exercise(
        notebook="10_evaluate",
        task="Match the detections of one image with its objects: the best detection chooses "
        "first, and no object counts twice.",
        answer=match_detections,
        truth=_true_matches,
        cases=[
            (_FOUND, np.array([0.3, 0.9, 0.8, 0.4]), _OBJECTS, 0.5),
            (_FOUND, np.array([0.6, 0.7, 0.2, 0.4]), _OBJECTS, 0.75),
            (np.array([[0.0, 0, 4, 2]]), np.array([0.6]), np.array([[0.0, 0, 4, 4]]), 0.55),
            (_FOUND[:1], np.array([0.6]), np.zeros([0, 4]), 0.5),
        ],
        mistakes={
            "the best detection chooses first": (
                'np.argsort(-scores, kind="stable")',
                "range(len(scores))",
            ),
            "an object is matched twice": (" if g not in matches]", "]"),
            "of several objects take the one with the largest overlap": (
                "                best = iou(boxes[d], objects[g])\n"
                "                matches[d] = g\n",
                "                matches[d] = g\n                break\n",
            ),
            "the overlap must reach the threshold": ("best = threshold", "best = 1e-9"),
            "widths are x2 - x1, without + 1": (
                "        w = max(",
                "        a, b = a + [0, 0, 1, 1], b + [0, 0, 1, 1]\n        w = max(",
            ),
            "if the nearest object is taken, another one may do": (
                "    return matches",
                "        taken = matches[:d] + matches[d + 1 :]\n"
                "        nearest = max(range(len(objects)), default=-1,\n"
                "                      key=lambda g: iou(boxes[d], objects[g]))\n"
                "        if nearest in taken:\n"
                "            matches[d] = -1\n"
                "    return matches",
            ),
        },
        shows="a second detection of the same object is a false one, however good its box.",
    ),
    Exercise(
        notebook="10_evaluate",
        task="Compute AP from a ranked list of hits and misses.",
        answer=average_precision,
        truth=_true_ap,
        cases=[
            ([True, False, True, True, False, True], 7),
            ([False, True, True], 3),
            ([True, True], 2),
            ([False, False], 3),
        ],
        mistakes={
            "recall is a share of all objects, not of those matched": (
                "recall = matched / objects",
                "recall = matched / max(matched[-1], 1)",
            ),
            "recall is a share of the objects, not of the detections": (
                "recall = matched / objects",
                "recall = matched / len(hits)",
            ),
            "precision is the best at this recall or a higher one": (
                "reached.max() if",
                "reached[0] if",
            ),
            "where no recall is as high the precision is 0, and counts": (
                "    return total / 101",
                "    return total / max((np.linspace(0, 1, 101) <= recall.max()).sum(), 1)",
            ),
            "recall 0 counts too: there are 101 levels": (
                "np.linspace(0, 1, 101):",
                "np.linspace(0, 1, 101)[1:]:",
            ),
            "AP has 101 levels, the old PASCAL one had 11": (
                "    total = 0.0\n",
                "    reached = [precision[recall >= i / 10] for i in range(11)]\n"
                "    return sum(max(r, default=0.0) for r in reached) / 11\n",
            ),
            "precision counts the detections so far, not all of them": (
                "np.arange(1, len(hits) + 1)",
                "len(hits)",
            ),
        },
        shows="AP rewards early hits, and is limited by the objects that nobody finds.",
        tolerance=1e-5,
    ),
)
