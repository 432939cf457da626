"""The training loop: batches, losses, steps."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import paddle
from paddle import Tensor

from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch, TrainingStages
from maskrcnn_edu.system.processes import broadcast_from_rank0, rank, world_size
from maskrcnn_edu.training.amp import autocast, grad_scaler
from maskrcnn_edu.training.checkpoint import Checkpoint, TrainingProgress, step_seed
from maskrcnn_edu.training.distributed import average_gradients, balanced_loss
from maskrcnn_edu.training.freezing import fill_gradients


@dataclass(frozen=True)
class Budget:
    """When training is over: after so many steps, or so many minutes (give one).

    Minutes count training alone, not the evaluations on the way.

    Raises:
        ValueError: both are given, neither is, or it is not positive.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self):
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        amount = self.minutes if self.steps is None else self.steps
        if not amount > 0:  # or NaN
            raise ValueError(f"steps or minutes must be positive, got {amount}")

    def progress(self, step: int, seconds: float) -> float:
        """The share of the training that is done, 0 .. 1.

        Args:
            step: steps done so far.
            seconds: training time so far.
        """
        done = step / self.steps if self.steps else seconds / (60 * self.minutes)
        return min(done, 1.0)


@dataclass(frozen=True)
class Step:
    """What a training loop reports after every step.

    Attributes:
        position: where training stands after this step.
        progress: the share of the training that is done, 0 .. 1.
        learning_rate: the rate of this step.
        stages: every intermediate of the step (of its last batch, if it has several).
        mean_losses: the loss terms, their mean if the step has several batches; scalars.
        model: the model that is being trained.
        optimizer, scaler: what moves its weights; their state belongs into a checkpoint.
    """

    position: TrainingProgress
    progress: float
    learning_rate: float
    stages: TrainingStages
    mean_losses: dict[str, Tensor]
    model: MaskRCNN
    optimizer: paddle.optimizer.Optimizer
    scaler: paddle.amp.GradScaler

    @property
    def step(self) -> int:
        """Its number, from 1."""
        return self.position.step

    @property
    def seconds(self) -> float:
        """Training time so far."""
        return self.position.seconds

    @property
    def images(self) -> int:
        """Images trained on so far."""
        return self.position.images

    def losses(self) -> dict[str, float]:
        """The losses and their sum as numbers (waits for the device)."""
        values = {name: float(value) for name, value in self.mean_losses.items()}
        return {"loss": sum(values.values()), **values}


Guard = Callable[[int, list[Batch], list[dict[str, Tensor]], TrainingStages], None]
"""Is called with a step's number, its batches, their losses, and the last one's stages."""


def train_steps(
    model: MaskRCNN, loader: BatchLoader, budget: Budget,
    optimizer: paddle.optimizer.Optimizer, learning_rate: Callable[[int, float], float], *,
    seed: int | None = None, start: Checkpoint | None = None,
    stop: Callable[[], bool] = lambda: False, guard: Guard = lambda *step: None,
    amp: str | None = None, accumulate: int = 1,
) -> Iterator[Step]:  # fmt: skip
    """Train; one item per step. The heart of training: everything else is bookkeeping.

    Time that the caller spends between two items is not counted as training.

    Args:
        model, loader: what learns, and from what.
        budget: when to stop.
        optimizer, learning_rate: what moves the weights, and the rate of a step: a function
            of (steps done, share of the training done). `build_optimizer` of
            `maskrcnn_edu.config.build` makes both.
        seed: makes the random numbers of a step depend on (seed, step, process) alone;
            None draws them from Paddle's generator as it is.
        start: go on from here.
        stop: asked before every step; process 0's answer ends the training everywhere.
        guard: called before the gradients move the weights; may raise.
        amp: ``bf16`` or ``fp16``, see `maskrcnn_edu.training.amp`.
        accumulate: batches per step. Their gradients are averaged, which is what one large
            batch would give if all batches had equally many RoIs, and equally many
            foreground ones: each batch's box and mask losses are divided by its own number.
            (And without batch norm, which sees one batch at a time.)
    """
    scaler = grad_scaler(amp)
    at = start.restore(model, optimizer, scaler) if start else TrainingProgress()
    trainable = [p for p in model.parameters() if not p.stop_gradient]
    model.train()
    for batches, epoch, used in _endless(loader, accumulate, at):
        started = time.perf_counter()
        progress = _agreed_progress(budget, at, stop)
        if progress >= 1.0:
            return
        _seed_step(seed, at.step)
        rate = learning_rate(at.step, progress)
        optimizer.set_lr(rate)
        losses, stages = accumulate_gradients(model, batches, scaler, amp)
        fill_gradients(trainable)
        average_gradients(trainable)
        guard(at.step + 1, batches, losses, stages)
        scaler.step(optimizer)  # without fp16: optimizer.step()
        scaler.update()
        optimizer.clear_grad(set_to_zero=False)  # their memory is free for the next step
        images = sum(map(len, batches)) * world_size()
        at = at.after(time.perf_counter() - started, images, epoch, used)
        progress = budget.progress(at.step, at.seconds)
        yield Step(at, progress, rate, stages, _mean(losses), model, optimizer, scaler)


def accumulate_gradients(
    model: MaskRCNN, batches: Sequence[Batch], scaler: paddle.amp.GradScaler, amp: str | None
) -> tuple[list[dict[str, Tensor]], TrainingStages]:
    """Run a step's batches forward and backward: their weights' gradients add up to the mean.

    Args:
        model, batches: what computes, and what it computes on.
        scaler, amp: see `maskrcnn_edu.training.amp`.

    Returns:
        The losses of each batch (scalars), and the stages of the last.
    """
    losses = []
    for batch in batches:
        with autocast(amp):
            stages = model(batch)
        scaler.scale(balanced_loss(stages) / len(batches)).backward()
        losses.append(stages.losses)
    return losses, stages


def _agreed_progress(budget: Budget, at: TrainingProgress, stop: Callable[[], bool]) -> float:
    """The share of the training that is done, infinite after a stop: process 0's.

    Clocks differ, and all processes must stop at the same step.
    """
    return broadcast_from_rank0(math.inf if stop() else budget.progress(at.step, at.seconds))


def _seed_step(seed: int | None, step: int) -> None:
    """Make the random numbers that follow this step's and this process's own."""
    if seed is not None:
        paddle.seed(step_seed(seed, step, rank()))


def _endless(
    loader: BatchLoader, count: int, at: TrainingProgress
) -> Iterator[tuple[list[Batch], int, int]]:
    """``count`` batches at a time, epoch after epoch, from a position on.

    Yields them with the position after them: the epoch, and its batches used so far.
    """
    group, skip = [], at.batches
    for epoch in itertools.count(at.epoch):
        for used, batch in enumerate(loader.epoch(epoch, skip), start=skip + 1):
            group.append(batch)
            if len(group) == count:
                yield group, epoch, used
                group = []
        skip = 0


def _mean(losses: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Each term's mean over the batches of a step (on the device, nobody waits)."""
    if len(losses) == 1:
        return losses[0]
    return {k: sum(terms[k].detach() for terms in losses) / len(losses) for k in losses[0]}
