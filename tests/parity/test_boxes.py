"""Floors 0 and 1: anchors, boxes, matching, sampling."""

from __future__ import annotations

import re

import numpy as np
import pytest

from maskrcnn_edu import AnchorGenerator, bbox2delta, bbox_overlaps, delta2bbox
from maskrcnn_edu.model.boxes import clip_bbox, nonempty_bbox
from maskrcnn_edu.model.matching import label_box, subsample_labels

from .golden import GEOMETRY, Arrays, Case, cases
from .records import arrays, ground_truth, tensor


def anchors_of(case: Case) -> Arrays:
    case.known("anchor_sizes aspect_ratios strides offset", "grids")
    generator = AnchorGenerator(**case.params)
    grids = [tuple(grid) for grid in case.inputs["grids"].tolist()]
    return {
        "cell_anchors": [np.array(cell, np.float32) for cell in generator.cell_anchors],
        "num_anchors": generator.num_anchors,
        "anchors": arrays(generator(grids)),
    }


def boxes_of(case: Case) -> Arrays:
    case.known("weights max_shape im_shape", "src tgt delta a b")
    given = {name: tensor(value) for name, value in case.inputs.items()}
    weights = case.params.get("weights", [1.0, 1.0, 1.0, 1.0])
    if given.keys() == {"src", "tgt"}:
        return {"delta": bbox2delta(given["src"], given["tgt"], weights).numpy()}
    if given.keys() == {"delta", "src"}:
        boxes = delta2bbox(given["delta"], given["src"], weights)
        if "max_shape" in case.params:
            boxes = clip_bbox(boxes, tensor(np.array(case.params["max_shape"], np.float32)))
        return {"boxes": boxes.numpy()}
    if given.keys() == {"a", "b"}:
        return {"iou": bbox_overlaps(given["a"], given["b"]).numpy()}
    assert given.keys() == {"a"}
    if "im_shape" in case.params:
        limit = tensor(np.array(case.params["im_shape"], np.float32))
        return {"boxes": clip_bbox(given["a"], limit).numpy()}
    return {name: _nonempty(given["a"], name) for name in case.outputs}


def _nonempty(boxes, output: str) -> np.ndarray:
    """``mask``, ``keep`` (the rows), or ``keep_min20`` (longer than 20 pixels)."""
    size = re.fullmatch(r"(mask|keep)(?:_min(\d+))?", output)
    mask = nonempty_bbox(boxes, float(size[2] or 0)).numpy()
    return mask if size[1] == "mask" else np.flatnonzero(mask)


def matching_of(case: Case) -> Arrays:
    if "labels" in case.inputs:
        return _sampled(case)
    thresholds = "positive_overlap negative_overlap allow_low_quality ignore_thresh"
    case.known(thresholds, "anchors gt_bbox is_crowd")
    p = {"positive_overlap": 0.5, "negative_overlap": 0.5, "allow_low_quality": False}
    gt = ground_truth(case.inputs["gt_bbox"], crowd=case.inputs.get("is_crowd"))
    matches, labels = label_box(tensor(case.inputs["anchors"]), gt, **(p | case.params))
    return {"matches": matches.numpy(), "labels": labels.numpy()}


def _sampled(case: Case) -> Arrays:
    case.known("num_samples fg_fraction bg_label use_random", "labels")
    assert case.params["use_random"] is False
    fg, bg = subsample_labels(tensor(case.inputs["labels"]), **case.params)
    return {"fg": fg.numpy(), "bg": bg.numpy()}


@pytest.mark.parametrize("case", cases("anchors"), ids=str)
def test_anchors(case, agree):
    agree(case, anchors_of, GEOMETRY)


@pytest.mark.parametrize("case", cases("boxes_util"), ids=str)
def test_boxes_util(case, agree):
    agree(case, boxes_of, GEOMETRY)


@pytest.mark.parametrize("case", cases("label_box"), ids=str)
def test_label_box(case, agree):
    agree(case, matching_of, GEOMETRY)
