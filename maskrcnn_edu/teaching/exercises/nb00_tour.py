"""Exercises of 00_tour: the shapes of five stages, and where a detection came from."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import paddle

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import RPNOutput
from maskrcnn_edu.teaching.exercises.exercise import Exercise


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


def _true_origin(roi_index: int, anchor_index: list, level_sizes: list, grids: list) -> list:
    anchor = anchor_index[roi_index]
    level = int(RPNOutput(None, None, None, level_sizes).level_of(anchor))
    h, w = grids[level]
    within = anchor - sum(level_sizes[:level])
    return [level, *map(int, np.unravel_index(within, (h, w, level_sizes[level] // (h * w))))]


def _draw_shapes(random: np.random.Generator) -> tuple:
    height, width = (32 * random.integers(2, 6, 2)).tolist()
    return int(random.integers(1, 3)), height, width, int(random.integers(1, 20))


def _draw_origin(random: np.random.Generator) -> tuple:
    grids = [tuple(grid) for grid in random.integers(2, 7, (3, 2)).tolist()]
    sizes = [h * w * int(random.integers(1, 5)) for h, w in grids]
    anchors = random.integers(0, sum(sizes), 9).tolist()
    return int(random.integers(0, 9)), anchors, sizes, grids


_ANCHORS = [75, 10, 41, 17, 3, 66, 18, 3, 88, 29]
_LEVELS = ([18, 48, 24], [(2, 3), (4, 6), (3, 2)])

EXERCISES = (
    Exercise(
        "stage_shapes",
        "00_tour",
        _true_shapes,
        cases=[(1, 128, 128, 10), (2, 96, 160, 7)],
        shows="you can tell what flows between the stages before you run them.",
        draw_case=_draw_shapes,
    ),
    Exercise(
        "detection_origin",
        "00_tour",
        _true_origin,
        cases=[(i, _ANCHORS, *_LEVELS) for i in (0, 2, 1, 5, 6, 8, 9)],
        shows="the index fields lead from every detection back to one cell of one feature map.",
        draw_case=_draw_origin,
    ),
)
