"""Label co-tuning: let the classes of the pretraining teach the classes of the new dataset."""

from __future__ import annotations

from dataclasses import dataclass

import paddle
import paddle.nn.functional as F
from paddle import Tensor

from maskrcnn_edu.rows import has_rows


@dataclass(frozen=True)
class COTLoss:
    """Cross-entropy between the old classes' scores and what the new label says about them.

    Args:
        num_classes: C, classes of the new dataset.
        cot_scale: factor of the scores, before the softmax.
        cot_lambda: factor of the loss.

    Source: You et al., Co-Tuning for Transfer Learning, 2020; document, "BBox Head"
    (``use_cot``, ``loss_cot``).
    """

    num_classes: int = 80
    cot_scale: float = 1.0
    cot_lambda: float = 1.0

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
        if not has_rows(rows):
            return paddle.zeros([])
        log_probs = F.log_softmax(scores[rows][:, :-1] * self.cot_scale)  # [F, old classes]
        loss = -(cot_relation[labels[rows]] * log_probs).sum()
        return self.cot_lambda * loss / rows.shape[0]
