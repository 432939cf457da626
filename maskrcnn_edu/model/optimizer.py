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

import paddle
from paddle import nn

from maskrcnn_edu.model.checks import above_zero, at_least, shares


@dataclass(frozen=True)
class LearningRate:
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

    base_lr: float = 0.01
    schedulers: Sequence[dict] = ()

    def __post_init__(self):
        above_zero(base_lr=self.base_lr)
        for i, scheduler in enumerate(self.schedulers):
            name = scheduler.get("name")
            if name not in SCHEDULES:
                raise ValueError(f"schedulers must be named {', '.join(SCHEDULES)}; got {name}")
            options = {k: v for k, v in scheduler.items() if k != "name"}
            _check_options(f"schedulers.{i}", name, SCHEDULES[name], options, given=3)

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
        rate = self.base_lr
        for scheduler in self.schedulers:
            options = {k: v for k, v in scheduler.items() if k != "name"}
            rate *= SCHEDULES[scheduler["name"]](step, progress, epochs, **options)
        return rate


def _check_options(place: str, name: str, function: Callable, options: dict, given: int) -> None:
    """Whether a function takes these options after its first ``given`` arguments, and may."""
    try:
        inspect.signature(function).bind(*range(given), **options)
    except TypeError as error:
        raise ValueError(f"{place}: {name}: {error}") from error
    for option, value in options.items():
        if option in RANGES:
            RANGES[option](**{f"{place}.{option}": value})


def _linear_warmup(step, progress, epochs, *, steps: int = 500, start_factor: float = 0.1) -> float:
    """Random heads make huge gradients: begin slowly."""
    return min(1.0, start_factor + (1 - start_factor) * step / max(steps, 1))


def _piecewise_decay(step, progress, epochs, *, milestones: Sequence[float], gamma: float = 0.1):
    """A smaller rate from every milestone on."""
    return gamma ** sum(progress * epochs >= m for m in milestones)


def _cosine_decay(step, progress, epochs, *, end_factor: float = 0.0) -> float:
    """From 1 down to ``end_factor`` along half a cosine."""
    return end_factor + (1 - end_factor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


SCHEDULES: dict[str, Callable[..., float]] = {
    "LinearWarmup": _linear_warmup,
    "PiecewiseDecay": _piecewise_decay,
    "CosineDecay": _cosine_decay,
}


def _momentum(given, *, momentum: float = 0.9, use_nesterov: bool = False):
    return paddle.optimizer.Momentum(momentum=momentum, use_nesterov=use_nesterov, **given)


def _adamw(given, *, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8):
    return paddle.optimizer.AdamW(beta1=beta1, beta2=beta2, epsilon=epsilon, **given)


def _l2(*, factor: float) -> float:
    """What is added to a weight's gradient for every 1 that the weight is long."""
    return factor


OPTIMIZERS: dict[str, Callable] = {"Momentum": _momentum, "AdamW": _adamw}
REGULARIZERS: dict[str, Callable] = {"L2": _l2}
RANGES: dict[str, Callable[..., None]] = {
    "steps": partial(at_least, 0),
    "start_factor": shares,
    "end_factor": shares,
    "gamma": above_zero,
    "momentum": shares,
    "beta1": shares,
    "beta2": shares,
    "epsilon": above_zero,
    "factor": partial(at_least, 0),
}
"""What options may be, whatever they are an option of."""


@dataclass(frozen=True)
class OptimizerBuilder:
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
    clip_grad_by_norm: float | None = None

    def __post_init__(self):
        for place, known, given in (("optimizer", OPTIMIZERS, 1), ("regularizer", REGULARIZERS, 0)):
            if (chosen := getattr(self, place)) is None:
                continue
            kind, options = _kind_and_options(chosen)
            if kind not in known:
                raise ValueError(f"{place} must be of type {' or '.join(known)}, got {chosen}")
            _check_options(place, kind, known[kind], options, given)
        if self.clip_grad_by_norm is not None:
            above_zero(clip_grad_by_norm=self.clip_grad_by_norm)

    def __call__(self, model: nn.Layer, learning_rate: float) -> paddle.optimizer.Optimizer:
        """An optimizer of the model's trainable weights."""
        limit, decay = self.clip_grad_by_norm, 0.0
        if self.regularizer is not None:
            kind, options = _kind_and_options(self.regularizer)
            decay = REGULARIZERS[kind](**options)
        given = {
            "learning_rate": learning_rate,
            "parameters": [p for p in model.parameters() if not p.stop_gradient],
            "weight_decay": decay,
            "grad_clip": None if limit is None else nn.ClipGradByGlobalNorm(limit),
        }
        kind, options = _kind_and_options(self.optimizer)
        return OPTIMIZERS[kind](given, **options)


def _kind_and_options(chosen: dict) -> tuple[str | None, dict]:
    """``{type: KIND, option: value}`` as a pair."""
    return chosen.get("type"), {k: v for k, v in chosen.items() if k != "type"}
