"""Stopwatch: where the seconds of a step go."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import paddle

from maskrcnn_edu.model import mask_rcnn
from maskrcnn_edu.model.mask_rcnn import MaskRCNN

STAGES = {
    "data": "data: decode, transform, collate",
    "backbone": "backbone",
    "neck": "neck",
    "rpn_head": "RPN head",
    "proposals": "proposals and NMS",
    "rpn_target_assign": "RPN target assignment",
    "bbox_assigner": "RoI sampling",
    "roi_align": "RoIAlign",
    "bbox_head": "box head",
    "bbox_post_process": "post-process of boxes",
    "mask_assigner": "mask targets",
    "mask_head": "mask head",
    "mask_post_process": "pasting of masks",
    "losses": "losses",
    "backward": "backward",
    "optimizer": "optimizer",
    "rest": "rest",
}
"""The model's name of every stage, and how a table calls it; in the order of the work."""

NETWORK = ("backbone", "neck", "rpn_head", "bbox_head", "mask_head", "backward", "optimizer")
"""Stages that are convolutions and products, or follow from them."""

NON_NETWORK = (
    "data", "proposals", "rpn_target_assign", "bbox_assigner", "bbox_post_process",
    "mask_assigner", "mask_post_process",
)  # fmt: skip
"""Stages before, between and after the networks: those that only move boxes and pixels."""


def now() -> float:
    """The time in seconds, after a GPU has done all that it was asked to do."""
    if paddle.get_device() != "cpu":  # the CPU computes before it returns
        paddle.device.synchronize()
    return time.perf_counter()


class Stopwatch:
    """Adds up the seconds of every stage; a stage within a stage stops the outer one.

    So every moment belongs to one stage, and the stages add up to the whole.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._running: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens within the block is time of this stage."""
        self._record()
        self._running.append(name)
        try:
            yield
        finally:
            self._record()
            self._running.pop()

    def _record(self) -> None:
        """Give the time since the last change to the stage that is running."""
        moment = now()
        if self._running:
            name = self._running[-1]
            self.seconds[name] = self.seconds.get(name, 0.0) + moment - self._since
        self._since = moment


@contextmanager
def watched(model: MaskRCNN, watch: Stopwatch) -> Iterator[None]:
    """Within the block the stopwatch times the model's stages.

    The stages are those that `maskrcnn_edu.model.mask_rcnn.stage` names for Paddle's profiler, and
    RoIAlign, which runs within the box head's and the mask head's.
    """
    with ExitStack() as stack:
        stack.callback(setattr, mask_rcnn, "stage", mask_rcnn.stage)
        mask_rcnn.stage = watch.stage
        for extractor in (model.bbox_head.roi_extractor, model.mask_head.roi_extractor):
            stack.callback(delattr, extractor, "forward")  # the class's own is seen again
            extractor.forward = _timed(extractor.forward, watch)
        yield


def _timed(forward: Callable, watch: Stopwatch) -> Callable:
    @functools.wraps(forward)
    def call(*arguments):
        with watch.stage("roi_align"):
            return forward(*arguments)

    return call
