"""Exercises of 02_anchors: the anchors of one level, and the overlap of two boxes."""

from __future__ import annotations

import numpy as np
import paddle

from maskrcnn_edu.model.boxes import bbox_overlaps
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def _true_grid(
    h: int, w: int, stride: float, sizes: list, ratios: list, offset: float
) -> np.ndarray:
    return AnchorGenerator(sizes, ratios, [stride], offset)([(h, w)])[0].numpy()


def _true_iou(a: list, b: list) -> float:
    boxes = paddle.to_tensor([a, b], dtype="float32")
    return bbox_overlaps(boxes[:1], boxes[1:]).item()


def _draw_grid(random: np.random.Generator) -> tuple:
    h, w = random.integers(1, 5, 2).tolist()
    sizes = random.choice([8, 12, 20, 32, 45], random.integers(1, 4), replace=False).tolist()
    ratios = random.choice([0.25, 0.5, 1.0, 1.5, 3.0], random.integers(1, 4), replace=False)
    return h, w, int(random.choice([4, 8, 16])), sizes, ratios.tolist(), random.choice([0.25, 0.5])


def _draw_two_boxes(random: np.random.Generator) -> tuple:
    corners = random.integers(0, 9, (2, 2))
    boxes = np.concatenate([corners, corners + random.integers(1, 7, (2, 2))], axis=1)
    return tuple(boxes.astype(float).tolist())


EXERCISES = (
    Exercise(
        "anchor_grid",
        "02_anchors",
        _true_grid,
        cases=[
            (1, 1, 16, [32], [1.0], 0.5),
            (2, 3, 8, [16, 24], [0.5, 1.0, 2.0], 0.5),
            (3, 1, 16, [20], [3.0, 0.5], 0.25),
        ],
        shows="an anchor's index says its cell and its shape, so the RPN need not say where it is.",
        draw_case=_draw_grid,
        gives="boxes",
    ),
    Exercise(
        "iou",
        "02_anchors",
        _true_iou,
        cases=[
            ([0.0, 0, 4, 4], [2.0, 1, 6, 4]),
            ([0.0, 0, 4, 2], [1.0, 0, 3, 1]),
            ([0.0, 0, 2, 2], [3.0, 4, 6, 5]),
            ([0.0, 0, 2, 2], [1.0, 4, 6, 5]),
            ([0.0, 0, 2, 2], [3.0, 1, 6, 5]),
            ([3.0, 2, 7, 8], [1.0, 3, 5, 11]),
        ],
        shows="every match, every sample and every suppression in the model rests on this number.",
        draw_case=_draw_two_boxes,
        gives="share",
    ),
)
