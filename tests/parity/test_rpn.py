"""First storey: anchor targets, losses of the RPN, proposals."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from maskrcnn_edu import AnchorGenerator, ProposalGenerator, RPNHead, RPNTargetAssign
from maskrcnn_edu.model.losses import GIoULoss, SmoothL1Loss
from maskrcnn_edu.structures import Proposals, RPNOutput

from .golden import GEOMETRY, LOSS, Arrays, Case, cases
from .records import arrays, counts, gradient, ground_truths, tensor, tensors, to_rows

LOSSES = {None: None, "SmoothL1Loss": SmoothL1Loss(), "GIoULoss": GIoULoss()}
ASSIGN = "batch_size_per_im fg_fraction positive_overlap negative_overlap ignore_thresh use_random"


def targets_of(case: Case) -> Arrays:
    case.known(ASSIGN, "anchors gt_bbox is_crowd")
    assign = RPNTargetAssign(**case.params)
    anchors, gts = tensor(case.inputs["anchors"]), ground_truths(case.inputs)
    targets = [assign(anchors, gt) for gt in gts]
    gt_index = arrays([t.gt_index for t in targets])
    return {
        "labels": arrays([t.target_labels for t in targets]),
        "deltas": arrays([t.target_deltas for t in targets]),
        "gt_index": gt_index,
        "bboxes": [
            boxes[index] if len(boxes) else np.zeros([len(index), 4], np.float32)
            for boxes, index in zip(case.inputs["gt_bbox"], gt_index)
        ],
        "norm": assign.batch_size_per_im * len(gts),
    }


def rpn_output(scores: list, deltas: list, anchors: list[np.ndarray]) -> RPNOutput:
    """L maps of scores and deltas (tensors) in one record."""
    rows = [
        paddle.concat(
            [m.transpose([0, 2, 3, 1]).reshape([m.shape[0], -1, width]) for m in maps], axis=1
        )
        for maps, width in ((scores, 1), (deltas, 4))
    ]
    levels = [len(a) for a in anchors]
    return RPNOutput(rows[0].squeeze(-1), rows[1], tensor(np.concatenate(anchors)), levels)


def loss_of(case: Case) -> Arrays:
    params = "rpn_target_assign loss_rpn_bbox anchor_generator"
    case.known(params, "scores deltas anchors gt_bbox is_crowd")
    p = case.params
    assign = RPNTargetAssign(**p["rpn_target_assign"])
    head = RPNHead(
        AnchorGenerator(**p["anchor_generator"]),
        assign,
        in_channel=4,
        loss_rpn_bbox=LOSSES[p["loss_rpn_bbox"]],
    )
    scores, deltas = (tensors(case.inputs[name], grad=True) for name in ("scores", "deltas"))
    rpn = rpn_output(scores, deltas, case.inputs["anchors"])
    targets = [assign(rpn.anchors, gt) for gt in ground_truths(case.inputs)]
    losses = head.get_loss(rpn, targets)
    sum(losses.values()).backward()
    return {
        **{name: loss.numpy() for name, loss in losses.items()},
        "grad_scores": [gradient(s) for s in scores],
        "grad_deltas": [gradient(d) for d in deltas],
    }


def proposals_of(case: Case) -> Arrays:
    if isinstance(case.inputs["scores"], list):
        return _proposals_of_head(case)
    names = "min_size nms_thresh pre_nms_top_n post_nms_top_n eta topk_after_collect"
    case.known(names, "scores deltas anchors im_shape")
    i, generator = case.inputs, ProposalGenerator(**case.params)
    made = _propose(generator, [i["scores"]], [i["deltas"]], [i["anchors"]], i["im_shape"])
    return {
        "rois": np.concatenate([p.boxes.numpy() for p in made]),
        "probs": np.concatenate([p.scores.numpy() for p in made])[:, None],
        "rois_num": counts(made),
        "post_nms_top_n": generator.post_nms_top_n,
    }


def _proposals_of_head(case: Case) -> Arrays:
    params = "anchor_generator train_proposal test_proposal training"
    case.known(params, "scores deltas anchors im_shape")
    i, mode = case.inputs, "train" if case.params["training"] else "test"
    sizes = [s.shape[2:] for s in i["scores"]]
    anchors = arrays(AnchorGenerator(**case.params["anchor_generator"])(sizes))
    for ours, theirs in zip(anchors, i["anchors"], strict=True):
        np.testing.assert_allclose(ours, theirs, *GEOMETRY)
    generator = ProposalGenerator(**case.params[f"{mode}_proposal"])
    made = _propose(generator, i["scores"], i["deltas"], i["anchors"], i["im_shape"])
    return {"rois": [p.boxes.numpy() for p in made], "rois_num": counts(made)}


def _propose(generator, scores, deltas, anchors, im_shape) -> list[Proposals]:
    """The proposals of every image, from L maps of scores and deltas."""
    scores, deltas = to_rows(scores, 1)[..., 0], to_rows(deltas, 4)
    joined, sizes = tensor(np.concatenate(anchors)), [len(a) for a in anchors]
    return [
        generator(tensor(s), tensor(d), joined, tensor(shape), sizes)
        for s, d, shape in zip(scores, deltas, im_shape, strict=True)
    ]


@pytest.mark.parametrize("case", cases("rpn_target"), ids=str)
def test_rpn_target(case, agree):
    agree(case, targets_of, GEOMETRY)


@pytest.mark.parametrize("case", cases("rpn_loss"), ids=str)
def test_rpn_loss(case, agree):
    agree(case, loss_of, LOSS)


@pytest.mark.parametrize("case", cases("proposals"), ids=str)
def test_proposals(case, agree):
    agree(case, proposals_of, GEOMETRY)
