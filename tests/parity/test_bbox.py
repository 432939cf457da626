"""Second storey: RoI targets, losses of the box head, detections without masks."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from maskrcnn_edu import BBoxAssigner, BBoxHead, BBoxPostProcess, MultiClassNMS, RCNNBox, TwoFCHead
from maskrcnn_edu.model.bbox.postprocess import boxes_to_image_frame, image_size
from maskrcnn_edu.model.boxes import nonempty_bbox
from maskrcnn_edu.model.losses import GIoULoss, SIoULoss, SmoothL1Loss
from maskrcnn_edu.structures import BBoxOutput, Detections

from .golden import GEOMETRY, LOSS, Arrays, Case, cases
from .records import (
    arrays,
    bbox_output,
    counts,
    gradient,
    ground_truths,
    label_score_box,
    proposals,
    samples,
    tensor,
)

LOSSES = {
    None: None,
    "SmoothL1Loss": SmoothL1Loss(),
    "GIoULoss": GIoULoss(),
    "SIoULoss": SIoULoss(),
}


def targets_of(case: Case) -> Arrays:
    case.known("assigner call", "rois gt_bbox gt_class is_crowd")
    assert case.params["assigner"]["use_random"] is False
    assign = BBoxAssigner(**case.params["assigner"])
    drawn = [
        assign(proposals(rois), gt, **case.params["call"])
        for rois, gt in zip(case.inputs["rois"], ground_truths(case.inputs), strict=True)
    ]
    return {
        "rois": arrays([s.boxes for s in drawn]),
        "rois_num": counts(drawn),
        "tgt_labels": arrays([s.target_labels for s in drawn]),
        "tgt_bboxes": arrays([s.gt_boxes for s in drawn]),
        "tgt_gt_inds": arrays([s.gt_index for s in drawn]),
    }


def loss_of(case: Case) -> Arrays:
    if "cot_relation" in case.inputs:
        return _cot_loss(case)
    if "tgt_labels" not in case.inputs:
        return _prediction(case)
    params = "num_classes bbox_weight bbox_loss loss_normalize_pos"
    case.known(params, "scores deltas tgt_labels tgt_bboxes rois")
    p, i = case.params, case.inputs
    head = BBoxHead(
        TwoFCHead(8, 16, 7),
        16,
        num_classes=p["num_classes"],
        bbox_weight=p["bbox_weight"],
        bbox_loss=LOSSES[p.get("bbox_loss")],
        loss_normalize_pos=p.get("loss_normalize_pos", False),
    )
    scores, deltas = tensor(i["scores"], grad=True), tensor(i["deltas"], grad=True)
    drawn = [samples(*image) for image in zip(i["rois"], i["tgt_labels"], i["tgt_bboxes"])]
    losses = head.get_loss(bbox_output(scores, deltas), drawn)
    sum(losses.values()).backward()
    return {
        **{name: loss.numpy() for name, loss in losses.items()},
        "grad_scores": gradient(scores),
        "grad_deltas": gradient(deltas),
    }


def _cot_loss(case: Case) -> Arrays:
    from maskrcnn_edu.model.bbox.cotuning import COTLoss

    case.known("num_classes cot_scale cot_lambda", "scores tgt_labels cot_relation")
    scores = tensor(case.inputs["scores"], grad=True)
    labels = np.concatenate(case.inputs["tgt_labels"]).astype(np.int64)
    relation = tensor(case.inputs["cot_relation"])
    loss = COTLoss(**case.params)(scores, tensor(labels), relation)
    loss.backward()
    return {"loss_bbox_cls_cot": loss.numpy(), "grad_scores": gradient(scores)}


class Listener:
    """Takes the place of `MultiClassNMS`, notes what it is given and finds nothing."""

    def __call__(self, boxes, scores):
        self.boxes, self.scores = boxes, scores
        nothing = paddle.zeros([0], dtype="int64")
        return nothing, nothing


def _prediction(case: Case) -> Arrays:
    """Scores become probabilities within BBoxPostProcess, which leaves background out."""
    case.known(inputs="scores deltas")
    out = bbox_output(tensor(case.inputs["scores"]), tensor(case.inputs["deltas"]))
    rois, classes = np.tile(np.float32([0, 0, 9, 9]), (len(out.scores), 1)), out.deltas.shape[1]
    nms = Listener()
    post = BBoxPostProcess(classes, RCNNBox(num_classes=classes), nms)
    post(out, proposals(rois), tensor(np.float32([10, 10])))
    background = 1 - nms.scores.sum(axis=1, keepdim=True)
    return {
        "deltas": out.deltas.flatten(1).numpy(),
        "probs": paddle.concat([nms.scores, background], axis=1).numpy(),
    }


def detections_of(case: Case) -> Arrays:
    if "bbox" in case.inputs:
        return _in_image(case)
    case.known("num_classes nms decode", "deltas probs rois rois_num im_shape scale_factor")
    p, i = case.params, case.inputs
    classes = p["num_classes"]
    decode, nms = RCNNBox(num_classes=classes, **p["decode"]), MultiClassNMS(**p["nms"])
    post = BBoxPostProcess(classes, decode, nms)
    ends = np.cumsum([len(r) for r in i["rois"]])
    assert np.array_equal(ends, np.cumsum(i["rois_num"])) and ends[-1] == len(i["deltas"])
    detections, decoded, probabilities = [], [], []
    for rois, deltas, probs, shape in zip(
        i["rois"], np.split(i["deltas"], ends[:-1]), np.split(i["probs"], ends[:-1]), i["im_shape"]
    ):
        # the softmax of the logarithm of probabilities is the probabilities
        out = bbox_output(tensor(np.log(probs)), tensor(deltas))
        detections.append(post(out, proposals(rois), tensor(shape)))
        seen = _candidates(classes, decode, out, rois, shape)
        decoded.append(seen.boxes.numpy())
        probabilities.append(seen.scores.numpy())
    starts = np.concatenate([[0], ends[:-1]])
    index = [
        (d.roi_index.numpy() + s) * classes + d.labels.numpy() for d, s in zip(detections, starts)
    ]
    return {
        "decoded": np.concatenate(decoded),
        "decoded_scores": np.concatenate(probabilities),
        "bbox": label_score_box(detections),
        "bbox_num": counts(detections),
        "nms_keep_idx": np.concatenate(index)[:, None],
        **in_image(detections, i["im_shape"], i["scale_factor"]),
    }


def _candidates(classes: int, decode: RCNNBox, out: BBoxOutput, rois, shape) -> Listener:
    """What suppression is given."""
    nms = Listener()
    BBoxPostProcess(classes, decode, nms)(out, proposals(rois), tensor(shape))
    return nms


def in_image(
    detections: list[Detections], im_shape: np.ndarray, scale_factor: np.ndarray
) -> Arrays:
    """What the peer's get_pred returns: boxes in the image frame, sizes row by row."""
    moved, shapes = [], []
    for d, shape, scale in zip(detections, im_shape, scale_factor, strict=True):
        shape, scale = tensor(shape), tensor(scale)
        boxes = boxes_to_image_frame(d.boxes, shape, scale)
        moved.append(Detections(boxes, d.labels, d.scores, d.roi_index))
        shapes.append(np.tile(np.float32(image_size(shape, scale)), (len(d), 1)))
    return {
        "bboxes": label_score_box(detections),
        "bbox_pred": label_score_box(moved),
        "bbox_pred_num": counts(detections),
        "origin_shape": np.concatenate(shapes),
    }


def _in_image(case: Case) -> Arrays:
    """Given detections: they are clipped, and BBoxPostProcess would not let empty ones pass."""
    case.known(inputs="bbox bbox_num im_shape scale_factor")
    i, detections = case.inputs, []
    images = np.split(i["bbox"], np.cumsum(i["bbox_num"])[:-1])
    for rows, shape, scale in zip(images, i["im_shape"], i["scale_factor"], strict=True):
        moved = boxes_to_image_frame(tensor(rows[:, 2:]), tensor(shape), tensor(scale))
        rows = rows[nonempty_bbox(moved).numpy()]
        index = tensor(np.arange(len(rows)))
        labels, scores = tensor(rows[:, 0].astype(np.int64)), tensor(rows[:, 1])
        detections.append(Detections(tensor(rows[:, 2:]), labels, scores, index))
    return in_image(detections, i["im_shape"], i["scale_factor"])


@pytest.mark.parametrize("case", cases("proposal_target"), ids=str)
def test_proposal_target(case, agree):
    agree(case, targets_of, GEOMETRY)


@pytest.mark.parametrize("case", cases("bbox_loss"), ids=str)
def test_bbox_loss(case, agree):
    agree(case, loss_of, LOSS)


@pytest.mark.parametrize("case", cases("bbox_post"), ids=str)
def test_bbox_post(case, agree):
    agree(case, detections_of, GEOMETRY)
