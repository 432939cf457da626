"""The training loop."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import paddle

from maskrcnn_edu.config.build import build, build_model
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.inference.evaluate import Evaluation, evaluate
from maskrcnn_edu.model.bbox.cotuning import COTBBoxHead, relation
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.ops.empty import join
from maskrcnn_edu.system.processes import rank, world_size
from maskrcnn_edu.training.amp import check_amp
from maskrcnn_edu.training.checkpoint import (
    check_finite,
    fingerprint,
)
from maskrcnn_edu.training.freezing import freeze
from maskrcnn_edu.training.loop import Budget, Step, train_steps
from maskrcnn_edu.training.nan_guard import MOST_SKIPPED, NotFiniteError, Watch, report
from maskrcnn_edu.training.run_folder import History, Run, Saving
from maskrcnn_edu.weights.arrays import load_weights
from maskrcnn_edu.weights.folder import ClassNames, save_model
from maskrcnn_edu.weights.pretrained import LoadReport, load_pretrained

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


LOG_EVERY = 10
LOOKS = (1 / 3, 2 / 3)
"""Shares of the training after which the validation images are looked at."""
LOOK_IMAGES = 40


def train(
    config: Config, train_set: CocoDataset, val_set: CocoDataset, out_dir: str | Path,
    budget: Budget, seed: int = 0, weights: str | Path | None = None,
    on_step: Callable[[Step], None] = lambda step: None,
    pretrain: str | Path | None = None,
    on_pretrained: Callable[[LoadReport], None] = lambda report: None,
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
        frozen: parts of the model that stay as they are, see
            `maskrcnn_edu.training.freezing.freeze`.

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
    loader = build(config, Reader, ("TrainReader",)).loader(train_set, seed, rank(), world_size())
    watch = Watch(model, MOST_SKIPPED if amp == "fp16" else 0)
    steps = train_steps(model, config, loader, budget, seed, start, stop, watch, amp, accumulate)
    try:
        _observe(steps, model, config, val_set, run, watch, on_step)
    except NotFiniteError as problem:
        raise ValueError(report(problem, run.evidence)) from problem
    if rank() == 0:
        run.check_finished()
        check_finite({name: value.numpy() for name, value in model.state_dict().items()})
        classes = ClassNames(train_set.class_names, train_set.category_ids)
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
    on_pretrained: Callable[[LoadReport], None],
) -> MaskRCNN:
    """A model before its first step: the same in every process."""
    paddle.seed(seed)
    model = build_model(config)
    if pretrain is not None:
        on_pretrained(load_pretrained(model, pretrain, train_set.class_names))
    if weights is not None:
        load_weights(model, weights)
    if isinstance(model.bbox_head, COTBBoxHead):
        loader = build(config, Reader, ("TrainReader",)).loader(train_set, seed)
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
    reader = build(config, Reader, ("EvalReader",))
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
