"""Box head and mask head together, with narrow layers, while training and predicting."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from maskrcnn_edu import (
    BBoxAssigner,
    BBoxHead,
    BBoxPostProcess,
    MaskAssigner,
    MaskFeat,
    MaskHead,
    MaskPostProcess,
    MultiClassNMS,
    RCNNBox,
    RoIAlign,
    TwoFCHead,
)
from maskrcnn_edu.structures import BBoxOutput

from .golden import NETWORK, Arrays, Case, cases
from .records import (
    arrays,
    counts,
    gradient,
    ground_truths,
    load,
    proposals,
    tensor,
    tensors,
)
from .test_bbox import in_image
from .test_mask import padded

INPUTS = "feats rois rois_num gt_bbox gt_class im_shape scale_factor"
# the peer's suppression in these cases; their params do not say it
NMS = MultiClassNMS(score_threshold=0.1, nms_top_k=-1, keep_top_k=20, nms_threshold=0.5)


def heads_of(case: Case) -> tuple[BBoxHead, MaskHead]:
    p, bbox, mask = case.params, case.params["bbox"], case.params["mask"]
    channels, classes = case.inputs["feats"][0].shape[1], p["num_classes"]
    cut = {"spatial_scale": p["spatial_scale"], "sampling_ratio": 0, "aligned": True}
    bbox_head = BBoxHead(
        TwoFCHead(channels, bbox["out_channel"], bbox["resolution"]),
        bbox["out_channel"],
        RoIAlign(bbox["resolution"], **cut),
        BBoxAssigner(bbox["batch_size_per_im"], use_random=False, num_classes=classes),
        num_classes=classes,
    )
    mask_head = MaskHead(
        MaskFeat(channels, mask["out_channel"], mask["num_convs"]),
        RoIAlign(mask["resolution"], **cut),
        MaskAssigner(classes, mask["mask_resolution"]),
        classes,
    )
    load(bbox_head, case.component.arrays("bbox_head/sd/"))
    load(mask_head, case.component.arrays("mask_head/sd/"))
    return bbox_head, mask_head


def model_of(case: Case) -> Arrays:
    case.known("num_classes bbox mask spatial_scale", INPUTS)
    if "assigned_rois" in case.outputs:
        return _train(case, len(case.outputs["assigned_rois"]))
    return _predict(case, len(case.outputs["bbox_num"]))


def _train(case: Case, images: int) -> Arrays:
    """One training step of the first ``images`` images."""
    bbox_head, mask_head = heads_of(case)
    feats = tensors([f[:images] for f in case.inputs["feats"]], grad=True)
    gts = ground_truths(case.inputs, case.polygons)[:images]
    rois = [proposals(r) for r in case.inputs["rois"]]
    samples = [bbox_head.bbox_assigner(p, gt) for p, gt in zip(rois, gts)]
    roi_feat = bbox_head.roi_feature(feats, [s.boxes for s in samples])
    losses = bbox_head.get_loss(bbox_head(roi_feat), samples)
    targets = [mask_head.mask_assigner(s, gt) for s, gt in zip(samples, gts)]
    boxes = [s.boxes[t.index] for s, t in zip(samples, targets)]
    logits = mask_head(mask_head.roi_extractor(feats, boxes))
    losses |= mask_head.get_loss(logits, targets)
    sum(losses.values()).backward()
    return {
        **{name: loss.numpy() for name, loss in losses.items()},
        "bbox_feat": roi_feat.numpy(),
        "assigned_rois": arrays([s.boxes for s in samples]),
        "assigned_rois_num": counts(samples),
        "tgt_labels": arrays([s.target_labels for s in samples]),
        "tgt_bboxes": arrays([s.gt_boxes for s in samples]),
        "tgt_gt_inds": arrays([s.gt_index for s in samples]),
        **{f"grad/bbox_head.{k}": gradient(v) for k, v in bbox_head.named_parameters()},
        **{f"grad/mask_head.{k}": gradient(v) for k, v in mask_head.named_parameters()},
        "grad_feats": [gradient(f) for f in feats],
    }


@paddle.no_grad()
def _predict(case: Case, images: int) -> Arrays:
    """The detections of the first ``images`` images."""
    bbox_head, mask_head = heads_of(case)
    i, classes = case.inputs, case.params["num_classes"]
    feats, rois = tensors([f[:images] for f in i["feats"]]), i["rois"][:images]
    out = bbox_head(bbox_head.roi_feature(feats, tensors(rois)))
    post = BBoxPostProcess(classes, RCNNBox(num_classes=classes), NMS)
    ends = np.cumsum([0, *(len(r) for r in rois)])
    detections = [
        post(BBoxOutput(out.scores[a:b], out.deltas[a:b]), proposals(r), tensor(shape))
        for a, b, r, shape in zip(ends[:-1], ends[1:], rois, i["im_shape"])
    ]
    labels = paddle.concat([d.labels for d in detections])
    logits = mask_head(mask_head.roi_extractor(feats, [d.boxes for d in detections]))
    masks = mask_head.get_prediction(logits, labels).numpy()
    moved = in_image(detections, i["im_shape"][:images], i["scale_factor"][:images])
    index = [
        (d.roi_index.numpy() + a) * classes + d.labels.numpy() for d, a in zip(detections, ends)
    ]
    paste = (masks, moved["bbox_pred"], counts(detections), moved["origin_shape"])
    return {
        "deltas": out.deltas.flatten(1).numpy(),
        "probs": F.softmax(out.scores).numpy(),
        "bbox": moved.pop("bboxes"),
        "bbox_num": counts(detections),
        "nms_keep_idx": np.concatenate(index)[:, None],
        "mask_out": masks,
        "mask_pred": padded(MaskPostProcess(), *paste),
        **moved,
    }


@pytest.mark.parametrize("case", cases("small_rcnn"), ids=str)
def test_small_rcnn(case, agree):
    agree(case, model_of, NETWORK)
