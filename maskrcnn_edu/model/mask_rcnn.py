"""MaskRCNN: the order in which the stages run, while training and while predicting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.profiler import RecordEvent

from maskrcnn_edu.model.backbone import ResNet
from maskrcnn_edu.model.bbox.head import BBoxHead
from maskrcnn_edu.model.bbox.postprocess import BBoxPostProcess, boxes_to_image_frame, image_size
from maskrcnn_edu.model.mask.head import MaskHead
from maskrcnn_edu.model.mask.postprocess import MaskPostProcess
from maskrcnn_edu.model.neck import FPN
from maskrcnn_edu.model.ops.empty import cat
from maskrcnn_edu.model.roi_align import iter_roi_chunks
from maskrcnn_edu.model.rpn.head import RPNHead
from maskrcnn_edu.structures import (
    Batch,
    BBoxOutput,
    Detections,
    MaskTargets,
    PredictionStages,
    Proposals,
    RoISamples,
    TrainingStages,
)


def stage(name: str) -> RecordEvent:
    """Names what is computed within a ``with`` block, for Paddle's profiler."""
    return RecordEvent(f"MaskRCNN::{name}")


class MaskRCNN(nn.Layer):
    """Mask R-CNN: boxes, classes and masks of the objects in an image.

    Args:
        backbone: image to features.
        rpn_head: features to proposals.
        bbox_head: proposals to classes and boxes.
        mask_head: boxes to masks.
        bbox_post_process: the box head's numbers to detections.
        mask_post_process: small masks to masks of the image.
        neck: features to a pyramid of features (FPN models); None for C4.
        use_extra_data: also answer with the scores of all proposals, and where each
            detection comes from (see `PredictionStages`).

    Source: He et al., Mask R-CNN, 2017; document, "MaskRCNN".
    """

    def __init__(
        self,
        backbone: ResNet,
        rpn_head: RPNHead,
        bbox_head: BBoxHead,
        mask_head: MaskHead,
        bbox_post_process: BBoxPostProcess,
        mask_post_process: MaskPostProcess,
        neck: FPN | None = None,
        use_extra_data: bool = False,
    ):
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.rpn_head = rpn_head
        self.bbox_head = bbox_head
        self.mask_head = mask_head
        self.bbox_post_process = bbox_post_process
        self.mask_post_process = mask_post_process
        self.use_extra_data = use_extra_data

    def forward(self, batch: Batch) -> TrainingStages | PredictionStages:
        """One training step's computations, or one prediction, with every intermediate.

        While training (``model.train()``) the batch must carry ground truth, and the
        answer is `TrainingStages`: call ``stages.loss.backward()``. Otherwise the
        answer is `PredictionStages`, and ``stages.detections`` are the objects.
        """
        return self._train(batch) if self.training else self.paste(self.detect(batch))

    def features(self, image: Tensor) -> list[Tensor]:
        """Image [N, 3, H, W] -> L feature maps [N, c, h, w]."""
        with stage("backbone"):
            features = self.backbone(image)
        if self.neck is None:
            return features
        with stage("neck"):
            return self.neck(features)

    def _train(self, batch: Batch) -> TrainingStages:
        features = self.features(batch.image)
        with stage("rpn_head"):
            rpn = self.rpn_head(features)
        with stage("rpn_target_assign"):
            anchor_targets = [self.rpn_head.rpn_target_assign(rpn.anchors, gt) for gt in batch.gt]
        with stage("proposals"):
            proposals = self.rpn_head.propose(rpn, batch.im_shape, self.rpn_head.train_proposal)
        with stage("bbox_assigner"):
            samples = [self.bbox_head.bbox_assigner(p, gt) for p, gt in zip(proposals, batch.gt)]
        with stage("bbox_head"):
            roi_feat = self.bbox_head.roi_feature(features, [s.boxes for s in samples])
            bbox = self.bbox_head(roi_feat)
        with stage("mask_assigner"):
            mask_targets = [self.mask_head.mask_assigner(s, gt) for s, gt in zip(samples, batch.gt)]
        with stage("mask_head"):
            mask_feat = self._mask_feature(features, roi_feat, samples, mask_targets)
            mask_logits = self.mask_head(mask_feat)
        with stage("losses"):
            losses = {
                **self.rpn_head.get_loss(rpn, anchor_targets),
                **self.bbox_head.get_loss(bbox, samples),
                **self.mask_head.get_loss(mask_logits, mask_targets),
            }
        return TrainingStages(
            batch=batch, features=features, rpn=rpn, anchor_targets=anchor_targets,
            proposals=proposals, samples=samples, bbox=bbox, mask_targets=mask_targets,
            mask_logits=mask_logits, losses=losses,
        )  # fmt: skip

    def _mask_feature(
        self,
        features: list[Tensor],
        roi_feat: Tensor,
        samples: list[RoISamples],
        targets: list[MaskTargets],
    ) -> Tensor:
        """Features [sum F, c, r, r] of the foreground samples: shared with the box head
        ([sum R, c, r, r]), or cut out anew.
        """
        if not self.mask_head.share_bbox_feat:
            boxes = [s.boxes[t.index] for s, t in zip(samples, targets)]
            return self.mask_head.roi_extractor(features, boxes)
        rows, start = [], 0
        for s, t in zip(samples, targets):  # the RoIs of all images lie in one tensor
            rows.append(t.index + start)
            start += len(s)
        return roi_feat[cat(rows)]

    @paddle.no_grad()
    def detect(self, batch: Batch) -> PredictionStages:
        """Find the objects: everything but the pasting of masks, for images of any size.

        The detections are in the image frame, their masks still [M, M] (``mask_probs``).
        Call it in prediction mode (``model.eval()``).
        """
        features = self.features(batch.image)
        with stage("rpn_head"):
            rpn = self.rpn_head(features)
        with stage("proposals"):
            proposals = self.rpn_head.propose(rpn, batch.im_shape, self.rpn_head.test_proposal)
        with stage("bbox_head"):
            bbox = self._box_head_in_chunks(features, proposals)
        with stage("bbox_post_process"):
            outputs = _split_per_image(bbox, [len(p) for p in proposals])
            inputs = zip(outputs, proposals, batch.im_shape)
            boxes_only = [self.bbox_post_process(*each) for each in inputs]
            scales = list(zip(batch.im_shape, batch.scale_factor))
            detections = [_to_image_frame(d, *scale) for d, scale in zip(boxes_only, scales)]
        with stage("mask_head"):
            mask_probs = self._mask_head_in_chunks(features, boxes_only)
        extra = self._extra_data(bbox, proposals, boxes_only) if self.use_extra_data else None
        return PredictionStages(
            batch=batch, features=features, rpn=rpn, proposals=proposals, bbox=bbox,
            boxes_only=boxes_only, mask_probs=mask_probs,
            image_size=[image_size(*scale) for scale in scales], detections=detections,
            extra_data=extra,
        )  # fmt: skip

    @paddle.no_grad()
    def paste(self, stages: PredictionStages) -> PredictionStages:
        """The same detections with masks as large as their images.

        That takes a byte for every pixel and object;
        `maskrcnn_edu.model.mask.postprocess.MaskPostProcess.paste_in_boxes` needs no more than
        the objects are large.
        """
        with stage("mask_post_process"):
            rows = zip(stages.detections, stages.mask_probs, stages.image_size)
            detections = [
                replace(d, masks=self.mask_post_process(probs, d.boxes, *size))
                for d, probs, size in rows
            ]
        return replace(stages, detections=detections)

    def _extra_data(
        self, bbox: BBoxOutput, proposals: list[Proposals], detections: list[Detections]
    ) -> dict[str, Tensor]:
        """``scores`` [sum R, C + 1] and ``nms_keep_idx`` [sum D], see `PredictionStages`."""
        classes, rows, start = self.bbox_head.num_classes, [], 0
        for p, d in zip(proposals, detections):  # the proposals of all images lie in one tensor
            rows.append((d.roi_index + start) * classes + d.labels)
            start += len(p)
        return {"scores": F.softmax(bbox.scores), "nms_keep_idx": cat(rows)}

    def _box_head_in_chunks(self, features: list[Tensor], proposals: list[Proposals]) -> BBoxOutput:
        """What the box head predicts for all proposals, [sum R, ...]; a few at a time, to save
        memory.
        """
        boxes, outputs = [p.boxes for p in proposals], []
        side = self.bbox_head.roi_extractor.resolution
        for feats, image, rows in iter_roi_chunks(features, boxes, side):
            roi_feat = self.bbox_head.roi_feature(feats, [boxes[image][rows]])
            outputs.append(self.bbox_head(roi_feat))
        return _cat(outputs)

    def _mask_head_in_chunks(
        self, features: list[Tensor], detections: list[Detections]
    ) -> list[Tensor]:
        """Mask probabilities [D, M, M] per image, at the final boxes; a few at a time."""
        shared = self.mask_head.share_bbox_feat
        extractor = (self.bbox_head if shared else self.mask_head).roi_extractor
        roi_feature = self.bbox_head.roi_feature if shared else extractor
        boxes, probs = [d.boxes for d in detections], []
        for feats, image, rows in iter_roi_chunks(features, boxes, extractor.resolution):
            logits = self.mask_head(roi_feature(feats, [boxes[image][rows]]))
            probs.append(self.mask_head.get_prediction(logits, detections[image].labels[rows]))
        return _split(cat(probs), [len(d) for d in detections])


def _to_image_frame(detections: Detections, im_shape: Tensor, scale_factor: Tensor) -> Detections:
    """Detections (without masks) of the input frame in the image frame.

    Both factors are [2] (height, width), see `boxes_to_image_frame`.
    """
    boxes = boxes_to_image_frame(detections.boxes, im_shape, scale_factor)
    return replace(detections, boxes=boxes)


def _cat(outputs: Sequence[BBoxOutput]) -> BBoxOutput:
    """The rows of one after the other."""
    cot = [out.cot_scores for out in outputs]
    return BBoxOutput(
        scores=cat([out.scores for out in outputs]),
        deltas=cat([out.deltas for out in outputs]),
        cot_scores=None if cot[0] is None else cat(cot),
    )


def _split_per_image(bbox: BBoxOutput, counts: list[int]) -> list[BBoxOutput]:
    """Scores and deltas of the RoIs of all images, cut into one record for each image."""
    pairs = zip(_split(bbox.scores, counts), _split(bbox.deltas, counts))
    return [BBoxOutput(scores=scores, deltas=deltas) for scores, deltas in pairs]


def _split(rows: Tensor, counts: list[int]) -> list[Tensor]:
    """A tensor with the rows of all images [sum R, ...], cut into one [R, ...] per image."""
    starts = [sum(counts[:i]) for i in range(len(counts))]
    return [rows[start : start + count] for start, count in zip(starts, counts)]
