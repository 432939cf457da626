"""The training loop."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import paddle

from maskrcnn_edu.bad_batch import MOST_SKIPPED, NotFiniteError, Watch, report
from maskrcnn_edu.bbox.cot import COTBBoxHead, relation
from maskrcnn_edu.checkpoint import Checkpoint, Position, check_finite, fingerprint, step_seed
from maskrcnn_edu.config import Config, build_model, make
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.evaluate import Evaluation, evaluate
from maskrcnn_edu.journal import History, Run, Saving
from maskrcnn_edu.mask_rcnn import MaskRCNN
from maskrcnn_edu.optimizer import LearningRate, OptimizerBuilder, fill_gradients, freeze
from maskrcnn_edu.parallel import (
    average_gradients,
    balanced_loss,
    rank,
    same_everywhere,
    world_size,
)
from maskrcnn_edu.precision import autocast, check_amp, loss_scaler
from maskrcnn_edu.rows import join
from maskrcnn_edu.structures import Batch, TrainingStages
from maskrcnn_edu.weights import Classes, Pretrained, load_pretrained, load_weights, save_model


@dataclass(frozen=True)
class Budget:
    """When training is over: after so many steps, or so many minutes (give one).

    Minutes count training alone, not the looks at the validation images.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self):
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        if (self.steps or self.minutes) <= 0:
            raise ValueError(f"steps or minutes must be positive, got {self.steps or self.minutes}")

    def progress(self, step: int, seconds: float) -> float:
        """The share of the training that is done, 0 .. 1."""
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
        mean_losses: the loss terms, their mean if the step has several batches.
        model: the model that is being trained.
        optimizer, scaler: what moves its weights; their state belongs into a checkpoint.
    """

    position: Position
    progress: float
    learning_rate: float
    stages: TrainingStages
    mean_losses: dict[str, paddle.Tensor]
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


Watcher = Callable[[int, list[Batch], list[dict[str, paddle.Tensor]], TrainingStages], None]


def train_steps(
    model: MaskRCNN, config: Config, loader: BatchLoader, budget: Budget,
    seed: int | None = None, start: Checkpoint | None = None,
    stop: Callable[[], bool] = lambda: False, watch: Watcher = lambda *step: None,
    amp: str | None = None, accumulate: int = 1,
) -> Iterator[Step]:  # fmt: skip
    """Train; one item per step. The heart of training: everything else is bookkeeping.

    Time that the caller spends between two items is not counted as training.

    Args:
        model, config, loader: what learns, how, and from what.
        budget: when to stop.
        seed: makes the random numbers of a step depend on (seed, step, process) alone;
            None draws them from Paddle's generator as it is.
        start: go on from here.
        stop: asked before every step; process 0's answer ends the training everywhere.
        watch: called before the gradients move the weights, with the step's number, its
            batches, their losses, and the last one's stages.
        amp: ``bf16`` or ``fp16``, see `maskrcnn_edu.precision`.
        accumulate: batches per step. Their gradients are averaged, which is what one large
            batch would give if all batches had equally many RoIs, and equally many
            foreground ones: each batch's box and mask losses are divided by its own number.
            (And without batch norm, which sees one batch at a time.)
    """
    learning_rate = make(config, LearningRate)
    epochs = config.values.get("epoch", 12)
    optimizer = make(config, OptimizerBuilder)(model, learning_rate.at(0, 0.0, epochs))
    scaler = loss_scaler(amp)
    at = start.restore(model, optimizer, scaler) if start else Position()
    trainable = [p for p in model.parameters() if not p.stop_gradient]
    model.train()
    for batches, epoch, used in _endless(loader, accumulate, at):
        started = time.perf_counter()
        # clocks differ; all processes must stop at the same step
        progress = same_everywhere(math.inf if stop() else budget.progress(at.step, at.seconds))
        if progress >= 1.0:
            return
        _draw_from(seed, at.step)
        rate = learning_rate.at(at.step, progress, epochs)
        optimizer.set_lr(rate)
        losses = []
        for batch in batches:
            with autocast(amp):
                stages = model(batch)
            scaler.scale(balanced_loss(model, stages) / len(batches)).backward()
            losses.append(stages.losses)
        fill_gradients(trainable)
        average_gradients(trainable)
        watch(at.step + 1, batches, losses, stages)
        scaler.step(optimizer)  # without fp16: optimizer.step()
        scaler.update()
        optimizer.clear_grad(set_to_zero=False)  # their memory is free for the next step
        images = sum(map(len, batches)) * world_size()
        at = at.after(time.perf_counter() - started, images, epoch, used)
        done = budget.progress(at.step, at.seconds)
        yield Step(at, done, rate, stages, _mean(losses), model, optimizer, scaler)


def _draw_from(seed: int | None, step: int) -> None:
    """Make the random numbers that follow this step's and this process's own."""
    if seed is not None:
        paddle.seed(step_seed(seed, step, rank()))


RELATION_BATCHES = 100


@paddle.no_grad()
def learn_relation(model: MaskRCNN, loader: BatchLoader) -> paddle.Tensor:
    """What the pretraining's classifier sees in the annotated boxes of the new classes.

    Returns:
        [C, old classes], for `COTBBoxHead.init_cot_head`.
    """
    model.eval()
    scores, labels = [], []
    for batch in itertools.islice(loader.epoch(0), RELATION_BATCHES):
        boxes = [gt.boxes for gt in batch.gt]
        roi_feat = model.bbox_head.roi_feature(model.features(batch.image), boxes)
        scores.append(model.bbox_head(roi_feat).cot_scores)
        labels += [gt.labels for gt in batch.gt]
    return relation(join(scores), join(labels), model.bbox_head.num_classes)


def _endless(
    loader: BatchLoader, count: int, at: Position
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


def _mean(losses: Sequence[dict[str, paddle.Tensor]]) -> dict[str, paddle.Tensor]:
    """Each term's mean over the batches of a step (on the device, nobody waits)."""
    if len(losses) == 1:
        return losses[0]
    return {k: sum(terms[k].detach() for terms in losses) / len(losses) for k in losses[0]}


LOG_EVERY = 10
LOOKS = (1 / 3, 2 / 3)
"""Shares of the training after which the validation images are looked at."""
LOOK_IMAGES = 40


def train(
    config: Config, train_set: CocoDataset, val_set: CocoDataset, out_dir: str | Path,
    budget: Budget, seed: int = 0, weights: str | Path | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    pretrain: str | Path | None = None,
    on_pretrained: Callable[[Pretrained], None] = lambda report: None,
    saving: Saving = Saving(), stop: Callable[[], bool] = lambda: False,
    on_message: Callable[[str], None] = lambda message: None,
    amp: str | None = None, accumulate: int = 1, frozen: Sequence[str] = (),
) -> tuple[MaskRCNN, History]:  # fmt: skip
    """Train a model on a dataset, look at the validation images on the way, save it.

    Args:
        config: the configuration; its ``num_classes`` must be the dataset's.
        train_set, val_set: the data.
        out_dir: receives ``metrics.jsonl``, ``checkpoints`` and the model's folder contents.
        budget: when to stop.
        seed: of weights, order, augmentation and sampling. The same seed on the same
            machine gives the same losses (if the budget is in steps), in one go or with
            any number of interruptions.
        weights: a folder or file to start from; everything in it must fit.
        on_step: called after every step (progress bar, recorder).
        pretrain: a file to take those weights from that fit (a pretrained backbone, a
            model for other classes).
        on_pretrained: called with what fitted, before the first step.
        saving: when to write checkpoints, and whether to go on from the newest.
        stop: asked before every step; True ends the training early.
        on_message: called with what there is to say about checkpoints.
        amp, accumulate: see `train_steps`; ``amp`` may also be in the configuration.
        frozen: parts of the model that stay as they are, see `maskrcnn_edu.optimizer.freeze`.

    Raises:
        ValueError: configuration and data do not fit, ``saving.resume`` is asked for with
            other data or options, or a loss or gradient is not finite.
        OSError: a file cannot be written.
        Interrupted: ``stop`` said so (in process 0; the others return).
    """
    if accumulate < 1:
        raise ValueError(f"accumulate must be at least 1 batch, got {accumulate}")
    amp = check_amp(config.values.get("amp") if amp is None else amp)
    out_dir = Path(out_dir)
    options = {"amp": amp, "accumulate": accumulate, "weights": weights or pretrain,
               "frozen": ", ".join(frozen)}  # fmt: skip
    recipe = _recipe(config, train_set, val_set, budget, seed=seed, **options)
    run = Run(out_dir, recipe, saving, on_message)
    start = run.begin()
    model = _new_model(config, train_set, seed, weights, pretrain, on_pretrained)
    if frozen:
        on_message(f"frozen: {len(freeze(model, frozen))} of {len(model.state_dict())} weights")
    loader = make(config, Reader, ("TrainReader",)).loader(train_set, seed, rank(), world_size())
    watch = Watch(model, MOST_SKIPPED if amp == "fp16" else 0)
    steps = train_steps(model, config, loader, budget, seed, start, stop, watch, amp, accumulate)
    try:
        _observe(steps, model, config, val_set, run, watch, on_step)
    except NotFiniteError as problem:
        raise ValueError(report(problem, run.evidence)) from problem
    if rank() == 0:
        run.check_finished()
        check_finite({name: value.numpy() for name, value in model.state_dict().items()})
        classes = Classes(train_set.class_names, train_set.category_ids)
        save_model(out_dir, model, config, classes)
    return model, run.history


def _recipe(
    config: Config, train_set: CocoDataset, val_set: CocoDataset, budget: Budget, **options
) -> dict[str, str]:
    """All that changes the losses, in words: it must be the same when a run goes on."""
    return {
        "configuration": config.to_yaml(),
        "training data": _data(train_set),
        "validation data": _data(val_set),
        "length": f"{budget.steps} steps" if budget.steps else f"{budget.minutes} minutes",
        "processes": str(world_size()),
        **{name: str(value) for name, value in options.items()},
    }


def _data(dataset: CocoDataset) -> str:
    """Which data it is: the annotations to the last bit, the pictures by their number."""
    file = Path(dataset.json_file)
    return f"{len(dataset)} images, {file.name} {fingerprint(file)}"


def _new_model(
    config: Config,
    train_set: CocoDataset,
    seed: int,
    weights: str | Path | None,
    pretrain: str | Path | None,
    on_pretrained: Callable[[Pretrained], None],
) -> MaskRCNN:
    """A model before its first step: the same in every process."""
    paddle.seed(seed)
    model = build_model(config)
    if pretrain is not None:
        on_pretrained(load_pretrained(model, pretrain, train_set.class_names))
    if weights is not None:
        load_weights(model, weights)
    if isinstance(model.bbox_head, COTBBoxHead):
        loader = make(config, Reader, ("TrainReader",)).loader(train_set, seed)
        model.bbox_head.init_cot_head(learn_relation(model, loader))
    return model


def _observe(
    steps: Iterator[Step],
    model: MaskRCNN,
    config: Config,
    val_set: CocoDataset,
    run: Run,
    watch: Watch,
    on_step: Callable[[Step], None],
) -> None:
    """Run the steps; log losses, look at the validation images, write checkpoints."""
    if rank() > 0:  # process 0 measures, looks and saves for all
        for step in steps:
            on_step(step)
        return
    reader = make(config, Reader, ("EvalReader",))
    looks = list(LOOKS)[len(run.history.evaluations) :]
    step = None
    for step in steps:
        on_step(step)
        if step.step % LOG_EVERY == 0 or step.progress >= 1.0:
            _log(run.history, step)
        if looks and step.progress >= looks[0]:
            looks.pop(0)
            _log_look(run.history, step, evaluate(model, val_set, reader, limit=LOOK_IMAGES))
        if run.is_due(step):
            watch.finish()  # a bad step must not become a checkpoint
            run.save(step)
    watch.finish()
    if step is not None:
        run.end(step)


def _log(history: History, step: Step) -> None:
    history.add(
        "train",
        step=step.step,
        seconds=round(step.seconds, 3),
        images=step.images,
        lr=step.learning_rate,
        **{k: round(v, 6) for k, v in step.losses().items()},
    )


def _log_look(history: History, step: Step, look: Evaluation) -> None:
    history.add(
        "val",
        step=step.step,
        seconds=round(step.seconds, 3),
        images=LOOK_IMAGES,
        bbox_AP=look.bbox["AP"],
        segm_AP=look.segm["AP"],
        segm_AP50=look.segm["AP50"],
    )
