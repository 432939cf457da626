"""Exercises of 01_data: category ids and labels, and annotations of a resized image."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.transforms import scale_and_shift
from maskrcnn_edu.structures import GroundTruth
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def _true_labels(category_ids: list, annotated: list) -> list:
    triangle = {"image_id": 1, "segmentation": [[1, 1, 9, 1, 1, 9]], "bbox": [1, 1, 8, 8]}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 10, "height": 10}],
        "categories": [{"id": i, "name": f"class {i}"} for i in category_ids],
        "annotations": [{"id": i, "category_id": c, **triangle} for i, c in enumerate(annotated)],
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "instances.json"
        file.write_text(json.dumps(content), encoding="utf-8")
        return CocoDataset(file, folder)[0].gt.labels.tolist()


def _true_annotation(
    polygon: np.ndarray, bbox: list, old_size: tuple, new_size: tuple
) -> list[np.ndarray]:
    x, y, w, h = bbox
    box = np.array([[x, y, x + w, y + h]], np.float32)
    gt = GroundTruth(box, np.zeros(1, np.int64), [[np.asarray(polygon, float)]], np.zeros(1, bool))
    scaled = scale_and_shift(gt, (new_size[1] / old_size[1], new_size[0] / old_size[0]))
    return [scaled.segms[0][0], scaled.boxes[0]]


def _draw_labels(random: np.random.Generator) -> tuple:
    ids = random.choice(99, random.integers(3, 7), replace=False)
    return ids.tolist(), random.choice(ids, random.integers(1, 6)).tolist()


def _draw_annotation(random: np.random.Generator) -> tuple:
    corners = random.integers(3, 20, (random.integers(3, 6), 2))
    x, y = (corners.min(axis=0) - random.integers(0, 3, 2)).tolist()
    w, h = (corners.max(axis=0) - (x, y)).tolist()
    sizes = [tuple(size) for size in random.integers(20, 90, (2, 2)).tolist()]
    return corners.reshape(-1).astype(float), [x, y, w, h], *sizes


EXERCISES = (
    Exercise(
        "labels_of",
        "01_data",
        _true_labels,
        cases=[
            ([7, 1, 90], [90, 1, 7, 90]),
            ([0, 3], [3, 0]),
            ([5, 2], []),
            ([10, 9, 2, 4], [9, 10, 9]),
        ],
        shows="labels count the categories, ids only name them.",
        draw_case=_draw_labels,
    ),
    Exercise(
        "scale_annotation",
        "01_data",
        _true_annotation,
        cases=[
            (np.array([10.0, 20, 30, 20, 30, 60]), [10, 20, 20, 40], (100, 200), (50, 400)),
            (np.array([2.0, 3, 8, 3, 8, 9, 2, 9]), [2, 3, 6, 6], (10, 10), (25, 33)),
            (np.array([4.0, 6, 11, 5, 7, 17]), [3, 4, 9, 14], (40, 30), (60, 25)),
        ],
        shows="image, polygon and box are moved by the same two numbers, one for each axis.",
        draw_case=_draw_annotation,
        gives="pair",
    ),
)
