"""Losses and gradients of several processes that train as one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
import paddle.distributed as dist
from paddle import Tensor

from maskrcnn_edu.structures import TrainingStages
from maskrcnn_edu.system.processes import world_size

# ---------------------------------------------------------------- what is shared


def loss_counts(stages: TrainingStages) -> dict[str, int]:
    """How many things each loss of a training step is a mean over: images, or RoIs.

    Shapes alone are read, so the device is not waited for.
    """
    images = len(stages.batch)  # the RPN asks for as many anchors in each
    rois = sum(len(s) for s in stages.samples)
    foreground = sum(len(t) for t in stages.mask_targets)
    counts = {
        "loss_rpn_cls": images,
        "loss_rpn_reg": images,
        "loss_bbox_cls": rois,
        "loss_bbox_reg": rois,
        "loss_bbox_cls_cot": foreground,
        "loss_mask": foreground,
    }
    return {name: counts[name] for name in stages.losses}


@paddle.no_grad()
def loss_weights(counts: dict[str, int]) -> dict[str, Tensor]:
    """Factors that make a mean of the processes' losses the mean over the whole batch.

    A loss is a mean over things that the processes have differently many of, so the plain
    mean of their losses would count a RoI in a poor process for more than one in a rich one.

    Args:
        counts: how many things each of this process's losses is a mean over.

    Returns:
        Scalars on the device: own count / mean count. One message; nobody waits for it.
    """
    own = paddle.to_tensor(list(counts.values()), dtype="float32")
    everywhere = own.clone()
    dist.all_reduce(everywhere)
    weights = own * world_size() / everywhere.clip(min=1.0)
    return dict(zip(counts, weights.unbind(0)))


def balanced_loss(stages: TrainingStages) -> Tensor:
    """The loss whose gradients, averaged over all processes, are the whole batch's; a scalar.

    With one process the sum of the losses as it is.
    """
    if world_size() == 1:
        return stages.loss
    weights = loss_weights(loss_counts(stages))
    return sum(loss * weights[name] for name, loss in stages.losses.items())


@paddle.no_grad()
def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Replace every gradient by its mean over all processes (in place, in float32).

    Every parameter must have one (`maskrcnn_edu.training.freezing.fill_gradients`).
    """
    if world_size() == 1:
        return
    # one long message instead of a hundred short ones
    grads = [p.grad for p in parameters]
    flat = paddle.concat([g.flatten() for g in grads])
    dist.all_reduce(flat)
    means = (flat / world_size()).split([math.prod(g.shape) for g in grads])
    for grad, mean in zip(grads, means):
        # on the device; set_value goes by the host
        paddle.assign(mean.reshape(grad.shape), grad)
