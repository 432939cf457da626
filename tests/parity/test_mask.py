"""Third storey: mask targets, loss of the mask head, pasted masks."""

from __future__ import annotations

import numpy as np
import pytest

from maskrcnn_edu import (
    MaskFeat,
    MaskHead,
    MaskPostProcess,
    generate_mask_target,
    rasterize_polygons_within_box,
)
from maskrcnn_edu.inference.export import paste_whole
from maskrcnn_edu.structures import MaskTargets

from .golden import GEOMETRY, LOSS, Arrays, Case, cases
from .records import arrays, counts, gradient, ground_truth, samples, tensor


def targets_of(case: Case) -> Arrays:
    if "rois" in case.inputs:
        return _targets(case)
    if "polygon" in case.inputs:
        return _twice(case)
    case.known("resolution", "boxes")
    side, boxes = case.params["resolution"], case.inputs["boxes"]
    objects = case.polygons if _depth(case.polygons) == 3 else [case.polygons] * len(boxes)
    masks = [_rasterize(o, box, side) for o, box in zip(objects, boxes, strict=True)]
    return {"mask": np.stack(masks)}


def _depth(polygons: object) -> int:
    """2 for the parts of one object, 3 for several objects."""
    return 1 + _depth(polygons[0]) if isinstance(polygons, list) and polygons else 0


def _rasterize(parts: list, box: np.ndarray, side: int) -> np.ndarray:
    return rasterize_polygons_within_box([np.array(p) for p in parts], box, side)


def _twice(case: Case) -> Arrays:
    """Draw the same array two times, and see whether it is still the same."""
    case.known("resolution", "polygon boxes")
    polygon, side = case.inputs["polygon"].copy(), case.params["resolution"]
    first, second = (
        rasterize_polygons_within_box([polygon], case.inputs["boxes"][0], side) for _ in range(2)
    )
    return {"first": first, "second": second, "polygon_after": polygon}


def _targets(case: Case) -> Arrays:
    case.known("num_classes resolution", "rois labels gt_inds")
    p, i = case.params, case.inputs
    drawn = [
        samples(rois, labels, gt_index=index)
        for rois, labels, index in zip(i["rois"], i["labels"], i["gt_inds"], strict=True)
    ]
    made = []
    for sample, polygons in zip(drawn, case.polygons, strict=True):
        gt = ground_truth(np.zeros((len(polygons), 4), np.float32), polygons=polygons)
        made.append(generate_mask_target(sample, gt, p["num_classes"], p["resolution"]))
    rows = arrays([t.index for t in made])
    masks = np.concatenate([t.target_masks.numpy() for t in made])
    return {
        "mask_rois": [rois[index] for rois, index in zip(i["rois"], rows)],
        "mask_rois_num": counts(made),
        "tgt_classes": np.concatenate([t.target_labels.numpy() for t in made]),
        "tgt_masks": masks.astype(np.int64),
        "mask_index": np.concatenate(rows)[:, None],
        "tgt_weights": np.ones(len(masks), np.float32),
    }


def loss_of(case: Case) -> Arrays:
    case.known("num_classes", "logits labels targets weights")
    i = case.inputs
    assert np.isin(i["weights"], [0, 1]).all()
    rows = np.flatnonzero(i["weights"])  # we have no rows that do not count
    head = MaskHead(MaskFeat(4, 4, 0), num_classes=case.params["num_classes"])
    logits = tensor(i["logits"], grad=True)
    masks = tensor(i["targets"][rows].astype(np.float32))
    targets = MaskTargets(tensor(rows), tensor(i["labels"][rows].astype(np.int64)), masks)
    loss = head.get_loss(logits[tensor(rows)], [targets])["loss_mask"]
    loss.backward()
    return {"loss_mask": loss.numpy(), "grad_logits": gradient(logits)}


def pasted_of(case: Case) -> Arrays:
    if "masks" in case.inputs:
        case.known("h w", "masks boxes")
        masks, boxes = tensor(case.inputs["masks"]), tensor(case.inputs["boxes"])
        values = paste_whole(masks, boxes, case.params["h"], case.params["w"]).numpy()
        for threshold in (0.1, 0.5, 0.9):  # what the model pastes within boxes are these values
            post = MaskPostProcess(threshold)
            made = post(masks, boxes, case.params["h"], case.params["w"]).numpy()
            assert (made == (values >= threshold)).all()
        return {"pasted": values}
    case.known("binary_thresh", "mask_out bboxes bbox_num origin_shape")
    i = case.inputs
    if "mask_out" not in i:  # the peer's way to say "no detection"
        i = i | {"mask_out": np.zeros((0, 1, 1), np.float32), "bboxes": i["bboxes"][:0]}
        i["bbox_num"] = np.zeros_like(i["bbox_num"])
    post = MaskPostProcess(case.params.get("binary_thresh", 0.5))
    return {"mask_pred": padded(post, i["mask_out"], i["bboxes"], i["bbox_num"], i["origin_shape"])}


def padded(post, masks, detections, numbers, shape_of_row) -> np.ndarray:
    """Every image's masks at its own size, put into one array; -1 beyond the image."""
    height, width = shape_of_row.astype(int).max(axis=0).tolist()
    pred = np.full((len(masks), height, width), -1, np.int8)
    for rows in np.split(np.arange(len(masks)), np.cumsum(numbers)[:-1]):
        if len(rows):
            h, w = shape_of_row[rows[0]].astype(int).tolist()
            boxes = tensor(detections[rows, 2:])
            pred[rows, :h, :w] = post(tensor(masks[rows]), boxes, h, w).numpy()
    return pred


@pytest.mark.parametrize("case", cases("mask_target"), ids=str)
def test_mask_target(case, agree):
    agree(case, targets_of, GEOMETRY)


@pytest.mark.parametrize("case", cases("mask_loss"), ids=str)
def test_mask_loss(case, agree):
    agree(case, loss_of, LOSS)


@pytest.mark.parametrize("case", cases("mask_post"), ids=str)
def test_mask_post(case, agree):
    agree(case, pasted_of, GEOMETRY)
