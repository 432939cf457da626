"""RPNHead: is there an object at this anchor, and how should the anchor move to fit it?"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import Normal

from maskrcnn_edu.model.boxes import delta2bbox
from maskrcnn_edu.model.losses import GIoULoss, SmoothL1Loss, binary_cross_entropy
from maskrcnn_edu.model.ops.conv import Conv2D
from maskrcnn_edu.model.ops.empty import sum_or_zero, to_float32
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.model.rpn.proposals import ProposalGenerator
from maskrcnn_edu.model.rpn.targets import RPNTargetAssign
from maskrcnn_edu.structures import AnchorTargets, Proposals, RPNOutput


class RPNFeat(nn.Layer):
    """One 3x3 convolution that lets every cell see its neighbours; shared by all levels.

    Args:
        in_channel: channels of every feature level.
        out_channel: channels of the result.

    Source: Faster R-CNN paper, section 3.1; document, "RPNFeat".
    """

    def __init__(self, in_channel: int = 1024, out_channel: int = 1024):
        super().__init__()
        self.rpn_conv = Conv2D(in_channel, out_channel, 3, padding=1, weight_attr=_small_weights())

    def forward(self, feats: list[Tensor]) -> list[Tensor]:
        """L maps [N, in_channel, h, w] -> L maps [N, out_channel, h, w]."""
        return [F.relu(self.rpn_conv(feat)) for feat in feats]


class RPNHead(nn.Layer):
    """Region proposal network: scores and deltas for every anchor, and their losses.

    Args:
        anchor_generator: makes the anchors.
        rpn_target_assign: makes their targets.
        train_proposal: turns scores and deltas into proposals while training.
        test_proposal: the same while predicting.
        in_channel: channels of every feature level.
        loss_rpn_bbox: regression loss; None for the L1 distance of the deltas.

    Source: Faster R-CNN paper, section 3.1; document, "RPN Head".
    """

    def __init__(
        self,
        anchor_generator: AnchorGenerator = AnchorGenerator(),
        rpn_target_assign: RPNTargetAssign = RPNTargetAssign(),
        train_proposal: ProposalGenerator = ProposalGenerator(
            pre_nms_top_n=12000, post_nms_top_n=2000
        ),
        test_proposal: ProposalGenerator = ProposalGenerator(),
        in_channel: int = 1024,
        loss_rpn_bbox: SmoothL1Loss | GIoULoss | None = None,
    ):
        super().__init__()
        self.anchor_generator = anchor_generator
        self.rpn_target_assign = rpn_target_assign
        self.train_proposal = train_proposal
        self.test_proposal = test_proposal
        self.loss_rpn_bbox = loss_rpn_bbox
        k = anchor_generator.num_anchors
        self.rpn_feat = RPNFeat(in_channel, in_channel)
        self.rpn_rois_score = Conv2D(in_channel, k, 1, weight_attr=_small_weights())
        self.rpn_rois_delta = Conv2D(in_channel, 4 * k, 1, weight_attr=_small_weights())

    def forward(self, feats: list[Tensor]) -> RPNOutput:
        """L feature maps [N, c, h, w] -> scores [N, A] and deltas [N, A, 4] of all anchors."""
        rpn_feats = self.rpn_feat(feats)
        anchors = self.anchor_generator([tuple(f.shape[-2:]) for f in rpn_feats])
        return RPNOutput(
            scores=_join_levels([self.rpn_rois_score(f) for f in rpn_feats], 1).squeeze(-1),
            deltas=_join_levels([self.rpn_rois_delta(f) for f in rpn_feats], 4),
            anchors=paddle.concat(anchors),
            level_sizes=[a.shape[0] for a in anchors],
        )

    def propose(
        self, rpn: RPNOutput, im_shape: Tensor, generator: ProposalGenerator
    ) -> list[Proposals]:
        """The proposals of every image.

        Args:
            rpn: scores and deltas of all anchors.
            im_shape: [N, 2] height and width of the images without padding, input frame.
            generator: ``train_proposal`` or ``test_proposal``.
        """
        return [
            generator(scores, deltas, rpn.anchors, shape, rpn.level_sizes)
            for scores, deltas, shape in zip(rpn.scores, rpn.deltas, im_shape)
        ]

    def get_loss(self, rpn: RPNOutput, targets: list[AnchorTargets]) -> dict[str, Tensor]:
        """Loss of the sampled anchors::

            loss_rpn_cls = sum over sampled anchors of BCE(score, target_label) / n
            loss_rpn_reg = sum over positive anchors of |delta - target_delta| / n

        with n = N * ``batch_size_per_im``: the number of anchors that the sampler was asked
        for, not how many there were, so that an image with few objects does not weigh more
        per anchor. BCE is `binary_cross_entropy`; ``loss_rpn_bbox`` may replace ``| |``.

        Args:
            rpn: what the network predicts for the N images.
            targets: one record per image.

        Returns:
            ``loss_rpn_cls`` and ``loss_rpn_reg``, scalars.

        Source: Faster R-CNN paper, equation 1; document, "RPN Head, get_loss".
        """
        target_labels = paddle.concat([t.target_labels for t in targets])  # [N * A]
        target_deltas = paddle.concat([t.target_deltas for t in targets])  # [N * A, 4]
        sampled = paddle.nonzero(target_labels >= 0).flatten()
        positive = paddle.nonzero(target_labels == 1).flatten()
        wanted = target_labels[sampled].cast("float32")
        loss_cls = sum_or_zero(binary_cross_entropy(rpn.scores.flatten()[sampled], wanted))
        loss_reg = self._regression(rpn, target_deltas, positive)
        num_requested = self.rpn_target_assign.batch_size_per_im * len(targets)
        return {"loss_rpn_cls": loss_cls / num_requested, "loss_rpn_reg": loss_reg / num_requested}

    def _regression(self, rpn: RPNOutput, target_deltas: Tensor, positive: Tensor) -> Tensor:
        """Summed regression loss, a scalar, of the positive anchors (rows of [N * A, 4])."""
        pred, target = rpn.deltas.reshape([-1, 4])[positive], target_deltas[positive]
        if self.loss_rpn_bbox is None:
            return sum_or_zero((pred - target).abs())
        if self.loss_rpn_bbox.compares_boxes:  # an overlap of deltas would mean nothing
            anchors = rpn.anchors[positive % rpn.anchors.shape[0]]
            pred, target = delta2bbox(pred, anchors)[:, 0], delta2bbox(target, anchors)[:, 0]
        return sum_or_zero(self.loss_rpn_bbox(pred, target))


def _join_levels(maps: list[Tensor], per_anchor: int) -> Tensor:
    """L maps [N, K * per_anchor, h, w] -> [N, A, per_anchor]; row i belongs to anchor i."""
    # channels last, because anchors are ordered by row, column, anchor of the cell
    last = [to_float32(m).transpose([0, 2, 3, 1]) for m in maps]
    rows = [m.reshape([m.shape[0], -1, per_anchor]) for m in last]
    return paddle.concat(rows, axis=1)


def _small_weights() -> ParamAttr:
    return ParamAttr(initializer=Normal(0.0, 0.01))
