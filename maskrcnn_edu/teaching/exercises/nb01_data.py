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


def labels_of(category_ids: list, annotated: list) -> list:
    """The label of every annotation.

    `category_ids` are the ids in a file's list of categories, `annotated` the
    category ids of its annotations. The labels are 0 .. C-1, without gaps,
    in the order of rising ids.
    """
    ids = sorted(category_ids)
    return [ids.index(c) for c in annotated]


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


def scale_annotation(
    polygon: np.ndarray,
    bbox: list,
    old_size: tuple,
    new_size: tuple,
) -> tuple:
    """A polygon and its box after the image was resized.

    `polygon` is [x1, y1, x2, y2, ...], `bbox` COCO's [x, y, width, height],
    both sizes are (height, width). Returns the polygon, in the same form, and
    the box as corners [x1, y1, x2, y2].
    """
    sy = new_size[0] / old_size[0]
    sx = new_size[1] / old_size[1]
    x, y, w, h = bbox
    corners = np.array([x, y, x + w, y + h]) * [sx, sy, sx, sy]
    moved = np.array(polygon, float)
    moved[0::2] *= sx
    moved[1::2] *= sy
    return moved, corners


def _true_annotation(
    polygon: np.ndarray, bbox: list, old_size: tuple, new_size: tuple
) -> list[np.ndarray]:
    x, y, w, h = bbox
    box = np.array([[x, y, x + w, y + h]], np.float32)
    gt = GroundTruth(box, np.zeros(1, np.int64), [[np.asarray(polygon, float)]], np.zeros(1, bool))
    scaled = scale_and_shift(gt, (new_size[1] / old_size[1], new_size[0] / old_size[0]))
    return [scaled.segms[0][0], scaled.boxes[0]]


EXERCISES = (
    Exercise(
        notebook="01_data",
        task="Turn the category ids of a COCO file, which may have gaps and any order, into "
        "labels 0 .. C-1.",
        answer=labels_of,
        truth=_true_labels,
        cases=[([7, 1, 90], [90, 1, 7, 90]), ([0, 3], [3, 0]), ([5, 2], [])],
        mistakes={
            "the labels start at 0; background is the last one": (
                "ids.index(c) for",
                "ids.index(c) + 1 for",
            ),
            "the ids are not sorted": ("sorted(category_ids)", "list(category_ids)"),
            "an id is no label: ids have gaps": ("ids.index(c) for", "c for"),
            "an id minus one is no label: ids have gaps": ("ids.index(c) for", "c - 1 for"),
        },
        shows="labels count the categories, ids only name them.",
    ),
    Exercise(
        notebook="01_data",
        task="An image is resized. Move a polygon with it, and its box, which you return as "
        "corners.",
        answer=scale_annotation,
        truth=_true_annotation,
        cases=[
            (np.array([10.0, 20, 30, 20, 30, 60]), [10, 20, 20, 40], (100, 200), (50, 400)),
            (np.array([2.0, 3, 8, 3, 8, 9, 2, 9]), [2, 3, 6, 6], (10, 10), (25, 30)),
        ],
        mistakes={
            "x and y are swapped: sizes are (height, width)": (
                "sy = new_size[0] / old_size[0]\n    sx = new_size[1] / old_size[1]",
                "sx = new_size[0] / old_size[0]\n    sy = new_size[1] / old_size[1]",
            ),
            "the scale is new / old, not old / new": (
                "sy = new_size[0] / old_size[0]\n    sx = new_size[1] / old_size[1]",
                "sy = old_size[0] / new_size[0]\n    sx = old_size[1] / new_size[1]",
            ),
            "bbox is x, y, width, height; return corners": ("x + w, y + h]", "w, h]"),
            "the polygon moves, and so must the box": (" * [sx, sy, sx, sy]", ""),
            "the box moves, and so must the polygon": (
                "    moved[0::2] *= sx\n    moved[1::2] *= sy\n",
                "",
            ),
        },
        shows="image, polygon and box are moved by the same two numbers, one for each axis.",
    ),
)
