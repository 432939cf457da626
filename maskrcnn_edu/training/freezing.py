"""Freezing parts of a model, and gradients for the weights that a step did not use."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor, nn


def fill_gradients(weights: Sequence[Tensor]) -> None:
    """Give the weights that a step did not use a gradient of zero: they still coast and decay.

    A batch without an object, for instance, gives the mask head no gradient.
    """
    for weight in weights:
        if weight.grad is None:
            weight.grad = paddle.zeros_like(weight)


def freeze(model: nn.Layer, parts: Sequence[str]) -> list[str]:
    """Stop the training of parts of a model: they stay as they are, bit for bit.

    Their weights get no gradient and no weight decay, and their batch norm uses the
    stored statistics instead of the batch's.

    Args:
        model: changed in place.
        parts: beginnings of weights' names, whole words: ``backbone``, ``backbone.res2``.

    Returns:
        The names of what stays as it is: weights, and the statistics of batch norm.

    Raises:
        ValueError: no weight's name begins like that, or no weight is left to train.
    """
    weights = dict(model.named_parameters())
    for part in parts:
        if not any(_belongs(name, [part]) for name in weights):
            known = ", ".join(name for name, _ in model.named_children())
            raise ValueError(
                f"freeze: no weight's name begins with {part}; the model's parts are {known}, "
                f"and their parts, as in {next(iter(weights)).rpartition('.')[0]}"
            )
    frozen = [name for name in weights if _belongs(name, parts)]
    for name in frozen:
        weights[name].stop_gradient = True
    if all(weight.stop_gradient for weight in weights.values()):
        raise ValueError(f"freeze: {', '.join(parts)} leave no weight to train; freeze less")
    for name, layer in model.named_sublayers():
        if _belongs(name, parts) and isinstance(layer, BATCH_NORMS):
            layer.register_forward_pre_hook(_use_stored_statistics)
    return frozen


BATCH_NORMS = (nn.BatchNorm2D, nn.SyncBatchNorm)


def _belongs(name: str, parts: Sequence[str]) -> bool:
    """Whether a name begins with one of the parts."""
    return any(f"{name}.".startswith(f"{part.rstrip('.')}.") for part in parts)


def _use_stored_statistics(layer: nn.Layer, inputs: tuple) -> None:
    """Called before a frozen layer runs: ``model.train()`` means all layers, but not these."""
    layer.training = False
