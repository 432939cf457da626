"""MaskHead: for every RoI and class, which cells belong to the object."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import KaimingNormal

from maskrcnn_edu.model.backbone import make_conv
from maskrcnn_edu.model.checks import Count, Whole, checked
from maskrcnn_edu.model.losses import binary_cross_entropy
from maskrcnn_edu.model.mask.targets import MaskAssigner
from maskrcnn_edu.model.ops.conv import Conv2D, Conv2DTranspose
from maskrcnn_edu.model.ops.empty import apply_nonempty, cat, gather_pairs, is_empty
from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.structures import MaskTargets


class MaskFeat(nn.Layer):
    """3x3 convolutions, then one transposed convolution that doubles the size.

    Args:
        in_channel: channels of the RoI feature.
        out_channel: channels of the result.
        num_convs: number of 3x3 convolutions (0 for C4, 4 for FPN).
        norm_type: None, or ``bn``, ``sync_bn``, ``gn`` after every 3x3 convolution.

    Source: Mask R-CNN paper, figure 4; document, "MaskFeat".
    """

    @checked
    def __init__(
        self,
        in_channel: int = 256,
        out_channel: Count = 256,
        num_convs: Whole = 4,
        norm_type: str | None = None,
    ):
        super().__init__()
        self.out_channel = out_channel
        layers = []
        for i in range(num_convs):
            name = f"mask_inter_feat_{i + 1}"
            channels = in_channel if i == 0 else out_channel
            init = KaimingNormal(fan_in=out_channel * 3 * 3)
            layers.append((name, make_conv(channels, out_channel, 3, init, norm_type)))
            layers.append((f"{name}act", nn.ReLU()))
        channels = out_channel if num_convs else in_channel
        attr = ParamAttr(initializer=KaimingNormal(fan_in=out_channel * 2 * 2))
        double = Conv2DTranspose(channels, out_channel, 2, stride=2, weight_attr=attr)
        self.upsample = nn.Sequential(*layers, ("conv5_mask", double), ("conv5_maskact", nn.ReLU()))

    def forward(self, roi_feat: Tensor) -> Tensor:
        """[F, in_channel, r, r] -> [F, out_channel, 2 * r, 2 * r]."""
        return self.upsample(roi_feat)


class MaskHead(nn.Layer):
    """One mask per class for every RoI; the box head decides which one counts.

    Args:
        head: turns RoI features into mask features of twice the size.
        roi_extractor: cuts the RoI features out (unused with ``share_bbox_feat``).
        mask_assigner: makes the mask targets.
        num_classes: C.
        share_bbox_feat: start from the box head's feature instead of an own cut-out.

    Source: Mask R-CNN paper, section 3; document, "Mask Head".
    """

    @checked
    def __init__(
        self,
        head: MaskFeat,
        roi_extractor: RoIAlign | None = None,
        mask_assigner: MaskAssigner | None = None,
        num_classes: Count = 80,
        share_bbox_feat: bool = False,
    ):
        super().__init__()
        self.head = head
        self.roi_extractor = roi_extractor or RoIAlign()
        self.mask_assigner = mask_assigner or MaskAssigner(num_classes=num_classes)
        self.num_classes = num_classes
        self.share_bbox_feat = share_bbox_feat
        attr = ParamAttr(initializer=KaimingNormal(fan_in=head.out_channel))
        self.mask_fcn_logits = Conv2D(head.out_channel, num_classes, 1, weight_attr=attr)

    def forward(self, roi_feat: Tensor) -> Tensor:
        """RoI features [F, c, r, r] -> logits [F, C, M, M], M = 2 * r."""
        return apply_nonempty(self._logits, roi_feat)

    def _logits(self, roi_feat: Tensor) -> Tensor:
        """`forward` of one RoI [1, c, r, r] or more."""
        return self.mask_fcn_logits(self.head(roi_feat))

    def get_loss(self, mask_logits: Tensor, targets: list[MaskTargets]) -> dict[str, Tensor]:
        """Binary cross-entropy on the own class's mask, averaged over all cells::

            loss_mask = mean over F RoIs and M * M cells of BCE(logit[class, y, x], target[y, x])

        BCE is `binary_cross_entropy`. The other classes' masks get no gradient: classes do not
        compete here.

        Args:
            mask_logits: [sum F, C, M, M], image after image.
            targets: one record per image.

        Returns:
            ``loss_mask``, a scalar; 0 without foreground.

        Source: Mask R-CNN paper, section 3 (the loss on masks).
        """
        if is_empty(mask_logits):  # the mean of nothing is no number
            return {"loss_mask": paddle.zeros([])}
        labels = cat([t.target_labels for t in targets])  # [sum F]
        masks = cat([t.target_masks for t in targets])  # [sum F, M, M]
        own = select_class(mask_logits, labels)
        return {"loss_mask": binary_cross_entropy(own, masks).mean()}

    @paddle.no_grad()
    def get_prediction(self, mask_logits: Tensor, labels: Tensor) -> Tensor:
        """Probabilities [D, M, M] of the class that each detection was given."""
        return F.sigmoid(select_class(mask_logits, labels))


def select_class(mask_logits: Tensor, labels: Tensor) -> Tensor:
    """[F, C, M, M] and labels [F] -> [F, M, M]: each RoI's mask for its own class."""
    return gather_pairs(mask_logits, paddle.arange(labels.shape[0]), labels)
