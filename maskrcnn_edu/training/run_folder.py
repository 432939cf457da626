"""A run's folder: what was measured, and the checkpoints to go on from."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from maskrcnn_edu.system.file_lock import folder_lock
from maskrcnn_edu.system.processes import (
    broadcast_from_rank0,
    meet,
    rank,
    world_size,
)
from maskrcnn_edu.training.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    CheckpointInterval,
    TrainingProgress,
    diff_settings,
    snapshot,
)
from maskrcnn_edu.training.loop import Step
from maskrcnn_edu.weights.arrays import WEIGHTS
from maskrcnn_edu.weights.safetensors_file import read_safetensors

BEST = "best"
"""The folder within a run's for its `BestWeights`."""


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

    @classmethod
    def resume(cls, path: Path, length: int) -> History:
        """The lines of a file up to a length in bytes; what was written later is cut off.

        Raises:
            ValueError: the file is shorter than that, or a line is none of ours.
        """
        size = path.stat().st_size if path.is_file() else 0
        if size < length:
            raise ValueError(
                f"{path} has {size} bytes, but {length} when the checkpoint was written. Put it "
                f"back, or delete the checkpoints to begin anew"
            )
        history = cls(path)
        if size == 0:
            return history
        for number, text in enumerate(path.read_bytes()[:length].splitlines(), 1):
            line = _read_line(text)
            if line is None:
                raise ValueError(
                    f"{path}: line {number} is no line of metrics: {text[:60]!r}. Put the file "
                    f"back, or delete the checkpoints to begin anew"
                )
            (history.steps if line["kind"] == "train" else history.evaluations).append(line)
        os.truncate(path, length)
        return history

    def flush(self) -> int:
        """Wait until all lines are on the disk; the file's length in bytes."""
        if self.path is None or not self.path.is_file():
            return 0
        with self.path.open("ab") as file:
            os.fsync(file.fileno())
            return file.tell()


def _read_line(text: bytes) -> dict | None:
    """A line of metrics; None if it is none."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    known = isinstance(line, dict) and line.get("kind") in ("train", "val")
    return line if known else None


@dataclass(frozen=True)
class CheckpointPolicy:
    """How a training is saved on the way.

    Attributes:
        interval: when a checkpoint is written, apart from the end and interruptions.
        keep: how many checkpoints stay.
        resume: go on from the newest one, if there is one.
        overwrite: a run that the folder holds may be lost.

    Raises:
        ValueError: ``keep`` is below 1.
    """

    interval: CheckpointInterval = field(default_factory=lambda: CheckpointInterval(minutes=2))
    keep: int = 3
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self):
        if self.keep < 1:
            raise ValueError(f"at least 1 checkpoint must be kept, not {self.keep}")


@dataclass
class BestWeights:
    """A model's folder with the weights of the look with the highest mask AP.

    Which look it was stands in the header of the weights, so it is there whole, or not at all,
    and a run that goes on knows it.

    Attributes:
        folder: holds them.
        step: of the look; 0 if there was none yet.
        ap: its mask AP.
    """

    folder: Path
    step: int = 0
    ap: float = 0.0

    @classmethod
    def find(cls, run: Path) -> BestWeights:
        """Those in the folder of a run; none if they are damaged."""
        folder = run / BEST
        try:
            facts = read_safetensors(folder / WEIGHTS)[1]
            return cls(folder, int(facts["step"]), float(facts["segm_AP"]))
        except (OSError, ValueError, KeyError):
            return cls(folder)

    def offer(self, ap: float, step: int, save: Callable[[Path, dict[str, str]], None]) -> None:
        """Keep the weights of a look unless an earlier one was better; -1 is no AP.

        Args:
            ap, step: of the look.
            save: writes a model's folder, and facts into its weights.
        """
        if ap >= self.ap:
            save(self.folder, {"step": str(step), "segm_AP": repr(ap)})
            self.step, self.ap = step, ap


class Interrupted(Exception):
    """A training was asked to stop, and did; the message names what was saved."""


class RunFolder:
    """The files of one training: its metrics, its checkpoints, and that they fit together.

    Args:
        out_dir: receives ``metrics.jsonl``, ``checkpoints`` and ``best``; made, if needed.
        run_settings: what must be the same when the run goes on (a word -> its value).
        policy: when to save, and whether to go on.
        log: called with what the user should know.
    """

    def __init__(
        self,
        out_dir: Path,
        run_settings: dict[str, str],
        policy: CheckpointPolicy,
        log: Callable[[str], None],
    ):
        out_dir.mkdir(parents=True, exist_ok=True)
        self.out_dir = out_dir
        self.run_settings = run_settings
        self.policy = policy
        self.log = log
        self.checkpoints = CheckpointFolder(out_dir / "checkpoints", policy.keep)
        self.history = History()
        self.best = BestWeights.find(out_dir) if policy.resume else BestWeights(out_dir / BEST)
        self.finished = False
        self._saved = TrainingProgress()
        self._goes_on = False

    @property
    def dump_folder(self) -> Path:
        """Where a batch goes whose losses are not finite; every process has its own."""
        return self.out_dir / ("bad_batch" if world_size() == 1 else f"bad_batch_{rank()}")

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Within the block no other run writes here.

        Raises:
            BlockingIOError: one does.
        """
        with folder_lock(self.out_dir) if rank() == 0 else contextlib.nullcontext():
            yield

    def open(self) -> Checkpoint | None:
        """The checkpoint to go on from, the same in every process; None for a new run.

        Nothing that is there is lost by it: that happens when a new run begins, see `begin`.

        Raises:
            ValueError: going on is asked for, but this is another run; or is not, and
                would destroy one.
        """
        start = None
        if rank() == 0:
            start = self._resume() if self.policy.resume else None
            if start is None:
                self._refuse_to_overwrite()
        meet()  # a large checkpoint takes long to read
        step = broadcast_from_rank0(-1.0 if start is None else float(start.position.step))
        if rank() > 0 and step >= 0:  # all processes see one folder
            start = self.checkpoints.load(int(step))
        if start is not None:
            self.finished, self._saved, self._goes_on = start.finished, start.position, True
        return start

    def _resume(self) -> Checkpoint | None:
        start, problems = self.checkpoints.newest()
        for problem in problems:
            self.log(f"{problem}. The one before it is used")
        if start is None:
            path = self.checkpoints.path
            self.log(f"there is no checkpoint in {path}: starting from the beginning")
            return None
        different = diff_settings(start.run_settings, self.run_settings)
        if different:
            raise ValueError(
                f"{self.out_dir} holds another run; --resume wants the same options. Different:\n  "
                + "\n  ".join(different)
                + "\nGive the same options, or begin anew in another folder (--out)"
            )
        self.history = History.resume(self.out_dir / "metrics.jsonl", start.metrics_bytes)
        done = ", where it was finished" if start.finished else ""
        self.log(f"going on after step {start.position.step}{done}")
        return start

    def _refuse_to_overwrite(self) -> None:
        if self.policy.overwrite:
            return
        start = _newest_readable(self.checkpoints)
        if start is not None and not start.finished:
            raise ValueError(
                f"{self.out_dir} holds an unfinished run ({start.position.step} steps done): go on "
                "with --resume, choose another --out, or replace it with --overwrite"
            )
        if start is not None or (self.out_dir / WEIGHTS).is_file() or self.checkpoints.files():
            raise ValueError(
                f"{self.out_dir} holds a finished run: choose another --out, or replace it with "
                "--overwrite"
            )

    def begin(self) -> None:
        """A new run takes the place of what is there; one that goes on does nothing.

        Call it when nothing can be wrong any more.

        The old run's model goes too, or it would be taken for this one's if this one ends early.
        """
        if rank() > 0 or self._goes_on:
            return
        if (self.out_dir / WEIGHTS).is_file():
            self.log(f"the run that was in {self.out_dir} is replaced (--overwrite)")
        self.history = History(self.out_dir / "metrics.jsonl")
        self.best = BestWeights(self.out_dir / BEST)
        weights = self.out_dir / WEIGHTS, self.best.folder / WEIGHTS
        for old in (*self.checkpoints.files(), self.history.path, *weights):
            old.unlink(missing_ok=True)

    def is_due(self, step: Step) -> bool:
        """Whether a checkpoint should be written after this step."""
        return self.policy.interval.is_due(self._saved, step.position)

    def save(self, step: Step) -> None:
        """Write a checkpoint after this step.

        Raises:
            ValueError: a weight is not finite.
            OSError: it cannot be written.
        """
        checkpoint = snapshot(
            step.model, step.optimizer, step.scaler, step.position,
            run_settings=self.run_settings, metrics_bytes=self.history.flush(),
            finished=step.progress >= 1.0,
        )  # fmt: skip
        self.checkpoints.save(checkpoint)
        self._saved = step.position

    def close(self, last: Step) -> None:
        """After the last step of training, whether the budget is used up or not."""
        self.finished = last.progress >= 1.0
        wanted = self.policy.interval.is_on or not self.finished
        if wanted and self._saved != last.position:
            self.save(last)

    def check_finished(self) -> None:
        """Raises Interrupted if the budget is not used up."""
        if self.finished:
            return
        if self._saved.step == 0:
            raise Interrupted("stopped before the first step, so there is nothing to save")
        path = self.checkpoints.path
        raise Interrupted(f"stopped after step {self._saved.step}, saved in {path}")


def _newest_readable(checkpoints: CheckpointFolder) -> Checkpoint | None:
    """The newest checkpoint that is whole; what is damaged stays as it is."""
    for path in reversed(checkpoints.files()):
        with contextlib.suppress(ValueError):
            return checkpoints.load(int(path.stem.split("-")[1]))
    return None
