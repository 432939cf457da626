"""Checkpoints: everything a training needs to go on as if nothing had happened.

One file holds one moment: weights, the optimizer's state, and where training stood. It
is a ``.safetensors`` file, arrays and a piece of JSON, so reading it can run nothing.

What is *not* in it: the state of a random generator. The randomness of a step is a
function of (seed, step, process), see `step_seed`, and the learning rate is a function of
progress; so knowing the number of the step is knowing both.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import paddle
from paddle import nn

from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.system.os_errors import in_words
from maskrcnn_edu.system.text_files import finite_number
from maskrcnn_edu.weights.safetensors_file import read_safetensors, write_safetensors

FORMAT = "maskrcnn_edu checkpoint 1"
FILE_NAME = "step-{:09d}.safetensors"
WEIGHT, OPTIMIZER_STATE = "weight.", "optimizer."


def step_seed(seed: int, step: int, rank: int = 0) -> int:
    """The seed of one step's random numbers: the same for the same three, else unrelated."""
    return int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0])


@dataclass(frozen=True)
class TrainingProgress:
    """Where training stands: everything that is counted.

    Attributes:
        step: optimizer steps done.
        seconds: training time so far.
        images: images trained on so far, of all processes.
        epoch: the epoch that the next batch is from.
        batches: batches of that epoch used already (of each process).
    """

    step: int = 0
    seconds: float = 0.0
    images: int = 0
    epoch: int = 0
    batches: int = 0

    def after(self, seconds: float, images: int, epoch: int, batches: int) -> TrainingProgress:
        """The progress after one more step.

        Args:
            seconds: what the step took.
            images: what it trained on, of all processes.
            epoch, batches: where the data stands after it.
        """
        return TrainingProgress(
            self.step + 1, self.seconds + seconds, self.images + images, epoch, batches
        )


@dataclass(frozen=True)
class Checkpoint:
    """One moment of a training.

    Attributes:
        position: where training stood.
        arrays: the weights (``weight.NAME``) and the optimizer's state
            (``optimizer.SLOT.NAME``), under the model's names.
        run_settings: what must be the same when the run goes on, see `diff_settings`.
        metrics_bytes: length of ``metrics.jsonl``.
        scaler: state of the loss scaling (``--amp fp16``), else empty.
        finished: whether the budget was used up.
    """

    position: TrainingProgress
    arrays: dict[str, np.ndarray]
    run_settings: dict[str, str] = field(default_factory=dict)
    metrics_bytes: int = 0
    scaler: dict = field(default_factory=dict)
    finished: bool = False

    def restore(
        self,
        model: nn.Layer,
        optimizer: paddle.optimizer.Optimizer,
        scaler: paddle.amp.GradScaler,
    ) -> TrainingProgress:
        """Put the moment back into a model, its new optimizer, and its loss scaler.

        Raises:
            ValueError: the arrays are not those of this model and optimizer.
        """
        has_state = {k.split(".", 2)[2] for k in self.arrays if k.startswith(OPTIMIZER_STATE)}
        _init_optimizer_state(model, optimizer, has_state)
        tensors, stored = _tensors(model, optimizer), self.arrays
        wrong = sorted(set(stored) ^ set(tensors))
        wrong += [k for k in stored if k in tensors and list(stored[k].shape) != tensors[k].shape]
        if wrong:
            raise ValueError(f"the checkpoint does not fit the model: {', '.join(wrong[:6])}")
        for name, array in stored.items():
            tensors[name].set_value(array)
        if self.scaler:
            state = {**self.scaler, "scale": np.array(self.scaler["scale"], np.float32)}
            scaler.load_state_dict(state)
        return self.position


def snapshot(
    model: nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    scaler: paddle.amp.GradScaler,
    position: TrainingProgress,
    **facts,
) -> Checkpoint:
    """The present moment.

    Args:
        model, optimizer, scaler: what is being trained, and what trains it.
        position: where training stands.
        facts: `Checkpoint`'s other fields.

    Raises:
        ValueError: a weight is not finite. Such a moment is not worth going back to.
    """
    tensors = _tensors(model, optimizer)
    arrays = {name: np.array(tensor.numpy(), order="C") for name, tensor in tensors.items()}
    check_finite(arrays)
    scaling = {
        k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in scaler.state_dict().items()
    }
    return Checkpoint(position, arrays, scaler=scaling, **facts)


def check_finite(arrays: dict[str, np.ndarray]) -> None:
    """Raises ValueError if any number is NaN or infinite: this must not be saved."""
    broken = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if broken:
        names = ", ".join(broken[:6]) + (" ..." if len(broken) > 6 else "")
        raise ValueError(
            f"{len(broken)} of {len(arrays)} arrays are not finite and are not saved: {names}. "
            "Lower LearningRate.base_lr"
        )


def _tensors(model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> dict[str, paddle.Tensor]:
    """All that a checkpoint holds, by name: weights, and the optimizer's state of each.

    Paddle names the optimizer's tensors after its own names of the weights, which count
    up within a process and so differ from run to run: ``conv2d_7.w_0_moment1_0``. Here
    it is ``optimizer.moment1.backbone.conv1.conv.weight``.
    """
    tensors = {f"{WEIGHT}{name}": weight for name, weight in model.state_dict().items()}
    names = {p.name: name for name, p in model.named_parameters()}
    for key, tensor in optimizer.state_dict().items():
        owner = max((n for n in names if key.startswith(f"{n}_")), key=len, default=None)
        if owner is not None:
            slot = re.sub(r"_\d+$", "", key[len(owner) + 1 :])
            tensors[f"{OPTIMIZER_STATE}{slot}.{names[owner]}"] = tensor
    return tensors


def _init_optimizer_state(
    model: nn.Layer, optimizer: paddle.optimizer.Optimizer, names: set[str]
) -> None:
    """Let the optimizer make its tensors for these weights.

    It makes them when it first moves a weight. So it moves them once, by a gradient of
    zero; afterwards weights and state are overwritten.
    """
    for name, parameter in model.named_parameters():
        if name in names:
            parameter.grad = paddle.zeros_like(parameter)
    optimizer.step()
    optimizer.clear_grad(set_to_zero=False)


# ---------------------------------------------------------------- is it the same run?


def fingerprint(path: str | Path) -> str:
    """The first 16 digits of a file's SHA-256."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()[:16]


def diff_settings(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """One line for every setting of two runs that differs; of long texts, the lines that do."""
    lines = []
    for name in [*before, *(n for n in now if n not in before)]:
        old, new = before.get(name, "nothing"), now.get(name, "nothing")
        if old != new:
            a, b = old.splitlines(), new.splitlines()
            old_only, new_only = _without(a, b), _without(b, a)
            lines.append(f"{name}: {_short(new_only)} instead of {_short(old_only)}")
    return lines


def _without(lines: Sequence[str], others: Iterable[str]) -> list[str]:
    return [line.strip() for line in lines if line not in set(others)]


def _short(lines: list[str]) -> str:
    return "; ".join(lines[:3]) + (" ..." if len(lines) > 3 else "") or "other lines"


# ---------------------------------------------------------------- on disk


@dataclass(frozen=True)
class CheckpointInterval:
    """When a checkpoint is written; without either number, only when a run is stopped.

    Attributes:
        steps: after every so many steps.
        minutes: after every so many minutes of training.

    Raises:
        ValueError: both are given, or one is not positive.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self):
        given = [n for n in (self.steps, self.minutes) if n is not None]
        if len(given) > 1 or any(n <= 0 for n in given):
            raise ValueError(f"checkpoints come every so many steps or minutes, got {self}")

    @classmethod
    def parse(cls, text: str) -> CheckpointInterval:
        """``200`` (steps), ``2m`` (minutes of training) or ``0`` (none)."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(m?)", text.strip())
        if match is None or (not match[2] and "." in match[1]):
            raise ValueError(f"{text!r} is neither steps (200), nor minutes (2m), nor 0 for none")
        if float(match[1]) == 0:
            return cls()
        return cls(minutes=float(match[1])) if match[2] else cls(steps=int(match[1]))

    @property
    def is_on(self) -> bool:
        """Whether checkpoints are written at all while nobody stops the run."""
        return self.steps is not None or self.minutes is not None

    def is_due(self, last: TrainingProgress, now: TrainingProgress) -> bool:
        """Whether it is time for a checkpoint again."""
        if self.steps is not None:
            return now.step - last.step >= self.steps
        return self.minutes is not None and now.seconds - last.seconds >= 60 * self.minutes


@dataclass(frozen=True)
class CheckpointFolder:
    """The last checkpoints of one run.

    Attributes:
        path: the folder; made when the first one is written.
        keep: how many stay, 1 or more. Two protect against a damaged file.
    """

    path: Path
    keep: int = 3

    def __post_init__(self):
        if self.keep < 1:
            raise ValueError(f"at least 1 checkpoint must be kept, not {self.keep}")

    def files(self) -> list[Path]:
        """The checkpoints that are there, oldest first."""
        return sorted(self.path.glob("step-*.safetensors"))

    def file(self, step: int) -> Path:
        """Where the checkpoint of a step belongs."""
        return self.path / FILE_NAME.format(step)

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write one more, then remove the oldest. Whatever happens, one whole file is there.

        Raises:
            OSError: it cannot be written (a full disk); those before it are still there.
        """
        path = self.file(checkpoint.position.step)
        header = _header(checkpoint)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            atomic_write(path, lambda p: write_safetensors(p, checkpoint.arrays, header))
        except OSError as error:
            kept = [f.name for f in self.files()]
            size = sum(array.nbytes for array in checkpoint.arrays.values())
            before = f"{kept[-1]} is still there: go on from it with --resume" if kept else ""
            raise OSError(
                f"{path}: the checkpoint ({size / 1e6:.1f} MB) cannot be written: "
                f"{error.strerror}. Make room. {before}".rstrip()
            ) from error
        for old in self.files()[: -self.keep]:
            old.unlink()
        return path

    def load(self, step: int) -> Checkpoint:
        """The checkpoint of a step.

        Raises:
            ValueError: it is not there, or damaged.
        """
        return _unpack(self.file(step))

    def newest(self) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that can be read, and what is wrong with newer ones.

        Those are removed, and so is what an interrupted save left behind.

        Returns:
            None if the folder is empty.

        Raises:
            ValueError: there are checkpoints, but all are damaged.
        """
        for leftover in self.path.glob("*.part"):
            leftover.unlink()
        problems = []
        for path in reversed(self.files()):
            try:
                newest = _unpack(path)
            except ValueError as error:
                problems.append(str(error))
                continue
            for damaged in (p for p in self.files() if p > path):
                damaged.unlink()
            return newest, problems
        if problems:
            lines = "\n  ".join(problems)
            raise ValueError(
                f"no checkpoint in {self.path} can be read; delete the folder to begin anew\n  "
                + lines
            )
        return None, []


HEADER_KEYS = {"run_settings": "recipe"}
FIELDS = {key: name for name, key in HEADER_KEYS.items()}
"""Fields of a `Checkpoint` that the header of a file calls otherwise, and the reverse."""


def _header(checkpoint: Checkpoint) -> dict[str, str]:
    """All of a checkpoint but its arrays, as texts."""
    names = [f.name for f in fields(checkpoint) if f.name != "arrays"]
    facts = {HEADER_KEYS.get(name, name): getattr(checkpoint, name) for name in names}
    facts |= {"position": asdict(checkpoint.position), "checksum": _checksum(checkpoint.arrays)}
    return {"format": FORMAT, "facts": json.dumps(facts)}


def _unpack(path: Path) -> Checkpoint:
    """What was written; ValueError if anything is not as it was."""
    try:
        arrays, header = read_safetensors(path)
        if header.get("format") != FORMAT:
            raise ValueError("it was not written by `maskrcnn-edu train`")
        facts = json.loads(header["facts"])
        # by this alone files of the first versions are known to be whole
        if facts.pop("checksum") != _checksum(arrays):
            raise ValueError("its content has changed since it was written")
        facts["position"] = TrainingProgress(**facts["position"])
        made = Checkpoint(arrays=arrays, **{FIELDS.get(key, key): facts[key] for key in facts})
        _check_facts(made)
        return made
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} is no whole checkpoint: {in_words(error)}") from error


def _check_facts(made: Checkpoint) -> None:
    """ValueError if a field of a checkpoint is not of its kind."""
    counts = {**asdict(made.position), "metrics_bytes": made.metrics_bytes}
    seconds, scaler, recipe = counts.pop("seconds"), made.scaler, made.run_settings
    right = {
        **{name: type(count) is int and count >= 0 for name, count in counts.items()},
        "seconds": finite_number(seconds) is not None and seconds >= 0,
        "recipe": isinstance(recipe, dict) and all(isinstance(t, str) for t in recipe.values()),
        "scaler": isinstance(scaler, dict)
        and (not scaler or "scale" in scaler)
        and all(isinstance(n, (int, float, list)) for n in scaler.values()),
        "finished": isinstance(made.finished, bool),
    }
    wrong = [name for name, is_right in right.items() if not is_right]
    if wrong:
        raise ValueError(f"its header has something else for {', '.join(wrong)}")


def _checksum(arrays: dict[str, np.ndarray]) -> int:
    """One number over all names and values (CRC-32)."""
    number = 0
    for name in sorted(arrays):
        number = zlib.crc32(name.encode(), number)
        number = zlib.crc32(arrays[name].tobytes(), number)
    return number
