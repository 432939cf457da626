"""Exercises of 00_tour: the shapes of five stages, and where a detection came from."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import paddle

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import RPNOutput
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def stage_shapes(n: int, height: int, width: int, rois: int) -> dict:
    """Shapes of five results of shapes_fpn, as lists of numbers.

    n padded images of height x width pixels, `rois` RoIs in all. The
    strides are 4, 8, 16, 32 and 64, 6 anchors per cell, 48 channels,
    6 classes; the mask head cuts out 7 x 7 cells and doubles them.
    """
    strides = [4, 8, 16, 32, 64]
    # the map of stride 64 is every second pixel of the one before
    grids = [(math.ceil(height / s), math.ceil(width / s)) for s in strides]
    anchors = sum(6 * h * w for h, w in grids)
    h, w = grids[0]
    return {
        "finest feature": [n, 48, h, w],
        "rpn scores": [n, anchors],
        "rpn deltas": [n, anchors, 4],
        "class scores": [rois, 6 + 1],
        "mask logits": [rois, 6, 14, 14],
    }


@lru_cache(maxsize=1)
def _model() -> MaskRCNN:
    state = paddle.get_rng_state()  # building draws weights; the notebook must not notice
    model = build_model(load_config("shapes_fpn"))
    paddle.set_rng_state(state)
    model.eval()
    return model


@paddle.no_grad()
def _true_shapes(n: int, height: int, width: int, rois: int) -> dict:
    model = _model()
    features = model.features(paddle.zeros([n, 3, height, width]))
    rpn = model.rpn_head(features)
    boxes = [paddle.to_tensor([[4.0, 4.0, 40.0, 40.0]]).tile([rois, 1])]
    boxes += [paddle.zeros([0, 4])] * (n - 1)  # which image has the RoIs makes no difference
    bbox = model.bbox_head(model.bbox_head.roi_feature(features, boxes))
    logits = model.mask_head(model.mask_head.roi_extractor(features, boxes))
    return {
        "finest feature": features[0].shape,
        "rpn scores": rpn.scores.shape,
        "rpn deltas": rpn.deltas.shape,
        "class scores": bbox.scores.shape,
        "mask logits": logits.shape,
    }


def detection_origin(
    roi_index: int,
    anchor_index: list,
    level_sizes: list,
    grids: list,
) -> list:
    """[level, row, column, shape] of the anchor that a detection came from.

    The detection is row `roi_index` of the proposals, and `anchor_index` has
    an anchor for every proposal. Level l has `level_sizes[l]` anchors, on a
    grid of `grids[l]` = (h, w) cells, ordered by row, column and shape.
    """
    rest = anchor_index[roi_index]
    level = 0
    while rest >= level_sizes[level]:
        rest -= level_sizes[level]
        level += 1
    h, w = grids[level]
    shapes = level_sizes[level] // (h * w)
    cell = rest // shapes
    return [level, cell // w, cell % w, rest % shapes]


def _true_origin(roi_index: int, anchor_index: list, level_sizes: list, grids: list) -> list:
    anchor = anchor_index[roi_index]
    level = int(RPNOutput(None, None, None, level_sizes).level_of(anchor))
    h, w = grids[level]
    within = anchor - sum(level_sizes[:level])
    return [level, *map(int, np.unravel_index(within, (h, w, level_sizes[level] // (h * w))))]


_ANCHORS = [75, 10, 41, 90, 3, 77, 3, 3, 5, 6]
_LEVELS = ([72, 24], [(4, 6), (2, 4)])

EXERCISES = (
    Exercise(
        notebook="00_tour",
        task="Predict the shapes of five results of the model shapes_fpn, for images and RoIs "
        "of any number: the finest feature, scores and deltas of the RPN, scores of the "
        "classes, logits of the masks.",
        answer=stage_shapes,
        truth=_true_shapes,
        cases=[(1, 128, 128, 10), (2, 96, 160, 7)],
        mistakes={
            "background has a score too: there are C + 1": ("6 + 1]", "6]"),
            "height comes before width": ("[n, 48, h, w]", "[n, 48, w, h]"),
            "the anchors of all levels count, not only the finest one's": (
                "for h, w in grids)",
                "for h, w in grids[:1])",
            ),
            "a cell has 6 anchors, not one": ("sum(6 * h * w", "sum(h * w"),
            "half a cell at the border is a cell: round up": (
                "(math.ceil(height / s), math.ceil(width / s))",
                "(height // s, width // s)",
            ),
            "the mask head doubles the 7 x 7 cells": ("14, 14]", "7, 7]"),
            "there is one mask for every class": ("[rois, 6, 14, 14]", "[rois, 14, 14]"),
        },
        shows="you can tell what flows between the stages before you run them.",
    ),
    Exercise(
        notebook="00_tour",
        task="Follow a detection back to its anchor: which level, which row and column of its "
        "feature map, and which of the cell's shapes?",
        answer=detection_origin,
        truth=_true_origin,
        cases=[(i, _ANCHORS, *_LEVELS) for i in (0, 2, 1, 3)],
        mistakes={
            "roi_index is a row of the proposals; look its anchor up": (
                "rest = anchor_index[roi_index]",
                "rest = roi_index",
            ),
            "row and column are swapped": ("cell // w, cell % w", "cell % w, cell // w"),
            "a row has w cells, not h": ("cell // w, cell % w", "cell // h, cell % h"),
            "a cell has several anchors: divide by their number first": (
                "cell = rest // shapes",
                "cell = rest",
            ),
            "the anchors of the levels before are not subtracted": (
                "    h, w = grids[level]",
                "    rest = anchor_index[roi_index]\n    h, w = grids[level]",
            ),
        },
        shows="the index fields lead from every detection back to one cell of one feature map.",
    ),
)
