"""The lower limit of a step: the networks alone, on the inputs that they had in a real one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import paddle
from paddle import Tensor, nn

from benchmarks.stopwatch import now
from maskrcnn_edu.model.mask_rcnn import MaskRCNN

Maps = Tensor | list[Tensor]


@dataclass(frozen=True)
class Call:
    """One use of a network: who was called, with what."""

    network: nn.Layer
    inputs: Maps


def networks(model: MaskRCNN) -> list[nn.Layer]:
    """The parts that are convolutions and products, none within another."""
    rpn, box, mask = model.rpn_head, model.bbox_head, model.mask_head
    parts = [
        model.backbone, model.neck,
        rpn.rpn_feat, rpn.rpn_rois_score, rpn.rpn_rois_delta,
        box.head, box.bbox_score, box.bbox_delta,
        mask.head, mask.mask_fcn_logits,
    ]  # fmt: skip
    return [part for part in parts if part is not None]


def record_calls(model: MaskRCNN, run: Callable[[], object]) -> list[Call]:
    """Every use of a network while ``run()`` runs, with copies of the inputs' values."""
    calls: list[Call] = []

    def record(network: nn.Layer, inputs: tuple) -> None:
        calls.append(Call(network, _detached(inputs[0])))

    with ExitStack() as stack:
        for network in networks(model):
            stack.callback(network.register_forward_pre_hook(record).remove)
        run()
    return calls


def _detached(inputs: Maps) -> Maps:
    """The same values without history; who had a gradient gets one again."""
    if isinstance(inputs, (list, tuple)):
        return [_detached(x) for x in inputs]
    copy = inputs.detach()
    copy.stop_gradient = inputs.stop_gradient
    return copy


def run_networks(calls: list[Call], backward: bool) -> float:
    """Seconds of the networks alone: forward, and backward if asked for."""
    started = now()
    for call in calls:
        output = call.network(call.inputs)
        outputs = output if isinstance(output, (list, tuple)) else [output]
        learning = [x for x in outputs if not x.stop_gradient]
        if backward and learning:
            paddle.autograd.backward(learning)
    return now() - started
