"""Label co-tuning: let the classes of the pretraining teach the classes of the new dataset."""

from __future__ import annotations

from dataclasses import dataclass

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import Normal

from maskrcnn_edu.model.backbone import Res5Head
from maskrcnn_edu.model.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.model.checks import Checked, Count, NotNegative, checked
from maskrcnn_edu.model.ops.empty import apply_nonempty, cat, is_empty
from maskrcnn_edu.structures import BBoxOutput, RoISamples


@dataclass(frozen=True)
class COTLoss(Checked):
    """Cross-entropy between the old classes' scores and what the new label says about them::

        cot_lambda / F * sum over foreground RoIs, over old classes k, of
            -cot_relation[label, k] * log(softmax(cot_scale * scores)[k])

    Args:
        num_classes: C, classes of the new dataset.
        cot_scale: factor of the scores, before the softmax.
        cot_lambda: factor of the loss.

    Source: You et al., Co-Tuning for Transfer Learning, 2020; document, "BBox Head"
    (``use_cot``, ``loss_cot``).
    """

    num_classes: Count = 80
    cot_scale: NotNegative = 1.0
    cot_lambda: NotNegative = 1.0

    def __call__(self, scores: Tensor, labels: Tensor, cot_relation: Tensor) -> Tensor:
        """The loss of the foreground RoIs.

        Args:
            scores: [R, old classes + 1] logits, background last.
            labels: [R] int64, 0 .. C-1, C for background, -1 for "not trained on".
            cot_relation: [C, old classes], how much of every old class is in a new one.

        Returns:
            A scalar; 0 without foreground.
        """
        is_foreground = paddle.logical_and(labels >= 0, labels < self.num_classes)
        rows = paddle.nonzero(is_foreground).flatten()
        if is_empty(rows):
            return paddle.zeros([])
        log_probs = F.log_softmax(scores[rows][:, :-1] * self.cot_scale)  # [F, old classes]
        loss = -(cot_relation[labels[rows]] * log_probs).sum()
        return self.cot_lambda * loss / rows.shape[0]


class COTBBoxHead(BBoxHead):
    """A box head that also keeps the classes of the pretraining, and learns from them.

    ``bbox_score`` is the pretraining's classifier, ``cot_bbox_score`` the new one; the
    relation between their classes turns a new label into a target for the old classifier.

    Args:
        cot_classes: the pretraining's classes, without background.
        loss_cot: the loss of the old classes.
        others: as in `BBoxHead`.

    Source: You et al., Co-Tuning for Transfer Learning, 2020; document, "BBox Head"
    (``use_cot``).
    """

    @checked
    def __init__(
        self,
        head: Res5Head | TwoFCHead,
        in_channel: int,
        cot_classes: Count = 80,
        loss_cot: COTLoss | None = None,
        **others,
    ):
        super().__init__(head, in_channel, **others)
        self.cot_bbox_score = self.bbox_score
        small = ParamAttr(initializer=Normal(0.0, 0.01))
        self.bbox_score = nn.Linear(in_channel, cot_classes + 1, weight_attr=small)
        self.cot_classes = cot_classes
        self.loss_cot = loss_cot or COTLoss(num_classes=self.num_classes)
        self.register_buffer("cot_relation", None, persistable=False)

    def init_cot_head(self, relationship: Tensor) -> None:
        """Say how much of every old class is in each new one.

        Args:
            relationship: [C, old classes], see `class_relationship`.

        Raises:
            ValueError: another shape.
        """
        expected = [self.num_classes, self.cot_classes]
        if list(relationship.shape) != expected:
            raise ValueError(f"the relation must be {expected}, got {list(relationship.shape)}")
        self.cot_relation = relationship

    def forward(self, roi_feat: Tensor) -> BBoxOutput:
        """RoI features -> scores of new [sum R, C + 1] and old classes, deltas [sum R, C, 4]."""
        roi_feat = self.pooled(roi_feat)
        return BBoxOutput(
            scores=apply_nonempty(self.cot_bbox_score, roi_feat),
            deltas=apply_nonempty(self._deltas, roi_feat),
            cot_scores=apply_nonempty(self.bbox_score, roi_feat),
        )

    def get_loss(self, out: BBoxOutput, samples: list[RoISamples]) -> dict[str, Tensor]:
        """`BBoxHead.get_loss`, and once the relation is known ``loss_bbox_cls_cot``, a scalar."""
        losses = super().get_loss(out, samples)
        if self.cot_relation is not None:
            labels = cat([s.target_labels for s in samples])
            losses["loss_bbox_cls_cot"] = self.loss_cot(out.cot_scores, labels, self.cot_relation)
        return losses


@paddle.no_grad()
def class_relationship(cot_scores: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """How much of every old class is in each new one, from what the old classifier says.

    Args:
        cot_scores: [R, old classes + 1] logits for annotated boxes, background last.
        labels: [R] int64, their new classes.
        num_classes: C, new classes.

    Returns:
        [C, old classes]; each row is the mean answer for one new class, and adds up to 1.
        A class without a box gets the mean of all.

    Source: You et al., 2020, section 3.2 (the direct approach).
    """
    probs = F.softmax(cot_scores[:, :-1])  # an annotated box is no background
    rows = []
    for label in range(num_classes):
        own = paddle.nonzero(labels == label).flatten()
        rows.append((probs if is_empty(own) else paddle.gather(probs, own)).mean(axis=0))
    return paddle.stack(rows)
