"""ProposalGenerator: from scored anchors to a short list of places worth a look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import paddle
from paddle import Tensor

from maskrcnn_edu.model.boxes import clip_bbox, delta2bbox, exp_float64, nms_sorted
from maskrcnn_edu.model.checks import Checked, Count, NotNegative, ShareAbove0
from maskrcnn_edu.model.ops.empty import cat
from maskrcnn_edu.structures import Proposals, ProposalSteps

SMALLEST_SIDE = 1.0


@dataclass(frozen=True)
class ProposalGenerator(Checked):
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

    pre_nms_top_n: Count = 12000
    post_nms_top_n: Count = 2000
    nms_thresh: ShareAbove0 = 0.5
    min_size: NotNegative = 0.1
    eta: ShareAbove0 = 1.0
    topk_after_collect: bool = False

    def __call__(self, *inputs: Tensor | Sequence[int]) -> Proposals:
        """Proposals [R, 4] of one image, best first within a level; zero rows if nothing
        survives. Takes what `steps` takes.
        """
        return self.steps(*inputs).proposals

    @paddle.no_grad()
    def steps(
        self,
        scores: Tensor,
        deltas: Tensor,
        anchors: Tensor,
        im_shape: Tensor,
        level_sizes: Sequence[int],
    ) -> ProposalSteps:
        """The proposals of one image, with what every step left of its anchors.

        Args:
            scores: [A] logits.
            deltas: [A, 4].
            anchors: [A, 4], input frame.
            im_shape: [2] height and width of the image without padding.
            level_sizes: how many of the A anchors each level has.
        """
        best = self._pre_nms_topk(scores, level_sizes)
        index = paddle.concat(best)  # [k], and so many rows from here on
        scores, deltas, anchors = (paddle.gather(x, index) for x in (scores, deltas, anchors))
        # to the last bit, because a bit can decide which of two boxes suppression keeps
        boxes = delta2bbox(deltas, anchors, exp=exp_float64).squeeze(1)  # [k, 1, 4] -> [k, 4]
        boxes = clip_bbox(boxes, im_shape)
        large = self._large_rows(boxes, [len(level) for level in best])
        survivors = [self._nms_level(boxes, rows) for rows in large]
        kept = [rows[: self.level_limit] for rows in survivors]
        rows = kept[0] if len(kept) == 1 else self._post_nms_topk(kept, scores)
        return ProposalSteps(
            best=best,
            large=large,
            survivors=survivors,
            kept=kept,
            proposals=Proposals(*(paddle.gather(x, rows) for x in (boxes, scores, index))),
        )

    def _pre_nms_topk(self, scores: Tensor, level_sizes: Sequence[int]) -> list[Tensor]:
        """The anchors of every level with the highest scores [A], best first: L tensors."""
        best, start = [], 0
        for size in level_sizes:
            level = scores[start : start + size]
            best.append(paddle.topk(level, min(self.pre_nms_top_n, size))[1] + start)
            start += size
        return best

    def _large_rows(self, boxes: Tensor, level_sizes: Sequence[int]) -> list[Tensor]:
        """The rows of boxes [k, 4] that are large enough, level by level: L tensors."""
        x1, y1, x2, y2 = boxes.unbind(1)
        # PaddleDetection's operator lets no ``min_size`` below one pixel pass
        is_large = paddle.minimum(x2 - x1, y2 - y1) >= max(self.min_size, SMALLEST_SIDE)
        is_large = is_large.numpy()  # the host waits once, not for every level
        starts = np.cumsum([0, *level_sizes])
        levels = np.split(is_large, starts[1:-1])
        return [paddle.to_tensor(np.flatnonzero(x) + start) for x, start in zip(levels, starts)]

    def _nms_level(self, boxes: Tensor, rows: Tensor) -> Tensor:
        """Those rows [r] of boxes [k, 4], best first, that are no near copies of better ones."""
        survivors = nms_sorted(paddle.gather(boxes, rows), self.nms_thresh, self.eta)
        return paddle.gather(rows, survivors)

    @property
    def level_limit(self) -> int:
        """How many proposals one level may keep."""
        return self.pre_nms_top_n if self.topk_after_collect else self.post_nms_top_n

    def _post_nms_topk(self, levels: list[Tensor], scores: Tensor) -> Tensor:
        """All levels' rows [r]; only the ``post_nms_top_n`` with the best scores [k] if there
        are more.
        """
        rows = cat(levels)
        if len(rows) <= self.post_nms_top_n:
            return rows
        best = paddle.topk(paddle.gather(scores, rows), self.post_nms_top_n)[1]
        return paddle.gather(rows, best)
