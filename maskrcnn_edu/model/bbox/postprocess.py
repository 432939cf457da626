"""BBoxPostProcess: from scores and deltas to the final boxes, best hundred, no copies."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from maskrcnn_edu.model.boxes import clip_bbox, delta2bbox, nms_sorted, nonempty_bbox
from maskrcnn_edu.model.checks import AtMost1, Checked, Count, CountOrAll, FourFactors, ShareAbove0
from maskrcnn_edu.model.ops.empty import cat, gather_pairs, is_empty
from maskrcnn_edu.structures import BBoxOutput, Detections, Proposals


@dataclass(frozen=True)
class RCNNBox(Checked):
    """Decodes deltas on the RoIs, for every class, and clips to the image.

    Args:
        prior_box_var: the head's ``bbox_weight``.
        num_classes: C.

    Source: document, "BBoxPostProcess" (decode).
    """

    prior_box_var: FourFactors = (10.0, 10.0, 5.0, 5.0)
    num_classes: Count = 80

    def __call__(self, deltas: Tensor, boxes: Tensor, im_shape: Tensor) -> Tensor:
        """Decode the RoIs of one image.

        Args:
            deltas: [R, C, 4], or [R, 1, 4] if class-agnostic.
            boxes: [R, 4] RoIs, input frame.
            im_shape: [2] height and width, input frame.

        Returns:
            [R, C, 4] boxes, input frame.
        """
        decoded = clip_bbox(delta2bbox(deltas, boxes, self.prior_box_var), im_shape)
        if is_empty(boxes):
            return paddle.zeros([0, self.num_classes, 4])
        return decoded.expand([boxes.shape[0], self.num_classes, 4])


@dataclass(frozen=True)
class MultiClassNMS(Checked):
    """Suppression within every class, then the best boxes of all classes.

    Args:
        score_threshold: boxes with a score at or below this go first.
        nms_top_k: boxes of a class that enter suppression; -1 for all.
        keep_top_k: boxes that stay, of all classes together; -1 for all.
        nms_threshold: IoU above which the lower-scored of two boxes goes.
        nms_eta: below 1, adaptive suppression (see `maskrcnn_edu.model.boxes.nms`).

    Source: Fast R-CNN paper, section 3; document, "BBoxPostProcess" (nms).
    """

    score_threshold: AtMost1 = 0.05  # below 0: every box, whatever its score
    nms_top_k: CountOrAll = -1
    keep_top_k: CountOrAll = 100
    nms_threshold: ShareAbove0 = 0.5
    nms_eta: ShareAbove0 = 1.0

    def __call__(self, boxes: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Choose among boxes [R, C, 4] with probabilities [R, C] of one image.

        Returns:
            RoI rows and class labels of the chosen boxes, both [D] int64, ordered by
            class, then by RoI.
        """
        none = paddle.zeros([0], dtype="int64")
        if is_empty(boxes):
            return none, none
        on_host = scores.numpy()  # the host waits once, not for every class
        classes = np.flatnonzero((on_host > self.score_threshold).any(axis=0)).tolist()
        chosen = [self._one_class(boxes[:, c], on_host[:, c]) for c in classes]
        rows = cat([none, *chosen])
        labels = cat([none, *(paddle.full_like(r, c) for r, c in zip(chosen, classes))])
        if 0 <= self.keep_top_k < rows.shape[0]:
            best = paddle.topk(gather_pairs(scores, rows, labels), self.keep_top_k)[1]
            rows, labels = rows[best], labels[best]
        order = paddle.argsort(labels * scores.shape[0] + rows)
        return rows[order], labels[order]

    def _one_class(self, boxes: Tensor, scores: np.ndarray) -> Tensor:
        """The RoI rows [d] that survive in one class: boxes [R, 4], scores [R]."""
        rows = np.flatnonzero(scores > self.score_threshold)
        # of equal scores, the first one first
        best_first = rows[np.argsort(-scores[rows], kind="stable")]
        if self.nms_top_k > 0:
            best_first = best_first[: self.nms_top_k]
        rows = paddle.to_tensor(best_first)
        keep = nms_sorted(paddle.gather(boxes, rows), self.nms_threshold, self.nms_eta)
        return paddle.gather(rows, keep)


@dataclass(frozen=True)
class BBoxPostProcess:
    """Probabilities, decoded boxes, suppression: the detections of one image.

    Args:
        num_classes: C.
        decode: turns deltas into boxes.
        nms: chooses among them.

    Source: document, "BBoxPostProcess".
    """

    num_classes: int = 80
    decode: RCNNBox = field(default_factory=RCNNBox)
    nms: MultiClassNMS = field(default_factory=MultiClassNMS)

    @paddle.no_grad()
    def __call__(self, out: BBoxOutput, proposals: Proposals, im_shape: Tensor) -> Detections:
        """The detections of one image, input frame, without masks.

        Args:
            out: what the box head predicts for this image's proposals.
            proposals: the RoIs.
            im_shape: [2] height and width, input frame.
        """
        probs = F.softmax(out.scores)[:, : self.num_classes]  # without background
        boxes = self.decode(out.deltas, proposals.boxes, im_shape)  # [R, C, 4]
        rows, labels = self.nms(boxes, probs)
        chosen = gather_pairs(boxes, rows, labels)  # [D, 4]
        inside = paddle.nonzero(nonempty_bbox(chosen)).flatten()  # clipping may leave nothing
        rows, labels = rows[inside], labels[inside]
        return Detections(
            boxes=chosen[inside],
            labels=labels,
            scores=gather_pairs(probs, rows, labels),
            roi_index=rows,
        )


def image_size(im_shape: Tensor, scale_factor: Tensor) -> tuple[int, int]:
    """Height and width of the file, in pixels: ``im_shape`` [2] / ``scale_factor`` [2]."""
    height, width = paddle.floor(im_shape / scale_factor + 0.5).tolist()
    return int(height), int(width)


@paddle.no_grad()
def boxes_to_image_frame(boxes: Tensor, im_shape: Tensor, scale_factor: Tensor) -> Tensor:
    """Boxes [D, 4] of the input frame in the image frame, clipped.

    ``im_shape`` is [2] (height, width) of the input, ``scale_factor`` [2] (y, x).
    """
    if is_empty(boxes):
        return boxes
    in_image = boxes / scale_factor.flip(0).tile([2])
    return clip_bbox(in_image, paddle.floor(im_shape / scale_factor + 0.5))
