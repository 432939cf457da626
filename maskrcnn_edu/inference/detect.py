"""Detections whose masks are still small."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import paddle
from paddle import Tensor

from maskrcnn_edu.model.bbox.postprocess import boxes_in_image, original_shape
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch, BitMask, Detections


@dataclass(frozen=True)
class Unpasted:
    """What was found in one image, before masks of the image's size are made.

    Attributes:
        detections: in the image frame, without masks.
        mask_probs: [D, M, M] over their boxes.
        size: the image's height and width, in pixels.
    """

    detections: Detections
    mask_probs: Tensor
    size: tuple[int, int]

    def masks(self, model: MaskRCNN) -> Iterator[BitMask]:
        """Mask after mask, each in the memory of its box (``model`` is the one that found it)."""
        boxes = self.detections.boxes
        return model.mask_post_process.within_boxes(self.mask_probs, boxes, *self.size)


@paddle.no_grad()
def unpasted(model: MaskRCNN, batch: Batch) -> list[Unpasted]:
    """Predict a batch of images of any size, without pasting masks (in prediction mode)."""
    # the model pastes masks at the size of the file: let it believe in files of one pixel
    stages = model(replace(batch, scale_factor=batch.im_shape))
    answers = []
    for found, probs, *place in zip(
        stages.found, stages.mask_probs, batch.im_shape, batch.scale_factor
    ):
        in_image = replace(found, boxes=boxes_in_image(found.boxes, *place))
        answers.append(Unpasted(in_image, probs, original_shape(*place)))
    return answers
