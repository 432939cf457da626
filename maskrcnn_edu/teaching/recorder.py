"""The memory of the time machine: a few fixed images, looked at again and again while training.

A `Recorder` can be handed to any training loop. It does not disturb the training: no
gradients, and random state, stored statistics and modes are put back after every look.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F

from maskrcnn_edu.model.bbox.postprocess import image_size
from maskrcnn_edu.model.boxes import bbox_overlaps
from maskrcnn_edu.model.mask.head import select_class
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.ops.empty import cat
from maskrcnn_edu.structures import (
    Batch,
    Detections,
    PredictionStages,
    Proposals,
    RoISamples,
    TrainingStages,
)
from maskrcnn_edu.training.loop import Step
from maskrcnn_edu.training.record_arrays import from_arrays, to_arrays

KEEP = ("proposals", "samples", "mask_logits", "detections")
"""What can be kept; the first three as they are while training, the last as it is predicted."""
TOP_PROPOSALS = 50
TOP_DETECTIONS = 20
LARGEST = 10_000_000  # bytes of all snapshots, before compression

# how a recording calls the fields of the model's records: the pattern, and other words
PROPOSAL_NAMES = "proposal_{}", {"anchor_index": "anchors"}
SAMPLE_NAMES = "sample_{}", {"proposal_index": "proposals", "target_labels": "labels"}
DETECTION_NAMES = "detection_{}", {"roi_index": "rois"}


@dataclass(frozen=True, eq=False)
class ImageSnapshot:
    """What the model made of one image at one step. What was not kept has zero rows.

    Boxes are float32; of the input frame, except those of the detections.

    Attributes:
        size: height and width of the file, pixels.
        proposal_boxes: [P, 4] the best 50 proposals, best first.
        proposal_scores: [P] float32 logits.
        proposal_anchors: [P] int32, the anchor of each.
        sample_boxes: [R, 4] the RoIs that the step trains on.
        sample_labels: [R] int32, C is background.
        sample_gt_boxes: [R, 4] the object that each should become.
        sample_gt_index: [R] int32, row of the ground truth.
        sample_proposals: [R] int32, row of all (not only the best) proposals; -1 for an
            annotated box that was added.
        mask_rows: [F] int32, the foreground rows of the samples.
        mask_probs: [F, M, M] float16, probabilities of the own class.
        detection_boxes: [D, 4] the best 20 detections, best first; image frame.
        detection_labels: [D] int32.
        detection_scores: [D] float32 probabilities.
        detection_rois: [D] int32, row of all proposals of the prediction.
        detection_bits: [D, ceil(h * w / 8)] uint8, the masks, eight pixels in a byte.
    """

    size: tuple[int, int]
    proposal_boxes: np.ndarray
    proposal_scores: np.ndarray
    proposal_anchors: np.ndarray
    sample_boxes: np.ndarray
    sample_labels: np.ndarray
    sample_gt_boxes: np.ndarray
    sample_gt_index: np.ndarray
    sample_proposals: np.ndarray
    mask_rows: np.ndarray
    mask_probs: np.ndarray
    detection_boxes: np.ndarray
    detection_labels: np.ndarray
    detection_scores: np.ndarray
    detection_rois: np.ndarray
    detection_bits: np.ndarray

    @property
    def detection_masks(self) -> np.ndarray:
        """[D, h, w] bool, image frame."""
        height, width = self.size
        count = len(self.detection_bits)
        if count == 0:
            return np.zeros([0, height, width], bool)
        flat = np.unpackbits(self.detection_bits, axis=1, count=height * width)
        return flat.reshape(count, height, width).astype(bool)

    def proposals(self) -> Proposals:
        """The best proposals as the model's own record."""
        return from_arrays(Proposals, self._wide_arrays(), *PROPOSAL_NAMES)

    def samples(self) -> RoISamples:
        """The sampled RoIs as the model's own record."""
        return from_arrays(RoISamples, self._wide_arrays(), *SAMPLE_NAMES)

    def detections(self) -> Detections:
        """The best detections as the model's own record, image frame, with masks."""
        arrays = {**self._wide_arrays(), "detection_masks": self.detection_masks}
        return from_arrays(Detections, arrays, *DETECTION_NAMES)

    def _wide_arrays(self) -> dict[str, np.ndarray]:
        """All arrays, integers in the records' own int64."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return {n: a.astype(np.int64) if a.dtype == np.int32 else a for n, a in arrays.items()}

    @property
    def nbytes(self) -> int:
        """Size of all arrays in memory, in bytes."""
        return sum(getattr(self, name).nbytes for name in _ARRAYS)


_ARRAYS = {
    "proposal_boxes": ("float32", 4),
    "proposal_scores": ("float32",),
    "proposal_anchors": ("int32",),
    "sample_boxes": ("float32", 4),
    "sample_labels": ("int32",),
    "sample_gt_boxes": ("float32", 4),
    "sample_gt_index": ("int32",),
    "sample_proposals": ("int32",),
    "mask_rows": ("int32",),
    "mask_probs": ("float16", 0, 0),
    "detection_boxes": ("float32", 4),
    "detection_labels": ("int32",),
    "detection_scores": ("float32",),
    "detection_rois": ("int32",),
    "detection_bits": ("uint8", 0),
}
"""Of every array of an `ImageSnapshot`: its dtype, and its axes after the rows if not kept."""


def _image_snapshot(size: tuple[int, int], kept: dict[str, np.ndarray]) -> ImageSnapshot:
    """What was kept in its small dtype, and zero rows of the rest."""
    arrays = {
        name: kept[name].astype(dtype) if name in kept else np.zeros([0, *axes], dtype)
        for name, (dtype, *axes) in _ARRAYS.items()
    }
    return ImageSnapshot(size, **arrays)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One look at all images of a recording.

    Attributes:
        step: number of the training step after which it was taken; 0 before the first.
        loss: of that step, on its own batch; nan before the first.
        images: one entry per image.
        gt_boxes: per image, [G, 4] float32 annotated boxes without crowds, input frame.
    """

    step: int
    loss: float
    images: tuple[ImageSnapshot, ...]
    gt_boxes: tuple[np.ndarray, ...]

    @property
    def nbytes(self) -> int:
        """Size of what was kept, in bytes."""
        return sum(image.nbytes for image in self.images)


def recall(snapshot: Snapshot, top: int = TOP_PROPOSALS, iou: float = 0.5) -> float:
    """The share of annotated boxes (of all images) that the best proposals cover.

    Args:
        snapshot: with proposals kept.
        top: how many proposals of each image count, 1 .. 50.
        iou: least overlap that covers.

    Returns:
        0 .. 1; nan if nothing is annotated.

    Raises:
        ValueError: ``top`` is more than was kept.
    """
    if not 1 <= top <= TOP_PROPOSALS:
        raise ValueError(
            f"top must be 1 .. {TOP_PROPOSALS}, the proposals that are kept; got {top}"
        )
    covered, count = 0, 0
    for image, gt_boxes in zip(snapshot.images, snapshot.gt_boxes):
        boxes = paddle.to_tensor(image.proposal_boxes[:top])
        overlaps = bbox_overlaps(paddle.to_tensor(gt_boxes), boxes).numpy()  # [G, P]
        covered += int((overlaps >= iou).any(axis=1).sum())
        count += len(gt_boxes)
    return covered / count if count else math.nan


@dataclass(frozen=True, eq=False)
class Recording:
    """All looks at the same images, in the order of the steps.

    Attributes:
        snapshots: the looks.
        keep: what was kept, some of `KEEP`.
        image_id: N ids, as in the annotation file.
        im_shape: [N, 2] float32, height and width in the input frame.
        scale_factor: [N, 2] float32, input pixels per image pixel, (y, x).
    """

    snapshots: tuple[Snapshot, ...]
    keep: tuple[str, ...]
    image_id: tuple[int, ...]
    im_shape: np.ndarray
    scale_factor: np.ndarray

    @property
    def nbytes(self) -> int:
        """Size of all snapshots, in bytes, before compression."""
        return sum(s.nbytes for s in self.snapshots)

    def save(self, path: str | Path) -> None:
        """Write one compressed ``.npz`` file (plain arrays, no pickle).

        Raises:
            ValueError: the path does not end in ``.npz``, or there is no snapshot.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(f"the name of a recording must end in .npz, got {path}")
        if not self.snapshots:
            raise ValueError("nothing has been recorded yet")
        arrays = {
            "step": np.array([s.step for s in self.snapshots], np.int64),
            "loss": np.array([s.loss for s in self.snapshots], np.float64),
            "keep": np.array(self.keep),
            "image_id": np.array(self.image_id, np.int64),
            "im_shape": self.im_shape,
            "scale_factor": self.scale_factor,
        }
        for i in range(len(self.image_id)):
            arrays |= _pack([s.images[i] for s in self.snapshots], f"{i}/")
            arrays[f"{i}/gt_boxes"] = self.snapshots[0].gt_boxes[i]
        np.savez_compressed(path, **arrays)

    @staticmethod
    def load(path: str | Path) -> Recording:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is not a recording.
        """
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        if "step" not in arrays or "image_id" not in arrays:
            raise ValueError(f"{path} is not a recording")
        count = len(arrays["image_id"])
        images = [_unpack(arrays, f"{i}/", len(arrays["step"])) for i in range(count)]
        gt_boxes = tuple(arrays[f"{i}/gt_boxes"] for i in range(count))
        looks = zip(arrays["step"].tolist(), arrays["loss"].tolist(), zip(*images))
        return Recording(
            tuple(Snapshot(step, loss, row, gt_boxes) for step, loss, row in looks),
            tuple(arrays["keep"].tolist()),
            tuple(arrays["image_id"].tolist()),
            arrays["im_shape"],
            arrays["scale_factor"],
        )


def _pack(images: Sequence[ImageSnapshot], prefix: str) -> dict[str, np.ndarray]:
    """One image at all steps: the rows of all steps in one array, and how many each has."""
    arrays = {f"{prefix}size": np.array(images[0].size, np.int64)}
    for name in _ARRAYS:
        parts = [getattr(image, name) for image in images]
        # a step without rows may not know the other axes (the side of a mask)
        filled = [p for p in parts if len(p)]
        arrays[prefix + name] = np.concatenate(filled) if filled else parts[0]
        arrays[f"{prefix}{name}_count"] = np.array([len(p) for p in parts], np.int64)
    return arrays


def _unpack(arrays: dict[str, np.ndarray], prefix: str, steps: int) -> list[ImageSnapshot]:
    """The inverse of `_pack`."""
    cut = {}
    for name in _ARRAYS:
        ends = np.cumsum(arrays[f"{prefix}{name}_count"])
        cut[name] = np.split(arrays[prefix + name], ends[:-1])
    height, width = arrays[f"{prefix}size"].tolist()
    return [ImageSnapshot((height, width), **{n: cut[n][s] for n in cut}) for s in range(steps)]


class Recorder:
    """Looks at a few fixed images every so many training steps, and remembers.

    Call it with every `Step` of `maskrcnn_edu.training.loop.train_steps`, or of any loop that
    reports such steps of the same model. `record` looks at once: with no step before the
    training, and with the last step after it.

    If the snapshots outgrow ``largest``, every second one is forgotten and ``every``
    doubles, so a long run ends with a coarser recording instead of an error.

    Args:
        model: the model that is being trained; None takes it from the first step, for
            loops that make their model themselves (`maskrcnn_edu.training.run.train`).
        batch: the images to look at, with ground truth.
        every: steps between two looks.
        keep: some of `KEEP`.
        largest: bytes that all snapshots may take, before compression.

    Raises:
        ValueError: ``every`` below 1, an unknown name in ``keep`` or none at all, or a
            batch without ground truth.
    """

    def __init__(
        self,
        model: MaskRCNN | None,
        batch: Batch,
        every: int,
        keep: Sequence[str] = KEEP,
        largest: int = LARGEST,
    ):
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        if not keep or set(keep) - set(KEEP):
            raise ValueError(f"keep must be some of {KEEP}, got {tuple(keep)}")
        if batch.gt is None:
            raise ValueError("the images need ground truth: what is sampled depends on it")
        self.model = model
        self.batch = batch
        self.every = every
        self.keep = tuple(keep)
        self.largest = largest
        self.snapshots: list[Snapshot] = []
        self._gt_boxes = tuple(gt.boxes.numpy()[~gt.is_crowd.numpy()] for gt in batch.gt)

    def __call__(self, step: Step) -> None:
        """Look if ``step`` is the turn of one."""
        if step.step % self.every == 0:
            self.record(step)

    def record(self, step: Step | None = None) -> None:
        """Look now; None means before the first step. A step is recorded once at most.

        Raises:
            ValueError: two snapshots alone are larger than ``largest``, or there is no model
                yet.
        """
        number = 0 if step is None else step.step
        if self.snapshots and self.snapshots[-1].step == number:
            return
        if self.model is None:
            if step is None:
                raise ValueError("there is no model before the first step: make a Recorder of one")
            self.model = step.model
        loss = math.nan if step is None else step.losses()["loss"]
        self.snapshots.append(Snapshot(number, loss, self._look(), self._gt_boxes))
        while sum(s.nbytes for s in self.snapshots) > self.largest:
            self._forget_every_second()

    def recording(self) -> Recording:
        """What has been recorded so far."""
        return Recording(
            tuple(self.snapshots),
            self.keep,
            tuple(self.batch.image_id),
            self.batch.im_shape.numpy(),
            self.batch.scale_factor.numpy(),
        )

    def _look(self) -> tuple[ImageSnapshot, ...]:
        """Run the model on the images, in both modes as far as needed."""
        kept: list[dict] = [{} for _ in range(len(self.batch))]
        with undisturbed(self.model):
            if set(self.keep) - {"detections"}:
                self.model.train()
                for image, arrays in zip(kept, _training_arrays(self.model(self.batch), self.keep)):
                    image.update(arrays)
            if "detections" in self.keep:
                self.model.eval()
                for image, arrays in zip(kept, _detection_arrays(self.model(self.batch))):
                    image.update(arrays)
        return tuple(_image_snapshot(size, arrays) for size, arrays in zip(self._sizes(), kept))

    def _sizes(self) -> list[tuple[int, int]]:
        """Height and width of every image's file."""
        pairs = zip(self.batch.im_shape, self.batch.scale_factor)
        return [image_size(im_shape, scale) for im_shape, scale in pairs]

    def _forget_every_second(self) -> None:
        """Keep the first, the third, ... and the latest snapshot."""
        if len(self.snapshots) <= 2:
            size = self.snapshots[-1].nbytes / 1e6
            raise ValueError(
                f"one snapshot of {len(self.batch)} images takes {size:.1f} MB, too much for "
                f"{self.largest / 1e6:.1f} MB in all: record fewer or smaller images, or keep less"
            )
        self.snapshots = [*self.snapshots[:-1:2], self.snapshots[-1]]
        self.every *= 2


@contextmanager
def undisturbed(model: MaskRCNN) -> Iterator[None]:
    """Whatever is computed inside leaves no trace in the model or the random numbers.

    Within the block there are no gradients. Afterwards Paddle's random state, every
    tensor that is not trained (the stored statistics of batch normalization) and the
    mode of every layer are what they were before.
    """
    random_state = paddle.get_rng_state()
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    # Paddle keeps the statistics of batch normalization among the parameters
    tensors = [t for t in [*model.parameters(), *model.buffers()] if t.stop_gradient]
    values = [t.clone() for t in tensors]
    try:
        with paddle.no_grad():
            yield
    finally:
        for tensor, value in zip(tensors, values):
            tensor.set_value(value)
        for layer, training in modes:
            layer.training = training
        paddle.set_rng_state(random_state)


def _training_arrays(stages: TrainingStages, keep: Sequence[str]) -> Iterator[dict]:
    """What is kept of a look in training mode, image by image."""
    probs, start = _own_class_probs(stages), 0
    for proposals, samples, targets in zip(stages.proposals, stages.samples, stages.mask_targets):
        arrays = {}
        if "proposals" in keep:
            arrays |= _proposal_arrays(proposals)
        if "samples" in keep:
            arrays |= to_arrays(samples, *SAMPLE_NAMES)
        if "mask_logits" in keep:
            arrays["mask_rows"] = targets.index.numpy()
            arrays["mask_probs"] = probs[start : start + len(targets)]
        start += len(targets)
        yield arrays


def _own_class_probs(stages: TrainingStages) -> np.ndarray:
    """[sum F, M, M] float32, image after image."""
    labels = cat([t.target_labels for t in stages.mask_targets])
    return F.sigmoid(select_class(stages.mask_logits, labels)).numpy()


def _proposal_arrays(proposals: Proposals) -> dict[str, np.ndarray]:
    """The best proposals of one image."""
    arrays = to_arrays(proposals, *PROPOSAL_NAMES)
    return _best_rows(arrays, arrays["proposal_scores"], TOP_PROPOSALS)


def _detection_arrays(stages: PredictionStages) -> Iterator[dict]:
    """What is kept of a look in prediction mode, image by image."""
    for detections in stages.detections:
        arrays = to_arrays(detections, *DETECTION_NAMES)
        arrays = _best_rows(arrays, arrays["detection_scores"], TOP_DETECTIONS)
        masks = arrays.pop("detection_masks")  # [D, h, w]
        pixels = math.prod(masks.shape[1:])
        arrays["detection_bits"] = np.packbits(masks.reshape(len(masks), pixels), axis=1)
        yield arrays


def _best_rows(
    arrays: dict[str, np.ndarray], scores: np.ndarray, count: int
) -> dict[str, np.ndarray]:
    """The rows of at most ``count`` highest scores [n], best first, of arrays [n, ...]."""
    best = np.argsort(-scores, kind="stable")[:count]
    return {name: values[best] for name, values in arrays.items()}
