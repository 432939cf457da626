"""MaskRCNN: the order in which the stages run, while training and while predicting."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.profiler import RecordEvent

from maskrcnn_edu.model.backbone import ResNet
from maskrcnn_edu.model.bbox.head import BBoxHead
from maskrcnn_edu.model.bbox.postprocess import BBoxPostProcess, boxes_in_image, original_shape
from maskrcnn_edu.model.mask.head import MaskHead
from maskrcnn_edu.model.mask.postprocess import MaskPostProcess
from maskrcnn_edu.model.neck import FPN
from maskrcnn_edu.model.ops.empty import join
from maskrcnn_edu.model.roi_align import few_at_once
from maskrcnn_edu.model.rpn.head import RPNHead
from maskrcnn_edu.structures import (
    Batch,
    BBoxOutput,
    Detections,
    MaskTargets,
    PredictionStages,
    Proposals,
    RoISamples,
    RPNOutput,
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
        answer is `PredictionStages`, and ``stages.detections`` what was found.
        """
        features = self.features(batch.image)
        with stage("rpn_head"):
            rpn = self.rpn_head(features)
        return (self._train if self.training else self._predict)(batch, features, rpn)

    def features(self, image: Tensor) -> list[Tensor]:
        """Image [N, 3, H, W] -> L feature maps [N, c, h, w]."""
        with stage("backbone"):
            features = self.backbone(image)
        if self.neck is None:
            return features
        with stage("neck"):
            return self.neck(features)

    def _train(self, batch: Batch, features: list[Tensor], rpn: RPNOutput) -> TrainingStages:
        with stage("rpn_target_assign"):
            anchor_targets = [self.rpn_head.rpn_target_assign(rpn.anchors, gt) for gt in batch.gt]
        with stage("proposals"):
            proposals = self.rpn_head.propose(rpn, batch)
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
            batch, features, rpn, anchor_targets, proposals, samples, bbox, mask_targets,
            mask_logits, losses,
        )  # fmt: skip

    def _mask_feature(
        self,
        features: list[Tensor],
        roi_feat: Tensor,
        samples: list[RoISamples],
        targets: list[MaskTargets],
    ) -> Tensor:
        """The features of the foreground samples: shared with the box head, or cut out anew."""
        if not self.mask_head.share_bbox_feat:
            boxes = [s.boxes[t.index] for s, t in zip(samples, targets)]
            return self.mask_head.roi_extractor(features, boxes)
        rows, start = [], 0
        for s, t in zip(samples, targets):  # the RoIs of all images lie in one tensor
            rows.append(t.index + start)
            start += len(s)
        return roi_feat[join(rows)]

    @paddle.no_grad()
    def _predict(self, batch: Batch, features: list[Tensor], rpn: RPNOutput) -> PredictionStages:
        with stage("proposals"):
            proposals = self.rpn_head.propose(rpn, batch)
        with stage("bbox_head"):
            bbox = self._classified(features, proposals)
        with stage("bbox_post_process"):
            found = [
                self.bbox_post_process(out, p, im_shape)
                for out, p, im_shape in zip(_per_image(bbox, proposals), proposals, batch.im_shape)
            ]
        with stage("mask_head"):
            mask_probs = self._mask_probs(features, found)
        with stage("mask_post_process"):
            places = zip(batch.im_shape, batch.scale_factor)
            detections = [
                self._in_image(d, m, *place) for d, m, place in zip(found, mask_probs, places)
            ]
        extra = self._extra_data(bbox, proposals, found) if self.use_extra_data else None
        return PredictionStages(
            batch, features, rpn, proposals, bbox, found, mask_probs, detections, extra
        )

    def _extra_data(
        self, bbox: BBoxOutput, proposals: list[Proposals], found: list[Detections]
    ) -> dict[str, Tensor]:
        classes, rows, start = self.bbox_head.num_classes, [], 0
        for p, d in zip(proposals, found):  # the proposals of all images lie in one tensor
            rows.append((d.roi_index + start) * classes + d.labels)
            start += len(p)
        return {"scores": F.softmax(bbox.scores), "nms_keep_idx": join(rows)}

    def _classified(self, features: list[Tensor], proposals: list[Proposals]) -> BBoxOutput:
        """What the box head says about all proposals; a few at a time, to save memory."""
        boxes, said = [p.boxes for p in proposals], []
        for feats, image, rows in few_at_once(
            features, boxes, self.bbox_head.roi_extractor.resolution
        ):
            roi_feat = self.bbox_head.roi_feature(feats, [boxes[image][rows]])
            said.append(self.bbox_head(roi_feat))
        return _joined(said)

    def _mask_probs(self, features: list[Tensor], found: list[Detections]) -> list[Tensor]:
        """Mask probabilities [D, M, M] per image, at the final boxes; a few at a time."""
        shared = self.mask_head.share_bbox_feat
        extractor = (self.bbox_head if shared else self.mask_head).roi_extractor
        cut = self.bbox_head.roi_feature if shared else extractor
        boxes, probs = [d.boxes for d in found], []
        for feats, image, rows in few_at_once(features, boxes, extractor.resolution):
            logits = self.mask_head(cut(feats, [boxes[image][rows]]))
            probs.append(self.mask_head.get_prediction(logits, found[image].labels[rows]))
        return _split(join(probs), [len(d) for d in found])

    def _in_image(
        self, found: Detections, mask_probs: Tensor, im_shape: Tensor, scale_factor: Tensor
    ) -> Detections:
        """The detections in the frame of the file, with masks of its size."""
        boxes = boxes_in_image(found.boxes, im_shape, scale_factor)
        masks = self.mask_post_process(mask_probs, boxes, *original_shape(im_shape, scale_factor))
        return Detections(boxes, found.labels, found.scores, found.roi_index, masks)


def _split(rows: Tensor, counts: list[int]) -> list[Tensor]:
    """Cut a tensor with the rows of all images into one tensor per image."""
    starts = [sum(counts[:i]) for i in range(len(counts))]
    return [rows[start : start + count] for start, count in zip(starts, counts)]


def _joined(parts: list[BBoxOutput]) -> BBoxOutput:
    """The rows of one after the other."""
    columns = zip(*((out.scores, out.deltas, out.cot_scores) for out in parts))
    return BBoxOutput(*(None if rows[0] is None else join(rows) for rows in columns))


def _per_image(bbox: BBoxOutput, proposals: list) -> list[BBoxOutput]:
    counts = [len(p) for p in proposals]
    pairs = zip(_split(bbox.scores, counts), _split(bbox.deltas, counts))
    return [BBoxOutput(scores, deltas) for scores, deltas in pairs]
