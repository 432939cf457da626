"""RoIAlign, and the layers with weights."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

import maskrcnn_edu.model.roi_align
from maskrcnn_edu import (
    FPN,
    AnchorGenerator,
    MaskFeat,
    ProposalGenerator,
    Res5Head,
    ResNet,
    RoIAlign,
    RPNHead,
    RPNTargetAssign,
    TwoFCHead,
)

from .golden import GEOMETRY, NETWORK, Arrays, Case, cases
from .records import (
    arrays,
    counts,
    gradient,
    ground_truths,
    load,
    load_formula,
    tensor,
    tensors,
    to_maps,
)


def features_of(monkeypatch):
    """The adapter of roi_align; it also listens to how RoIs are spread over the levels."""
    real, spread = maskrcnn_edu.model.roi_align.distribute_fpn_proposals, []

    def listening(*args, **kwargs):
        spread.extend(real(*args, **kwargs))
        return tuple(spread)

    def adapter(case: Case) -> Arrays:
        params = "resolution spatial_scale sampling_ratio aligned start_level end_level"
        case.known(f"{params} canconical_level canonical_size", "feats rois rois_num cotangent")
        i = case.inputs
        assert np.array_equal(i["rois_num"], [len(r) for r in i["rois"]])
        monkeypatch.setattr(maskrcnn_edu.model.roi_align, "distribute_fpn_proposals", listening)
        feats = tensors(i["feats"], grad=True)
        out = RoIAlign(**case.params)(feats, tensors(i["rois"]))
        got: Arrays = {"feat": out.numpy()}
        if "cotangent" in i:
            (out * tensor(i["cotangent"])).sum().backward()
            got["grad_feats"] = [gradient(f) for f in feats]
        if spread:
            rois, restore, numbers = spread
            got["level_rois"], got["level_rois_num"] = arrays(rois), arrays(numbers)
            got["restore_index"] = restore.numpy()
        return got

    return adapter


def layer_of(case: Case) -> Arrays:
    """Which layer a case is about follows from its parameters and inputs."""
    p = case.params
    if "anchor_generator" in p:
        return _rpn_head(case)
    if "weights" in p:
        return _stage_of_resnet(case)
    if "in_channels" in p:
        case.known("in_channels out_channel", "x")
        levels = load(FPN(**p), case.weights)(tensors(case.inputs["x"]))
        return {"y": arrays(levels)}
    if "num_convs" in p:
        case.known("in_channel out_channel num_convs norm_type", "x")
        layer = MaskFeat(**p)
    else:
        case.known("in_channel out_channel resolution", "x")
        layer = TwoFCHead(**p)
    return {"y": load(layer, case.weights)(tensor(case.inputs["x"])).numpy()}


def _stage_of_resnet(case: Case) -> Arrays:
    """Layers whose weights are those of the formula, after a prefix."""
    case.known("weights", "x image")
    prefix = case.params["weights"].removeprefix("formula, prefix ")
    if "image" in case.inputs:
        layer = load_formula(ResNet(50, return_idx=[0, 1, 2, 3]), prefix)
        layer.eval()
        return {"y": arrays(layer(tensor(case.inputs["image"])))}
    layer = load_formula(Res5Head(), prefix)
    return {"y": layer(tensor(case.inputs["x"].astype(np.float32))).numpy()}


def _rpn_head(case: Case) -> Arrays:
    parts = "anchor_generator rpn_target_assign train_proposal test_proposal in_channel"
    case.known(parts, "feats im_shape gt_bbox is_crowd")
    p, i = case.params, case.inputs
    head = RPNHead(
        AnchorGenerator(**p["anchor_generator"]),
        RPNTargetAssign(**p["rpn_target_assign"]),
        ProposalGenerator(**p["train_proposal"]),
        ProposalGenerator(**p["test_proposal"]),
        p["in_channel"],
    )
    load(head, case.weights)
    training = "loss_rpn_cls" in case.outputs
    head.train() if training else head.eval()
    with paddle.no_grad():
        rpn = head(tensors(i["feats"]))
        generator = head.train_proposal if training else head.test_proposal
        made = head.propose(rpn, tensor(i["im_shape"]), generator)
    sizes = [f.shape[2:] for f in i["feats"]]
    got: Arrays = {
        "rois": arrays([p.boxes for p in made]),
        "rois_num": counts(made),
        "scores": to_maps(rpn.scores.numpy()[..., None], sizes),
        "deltas": to_maps(rpn.deltas.numpy(), sizes),
    }
    if training:
        targets = [head.rpn_target_assign(rpn.anchors, gt) for gt in ground_truths(i)]
        got |= {name: loss.numpy() for name, loss in head.get_loss(rpn, targets).items()}
    return got


@pytest.mark.parametrize("case", cases("roi_align"), ids=str)
def test_roi_align(case, agree, monkeypatch):
    agree(case, features_of(monkeypatch), GEOMETRY)


@pytest.mark.parametrize("case", cases("heads"), ids=str)
def test_heads(case, agree):
    agree(case, layer_of, NETWORK)
