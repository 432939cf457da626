"""Exercises of 02_anchors: the anchors of one level, and the overlap of two boxes."""

from __future__ import annotations

import math

import numpy as np
import paddle

from maskrcnn_edu.model.boxes import bbox_overlaps
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def anchor_grid(
    h: int,
    w: int,
    stride: float,
    sizes: list,
    ratios: list,
    offset: float,
) -> np.ndarray:
    """All anchors [h * w * K, 4] of a feature map of h x w cells.

    They are ordered by row, column, size and ratio (height / width). One of
    size s has the area s * s. Its centre is `offset` cells right of and
    below the top left corner of its cell, in pixels of the input.
    """
    anchors = []
    for row in range(h):
        for column in range(w):
            x = (column + offset) * stride
            y = (row + offset) * stride
            for size in sizes:
                for ratio in ratios:
                    aw = size / math.sqrt(ratio)
                    ah = size * math.sqrt(ratio)
                    box = [x - aw / 2, y - ah / 2, x + aw / 2, y + ah / 2]
                    anchors.append(box)
    return np.array(anchors)


def _true_grid(
    h: int, w: int, stride: float, sizes: list, ratios: list, offset: float
) -> np.ndarray:
    return AnchorGenerator(sizes, ratios, [stride], offset)([(h, w)])[0].numpy()


def iou(a: list, b: list) -> float:
    """Intersection over union of two boxes [x1, y1, x2, y2]."""
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    area_a = (a[2] - a[0]) * (a[3] - a[1])
    area_b = (b[2] - b[0]) * (b[3] - b[1])
    return both / (area_a + area_b - both)


def _true_iou(a: list, b: list) -> float:
    boxes = paddle.to_tensor([a, b], dtype="float32")
    return bbox_overlaps(boxes[:1], boxes[1:]).item()


EXERCISES = (
    Exercise(
        notebook="02_anchors",
        task="Write down all anchors of one feature map: one box for every cell, size and ratio.",
        answer=anchor_grid,
        truth=_true_grid,
        cases=[(1, 1, 16, [32], [1.0], 0.5), (2, 3, 8, [16, 24], [0.5, 1.0, 2.0], 0.5)],
        mistakes={
            "you forgot the half cell: the offset moves the centre": (
                "x = (column + offset) * stride\n            y = (row + offset) * stride",
                "x = column * stride\n            y = row * stride",
            ),
            "x and y are swapped: a column has an x, a row has a y": (
                "x = (column + offset) * stride\n            y = (row + offset) * stride",
                "x = (row + offset) * stride\n            y = (column + offset) * stride",
            ),
            "the ratio is height / width, not width / height": (
                "aw = size / math.sqrt(ratio)\n                    ah = size * math.sqrt(ratio)",
                "aw = size * math.sqrt(ratio)\n                    ah = size / math.sqrt(ratio)",
            ),
            "the area must stay size * size whatever the ratio": (
                "aw = size / math.sqrt(ratio)\n                    ah = size * math.sqrt(ratio)",
                "aw = size\n                    ah = size * ratio",
            ),
            "rows go first: row, column, shape": (
                "for row in range(h):\n        for column in range(w):",
                "for column in range(w):\n        for row in range(h):",
            ),
            "sizes go first: size, then ratio": (
                "for size in sizes:\n                for ratio in ratios:",
                "for ratio in ratios:\n                for size in sizes:",
            ),
            "widths are half on either side of the centre": (
                "[x - aw / 2, y - ah / 2, x + aw / 2, y + ah / 2]",
                "[x - aw, y - ah, x + aw, y + ah]",
            ),
        },
        shows="an anchor's index says its cell and its shape, so the RPN need not say where it is.",
    ),
    Exercise(
        notebook="02_anchors",
        task="Write the overlap of two boxes: the area that both cover, as a share of the area "
        "that at least one covers.",
        answer=iou,
        truth=_true_iou,
        cases=[
            ([0.0, 0, 4, 4], [2.0, 1, 6, 4]),
            ([0.0, 0, 4, 2], [1.0, 0, 3, 1]),
            ([0.0, 0, 2, 2], [3.0, 4, 6, 5]),
            ([0.0, 0, 2, 2], [1.0, 4, 6, 5]),
        ],
        mistakes={
            "widths are x2 - x1, without + 1": (
                "    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))\n",
                "    a = [a[0], a[1], a[2] + 1, a[3] + 1]\n"
                "    b = [b[0], b[1], b[2] + 1, b[3] + 1]\n"
                "    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))\n",
            ),
            "what both cover is counted twice in the union": (
                "(area_a + area_b - both)",
                "(area_a + area_b)",
            ),
            "boxes that do not touch overlap by 0: two negative sides make a positive area": (
                "    both = width * height\n",
                "    width = min(a[2], b[2]) - max(a[0], b[0])\n"
                "    height = min(a[3], b[3]) - max(a[1], b[1])\n"
                "    both = width * height\n",
            ),
            "divide by the union, not by the smaller box": (
                "(area_a + area_b - both)",
                "min(area_a, area_b)",
            ),
            "x and y are mixed up: a box is x1, y1, x2, y2": (
                "    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))\n",
                "    a, b = [a[i] for i in (0, 2, 1, 3)], [b[i] for i in (0, 2, 1, 3)]\n"
                "    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))\n",
            ),
        },
        shows="every match, every sample and every suppression in the model rests on this number.",
    ),
)
