"""Whole models with the weights of the formula, from the image to losses and masks.

Convolutions round otherwise on another processor and in another version of Paddle. Nearly
always that changes nothing but last bits. But stages decide (which of two boxes has the
higher score, whether an overlap is above the threshold), and a decision that hangs on the
last bits may fall otherwise; then everything after it is about other boxes. So a case
that does not agree from end to end is asked again stage by stage: each stage is given what
the peer's stage before it answered, and must answer what the peer's did.
"""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
import yaml

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.schema import parse_config
from maskrcnn_edu.inference.export import paste_whole
from maskrcnn_edu.model.bbox.postprocess import boxes_to_image_frame
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import (
    Batch,
    Detections,
    PredictionStages,
    Proposals,
    RPNOutput,
    TrainingStages,
)

from .golden import NETWORK, Arrays, Case, whole_cases
from .records import (
    arrays,
    counts,
    ground_truths,
    label_score_box,
    load_formula,
    proposals,
    tensor,
    to_maps,
    to_rows,
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
        value = c.polygons if name == "polygons" else c.inputs.get(name)
        if value is not None:
            return value
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
    detections, rows = stages.detections, len(case.outputs.get("deltas", ()))
    masks = decided_masks(case, stages.mask_probs, [d.boxes for d in detections], detections)
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
        "bbox": label_score_box(stages.boxes_only),
        "bbox_num_before": counts(stages.boxes_only),
        "mask_out": np.concatenate(arrays(stages.mask_probs)),
        "bbox_pred": label_score_box(detections),
        "bbox_num": counts(detections),
        **packed(masks),
    }


def packed(masks: np.ndarray) -> Arrays:
    """Masks [D, h, w] as the cases store them."""
    return {
        "mask_pred_packbits": np.packbits(masks, axis=-1),
        "mask_pred_shape": np.array(masks.shape),
        "mask_pred_sum": masks.sum(axis=(1, 2)),
    }


def decided_masks(case: Case, probs: list, boxes: list, detections: list) -> np.ndarray:
    """Our masks [sum D, h, w]; the peer's answer for pixels that the tolerance leaves open.

    Those are the pixels whose probability is as near to the threshold as two network
    outputs may be apart.
    """
    ours = np.concatenate([d.masks.numpy() for d in detections])
    shape = tuple(case.outputs["mask_pred_shape"])
    if ours.shape != shape:
        return ours
    size = ours.shape[1:]
    values = np.concatenate([paste_whole(p, b, *size).numpy() for p, b in zip(probs, boxes)])
    peers = np.unpackbits(case.outputs["mask_pred_packbits"], axis=-1, count=shape[2]) > 0
    is_open = np.abs(values - 0.5) <= NETWORK.atol
    assert is_open.mean() < 1e-3, "that many pixels cannot be left open"
    return np.where(is_open, peers, ours)


def _training(case: Case, model: MaskRCNN) -> Arrays:
    stages: TrainingStages = model(batch_of(case, with_gt=True))
    targets = np.concatenate([t.target_masks.numpy() for t in stages.mask_targets])
    got: Arrays = {
        **{name: loss.numpy() for name, loss in stages.losses.items()},
        "loss": stages.loss.numpy(),
        "assigned_rois": arrays([s.boxes for s in stages.samples]),
        "assigned_rois_num": counts(stages.samples),
        "tgt_labels": arrays([s.target_labels for s in stages.samples]),
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
        "grad_l1": np.array([np.abs(g).sum() for g in exact]),
        **{f"grad/{name}": grads[name].numpy() for name in names},
    }


@pytest.mark.parametrize("case", whole_cases(), ids=str)
def test_whole_model(case, agree):
    agree(case, model_of, NETWORK, stage_by_stage)


# ---------------------------------------------------------------- stage by stage


def stage_by_stage(case: Case) -> Arrays:
    """Every stage's answer to what the peer's stage before it answered."""
    model = model_from(json.dumps(case.params["config"]))
    if "bbox_pred" not in case.outputs:
        return _training_stages(case, model)
    if "rois" not in case.outputs:  # only the end is stored
        return model_of(case)
    model.eval()
    return _prediction(case, model) | _prediction_stages(case, model)


@paddle.no_grad()
def _prediction_stages(case: Case, model: MaskRCNN) -> Arrays:
    batch, peer = batch_of(case, with_gt=False), case.outputs
    features = model.features(batch.image)
    rois = [proposals(r) for r in peer["rois"]]
    bbox = model.bbox_head(model.bbox_head.roi_feature(features, [r.boxes for r in rois]))
    detections = peers_detections(peer["bbox"], peer["bbox_num_before"])
    per_image = np.cumsum(peer["bbox_num_before"])[:-1]
    in_image = peers_detections(peer["bbox_pred"], peer["bbox_num"])
    masks = [
        model.mask_post_process(tensor(m), d.boxes, *peer["mask_pred_shape"][1:].tolist()).numpy()
        for m, d in zip(np.split(peer["mask_out"], per_image), in_image)
    ]
    return {
        "rois": arrays([p.boxes for p in _propose(case, model, batch)]),
        "deltas": bbox.deltas.flatten(1).numpy()[: len(peer["deltas"])],
        "probs": F.softmax(bbox.scores).numpy(),
        "bbox": label_score_box(_choose(model, bbox, rois, batch, peer)),
        "mask_out": np.concatenate(arrays(model._mask_head_in_chunks(features, detections))),
        "bbox_pred": _in_image(detections, batch),
        **packed(np.concatenate(masks)),
    }


def _propose(case: Case, model: MaskRCNN, batch: Batch) -> list[Proposals]:
    """The proposals that follow from the peer's scores and deltas."""
    head = model.rpn_head
    return head.propose(peers_rpn(case, model), batch.im_shape, head.test_proposal)


def _choose(model, bbox, rois, batch, peer) -> list[Detections]:
    """Decoding and suppression of the peer's RoIs and probabilities."""
    probs = F.softmax(bbox.scores).numpy()
    assert np.allclose(probs, peer["probs"], *NETWORK)
    post, made, start = model.bbox_post_process, [], 0
    for i, r in enumerate(rois):
        part = slice(start, start + len(r))
        scores = tensor(peer["probs"][part, :-1])
        boxes = post.decode(bbox.deltas[part], r.boxes, batch.im_shape[i])
        rows, labels = post.nms(boxes, scores)
        made.append(Detections(boxes[rows, labels], labels, scores[rows, labels], rows))
        start += len(r)
    return made


def _in_image(detections: list[Detections], batch: Batch) -> np.ndarray:
    """The detections in the image frame, packed."""
    moved = [
        Detections(boxes_to_image_frame(d.boxes, *where), d.labels, d.scores, d.roi_index)
        for d, *where in zip(detections, batch.im_shape, batch.scale_factor)
    ]
    return label_score_box(moved)


def _training_stages(case: Case, model: MaskRCNN) -> Arrays:
    """The training step on the proposals that follow from the peer's scores and deltas.

    They are those of the prediction of the same image: batch normalization is frozen.
    """
    sibling = next((c for c in case.siblings if "rpn_scores" in c.outputs), None)
    if sibling is None:
        return model_of(case)
    propose, rpn = model.rpn_head.propose, peers_rpn(sibling, model)
    model.rpn_head.propose = lambda _, *others: propose(rpn, *others)
    try:
        return model_of(case)
    finally:
        del model.rpn_head.propose


def peers_rpn(case: Case, model: MaskRCNN) -> RPNOutput:
    """What the peer's RPN said about all anchors."""
    scores, deltas = case.outputs["rpn_scores"], case.outputs["rpn_deltas"]
    anchors = model.rpn_head.anchor_generator([s.shape[2:] for s in scores])
    return RPNOutput(
        tensor(to_rows(scores, 1)[..., 0]),
        tensor(to_rows(deltas, 4)),
        paddle.concat(anchors),
        [len(a) for a in anchors],
    )


def peers_detections(packed: np.ndarray, counts: np.ndarray) -> list[Detections]:
    """Rows (label, score, box) [sum D, 6] -> the detections of every image."""
    rows = np.split(packed, np.cumsum(counts)[:-1])
    return [
        Detections(
            tensor(r[:, 2:]),
            tensor(r[:, 0].astype(np.int64)),
            tensor(r[:, 1]),
            tensor(np.full(len(r), -1, np.int64)),
        )
        for r in rows
    ]
