"""OptimizerBuilder and LearningRate: how the weights move, and how fast.

The learning rate is a function of how far training has come, not an object that
counts: a run that continues after an interruption needs nothing restored.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import paddle
from paddle import nn

from maskrcnn_edu.model.checks import Checked, NotNegative, Positive, Share, Whole, check


@dataclass(frozen=True)
class LearningRate(Checked):
    """Learning rate by step and by progress.

    Args:
        base_lr: the rate that the schedulers scale, for a batch of the configuration's size.
        schedulers: any of
            ``{name: LinearWarmup, steps: 500, start_factor: 0.001}`` (in steps),
            ``{name: PiecewiseDecay, milestones: [8, 11], gamma: 0.1}`` (in epochs of ``epoch``),
            ``{name: CosineDecay, end_factor: 0.0}`` (over the whole training).

    Raises:
        ValueError: an unknown scheduler, or a rate that is not positive.
    """

    base_lr: Positive = 0.01
    schedulers: Sequence[dict] = ()

    def __post_init__(self):
        super().__post_init__()
        self._factors()

    def _factors(self) -> list[Callable[[int, float, float], float]]:
        """What the rate is multiplied by, each a function of step, progress and epochs."""
        return [
            _chosen(f"schedulers.{i}", "name", scheduler, SCHEDULES)
            for i, scheduler in enumerate(self.schedulers)
        ]

    def scaled_for_batch_size(self, new: int, base: int) -> float:
        """``base_lr`` for another batch size: a batch twice as large takes steps twice as long.

        Args:
            new: images per step.
            base: images per step that ``base_lr`` was chosen for.

        Source: Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.1.
        """
        return self.base_lr * new / base

    def at(self, step: int, progress: float, epochs: int = 12) -> float:
        """The rate of one step.

        Args:
            step: steps done so far.
            progress: share of the training that is done, 0 .. 1.
            epochs: the epochs that ``milestones`` count in.
        """
        factors = (factor(step, progress, epochs) for factor in self._factors())
        return math.prod(factors, start=self.base_lr)


def _chosen(place: str, word: str, chosen: dict, known: dict[str, Callable]) -> Any:
    """What the function that ``{word: NAME, option: value}`` names makes of the options.

    Raises:
        ValueError: another name, or an option that the function does not take.
    """
    name, options = chosen.get(word), {k: v for k, v in chosen.items() if k != word}
    if name not in known:
        raise ValueError(f"{place} must be one of {', '.join(known)}, got {name}")
    try:
        inspect.signature(known[name]).bind(**options)
    except TypeError as error:
        raise ValueError(f"{place}: {name}: {error}") from error
    check(known[name], options, f"{place}.")
    return known[name](**options)


def _linear_warmup(*, steps: Whole = 500, start_factor: Share = 0.1):
    """Random heads make huge gradients: begin slowly."""
    return lambda step, _, __: min(1.0, start_factor + (1 - start_factor) * step / max(steps, 1))


def _piecewise_decay(*, milestones: Sequence[float], gamma: Positive = 0.1):
    """A smaller rate from every milestone on."""
    return lambda _, progress, epochs: gamma ** sum(progress * epochs >= m for m in milestones)


def _cosine_decay(*, end_factor: Share = 0.0):
    """From 1 down to ``end_factor`` along half a cosine."""
    span = 0.5 * (1 - end_factor)
    return lambda _, progress, __: end_factor + span * (1 + math.cos(math.pi * min(progress, 1.0)))


SCHEDULES: dict[str, Callable[..., Callable[[int, float, float], float]]] = {
    "LinearWarmup": _linear_warmup,
    "PiecewiseDecay": _piecewise_decay,
    "CosineDecay": _cosine_decay,
}


def _momentum(*, momentum: Share = 0.9, use_nesterov: bool = False):
    return partial(paddle.optimizer.Momentum, momentum=momentum, use_nesterov=use_nesterov)


def _adamw(*, beta1: Share = 0.9, beta2: Share = 0.999, epsilon: Positive = 1e-8):
    return partial(paddle.optimizer.AdamW, beta1=beta1, beta2=beta2, epsilon=epsilon)


def _l2(*, factor: NotNegative) -> float:
    """What is added to a weight's gradient for every 1 that the weight is long."""
    return factor


OPTIMIZERS: dict[str, Callable] = {"Momentum": _momentum, "AdamW": _adamw}
REGULARIZERS: dict[str, Callable] = {"L2": _l2}


@dataclass(frozen=True)
class OptimizerBuilder(Checked):
    """Momentum SGD or AdamW, with weight decay and a limit on the gradient.

    Args:
        optimizer: ``{type: Momentum, momentum: 0.9}`` or ``{type: AdamW}``.
        regularizer: ``{type: L2, factor: 0.0001}``; for AdamW the decoupled decay.
        clip_grad_by_norm: longest gradient, over all weights together; None for no limit.

    Raises:
        ValueError: another type of optimizer or regularizer.
    """

    optimizer: dict = field(default_factory=lambda: {"type": "Momentum", "momentum": 0.9})
    regularizer: dict | None = field(default_factory=lambda: {"type": "L2", "factor": 0.0001})
    clip_grad_by_norm: Positive | None = None

    def __post_init__(self):
        super().__post_init__()
        self._parts()

    def _parts(self) -> tuple[Callable, float]:
        """What makes the optimizer, and the decay."""
        make, decay = _chosen("optimizer", "type", self.optimizer, OPTIMIZERS), 0.0
        if self.regularizer is not None:
            decay = _chosen("regularizer", "type", self.regularizer, REGULARIZERS)
        return make, decay

    def __call__(self, model: nn.Layer, learning_rate: float) -> paddle.optimizer.Optimizer:
        """An optimizer of the model's trainable weights."""
        make, decay = self._parts()
        limit = self.clip_grad_by_norm
        return make(
            learning_rate=learning_rate,
            parameters=[p for p in model.parameters() if not p.stop_gradient],
            weight_decay=decay,
            grad_clip=None if limit is None else nn.ClipGradByGlobalNorm(limit),
        )
