"""Where we do not answer what the peer (PaddleDetection 2.6.0) answers, and why.

A rule belongs to components and applies to a case by what the case says (parameters,
inputs, or that the peer raised), never by the case's name. What it asserts instead is
``mend``: it replaces some of the peer's outputs by the right ones, computed apart from
the package in `reference`; everything that it leaves alone must still agree. ``instead``
is for cases in which there are no outputs to compare.

A case in which the peer raised fails unless a rule has an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import yaml

from maskrcnn_edu.config.schema import parse_config
from maskrcnn_edu.config.yaml_files import ConfigError

from . import reference
from .golden import Arrays, Case
from .records import to_maps, to_rows

Mend = Callable[[Case, Arrays, Arrays], Arrays]
"""(case, wanted outputs, our outputs) -> the wanted outputs to replace."""


@dataclass(frozen=True)
class Difference:
    """One rule."""

    name: str
    components: tuple[str, ...]
    reason: str
    applies: Callable[[Case], bool]
    mend: Mend | None = None
    instead: Callable[[Case], None] | None = None

    def holds_for(self, case: Case) -> bool:
        name = case.component.name
        ours = any(name == c or (c.endswith("_") and name.startswith(c)) for c in self.components)
        return ours and bool(self.applies(case))


def rules_for(case: Case) -> list[Difference]:
    """The rules that apply to a case."""
    return [d for d in DIFFERENCES if d.holds_for(case)]


def mended(case: Case, rules: list[Difference], got: Arrays) -> Arrays:
    """The outputs that we must have."""
    want = dict(case.outputs)
    for rule in rules:
        want |= rule.mend(case, want, got)
    return {name: value for name, value in want.items() if value is not None}


# ---------------------------------------------------------------- matching


def _unique(case: Case, want: Arrays) -> list[np.ndarray]:
    """For each image and box: is there just one object that overlaps it most?"""
    if "match_unique" in want:
        listed = isinstance(want["match_unique"], list)
        return want["match_unique"] if listed else [want["match_unique"]]
    is_unique = []
    for i, boxes in enumerate(want["assigned_rois"]):
        overlaps = reference.iou(case.inputs["gt_bbox"][i], boxes)
        if "is_crowd" in case.inputs:
            overlaps = overlaps[case.inputs["is_crowd"][i].reshape(-1) == 0]
        is_unique.append((overlaps == overlaps.max(axis=0, initial=0)).sum(axis=0) <= 1)
    return is_unique


def _ties(case: Case, want: Arrays, got: Arrays) -> Arrays:
    """Where several objects overlap a box equally, any of them will do, but only them."""
    several = isinstance(case.inputs["gt_bbox"], list)
    boxes = next((got[n] for n in ("rois", "assigned_rois") if n in got), None)
    new: Arrays = {"match_unique": None}
    for i, unique in enumerate(_unique(case, want)):
        one = {k: v[i] if isinstance(v, list) else v for k, v in want.items()}
        ours = {k: v[i] if isinstance(v, list) else v for k, v in got.items()}
        gt = {k: v[i] if several else v for k, v in case.inputs.items() if k in GT}
        own_boxes = case.inputs["anchors"] if boxes is None else boxes[i]
        for name, value in _ties_of_image(own_boxes, gt, unique, one, ours).items():
            if isinstance(want[name], list):
                new.setdefault(name, []).append(value)
            else:
                new[name] = value
    return new


GT = ("gt_bbox", "gt_class", "is_crowd")
MATCHED = ("matches", "tgt_gt_inds", "tgt_bboxes", "bboxes", "deltas")


def _ties_of_image(
    boxes: np.ndarray, gt: Arrays, unique: np.ndarray, want: Arrays, got: Arrays
) -> Arrays:
    """Where there is a choice: that we chose one of the best, and what follows from it."""
    objects = gt["gt_bbox"]
    new = {n: want[n] for n in (*MATCHED, "tgt_labels") if n in want and n in got}
    if unique.all():
        return new
    index = next(got[n] for n in ("matches", "tgt_gt_inds", "gt_index") if n in got)
    overlaps, near_crowd = reference.iou(objects, boxes), np.zeros(len(boxes), bool)
    if "is_crowd" in gt:
        is_crowd = gt["is_crowd"].reshape(-1) > 0
        near_crowd = overlaps[is_crowd].max(axis=0, initial=0) > 0
        overlaps[is_crowd] = -1
    chosen, best = overlaps[index, np.arange(len(boxes))], overlaps.max(axis=0)
    labels = next(got[n] for n in ("labels", "tgt_labels") if n in got)
    free = ~unique & ~(near_crowd & (labels == -1))  # what a crowd makes us ignore has no object
    np.testing.assert_allclose(chosen[free], best[free], rtol=1e-6, atol=1e-7)
    own = objects[index]
    right = {"matches": index, "tgt_gt_inds": index, "tgt_bboxes": own, "bboxes": own}
    right["deltas"] = reference.encode(boxes, own)
    if "gt_class" in gt:  # the class of a foreground RoI is that of the object that we chose
        is_foreground = np.isin(want["tgt_labels"], gt["gt_class"])
        classes = gt["gt_class"].reshape(-1)[index]
        right["tgt_labels"] = np.where(is_foreground, classes, want["tgt_labels"])
    for name, theirs in new.items():
        rows = unique if theirs.ndim == 1 else unique[:, None]
        new[name] = np.where(rows, theirs, right.get(name, theirs)).astype(theirs.dtype)
    return new


def _label_box(case: Case, want: Arrays, got: Arrays) -> Arrays:
    p = case.params
    crowd = case.inputs["is_crowd"].reshape(-1) > 0
    matches, labels = reference.label_box(
        case.inputs["anchors"],
        case.inputs["gt_bbox"],
        crowd,
        p.get("positive_overlap", 0.5),
        p.get("negative_overlap", 0.5),
        p.get("allow_low_quality", False),
        p.get("ignore_thresh", -1.0),
    )
    # equal overlaps: the first object, as in our own rule
    return {"matches": matches, "labels": labels}


# ---------------------------------------------------------------- RPN


def _rpn_giou(case: Case, want: Arrays, got: Arrays) -> Arrays:
    maps = case.inputs["deltas"]
    loss, grad = reference.rpn_giou(
        to_rows(maps, 4),
        np.concatenate(case.inputs["anchors"]),
        case.inputs["gt_bbox"],
        case.params["rpn_target_assign"],
    )
    sizes = [m.shape[2:] for m in maps]
    return {"loss_rpn_reg": loss, "grad_deltas": to_maps(grad, sizes)}


def _alive(case: Case) -> list[list[bool]]:
    """For each image and level: does any anchor become a box that is large enough?"""
    p, inputs = case.params, case.inputs
    if "training" in p:
        p = p["train_proposal" if p["training"] else "test_proposal"]
    listed = isinstance(inputs["deltas"], list)
    maps = inputs["deltas"] if listed else [inputs["deltas"]]
    anchors = inputs["anchors"] if listed else [inputs["anchors"]]
    shortest = max(p.get("min_size", 0.1), 1.0)
    answer = []
    for i, (height, width) in enumerate(inputs["im_shape"]):
        levels = []
        for level, own in zip(maps, anchors):
            moved = reference.decode(to_rows([level[i : i + 1]], 4)[0], own)
            moved = np.clip(moved, 0, [width, height, width, height])
            levels.append(bool(((moved[:, 2:] - moved[:, :2]).min(axis=1) >= shortest).any()))
        answer.append(levels)
    return answer


def _no_stand_in_roi(case: Case, want: Arrays, got: Arrays) -> Arrays:
    """Without the RoI 0, 0, 0, 0 that stands for an empty level."""
    direct = not isinstance(want["rois"], list)
    counts = want["rois_num"]
    rois = np.split(want["rois"], np.cumsum(counts)[:-1]) if direct else want["rois"]
    real = [(r != 0).any(axis=1) for r in rois]
    for rows, levels in zip(real, _alive(case)):
        assert (~rows).sum() <= levels.count(False)
    new: Arrays = {"rois_num": np.array([r.sum() for r in real], counts.dtype)}
    if direct:
        return new | {k: want[k][np.concatenate(real)] for k in ("rois", "probs")}
    return new | {"rois": [r[rows] for r, rows in zip(rois, real)]}


# ---------------------------------------------------------------- RoIs


def _candidates(case: Case, image: int) -> np.ndarray:
    """The boxes that proposal targets are drawn from."""
    rois, gt = case.inputs["rois"][image], case.inputs["gt_bbox"][image]
    add = case.params["call"].get("add_gt_as_proposals", True)
    return np.concatenate([rois, gt]) if add and len(gt) else rois


def _unusable_images(case: Case) -> list[int]:
    """Images in which every candidate is ignored."""
    if case.params["call"].get("is_cascade"):
        return []
    p, unusable = case.params["assigner"], []
    for i, gt in enumerate(case.inputs["gt_bbox"]):
        crowd = np.zeros(len(gt), bool)
        if "is_crowd" in case.inputs:
            crowd = case.inputs["is_crowd"][i].reshape(-1) > 0
        thresholds = (p.get("fg_thresh", 0.5), p.get("bg_thresh", 0.5), False)
        _, labels = reference.label_box(
            _candidates(case, i), gt, crowd, *thresholds, p.get("ignore_thresh", -1.0)
        )
        if (labels == -1).all():
            unusable.append(i)
    return unusable


def _no_unusable_sample(case: Case, want: Arrays, got: Arrays) -> Arrays:
    new = {k: list(v) if isinstance(v, list) else v.copy() for k, v in want.items()}
    for i in _unusable_images(case):
        new["rois_num"][i] = 0
        for name in (n for n, v in new.items() if isinstance(v, list)):
            assert len(new[name][i]) == 1, "the peer has one RoI, labelled -1"
            new[name][i] = new[name][i][:0]
    return new


def _one_level_ratio(case: Case, want: Arrays, got: Arrays) -> Arrays:
    p = case.params
    feat, back = reference.roi_align(
        case.inputs["feats"][0],
        case.inputs["rois"],
        p["spatial_scale"][0],
        p["resolution"],
        p["sampling_ratio"],
        p.get("aligned", False),
    )
    new: Arrays = {"feat": feat}
    if "cotangent" in case.inputs:
        new["grad_feats"] = [back(case.inputs["cotangent"])]
    return new


# ---------------------------------------------------------------- losses


def _scalars(case: Case, want: Arrays, got: Arrays) -> Arrays:
    losses = {k: v for k, v in want.items() if k.startswith("loss")}
    return {k: v.reshape(()) for k, v in losses.items() if v.shape == (1,)}


def _labels(case: Case) -> np.ndarray:
    return np.concatenate(case.inputs.get("tgt_labels", [np.zeros(0, np.int32)]))


def _is_cot(case: Case) -> bool:
    return "cot_relation" in case.inputs


def _bbox_loss(case: Case, want: Arrays, got: Arrays) -> Arrays:
    return reference.bbox_loss(case.inputs, case.params)


RAISE_IN_THE_PEER = ("IouLoss", "DIouLoss")


def _loss_name(case: Case) -> str | None:
    return case.params.get("bbox_loss") or case.params.get("loss_rpn_bbox")


def _config_rejects(case: Case) -> None:
    section, key = "RPNHead", "loss_rpn_bbox"
    if case.component.name == "bbox_loss":
        section, key = "BBoxHead", "bbox_loss"
    text = yaml.safe_dump({"architecture": "MaskRCNN", section: {key: _loss_name(case)}})
    with pytest.raises(ConfigError, match=f"{section}.{key}"):
        parse_config(text)


# ---------------------------------------------------------------- masks


def _without_foreground(case: Case) -> list[int]:
    """Images whose RoIs are all background or ignored."""
    if "labels" not in case.inputs or "gt_inds" not in case.inputs:
        return []
    classes = case.params["num_classes"]
    rows = [(labels >= 0) & (labels < classes) for labels in case.inputs["labels"]]
    return [i for i, r in enumerate(rows) if not r.any()]


def _no_stand_in_mask(case: Case, want: Arrays, got: Arrays) -> Arrays:
    """Images without foreground give no row: one row, of weight 0, is the peer's."""
    empty, side = _without_foreground(case), case.params["resolution"]
    if case.raises:
        assert len(empty) == len(case.inputs["rois"])
        nothing = np.zeros(0, np.int64)
        return {
            "mask_rois": [np.zeros((0, 4), np.float32) for _ in empty],
            "mask_rois_num": np.zeros(len(empty), np.int64),
            "tgt_classes": nothing,
            "tgt_masks": np.zeros((0, side, side), np.int64),
            "mask_index": nothing[:, None],
            "tgt_weights": np.zeros(0, np.float32),
        }
    counts = want["mask_rois_num"].copy()
    real = np.repeat(~np.isin(np.arange(len(counts)), empty), counts)
    assert np.array_equal(real, want["tgt_weights"] == 1)
    counts[empty] = 0
    rows = ("tgt_classes", "tgt_masks", "mask_index", "tgt_weights")
    new: Arrays = {name: want[name][real] for name in rows}
    boxes = [b[:0] if i in empty else b for i, b in enumerate(want["mask_rois"])]
    return new | {"mask_rois": boxes, "mask_rois_num": counts}


def _draws_nothing(case: Case) -> bool:
    """No part of the one object has three points."""
    return case.polygons is not None and all(
        part and not isinstance(part[0], list) and len(part) < 6 for part in case.polygons
    )


def _no_mask(case: Case, want: Arrays, got: Arrays) -> Arrays:
    side = case.params["resolution"]
    return {"mask": np.zeros((len(case.inputs["boxes"]), side, side), np.uint8)}


def _polygon_unchanged(case: Case, want: Arrays, got: Arrays) -> Arrays:
    return {"second": want["first"], "polygon_after": case.inputs["polygon"]}


def _mask_loss(case: Case, want: Arrays, got: Arrays) -> Arrays:
    return reference.mask_loss(*(case.inputs[n] for n in MASK_LOSS_INPUTS))


MASK_LOSS_INPUTS = ("logits", "labels", "targets", "weights")


# ---------------------------------------------------------------- detections

PER_DETECTION = ("bboxes", "bbox_pred", "origin_shape", "mask_pred", "mask_pred_sum")
BEFORE = ("bbox", "nms_keep_idx", "mask_out")
NUMBERS = ("bbox_num", "bbox_pred_num", "bbox_num_before")


def _number_of_detections(case: Case) -> np.ndarray:
    outputs = case.outputs
    name = next((n for n in ("bbox_num_before", "bbox_num") if n in outputs), None)
    return outputs[name] if name else np.ones(1, np.int64)


def _no_stand_in_detection(case: Case, want: Arrays, got: Arrays) -> Arrays:
    """Without the row (0, 0, 0, 0, 1, 1) that stands for an image without detections."""
    numbers = _number_of_detections(case)
    shown = np.maximum(numbers, 1)
    real = np.repeat(numbers > 0, shown)
    new: Arrays = {n: want[n][real] for n in PER_DETECTION if n in want}
    for name in NUMBERS:
        if name in want and np.array_equal(want[name], shown):
            new[name] = numbers
    return new


def _has_emptied_box(case: Case) -> bool:
    pred = case.outputs.get("bbox_pred")
    return pred is not None and bool((pred[:, 0] == -1).any())


def _no_emptied_box(case: Case, want: Arrays, got: Arrays) -> Arrays:
    """Without the rows whose boxes have no area in their image (the peer labels them -1)."""
    area = _area_in_image(case, want)
    assert np.array_equal(area, want["bbox_pred"][:, 0] != -1)
    new: Arrays = {}
    for name in (n for n in (*PER_DETECTION, *BEFORE) if n in want):
        assert len(want[name]) == len(area), name
        new[name] = want[name][area]
    for name in (n for n in NUMBERS if n in want):
        ends = np.cumsum(want[name])
        parts = np.split(area, ends[:-1])
        new[name] = np.array([p.sum() for p in parts], want[name].dtype)
    if "mask_pred_packbits" in want:
        shape = want["mask_pred_shape"]
        bits = want["mask_pred_packbits"].reshape(shape[0], shape[1], -1)
        new["mask_pred_packbits"] = bits[area]
        new["mask_pred_shape"] = np.array([area.sum(), *shape[1:]])
    return new


def _area_in_image(case: Case, want: Arrays) -> np.ndarray:
    """[D] bool: has the box, moved from the input's frame to the image's, area there?"""
    given = case.inputs | want
    image = np.repeat(np.arange(len(given["bbox_num"])), given["bbox_num"])
    scale = given["scale_factor"][image]
    size = np.floor(given["im_shape"][image] / scale + 0.5)
    corners = given["bbox"][:, 2:].reshape(-1, 2, 2) / scale[:, None, ::-1]
    corners = np.clip(corners, 0, size[:, None, ::-1])
    return (corners[:, 1] > corners[:, 0]).all(axis=1)


def _boxes_without_area(case: Case) -> bool:
    boxes = case.inputs.get("boxes")
    return boxes is not None and not (boxes[:, 2:] > boxes[:, :2]).all()


def _paste_nothing(case: Case, want: Arrays, got: Arrays) -> Arrays:
    boxes = case.inputs["boxes"]
    area = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    assert np.isnan(want["pasted"][~area]).all()
    return {"pasted": np.where(area[:, None, None], want["pasted"], 0)}


def _shapes_of_rows(case: Case) -> np.ndarray:
    """[D, 2]: the height and width of the image of every detection."""
    return case.inputs.get("origin_shape", case.outputs.get("origin_shape", np.zeros((1, 2))))


def _own_image_size(case: Case, want: Arrays, got: Arrays) -> Arrays:
    """Every mask in its own image's size; -1 beyond it."""
    both = case.inputs | want  # a mask case has its detections as inputs, a model as outputs
    masks, rows, shapes = both["mask_out"], both.get("bboxes"), both["origin_shape"].astype(int)
    rows = want.get("bbox_pred", rows)
    height, width = shapes.max(axis=0)
    pred = np.full((len(rows), height, width), -1, np.int8)
    threshold = case.params.get("binary_thresh", 0.5)
    for i, (h, w) in enumerate(shapes):
        pasted = reference.paste(masks[i : i + 1], rows[i : i + 1, 2:], h, w)[0]
        pred[i, :h, :w] = pasted >= np.float32(threshold)
    return {"mask_pred": pred}


def _nothing_to_paste(case: Case, want: Arrays, got: Arrays) -> Arrays:
    assert (case.inputs["bboxes"][:, 0] == -1).all()
    return {"mask_pred": want["mask_pred"][:0]}


# ---------------------------------------------------------------- models


def _is_shared_batch(case: Case) -> bool:
    """Several images, one feature for both heads, and the peer was left as it is."""
    config = case.params.get("config", {})
    shares = config.get("MaskHead", {}).get("share_bbox_feat", False)
    return shares and len(case.inputs.get("gt_bbox", [])) > 1 and "loss_mask" in case.outputs


def _corrected(case: Case) -> Case:
    """The sibling without inputs of its own: the same step, corrected around the peer."""
    same = [s for s in case.siblings if s.params == case.params and not s.inputs]
    assert len(same) == 1, "no corrected case to take the mask loss from"
    return same[0]


def _corrected_mask_loss(case: Case, want: Arrays, got: Arrays) -> Arrays:
    right = _corrected(case).outputs
    assert not np.isclose(right["loss_mask"], want["loss_mask"], rtol=1e-3)
    return {"loss_mask": right["loss_mask"], "loss": right["loss"]}


# ---------------------------------------------------------------- the table

DIFFERENCES = (
    Difference(
        "no unusable sample",
        ("proposal_target",),
        "When all candidates are ignored the peer samples its first one, labelled -1.",
        lambda case: _unusable_images(case),
        mend=_no_unusable_sample,
    ),
    Difference(
        "ties",
        ("label_box", "rpn_target", "proposal_target", "small_rcnn", "whole_"),
        "Of several objects that overlap a box equally the peer takes paddle.topk's choice, "
        "which is none in particular. Ours must be one of them; elsewhere it must be theirs.",
        lambda case: {"match_unique", "tgt_gt_inds"} & set(case.outputs),
        mend=_ties,
    ),
    Difference(
        "crowd flags are integers",
        ("label_box",),
        "is_crowd as the peer's own reader makes it, int32, raises in the peer on Paddle 3.",
        lambda case: case.raises and case.inputs["is_crowd"].dtype.kind in "iu",
        mend=_label_box,
    ),
    Difference(
        "GIoU of boxes",
        ("rpn_loss",),
        "The peer takes the deltas themselves for corners of boxes. An overlap of deltas "
        "means nothing: we decode both on the anchors first.",
        lambda case: case.params.get("loss_rpn_bbox") == "GIoULoss",
        mend=_rpn_giou,
    ),
    Difference(
        "no stand-in RoI",
        ("proposals",),
        "When no box of a level is large enough the operator returns one RoI 0, 0, 0, 0.",
        lambda case: not all(all(levels) for levels in _alive(case)),
        mend=_no_stand_in_roi,
    ),
    Difference(
        "sampling ratio on one level",
        ("roi_align",),
        "With one feature level the peer does not pass sampling_ratio on.",
        lambda case: len(case.inputs["feats"]) == 1 and case.params["sampling_ratio"] > 0,
        mend=_one_level_ratio,
    ),
    Difference(
        "losses are scalars",
        ("rpn_loss", "bbox_loss"),
        "Without objects the peer's losses have shape [1] instead of []; the value is the same.",
        lambda case: any(v.shape == (1,) for k, v in case.outputs.items() if k[:4] == "loss"),
        mend=_scalars,
    ),
    Difference(
        "ignored RoIs",
        ("bbox_loss",),
        "A RoI labelled -1 among others makes the peer's cross-entropy raise. It should not "
        "count, neither in the sums nor in what they are divided by.",
        lambda case: case.raises and not _is_cot(case) and (_labels(case) == -1).any(),
        mend=_bbox_loss,
    ),
    Difference(
        "losses that raise",
        ("bbox_loss", "rpn_loss"),
        "IouLoss and DIouLoss raise in the peer: the configuration must say that it does not "
        "know them.",
        lambda case: case.raises and _loss_name(case) in RAISE_IN_THE_PEER,
        instead=_config_rejects,
    ),
    Difference(
        "co-tuning of foreground only",
        ("bbox_loss",),
        "The peer raises without foreground, and takes a RoI labelled -1 for one of the last "
        "class (cot_relation[-1]). Ours is 0, and leaves such RoIs out.",
        lambda case: _is_cot(case) and (case.raises or (_labels(case) == -1).any()),
        mend=lambda case, want, got: reference.cot_loss(case.inputs, case.params),
    ),
    Difference(
        "no stand-in mask",
        ("mask_target",),
        "For an image without foreground the peer makes one mask target, of weight 0, from "
        "its second RoI; with a single RoI it raises.",
        lambda case: _without_foreground(case),
        mend=_no_stand_in_mask,
    ),
    Difference(
        "outlines that enclose nothing",
        ("mask_target",),
        "No polygon, or polygons of fewer than three points, raise in the peer: an empty mask.",
        lambda case: case.raises and _draws_nothing(case),
        mend=_no_mask,
    ),
    Difference(
        "polygons are not overwritten",
        ("mask_target",),
        "The peer's rasterizer changes a float64 array that it is given.",
        lambda case: "polygon" in case.inputs,
        mend=_polygon_unchanged,
    ),
    Difference(
        "weight 0 does not dilute",
        ("mask_loss",),
        "The peer's stand-in masks have weight 0 but count in the mean.",
        lambda case: (case.inputs["weights"] == 0).any(),
        mend=_mask_loss,
    ),
    Difference(
        "no stand-in detection",
        ("bbox_post", "small_rcnn", "whole_"),
        "For an image without detections the peer makes one, 0, 0, 0, 0, 1, 1.",
        lambda case: (_number_of_detections(case) == 0).any(),
        mend=_no_stand_in_detection,
    ),
    Difference(
        "no emptied box",
        ("bbox_post", "small_rcnn", "whole_"),
        "The peer keeps boxes that clipping has emptied and labels them -1 at the end; we "
        "drop them before any mask is computed.",
        _has_emptied_box,
        mend=_no_emptied_box,
    ),
    Difference(
        "a box without area",
        ("mask_post",),
        "The peer's pasted values are NaN (0 / 0 pixels); ours are 0.",
        _boxes_without_area,
        mend=_paste_nothing,
    ),
    Difference(
        "each image has its own size",
        ("mask_post", "small_rcnn"),
        "The peer looks up the image's size by the row of the detection, not by the image: "
        "later images' masks are pasted at another image's size.",
        lambda case: (
            "mask_pred" in case.outputs and len(np.unique(_shapes_of_rows(case), axis=0)) > 1
        ),
        mend=_own_image_size,
    ),
    Difference(
        "nothing to paste",
        ("mask_post",),
        "No detection is a row labelled -1 and a mask full([1, 1, 1], -1) in the peer; ours "
        "is zero rows.",
        lambda case: "bboxes" in case.inputs and "mask_out" not in case.inputs,
        mend=_nothing_to_paste,
    ),
    Difference(
        "mask features of the own image",
        ("whole_",),
        "With a shared feature the peer's mask_index has no per-image offset, so that later "
        "images' mask features come from the first image's RoIs. The right loss is that of "
        "the case in which this was corrected around the peer.",
        lambda case: _is_shared_batch(case),
        mend=_corrected_mask_loss,
    ),
)
