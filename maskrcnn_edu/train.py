"""The training loop."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paddle

from maskrcnn_edu.bbox.cot import COTBBoxHead, relation
from maskrcnn_edu.config import Config, build_model, make
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.evaluate import Evaluation, evaluate
from maskrcnn_edu.mask_rcnn import MaskRCNN
from maskrcnn_edu.optimizer import LearningRate, OptimizerBuilder
from maskrcnn_edu.parallel import average_gradients, rank, same_everywhere, world_size
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
        step: its number, from 1.
        progress: the share of the training that is done, 0 .. 1.
        seconds: training time so far.
        images: images trained on so far.
        learning_rate: the rate of this step.
        stages: every intermediate of the step.
        model: the model that is being trained.
    """

    step: int
    progress: float
    seconds: float
    images: int
    learning_rate: float
    stages: TrainingStages
    model: MaskRCNN

    def losses(self) -> dict[str, float]:
        """The losses and their sum as numbers (waits for the device)."""
        values = {name: float(value) for name, value in self.stages.losses.items()}
        return {"loss": sum(values.values()), **values}


def train_steps(
    model: MaskRCNN, config: Config, loader: BatchLoader, budget: Budget
) -> Iterator[Step]:
    """Train; one item per step. The heart of training: everything else is bookkeeping.

    Time that the caller spends between two items is not counted as training.
    """
    learning_rate = make(config, LearningRate)
    epochs = config.values.get("epoch", 12)
    optimizer = make(config, OptimizerBuilder)(model, learning_rate.at(0, 0.0, epochs))
    trainable = [p for p in model.parameters() if not p.stop_gradient]
    model.train()
    seconds, images = 0.0, 0
    for step, batch in enumerate(_endless(loader)):
        started = time.perf_counter()
        # clocks differ; all processes must stop at the same step
        progress = same_everywhere(budget.progress(step, seconds))
        if progress >= 1.0:
            return
        rate = learning_rate.at(step, progress, epochs)
        optimizer.set_lr(rate)
        stages = model(batch)
        stages.loss.backward()
        average_gradients(trainable)
        optimizer.step()
        optimizer.clear_grad()
        seconds += time.perf_counter() - started
        images += len(batch) * world_size()
        done = budget.progress(step + 1, seconds)
        yield Step(step + 1, done, seconds, images, rate, stages, model)


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


def _endless(loader: BatchLoader) -> Iterator[Batch]:
    """Epoch after epoch."""
    for epoch in itertools.count():
        yield from loader.epoch(epoch)


@dataclass
class History:
    """What was measured while training, in memory and as JSON lines on disk.

    Attributes:
        path: the file of JSON lines; None keeps it in memory only.
        steps: losses, rate and speed every few steps.
        evaluations: box and mask AP on the validation images, with the step.
    """

    path: Path | None = None
    steps: list[dict] = field(default_factory=list)
    evaluations: list[dict] = field(default_factory=list)

    def add(self, kind: str, **numbers) -> None:
        """Remember a line: kind ``train`` or ``val``."""
        line = {"kind": kind, **numbers}
        (self.steps if kind == "train" else self.evaluations).append(line)
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


LOG_EVERY = 10
LOOKS = (1 / 3, 2 / 3)
"""Shares of the training after which the validation images are looked at."""
LOOK_IMAGES = 40


def train(
    config: Config,
    train_set: CocoDataset,
    val_set: CocoDataset,
    out_dir: str | Path,
    budget: Budget,
    seed: int = 0,
    weights: str | Path | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    pretrain: str | Path | None = None,
    on_pretrained: Callable[[Pretrained], None] = lambda report: None,
) -> tuple[MaskRCNN, History]:
    """Train a model on a dataset, look at the validation images on the way, save it.

    Args:
        config: the configuration; its ``num_classes`` must be the dataset's.
        train_set, val_set: the data.
        out_dir: receives ``metrics.jsonl`` and the model's folder contents.
        budget: when to stop.
        seed: of weights, order, augmentation and sampling. The same seed on the same
            machine gives the same losses (if the budget is in steps).
        weights: a folder or file to start from; everything in it must fit.
        on_step: called after every step (progress bar, recorder).
        pretrain: a file to take those weights from that fit (a pretrained backbone, a
            model for other classes).
        on_pretrained: called with what fitted, before the first step.

    Raises:
        ValueError: configuration and data do not fit, or a loss is not finite.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    paddle.seed(seed)
    model = build_model(config)
    if pretrain is not None:
        on_pretrained(load_pretrained(model, pretrain))
    if weights is not None:
        load_weights(model, weights)
    reader = make(config, Reader, ("TrainReader",))
    if isinstance(model.bbox_head, COTBBoxHead):
        relationship = learn_relation(model, reader.loader(train_set, seed))
        model.bbox_head.init_cot_head(relationship)
    paddle.seed(seed + rank())  # equal weights everywhere, but samples of its own for each process
    loader = reader.loader(train_set, seed, rank(), world_size())
    steps = train_steps(model, config, loader, budget)
    if rank() > 0:  # process 0 measures, looks and saves for all
        for step in steps:
            on_step(step)
        return model, History()
    history = _observe(steps, model, config, val_set, out_dir, on_step)
    classes = Classes(train_set.class_names, train_set.category_ids)
    save_model(out_dir, model, config, classes)
    return model, history


def _observe(
    steps: Iterator[Step],
    model: MaskRCNN,
    config: Config,
    val_set: CocoDataset,
    out_dir: Path,
    on_step: Callable[[Step], None],
) -> History:
    """Run the steps; log losses, and look at the validation images on the way."""
    history = History(out_dir / "metrics.jsonl")
    history.path.unlink(missing_ok=True)
    reader = make(config, Reader, ("EvalReader",))
    looks = list(LOOKS)
    for step in steps:
        on_step(step)
        if step.step % LOG_EVERY == 0 or step.progress >= 1.0:
            _log(history, step)
        if looks and step.progress >= looks[0]:
            looks.pop(0)
            _log_look(history, step, evaluate(model, val_set, reader, limit=LOOK_IMAGES))
    return history


def _log(history: History, step: Step) -> None:
    losses = step.losses()
    if not math.isfinite(losses["loss"]):
        terms = ", ".join(f"{k} {v:g}" for k, v in losses.items())
        raise ValueError(
            f"step {step.step}: the loss is not finite ({terms}); images "
            f"{step.stages.batch.image_id}. Lower LearningRate.base_lr, or look at these images"
        )
    history.add(
        "train",
        step=step.step,
        seconds=round(step.seconds, 3),
        images=step.images,
        lr=step.learning_rate,
        **{k: round(v, 6) for k, v in losses.items()},
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
