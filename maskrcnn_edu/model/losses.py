"""Yes-or-no loss, and regression losses that can take the place of the plain L1 distance.

The losses of the stages are ``get_loss`` of `RPNHead`, `BBoxHead` and `MaskHead`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from maskrcnn_edu.model.boxes import bbox_area
from maskrcnn_edu.model.checks import Checked, NotNegative, Positive
from maskrcnn_edu.model.ops.empty import is_empty


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """``-t * log(p) - (1 - t) * log(1 - p)`` with ``p = sigmoid(logit)``, element by element.

    Written as ``softplus(logit) - logit * t``, which is the same, with softplus(z) =
    log(1 + exp(z)): the gradient of Paddle 3.3.1's ``binary_cross_entropy_with_logits`` is
    wrong by 1 where a logit is exactly 0, which it is wherever a ReLU lets nothing through.

    Args:
        logits: [...] float32.
        targets: [...] 0 or 1.

    Returns:
        [...], 0 or more.
    """
    return F.softplus(logits) - logits * targets


@dataclass(frozen=True)
class SmoothL1Loss(Checked):
    """Quadratic below ``beta``, linear above: less pull from errors that are small already::

        e ** 2 / (2 * beta)  if e < beta  else  e - beta / 2,   with e = |pred - target|

    Source: Fast R-CNN paper, equation 3.
    """

    compares_boxes: ClassVar[bool] = False
    beta: NotNegative = 1.0
    loss_weight: NotNegative = 1.0

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        """Element by element: deltas [R, 4] and their targets [R, 4] -> [R, 4]."""
        error = (pred - target).abs()
        if self.beta < 1e-5:  # the quadratic part has shrunk to nothing: plain L1
            return error * self.loss_weight
        quadratic = 0.5 * error**2 / self.beta
        loss = paddle.where(error < self.beta, quadratic, error - 0.5 * self.beta)
        return loss * self.loss_weight


@dataclass(frozen=True)
class GIoULoss(Checked):
    """1 - generalized IoU: like IoU, but it still pulls when the boxes do not touch::

        GIoU = IoU - (area(hull) - area(union)) / area(hull)

    with the hull the smallest box that holds both.

    Source: Rezatofighi et al., Generalized Intersection over Union, 2019.
    """

    compares_boxes: ClassVar[bool] = True
    loss_weight: NotNegative = 1.0
    eps: Positive = 1e-10

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        """Row by row: boxes [R, 4] and their targets [R, 4], in any one frame -> [R]."""
        if is_empty(pred):
            return pred[:, 0]
        overlap, union, hull = _compare(pred, target)
        union, hull_area = union + self.eps, hull.prod(axis=1) + self.eps
        giou = overlap / union - (hull_area - union) / hull_area
        return (1 - giou) * self.loss_weight


def _compare(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Areas of overlap and union [R], width and height of the box around both [R, 2]."""
    smallest, largest = paddle.minimum(pred, target), paddle.maximum(pred, target)
    overlap = (smallest[:, 2:] - largest[:, :2]).clip(min=0).prod(axis=1)
    union = bbox_area(pred) + bbox_area(target) - overlap
    return overlap, union, largest[:, 2:] - smallest[:, :2]


@dataclass(frozen=True)
class SIoULoss(Checked):
    """1 - IoU, and what distance and shape cost: the centres move along an axis first::

        1 - IoU + (distance + shape) / 2
        angle    = sin(2 * a) = 2 * |dx| * |dy| / (dx ** 2 + dy ** 2)
        distance = sum over both axes of 1 - exp((angle - 2) * (d / hull) ** 2)
        shape    = sum over both sides of (1 - exp(-|s - t| / max(s, t))) ** theta

    with (dx, dy) from centre to centre, a the angle between that and an axis, hull the sides
    of the smallest box that holds both, s and t the sides of the two boxes.

    Source: Gevorgyan, SIoU Loss, 2022.
    """

    compares_boxes: ClassVar[bool] = True
    loss_weight: NotNegative = 1.0
    eps: Positive = 1e-10
    theta: Positive = 4.0

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        """Row by row: boxes [R, 4] and their targets [R, 4], in any one frame -> [R]."""
        if is_empty(pred):
            return pred[:, 0]
        overlap, union, hull = _compare(pred, target)
        apart = (pred[:, :2] + pred[:, 2:] - target[:, :2] - target[:, 2:]) / 2  # [R, 2]
        angle = 2 * apart.abs().prod(axis=1) / ((apart**2).sum(axis=1) + self.eps)
        distance = 1 - paddle.exp((angle - 2).unsqueeze(1) * (apart / hull) ** 2)
        sides, wanted = pred[:, 2:] - pred[:, :2], target[:, 2:] - target[:, :2]
        change = (sides - wanted).abs() / paddle.maximum(sides, wanted)
        shape = (1 - paddle.exp(-change)) ** self.theta
        cost = (distance + shape).sum(axis=1) / 2
        return (1 - overlap / (union + self.eps) + cost) * self.loss_weight
