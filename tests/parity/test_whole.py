"""Whole models with the weights of the formula, from the image to losses and masks."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
import yaml

from maskrcnn_edu.config import build_model, parse_config
from maskrcnn_edu.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch, PredictionStages, TrainingStages

from .golden import NETWORK, Arrays, Case, whole_cases
from .records import (
    arrays,
    counts,
    ground_truths,
    label_score_box,
    load_formula,
    tensor,
    to_maps,
)

INPUTS = "image im_shape scale_factor gt_bbox gt_class is_crowd"
PEER_ONLY = ("metric", "use_gpu")  # keys of the peer's configuration that we have no use for
EVERY = 16  # channels: the stored features are thinned out


@lru_cache(maxsize=1)
def model_from(config: str) -> MaskRCNN:
    """The model of a configuration (JSON text); the last one is kept."""
    values = {k: v for k, v in json.loads(config).items() if k not in PEER_ONLY}
    return load_formula(build_model(parse_config(yaml.safe_dump(values))))


def lookup(case: Case, name: str):
    """An input, polygons included; what a case does not hold it shares with a sibling."""
    for c in (case, *case.siblings):
        found = c.polygons if name == "polygons" else c.inputs.get(name)
        if found is not None:
            return found
    raise AssertionError(f"{case}: no case has {name}")


def batch_of(case: Case, with_gt: bool) -> Batch:
    image, im_shape, scale = (lookup(case, n) for n in ("image", "im_shape", "scale_factor"))
    gt = None
    if with_gt:
        gts = {name: lookup(case, name) for name in ("gt_bbox", "gt_class", "is_crowd")}
        gt = ground_truths(gts, lookup(case, "polygons"))
    pixels = tensor(image.astype(np.float32))
    return Batch(pixels, tensor(im_shape), tensor(scale), list(range(len(image))), gt)


def model_of(case: Case) -> Arrays:
    case.known("config short image subsampling", INPUTS)
    model = model_from(json.dumps(case.params["config"]))
    if "bbox_pred" in case.outputs:
        model.eval()
        return _prediction(case, model)
    model.train()
    model.clear_gradients()
    return _training(case, model)


def _prediction(case: Case, model: MaskRCNN) -> Arrays:
    backbone: list = []
    hook = model.backbone.register_forward_post_hook(lambda _, __, out: backbone.extend(out))
    with paddle.no_grad():
        stages: PredictionStages = model(batch_of(case, with_gt=False))
    hook.remove()
    found, rows = stages.detections, len(case.outputs.get("deltas", ()))
    masks = np.concatenate([d.masks.numpy() for d in found])
    sizes = [f.shape[2:] for f in stages.features]
    return {
        "backbone_feats": [f.numpy()[:, ::EVERY] for f in backbone],
        "neck_feats": [f.numpy()[:, ::EVERY] for f in stages.features],
        "rpn_scores": to_maps(stages.rpn.scores.numpy()[..., None], sizes),
        "rpn_deltas": to_maps(stages.rpn.deltas.numpy(), sizes),
        "rois": arrays([p.boxes for p in stages.proposals]),
        "rois_num": counts(stages.proposals),
        "deltas": stages.bbox.deltas.flatten(1).numpy()[:rows],
        "probs": F.softmax(stages.bbox.scores).numpy(),
        "bbox": label_score_box(stages.found),
        "bbox_num_before": counts(stages.found),
        "mask_out": np.concatenate(arrays(stages.mask_probs)),
        "bbox_pred": label_score_box(found),
        "bbox_num": counts(found),
        "mask_pred_packbits": np.packbits(masks, axis=-1),
        "mask_pred_shape": np.array(masks.shape),
        "mask_pred_sum": masks.sum(axis=(1, 2)),
    }


def _training(case: Case, model: MaskRCNN) -> Arrays:
    stages: TrainingStages = model(batch_of(case, with_gt=True))
    targets = np.concatenate([t.masks.numpy() for t in stages.mask_targets])
    got: Arrays = {
        **{name: loss.numpy() for name, loss in stages.losses.items()},
        "loss": stages.loss.numpy(),
        "assigned_rois": arrays([s.boxes for s in stages.samples]),
        "assigned_rois_num": counts(stages.samples),
        "tgt_labels": arrays([s.labels for s in stages.samples]),
        "tgt_bboxes": arrays([s.gt_boxes for s in stages.samples]),
        "tgt_gt_inds": arrays([s.gt_index for s in stages.samples]),
        "mask_targets_packbits": np.packbits(
            targets.astype(np.uint8).reshape(len(targets), -1), axis=-1
        ),
    }
    if "grad_names" in case.meta:
        stages.loss.backward()
        got |= _gradients(case, model)
    return got


def _gradients(case: Case, model: MaskRCNN) -> Arrays:
    """Every parameter's gradient, summed up; whether it has one is part of the answer."""
    grads = {k: p.grad for k, p in model.named_parameters()}
    names = case.meta["grad_names"]
    assert {k for k, g in grads.items() if g is not None} == set(names)
    assert {k for k, g in grads.items() if g is None} == set(case.meta["params_without_grad"])
    exact = [grads[name].numpy().astype(np.float64) for name in names]
    return {
        "grad_l2": np.array([np.sqrt((g * g).sum()) for g in exact]),
        "grad_sum": np.array([g.sum() for g in exact]),
        **{f"grad/{name}": grads[name].numpy() for name in names},
    }


@pytest.mark.parametrize("case", whole_cases(), ids=str)
def test_whole_model(case, agree):
    agree(case, model_of, NETWORK)
