"""BBoxHead: the class of every RoI, and how its box should move for each class."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import Normal, XavierUniform

from maskrcnn_edu.model.backbone import Res5Head
from maskrcnn_edu.model.bbox.targets import BBoxAssigner
from maskrcnn_edu.model.boxes import bbox2delta, delta2bbox
from maskrcnn_edu.model.checks import Count, FourFactors, checked
from maskrcnn_edu.model.losses import GIoULoss, SIoULoss, SmoothL1Loss
from maskrcnn_edu.model.ops.empty import apply_nonempty, cat, gather_pairs, is_empty, sum_or_zero
from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.structures import BBoxOutput, RoISamples


class TwoFCHead(nn.Layer):
    """Two fully connected layers over the flattened RoI feature (FPN models).

    Args:
        in_channel: channels of the RoI feature.
        out_channel: length of the result.
        resolution: side of the RoI feature, in cells.

    Source: FPN paper, section 4.2.
    """

    @checked
    def __init__(self, in_channel: int = 256, out_channel: Count = 1024, resolution: Count = 7):
        super().__init__()
        flat = in_channel * resolution * resolution
        self.out_channel = out_channel
        first = ParamAttr(initializer=XavierUniform(fan_out=flat))
        self.fc6 = nn.Linear(flat, out_channel, weight_attr=first)
        second = ParamAttr(initializer=XavierUniform())
        self.fc7 = nn.Linear(out_channel, out_channel, weight_attr=second)

    def forward(self, roi_feat: Tensor) -> Tensor:
        """[R, in_channel, r, r] -> [R, out_channel]."""
        return apply_nonempty(self._layers, roi_feat)

    def _layers(self, roi_feat: Tensor) -> Tensor:
        """`forward` of one RoI [1, in_channel, r, r] or more."""
        return F.relu(self.fc7(F.relu(self.fc6(roi_feat.flatten(1)))))


class BBoxHead(nn.Layer):
    """Classifies RoIs and regresses their boxes.

    Args:
        head: turns a RoI's cut-out features into what is classified.
        in_channel: channels that ``head`` returns.
        roi_extractor: cuts out the features.
        bbox_assigner: samples RoIs and makes their targets.
        with_pool: average the feature over its cells first (Res5Head needs it).
        num_classes: C, without background.
        bbox_weight: factors of the deltas, see `maskrcnn_edu.model.boxes.bbox2delta`.
        bbox_loss: regression loss; None for the L1 distance of the deltas.
        loss_normalize_pos: do not multiply a ``bbox_loss`` by the number of classes. Only
            that: PaddleDetection divides by all RoIs, foreground or not, with this switch too.
        cls_agnostic: one box for all classes instead of one for each; learns faster
            from little data (Cascade R-CNN's way).

    Source: Fast R-CNN paper, section 2; document, "BBox Head".
    """

    @checked
    def __init__(
        self,
        head: Res5Head | TwoFCHead,
        in_channel: int,
        roi_extractor: RoIAlign | None = None,
        bbox_assigner: BBoxAssigner | None = None,
        with_pool: bool = False,
        num_classes: Count = 80,
        bbox_weight: FourFactors = (10.0, 10.0, 5.0, 5.0),
        bbox_loss: SmoothL1Loss | GIoULoss | SIoULoss | None = None,
        loss_normalize_pos: bool = False,
        cls_agnostic: bool = False,
    ):
        super().__init__()
        _check_pool(with_pool, head)
        self.head = head
        self.roi_extractor = roi_extractor or RoIAlign()
        self.bbox_assigner = bbox_assigner or BBoxAssigner(num_classes=num_classes)
        self.with_pool = with_pool
        self.num_classes = num_classes
        self.bbox_weight = tuple(bbox_weight)
        self.bbox_loss = bbox_loss
        self.loss_normalize_pos = loss_normalize_pos
        scores = ParamAttr(initializer=Normal(0.0, 0.01))
        self.bbox_score = nn.Linear(in_channel, num_classes + 1, weight_attr=scores)
        deltas = ParamAttr(initializer=Normal(0.0, 0.001))
        self.boxes_per_roi = 1 if cls_agnostic else num_classes
        self.bbox_delta = nn.Linear(in_channel, 4 * self.boxes_per_roi, weight_attr=deltas)

    def roi_feature(self, feats: list[Tensor], boxes: list[Tensor]) -> Tensor:
        """The feature of every box: cut out, then through ``head``.

        Args:
            feats: L feature maps [N, c, h, w].
            boxes: N tensors [R, 4], input frame.

        Returns:
            [sum R, in_channel, r, r] (Res5Head) or [sum R, in_channel] (TwoFCHead).
            A mask head with ``share_bbox_feat`` starts from the same feature.
        """
        return self.head(self.roi_extractor(feats, boxes))

    def forward(self, roi_feat: Tensor) -> BBoxOutput:
        """RoI features (of `roi_feature`) -> scores [sum R, C + 1] and deltas [sum R, C, 4]."""
        roi_feat = self.pooled(roi_feat)
        return BBoxOutput(
            apply_nonempty(self.bbox_score, roi_feat), apply_nonempty(self._deltas, roi_feat)
        )

    def pooled(self, roi_feat: Tensor) -> Tensor:
        """What is classified, [sum R, in_channel]: with ``with_pool`` the mean of the cells."""
        return apply_nonempty(_average, roi_feat) if self.with_pool else roi_feat

    def _deltas(self, roi_feat: Tensor) -> Tensor:
        """[R, in_channel] -> [R, C, 4]."""
        return self.bbox_delta(roi_feat).reshape([-1, self.boxes_per_roi, 4])

    def get_loss(self, out: BBoxOutput, samples: list[RoISamples]) -> dict[str, Tensor]:
        """Loss of the samples, with the class of each RoI its ``target_label``::

            loss_bbox_cls = sum over RoIs of -log(softmax(scores)[class]) / n
            loss_bbox_reg = sum over foreground RoIs of |deltas[class] - target_deltas| / n

        with target_deltas = ``bbox2delta(boxes, gt_boxes, bbox_weight)``, and n the number of
        RoIs, foreground or not. RoIs labelled -1 do not count. ``bbox_loss`` may replace
        ``| |``; it is multiplied by C, unless ``loss_normalize_pos``.

        Args:
            out: what the head predicts for all images' RoIs.
            samples: one record per image.

        Returns:
            ``loss_bbox_cls`` and ``loss_bbox_reg``, scalars.

        Source: Fast R-CNN paper, section 2.3.
        """
        labels = cat([s.target_labels for s in samples])  # [sum R]
        on_host = labels.numpy()  # one wait for both kinds of rows
        used = paddle.to_tensor(np.flatnonzero(on_host >= 0))
        is_foreground = (on_host >= 0) & (on_host < self.num_classes)
        foreground = paddle.to_tensor(np.flatnonzero(is_foreground))
        count = max(used.shape[0], 1)  # without a RoI the sums are 0: 0 / 1
        loss_cls = sum_or_zero(_cross_entropy(out.scores[used], labels[used])) / count
        loss_reg = self._regression(out.deltas, labels, samples, foreground) / count
        return {"loss_bbox_cls": loss_cls, "loss_bbox_reg": loss_reg}

    def _regression(
        self, deltas: Tensor, labels: Tensor, samples: list[RoISamples], foreground: Tensor
    ) -> Tensor:
        """Summed regression loss of the foreground RoIs (rows [F]), a scalar.

        Args:
            deltas: [sum R, C, 4].
            labels: [sum R], of the same RoIs.
            samples: one record per image.
            foreground: [F] rows.
        """
        class_agnostic = deltas.shape[1] == 1
        column = paddle.zeros_like(foreground) if class_agnostic else labels[foreground]
        pred = gather_pairs(deltas, foreground, column)  # [sum R, C, 4] -> [F, 4]
        boxes = cat([s.boxes for s in samples])[foreground]
        gt_boxes = cat([s.gt_boxes for s in samples])[foreground]
        target = bbox2delta(boxes, gt_boxes, self.bbox_weight).detach()
        if self.bbox_loss is None:
            return sum_or_zero((pred - target).abs())
        pred, target = self._decode_on_unit_box(pred), self._decode_on_unit_box(target)
        # PaddleDetection's factor, so that its learning rates fit this loss as well
        factor = 1 if self.loss_normalize_pos else self.num_classes
        return sum_or_zero(self.bbox_loss(pred, target)) * factor

    def _decode_on_unit_box(self, deltas: Tensor) -> Tensor:
        """Decode deltas [F, 4] on a box of side 1: overlaps do not depend on the size."""
        unit = paddle.zeros_like(deltas) + paddle.to_tensor([-0.5, -0.5, 0.5, 0.5])
        return delta2bbox(deltas, unit, self.bbox_weight)[:, 0]


def _check_pool(with_pool: bool, head: nn.Layer) -> None:
    if isinstance(head, TwoFCHead if with_pool else Res5Head):
        made = "a vector: it must be false" if with_pool else "a map: it must be true"
        raise ValueError(f"with_pool does not fit: {type(head).__name__} makes {made}")


def _average(roi_feat: Tensor) -> Tensor:
    """[R, c, r, r] -> [R, c]."""
    return roi_feat.mean(axis=[2, 3])


def _cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Scores [R, C + 1] (logits) and labels [R] -> one loss for each RoI, [R]."""
    if is_empty(labels):
        return scores[:, 0]
    return F.cross_entropy(scores, labels, reduction="none")
