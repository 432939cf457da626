"""A training run: data, model and options in; metrics, checkpoints and a model folder out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import paddle

from maskrcnn_edu.config.build import build, build_model, build_optimizer
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.inference.class_match import match_dataset
from maskrcnn_edu.inference.evaluate import Evaluation, evaluate
from maskrcnn_edu.model.bbox.cotuning import COTBBoxHead, class_relationship
from maskrcnn_edu.model.checks import Checked, Range
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.ops.empty import cat
from maskrcnn_edu.system.processes import pause_others, rank, world_size
from maskrcnn_edu.training.amp import check_amp
from maskrcnn_edu.training.checkpoint import check_finite, fingerprint
from maskrcnn_edu.training.freezing import freeze
from maskrcnn_edu.training.loop import Budget, Step, train_steps
from maskrcnn_edu.training.nan_guard import MAX_SKIPPED_STEPS, NanGuard, dumped
from maskrcnn_edu.training.preflight import check_data, check_start
from maskrcnn_edu.training.run_folder import CheckpointPolicy, History, RunFolder
from maskrcnn_edu.weights.arrays import load_weights
from maskrcnn_edu.weights.folder import ClassNames, save_model
from maskrcnn_edu.weights.pretrained import load_pretrained

LOG_EVERY = 10
EVAL_AT = (1 / 3, 2 / 3, 1.0)
"""Shares of the training after which the model is evaluated: a look."""
EVAL_IMAGES = 40
"""Validation images of such an evaluation (whole batches)."""
RELATIONSHIP_BATCHES = 100
Batches = Annotated[int, Range("at least 1 batch", lambda batches: batches >= 1)]
OnLook = Callable[[Step, Evaluation, int], None]
"""Is called with the step of a look, its AP, and the number of images that this is of."""

Seed = Annotated[int, Range("from 0 to 2**32 - 1", lambda seed: 0 <= seed < 2**32)]


@dataclass(frozen=True)
class TrainingOptions(Checked):
    """How a configuration is trained: everything that is not in its YAML, nor data.

    Attributes:
        budget: when to stop.
        seed: of weights, order, augmentation and sampling. The same seed on the same
            machine gives the same losses (if the budget is in steps), in one go or with
            any number of interruptions.
        weights: a folder or file to start from; everything in it must fit.
        pretrain: a file to take those weights from that fit (a pretrained backbone, a
            model for other classes).
        frozen: parts of the model that stay as they are, see
            `maskrcnn_edu.training.freezing.freeze`.
        amp: ``bf16`` or ``fp16``; None asks the configuration's ``amp``.
        accumulate: batches per step, see `maskrcnn_edu.training.loop.train_steps`.
        checkpoints: when to write checkpoints, and whether to go on from the newest.

    Raises:
        ValueError: ``accumulate`` is below 1, or ``seed`` below 0 or above 2**32 - 1.
    """

    budget: Budget
    seed: Seed = 0
    weights: str | Path | None = None
    pretrain: str | Path | None = None
    frozen: Sequence[str] = ()
    amp: str | None = None
    accumulate: Batches = 1
    checkpoints: CheckpointPolicy = field(default_factory=CheckpointPolicy)


def train(
    config: Config, train_set: CocoDataset, val_set: CocoDataset, out_dir: str | Path,
    options: TrainingOptions, *, on_step: Callable[[Step], None] = lambda step: None,
    on_message: Callable[[str], None] = lambda message: None,
    on_look: OnLook = lambda *look: None, stop: Callable[[], bool] = lambda: False,
) -> tuple[MaskRCNN, History]:  # fmt: skip
    """Train a model on a dataset, evaluate it on the way, save it.

    What the folder holds is only touched once model, data and options are known to work.

    Args:
        config: the configuration; its ``num_classes`` must be the dataset's.
        train_set, val_set: the data.
        out_dir: receives ``metrics.jsonl``, ``checkpoints``, the model's folder contents, and
            in ``best`` those of the look with the highest mask AP.
        options: how to train.
        on_step: called after every step (progress bar, recorder).
        on_message: called with what the user should know about weights and checkpoints.
        on_look: called after an evaluation on the way, and the last step's, in process 0.
        stop: asked before every step; True ends the training early.

    Raises:
        ValueError: configuration and data do not fit, training and validation data have other
            classes, ``checkpoints.resume`` is asked for with other data or options, the folder
            holds a run, or a loss or gradient is not finite.
        OSError: a file cannot be written, or another run is writing to the folder.
        Interrupted: ``stop`` was True (in process 0; the others return).
    """
    amp = check_amp(config.values.get("amp") if options.amp is None else options.amp)
    check_data(train_set, val_set, on_message)
    settings = run_settings(config, train_set, val_set, options, amp)
    run = RunFolder(Path(out_dir), settings, options.checkpoints, on_message)
    with run.in_use(), dumped(run.dump_folder):
        start = run.open()
        reader, val_reader = (build(config, Reader, (f"{x}Reader",)) for x in ("Train", "Eval"))
        model = _new_model(config, train_set, reader, options, on_message)
        guard = NanGuard(model, MAX_SKIPPED_STEPS if amp == "fp16" else 0)
        steps = train_steps(
            model, reader.loader(train_set, options.seed, rank(), world_size()),
            options.budget, *build_optimizer(config, model), seed=options.seed,
            start=start, stop=stop, guard=guard, amp=amp, accumulate=options.accumulate,
        )  # fmt: skip
        run.begin()
        save = partial(_save_model, model, config, train_set)
        evaluate_now = partial(evaluate_briefly, model, val_set, val_reader, train_set)
        look = partial(_look, run, evaluate_now, save, on_look)
        _run_steps(steps, run, guard, look, on_step)
        if rank() == 0:
            run.check_finished()
            save(out_dir)
    return model, run.history


def _save_model(
    model: MaskRCNN, config: Config, train_set: CocoDataset,
    out_dir: str | Path, facts: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """Write the model's folder, unless a weight is not finite."""
    check_finite({name: value.numpy() for name, value in model.state_dict().items()})
    classes = ClassNames(train_set.class_names, train_set.category_ids)
    save_model(out_dir, model, config, classes, facts)


def run_settings(
    config: Config, train_set: CocoDataset, val_set: CocoDataset,
    options: TrainingOptions, amp: str | None,
) -> dict[str, str]:  # fmt: skip
    """All that changes the losses, in words: it must be the same when a run goes on.

    Args:
        config, train_set, val_set, options: of `train`.
        amp: what options and configuration agree on.

    Returns:
        A word -> its value.
    """
    budget = options.budget
    return {
        "configuration": config.to_yaml(),
        "training data": _data(train_set),
        "validation data": _data(val_set),
        "length": f"{budget.steps} steps" if budget.steps else f"{budget.minutes} minutes",
        "processes": str(world_size()),
        "seed": str(options.seed),
        "amp": str(amp),
        "accumulate": str(options.accumulate),
        "weights": str(options.weights or options.pretrain),
        "frozen": ", ".join(options.frozen),
    }


def _data(dataset: CocoDataset) -> str:
    """Which data it is: the annotations to the last bit, the images by their number."""
    file = Path(dataset.json_file)
    return f"{len(dataset)} images, {file.name} {fingerprint(file)}"


def _new_model(
    config: Config, train_set: CocoDataset, reader: Reader,
    options: TrainingOptions, on_message: Callable[[str], None],
) -> MaskRCNN:  # fmt: skip
    """A model before its first step: the same in every process."""
    paddle.seed(options.seed)
    model = build_model(config)
    if options.pretrain is not None:
        on_message(str(load_pretrained(model, options.pretrain, train_set.class_names)))
    if options.weights is not None:
        check_start(options.weights, train_set)
        load_weights(model, options.weights)
    if isinstance(model.bbox_head, COTBBoxHead):
        loader = reader.loader(train_set, options.seed)
        model.bbox_head.init_cot_head(learn_class_relationship(model, loader))
    if options.frozen:
        frozen = freeze(model, options.frozen)
        on_message(f"frozen: {len(frozen)} of {len(model.state_dict())} weights")
    return model


@paddle.no_grad()
def learn_class_relationship(model: MaskRCNN, loader: BatchLoader) -> paddle.Tensor:
    """What the pretraining's classifier sees in the annotated boxes of the new classes.

    Returns:
        [C, old classes], for `COTBBoxHead.init_cot_head`.
    """
    model.eval()
    scores, labels = [], []
    for batch in itertools.islice(loader.epoch(0), RELATIONSHIP_BATCHES):
        boxes = [gt.boxes for gt in batch.gt]
        roi_feat = model.bbox_head.roi_feature(model.features(batch.image), boxes)
        scores.append(model.bbox_head(roi_feat).cot_scores)
        labels += [gt.labels for gt in batch.gt]
    return class_relationship(cat(scores), cat(labels), model.bbox_head.num_classes)


# ---------------------------------------------------------------- what is written down


def _run_steps(
    steps: Iterator[Step],
    run: RunFolder,
    guard: NanGuard,
    look: Callable[[Step], None],
    on_step: Callable[[Step], None],
) -> None:
    """Run the steps; log losses, look at the model, write checkpoints."""
    if rank() > 0:  # process 0 measures, evaluates and saves for all
        for step in steps:
            on_step(step)
        return
    eval_at = list(EVAL_AT)[len(run.history.evaluations) :]
    step = None
    for step in steps:
        on_step(step)
        if step.step % LOG_EVERY == 0 or step.progress >= 1.0:
            _log_losses(run.history, step)
        if eval_at and step.progress >= eval_at[0]:
            eval_at.pop(0)
            guard.finish()  # a bad step must not become the best weights
            pause_others()
            look(step)
        if run.is_due(step):
            guard.finish()  # nor a checkpoint
            pause_others()  # while the disk is slow
            run.save(step)
    guard.finish()
    if step is not None:
        run.close(step)


def _look(
    run: RunFolder,
    evaluate_now: Callable[[], tuple[Evaluation, int]],
    save: Callable[[Path, dict[str, str]], None],
    on_look: OnLook,
    step: Step,
) -> None:
    """Evaluate, write it down, and keep the weights if they are the best so far."""
    result, images = evaluate_now()
    _log_evaluation(run.history, step, result, images)
    run.best.offer(result.segm["AP"], step.step, save)
    on_look(step, result, images)


def evaluate_briefly(
    model: MaskRCNN, val_set: CocoDataset, reader: Reader, train_set: CocoDataset
) -> tuple[Evaluation, int]:
    """Evaluate on the first validation images; the result, and how many images it is of.

    Args:
        model, val_set, reader: see `evaluate`.
        train_set: says what the model's labels mean.
    """
    batches: list[int] = []
    ids = match_dataset(train_set.class_names, val_set, train_set.json_file)
    result = evaluate(
        model, val_set, reader, category_ids=ids, limit=EVAL_IMAGES, on_batch=batches.append
    )
    return result, sum(batches) - len(result.left_out)


def _log(history: History, kind: str, step: Step, **numbers) -> None:
    history.add(kind, step=step.step, seconds=round(step.seconds, 3), **numbers)


def _log_losses(history: History, step: Step) -> None:
    losses = {k: round(v, 6) for k, v in step.losses().items()}
    _log(history, "train", step, images=step.images, lr=step.learning_rate, **losses)


def _log_evaluation(history: History, step: Step, result: Evaluation, images: int) -> None:
    ap = {"bbox_AP": result.bbox["AP"], "segm_AP": result.segm["AP"]}
    _log(history, "val", step, images=images, **ap, segm_AP50=result.segm["AP50"])
