"""Random weights with which a model has as much to do as a trained one.

Untrained, a detector finds nothing, and pasting nothing takes no time. Here the last layer of
every head is shifted and scaled, so that its outputs for the measured image have mean 0 and a
given standard deviation, as a batch norm would do it once.
"""

from __future__ import annotations

import paddle
from paddle import Tensor, nn

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch

STD = {"score": 1.0, "delta": 0.2, "class": 2.0, "box": 0.5, "mask": 2.0}
"""Standard deviation of logits and deltas: objects of all classes, boxes that move a little."""
FEW = 64
"""RoIs that are used: enough for a mean."""


def calibrated_model(config: Config, batch: Batch, seed: int = 0) -> MaskRCNN:
    """A model that finds, in the batch, as many objects as the configuration lets it."""
    paddle.seed(seed)
    model = build_model(config)
    model.eval()
    with paddle.no_grad():
        _calibrate_heads(model, batch)
    return model


def _calibrate_heads(model: MaskRCNN, batch: Batch) -> None:
    features = model.features(batch.image)
    rpn, box, mask = model.rpn_head, model.bbox_head, model.mask_head
    maps = rpn.rpn_feat(features)
    _calibrate(rpn.rpn_rois_score, [rpn.rpn_rois_score(m) for m in maps], STD["score"])
    _calibrate(rpn.rpn_rois_delta, [rpn.rpn_rois_delta(m) for m in maps], STD["delta"])
    boxes = [p.boxes[:FEW] for p in rpn.propose(rpn(features), batch.im_shape, rpn.test_proposal)]
    roi_feat = box.roi_feature(features, boxes)
    pooled = box.pooled(roi_feat)
    _calibrate(box.bbox_score, [box.bbox_score(pooled)], STD["class"])
    _calibrate(box.bbox_delta, [box.bbox_delta(pooled)], STD["box"])
    if not mask.share_bbox_feat:
        roi_feat = mask.roi_extractor(features, boxes)
    _calibrate(mask.mask_fcn_logits, [mask(roi_feat)], STD["mask"])


def _calibrate(layer: nn.Layer, outputs: list[Tensor], std: float) -> None:
    """Give a last layer's outputs, [R, c] or [N, c, h, w], mean 0 per channel and a deviation."""
    flat = [a.transpose([0, 2, 3, 1]).flatten(0, 2) if a.ndim == 4 else a for a in outputs]
    rows = paddle.concat(flat)
    mean = rows.mean(axis=0)
    factor = std / max(float((rows - mean).square().mean().sqrt()), 1e-12)
    layer.weight.set_value(layer.weight * factor)
    layer.bias.set_value((layer.bias - mean) * factor)
