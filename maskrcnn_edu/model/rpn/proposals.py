"""ProposalGenerator: from scored anchors to a short list of places worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import Tensor

from maskrcnn_edu.model.boxes import clip_bbox, delta2bbox, exact_exp, nms_ranked
from maskrcnn_edu.model.ops.empty import join
from maskrcnn_edu.structures import Proposals

SMALLEST_SIDE = 1.0


@dataclass(frozen=True)
class ProposalGenerator:
    """Best anchors, decoded, clipped, without slivers, without near copies.

    Every level keeps its best anchors; non-maximum suppression runs within a level;
    then the levels are joined.

    Args:
        pre_nms_top_n: anchors that each level keeps before suppression.
        post_nms_top_n: proposals kept of each level (unless ``topk_after_collect``)
            and of all levels together.
        nms_thresh: IoU above which the lower-scored of two proposals goes.
        min_size: shortest side of a proposal, input pixels; below 1 it acts as 1.
        eta: below 1, adaptive suppression (see `maskrcnn_edu.model.boxes.nms`).
        topk_after_collect: do not limit the number of each level, only that of all
            levels together (with one level, ``post_nms_top_n`` then has no effect).

    Source: Faster R-CNN paper, section 3.3; document, "_gen_proposal".
    """

    pre_nms_top_n: int = 12000
    post_nms_top_n: int = 2000
    nms_thresh: float = 0.5
    min_size: float = 0.1
    eta: float = 1.0
    topk_after_collect: bool = False

    def __post_init__(self):
        for name in ("pre_nms_top_n", "post_nms_top_n"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("nms_thresh", "eta"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")

    @paddle.no_grad()
    def __call__(
        self,
        scores: Tensor,
        deltas: Tensor,
        anchors: Tensor,
        im_shape: Tensor,
        level_sizes: Sequence[int],
    ) -> Proposals:
        """Proposals of one image.

        Args:
            scores: [A] logits.
            deltas: [A, 4].
            anchors: [A, 4], input frame.
            im_shape: [2] height and width of the image without padding.
            level_sizes: how many of the A anchors each level has.

        Returns:
            Proposals, best first within a level. Zero rows if nothing survives.
        """
        best = self._best_of_levels(scores, level_sizes)
        index = paddle.concat(best)
        # to the last bit, because a bit can decide which of two boxes suppression keeps
        boxes = delta2bbox(
            paddle.gather(deltas, index), paddle.gather(anchors, index), exp=exact_exp
        )
        boxes = clip_bbox(boxes.squeeze(1), im_shape)  # [k, 1, 4] -> [k, 4]
        ranked = Proposals(boxes, paddle.gather(scores, index), index)
        large = self._large_enough(boxes).numpy()  # the host waits once, not for every level
        levels, start = [], 0
        for count in (len(b) for b in best):
            rows = np.flatnonzero(large[start : start + count]) + start
            levels.append(self._thin_out(boxes, paddle.to_tensor(rows)))
            start += count
        rows = levels[0] if len(levels) == 1 else self._join(levels, ranked.scores)
        return _select(ranked, rows)

    def _best_of_levels(self, scores: Tensor, level_sizes: Sequence[int]) -> list[Tensor]:
        """The anchors of every level with the highest scores, best first."""
        best, start = [], 0
        for size in level_sizes:
            level = scores[start : start + size]
            best.append(paddle.topk(level, min(self.pre_nms_top_n, size))[1] + start)
            start += size
        return best

    def _thin_out(self, boxes: Tensor, rows: Tensor) -> Tensor:
        """Those rows of one level, best first, that are no near copies of better ones."""
        limit = self.pre_nms_top_n if self.topk_after_collect else self.post_nms_top_n
        kept = nms_ranked(paddle.gather(boxes, rows), self.nms_thresh, self.eta)
        return paddle.gather(rows, kept[:limit])

    def _large_enough(self, boxes: Tensor) -> Tensor:
        """[R] bool; PaddleDetection's operator lets no ``min_size`` below one pixel pass."""
        x1, y1, x2, y2 = boxes.unbind(1)
        shorter = paddle.minimum(x2 - x1, y2 - y1)
        return shorter >= max(self.min_size, SMALLEST_SIDE)

    def _join(self, levels: list[Tensor], scores: Tensor) -> Tensor:
        """All levels' rows; only the best ``post_nms_top_n`` if there are more."""
        rows = join(levels)
        if len(rows) <= self.post_nms_top_n:
            return rows
        best = paddle.topk(paddle.gather(scores, rows), self.post_nms_top_n)[1]
        return paddle.gather(rows, best)


def _select(proposals: Proposals, rows: Tensor) -> Proposals:
    """The given rows of all three fields."""
    return Proposals(
        paddle.gather(proposals.boxes, rows),
        paddle.gather(proposals.scores, rows),
        paddle.gather(proposals.anchor_index, rows),
    )
