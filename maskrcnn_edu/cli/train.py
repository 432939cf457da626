"""``maskrcnn-edu train``"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from maskrcnn_edu.cli.advice import advise, default_steps
from maskrcnn_edu.cli.evaluate import summary
from maskrcnn_edu.cli.finetune_options import add_finetuning, with_batch_size
from maskrcnn_edu.cli.messages import printable
from maskrcnn_edu.cli.options import add_set
from maskrcnn_edu.config.build import build
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.config.yaml_files import Config, shipped_configs
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.problems import summarize
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.inference.evaluate import (
    CURVES,
    Evaluation,
    class_table,
    save_precision_recall,
)
from maskrcnn_edu.system.interrupt import GracefulStop
from maskrcnn_edu.system.processes import (
    best_process_count,
    distributed,
    launch,
    rank,
    should_launch,
    world_size,
)
from maskrcnn_edu.system.progress import progress
from maskrcnn_edu.training.amp import DTYPES, check_amp
from maskrcnn_edu.training.checkpoint import CheckpointInterval
from maskrcnn_edu.training.loop import Budget, Step
from maskrcnn_edu.training.run import TrainingOptions, train
from maskrcnn_edu.training.run_folder import BestWeights, CheckpointPolicy, History, Interrupted
from maskrcnn_edu.viz.curves import draw_curves
from maskrcnn_edu.weights.zoo import MODEL_ZOO, find_weights


def add_options(command: argparse.ArgumentParser) -> None:
    """The options of ``train``."""
    names = ", ".join(shipped_configs())
    command.add_argument("--config", "-c", required=True, help=f"a YAML file, or one of {names}")
    add_set(command)
    for split in ("train", "val"):
        command.add_argument(f"--{split}-json", required=True, help="COCO annotation file")
        command.add_argument(f"--{split}-images", required=True, help="folder of its images")
    command.add_argument("--out", required=True, help="folder for weights, metrics and curves")
    length = command.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="stop after so many steps")
    length.add_argument("--minutes", type=float, help="stop after so many minutes of training")
    command.add_argument("--seed", type=int, default=0, help="same seed, same losses")
    command.add_argument("--weights", help="start from a trained folder or file, all of it")
    command.add_argument(
        "--pretrain",
        metavar="FOLDER|FILE|NAME",
        help="start from what fits of a folder that `train` wrote, of a .pdparams or .safetensors "
        "file, or of a published one: "
        f"{', '.join(MODEL_ZOO)} (default: the configuration's pretrain_weights)",
    )
    add_finetuning(command)
    _add_computing(command)
    _add_checkpoints(command)
    command.set_defaults(run=run)


def _add_computing(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--processes",
        type=int,
        help="share every batch among so many processes (default: one per CPU core, at most "
        "one for two images; 1 with a GPU)",
    )
    command.add_argument(
        "--amp", choices=list(DTYPES), help="mixed precision, on a GPU (default: float32)"
    )
    command.add_argument(
        "--accumulate",
        type=int,
        default=1,
        metavar="K",
        help="average the gradients of K batches before each step (default: 1)",
    )


def _add_checkpoints(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--checkpoint-every",
        default="2m",
        metavar="N|Mm|0",
        help="write a checkpoint after every N steps, or M minutes of training (default: 2m); "
        "0: only when training is stopped with Ctrl-C or SIGTERM",
    )
    command.add_argument(
        "--keep", type=int, default=3, metavar="N", help="checkpoints that stay (default: 3)"
    )
    old_run = command.add_mutually_exclusive_group()
    old_run.add_argument(
        "--resume",
        action="store_true",
        help="go on from the newest checkpoint in --out, with the same options as before",
    )
    old_run.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the run that --out holds, finished or not (default: it is refused)",
    )


def steps_to_judge(options: argparse.Namespace, training: TrainingOptions) -> int | None:
    """The length of a training that nobody has chosen; None where weights have learned before."""
    chosen = options.steps or options.minutes or training.weights or training.pretrain
    return None if chosen else training.budget.steps


def run(options: argparse.Namespace) -> int:
    """``train``"""
    train_set = CocoDataset(options.train_json, options.train_images)
    val_set = CocoDataset(options.val_json, options.val_images)
    # the data decides, not the configuration
    overrides = [*options.set, f"num_classes={train_set.num_classes}"]
    config, rate_message = with_batch_size(
        options, load_config(options.config, overrides), overrides
    )
    batch_size = build(config, Reader, ("TrainReader",)).batch_size
    training = _training_options(options, config, len(train_set) // batch_size)
    launching = should_launch(processes := _process_count(options.processes, batch_size))
    if rank() == 0:
        _find_pretrained(training.pretrain)  # fetched once, before the other processes want it
    if launching:
        return launch(processes, options.arguments)
    with distributed(), GracefulStop() as stop:
        if rank() == 0:
            steps = steps_to_judge(options, training)
            _describe(train_set, val_set, [*advise(train_set, config, steps), rate_message])
        try:
            with TrainingBar(training.budget, visible=rank() == 0) as bar:
                _, history = train(
                    config, train_set, val_set, options.out, training,
                    on_step=bar, on_message=bar.log, on_look=bar.look, stop=stop,
                )  # fmt: skip
        except Interrupted as interrupted:
            print(f"{interrupted}. Go on with: {_resume_command(options)}", flush=True)
            return stop.exit_code
    if rank() == 0:
        _conclude(history, bar.result, Path(options.out))
    return 0


def _process_count(asked: int | None, batch_size: int) -> int:
    """``--processes``, if the batch can be shared by so many."""
    count = best_process_count(batch_size) if asked is None else asked
    if count > 0 and batch_size % count:
        raise ValueError(
            f"--processes {count}: a batch of {batch_size} images cannot be shared by so many; "
            "each needs equally many"
        )
    return count


def _training_options(
    options: argparse.Namespace, config: Config, batches_per_epoch: int
) -> TrainingOptions:
    """The command line's part of a training."""
    check_amp(options.amp)
    pretrain = options.pretrain
    if pretrain is None and options.weights is None:
        pretrain = config.values.get("pretrain_weights")
    every = CheckpointInterval.parse(options.checkpoint_every)
    steps_per_epoch = batches_per_epoch // max(options.accumulate, 1)
    return TrainingOptions(
        budget=_budget(options, config, steps_per_epoch),
        seed=options.seed,
        weights=options.weights,
        pretrain=pretrain,
        frozen=options.freeze,
        amp=options.amp,
        accumulate=options.accumulate,
        checkpoints=CheckpointPolicy(every, options.keep, options.resume, options.overwrite),
    )


def _budget(options: argparse.Namespace, config: Config, steps_per_epoch: int) -> Budget:
    if options.steps is None and options.minutes is None:
        return Budget(steps=default_steps(config, steps_per_epoch))
    return Budget(steps=options.steps, minutes=options.minutes)


def _find_pretrained(source: str | None) -> None:
    try:
        if source is not None:
            find_weights(source)
    except ValueError as error:
        raise ValueError(
            f"{error}\nor start from random weights: --set pretrain_weights=null"
        ) from error


def _resume_command(options: argparse.Namespace) -> str:
    """What to type to go on: the same command, and ``--resume``."""
    words = [word for word in options.arguments if word != "--overwrite"]
    resume = [] if options.resume else ["--resume"]
    return shlex.join(["maskrcnn-edu", *words, *resume])


def _describe(train_set: CocoDataset, val_set: CocoDataset, lines: list[str]) -> None:
    names = ", ".join(train_set.class_names)
    print(f"{len(train_set)} training and {len(val_set)} validation images; classes: {names}")
    for dataset in (train_set, val_set):
        if dataset.issues:
            print(summarize(dataset.issues, str(dataset.json_file)))
    print(printable("\n".join(filter(None, lines))))
    processes = world_size()
    print(f"training in {processes} process{'es' if processes > 1 else ''}", flush=True)


def _conclude(history: History, result: Evaluation | None, out: Path) -> None:
    """Draw the curves, and say what is where; ``result``: of the last look, if one was made."""
    draw_curves(history.steps, history.evaluations).savefig(out / "curves.png", dpi=110)
    if result is not None:
        print(printable(f"\n{class_table(result)}\n"))
        save_precision_recall(result, out / CURVES)
        print(f"{out / CURVES}: precision against recall at the last look")
    best = BestWeights.find(out)
    if best.step:
        look = f"step {best.step}, mask AP {best.ap:.3f}"
        print(f"{best.folder}: the weights of the best look ({look})")
    print(f"{out}: the weights of the last step, metrics.jsonl and curves.png")


class TrainingBar:
    """The five losses, images per second and the time left, see `progress`."""

    def __init__(self, budget: Budget, visible: bool = True):
        self.minutes = budget.minutes
        unit = "s" if budget.minutes else "step"
        total = round(60 * budget.minutes) if budget.minutes else budget.steps
        self.bar = progress(total, visible, unit=unit)
        self.result: Evaluation | None = None

    def __enter__(self) -> TrainingBar:
        return self

    def __exit__(self, *problem) -> None:
        self.bar.close()

    def log(self, message: str) -> None:
        """Print without tearing the bar."""
        if not self.bar.disable:
            self.bar.write(message)

    def look(self, step: Step, result: Evaluation, images: int) -> None:
        """Show the AP of a look, and remember it."""
        self.result = result
        self.log(f"step {step.step}: {summary(result)}  ({images} validation images)")

    def __call__(self, step: Step) -> None:
        """Show a step."""
        if self.bar.disable:
            return
        if step.step % 5 == 0 or step.step == 1 or step.progress >= 1.0:
            losses = {k.removeprefix("loss_"): f"{v:.3f}" for k, v in step.losses().items()}
            speed = f"{step.images / step.seconds:.1f}"
            self.bar.set_postfix({**losses, "images/s": speed, "step": step.step})
        done = min(int(step.seconds), self.bar.total) if self.minutes else step.step
        self.bar.update(done - self.bar.n)
