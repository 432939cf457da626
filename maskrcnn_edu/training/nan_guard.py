"""When a loss or a gradient is NaN or infinite: stop, name it, and dump the batch.

A NaN spreads: one in the loss is one in every gradient, and after the step one in every
weight. So a step is checked before its gradients move the weights.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, nn
from PIL import Image

from maskrcnn_edu.structures import Batch, BitMask, GroundTruth, TrainingStages
from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.training.record_arrays import to_arrays

MAX_SKIPPED_STEPS = 20
"""Steps in a row that the fp16 loss scaling may skip: from 2**16 it is below 1 after 17."""


class NotFiniteError(ValueError):
    """A loss or a gradient is NaN or infinite.

    Args:
        step: the number of the step, from 1.
        losses: of the batch that is to blame.
        stages: what was computed of it.
        model: the model, with the step's gradients if they are still there.
    """

    def __init__(
        self, step: int, losses: dict[str, Tensor], stages: TrainingStages, model: nn.Layer
    ):
        self.step, self.stages, self.model = step, stages, model
        terms = {name: float(value) for name, value in losses.items()}
        total = ", ".join(f"{k} {v:g}" for k, v in {"loss": sum(terms.values()), **terms}.items())
        what = "a gradient" if all(map(math.isfinite, terms.values())) else "the loss"
        super().__init__(
            f"step {step}: {what} is not finite ({total}); images {list(stages.batch.image_id)}"
        )


@dataclass(frozen=True)
class _Pending:
    """A step that has been computed, and the number that will show whether it is finite."""

    step: int
    batches: Sequence[Batch]
    losses: Sequence[dict[str, Tensor]]
    stages: TrainingStages
    finite_probe: Tensor


class NanGuard:
    """Checks the losses and gradients of every step, without making the device wait.

    All of them are summed up into one number, which is not finite if one of them is not.
    On the CPU it is read at once, and the weights stay good. On a GPU reading it would
    stop the queue of work; there it is copied to the host in the background, and read one
    step later. The weights are lost by then, but nothing that is on disk.

    Args:
        model: what is being trained.
        tolerated: how many bad steps in a row are normal: 0, or `MAX_SKIPPED_STEPS` with loss
            scaling, which skips a step that overflows and then scales less.
    """

    def __init__(self, model: nn.Layer, tolerated: int = 0):
        self.model = model
        self.tolerated = tolerated
        self.bad_in_a_row = 0
        self._pending: _Pending | None = None

    def __call__(
        self,
        step: int,
        batches: Sequence[Batch],
        losses: Sequence[dict[str, Tensor]],
        stages: TrainingStages,
    ) -> None:
        """Check a step whose gradients are there; call it before they move the weights.

        Args:
            step: its number, from 1.
            batches: of this step.
            losses: of each batch.
            stages: what was computed of the last batch.

        Raises:
            NotFiniteError: this step, or on a GPU the one before, is not finite.
        """
        self.finish()
        probe = finite_probe(self.model, losses)
        self._pending = _Pending(step, batches, losses, stages, copy_to_pinned(probe))
        if probe.place.is_cpu_place():
            self.finish()

    def finish(self) -> None:
        """Read the number that is still on its way; before weights are saved, for instance."""
        pending, self._pending = self._pending, None
        if pending is None:
            return
        if math.isfinite(float(pending.finite_probe)):
            self.bad_in_a_row = 0
            return
        self.bad_in_a_row += 1
        if self.bad_in_a_row > self.tolerated:
            raise NotFiniteError(pending.step, *self._culprit(pending), self.model)

    def _culprit(self, pending: _Pending) -> tuple[dict[str, Tensor], TrainingStages]:
        """The first batch with a loss that is not finite; the last one if all losses are."""
        for batch, losses in zip(pending.batches[:-1], pending.losses):
            if not all(math.isfinite(float(v)) for v in losses.values()):
                return losses, self.model(batch)  # only the last batch's stages were kept
        return pending.losses[-1], pending.stages


@paddle.no_grad()
def finite_probe(model: nn.Layer, losses: Sequence[dict[str, Tensor]]) -> Tensor:
    """The sum of all losses and gradients, a scalar: not finite if one of them is not.

    (Or if they are so large that their sum is beyond 1e38: such a step is lost as well.)
    """
    parts = [value for terms in losses for value in terms.values()]
    gradients = (p.grad for p in model.parameters())  # asked for once: it takes time
    parts += [gradient.sum() for gradient in gradients if gradient is not None]
    return paddle.stack(parts).sum()


def copy_to_pinned(number: Tensor) -> Tensor:
    """A scalar in host memory; on a GPU it is on its way there, and nobody waits."""
    if number.place.is_cpu_place():
        return number
    return number._copy_to(paddle.CUDAPinnedPlace(), False)


# ---------------------------------------------------------------- the dump


@dataclass(frozen=True)
class Range:
    """The range of a tensor's numbers.

    Attributes:
        name: which tensor.
        smallest, largest: of its finite numbers; NaN if it has none.
        finite: the share of its numbers that are finite, 0 .. 1.
    """

    name: str
    smallest: float
    largest: float
    finite: float

    @classmethod
    def of(cls, name: str, tensor: Tensor) -> Range:
        """Measure a tensor of any shape (waits for the device)."""
        values = tensor.cast("float32").numpy()
        good = values[np.isfinite(values)]
        if good.size == 0:
            return cls(name, math.nan, math.nan, 1.0 if values.size == 0 else 0.0)
        return cls(name, float(good.min()), float(good.max()), good.size / values.size)

    def __str__(self) -> str:
        return f"{self.name}: {self.smallest:g} .. {self.largest:g}, {self.finite:.1%} finite"


def ranges(stages: TrainingStages) -> list[Range]:
    """The range of every intermediate of a step, in the order they were computed."""
    return [Range.of(name, tensor) for name, tensor in _tensors(stages).items()]


def _tensors(stages: TrainingStages) -> dict[str, Tensor]:
    """The intermediates of a step, by name."""
    tensors = {"image": stages.batch.image}
    tensors |= {f"features {i}": f for i, f in enumerate(stages.features)}
    tensors |= {"rpn scores": stages.rpn.scores, "rpn deltas": stages.rpn.deltas}
    for i, (proposals, samples) in enumerate(zip(stages.proposals, stages.samples)):
        tensors |= {f"proposals {i}": proposals.boxes, f"samples {i}": samples.boxes}
    return tensors | {
        "bbox scores": stages.bbox.scores,
        "bbox deltas": stages.bbox.deltas,
        "mask logits": stages.mask_logits,
    }


def not_finite(model: nn.Layer) -> tuple[list[str], list[str]]:
    """The names of the weights, and of the gradients, that hold a NaN or an infinity."""
    weights = [k for k, v in model.state_dict().items() if not _all_finite(v)]
    gradients = [
        k for k, p in model.named_parameters() if p.grad is not None and not _all_finite(p.grad)
    ]
    return weights, gradients


def _all_finite(tensor: Tensor) -> bool:
    return bool(np.isfinite(tensor.numpy()).all())


@contextlib.contextmanager
def dumped(folder: Path) -> Iterator[None]:
    """A `NotFiniteError` within the block becomes a ValueError with what `dump` says."""
    try:
        yield
    except NotFiniteError as problem:
        raise ValueError(dump(problem, folder)) from problem


def dump(problem: NotFiniteError, folder: Path) -> str:
    """Leave the batch on disk, in files that can run nothing, and describe it in words.

    ``IMAGE_ID.png`` each image as the network saw it, its brightness stretched;
    ``batch.json`` ids, objects, losses, ranges; ``arrays.npz`` all arrays; ``report.txt``.

    Args:
        problem: what happened.
        folder: receives the files; made, if needed.

    Returns:
        The message: step, images, terms, ranges, weights, and what to do.
    """
    weights, gradients = not_finite(problem.model)
    lines = [str(problem), *(f"  {r}" for r in ranges(problem.stages))]
    for what, names in (("weights", weights), ("gradients", gradients)):
        first = ": " + ", ".join(names[:4]) + (" ..." if len(names) > 4 else "") if names else ""
        lines.append(f"  {what} that are not finite: {len(names)}{first}")
    folder.mkdir(parents=True, exist_ok=True)
    _write_images(folder, problem.stages.batch)
    facts, arrays = _facts(problem.stages, weights, gradients), _arrays(problem.stages)
    atomic_write(folder / "batch.json", lambda p: p.write_text(json.dumps(facts, indent=1)))
    atomic_write(folder / "arrays.npz", lambda p: _write_arrays(p, arrays))
    text = "\n".join(lines) + "\n"
    atomic_write(folder / "report.txt", lambda p: p.write_text(text, encoding="utf-8"))
    lines.append(
        f"The batch is in {folder}: look at its images and objects. Lower "
        "LearningRate.base_lr, or look for broken annotations with `maskrcnn-edu data check`"
    )
    return "\n".join(lines)


def _write_images(folder: Path, batch: Batch) -> None:
    for image, shape, number in zip(batch.image.numpy(), batch.im_shape.numpy(), batch.image_id):
        h, w = shape.astype(int)
        Image.fromarray(_visible(image[:, :h, :w])).save(folder / f"{number}.png")


def _facts(
    stages: TrainingStages, weights: Sequence[str], gradients: Sequence[str]
) -> dict[str, Any]:
    """The content of ``batch.json``."""
    return {
        "image_id": list(stages.batch.image_id),
        "losses": {k: str(float(v)) for k, v in stages.losses.items()},
        "ranges": [str(r) for r in ranges(stages)],
        "weights_not_finite": list(weights),
        "gradients_not_finite": list(gradients),
        "objects": [_objects(gt) for gt in stages.batch.gt],
    }


def _arrays(stages: TrainingStages) -> dict[str, np.ndarray]:
    """The content of ``arrays.npz``: batch, ground truth and intermediates."""
    arrays = to_arrays(stages.batch)
    arrays |= {name.replace(" ", "_"): t.numpy() for name, t in _tensors(stages).items()}
    for i, gt in enumerate(stages.batch.gt):
        arrays |= to_arrays(gt, f"gt_{{}}_{i}")
        masks = {j: segm for j, segm in enumerate(gt.segms) if isinstance(segm, BitMask)}
        arrays |= {f"gt_mask_{i}_{j}": mask.pixels for j, mask in masks.items()}
    return arrays


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:  # given a name, numpy would add an ending
        np.savez_compressed(file, **arrays)


def _visible(image: np.ndarray) -> np.ndarray:
    """[3, h, w] of any range -> [h, w, 3] uint8, from the darkest to the brightest."""
    good = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(good.min()), float(good.max())
    return (255 * (good - low) / max(high - low, 1e-6)).astype(np.uint8).transpose(1, 2, 0)


def _objects(gt: GroundTruth) -> list[dict]:
    """The objects of one image, as JSON can hold them (input frame)."""
    rows = zip(gt.boxes.tolist(), gt.labels.tolist(), gt.is_crowd.tolist(), gt.segms)
    return [
        {
            "box": box,
            "label": label,
            "is_crowd": bool(crowd),
            "polygons": "see arrays.npz" if isinstance(s, BitMask) else [p.tolist() for p in s],
        }
        for box, label, crowd, s in rows
    ]
