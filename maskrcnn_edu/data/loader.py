"""Samples become batches: the place where numpy ends and Paddle begins."""

from __future__ import annotations

import itertools
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import paddle

from maskrcnn_edu.data.coco import Sample
from maskrcnn_edu.data.problems import LeftOutWarning, UnreadableImage
from maskrcnn_edu.data.transforms import Transform, apply_transforms
from maskrcnn_edu.structures import Batch, GroundTruth

Item = TypeVar("Item")
Result = TypeVar("Result")

BatchTransform = Callable[[Sequence[Sample]], list[Sample]]


def collate(samples: Sequence[Sample]) -> Batch:
    """Samples with images of one size -> tensors.

    Args:
        samples: N samples, images [3, H, W] float32; all with ground truth or none.

    Raises:
        ValueError: images differ in size or are not [3, H, W] float32, or only
            some samples have ground truth.
    """
    _check_images(samples)
    return Batch(
        image=paddle.to_tensor(np.stack([sample.image for sample in samples])),
        im_shape=paddle.to_tensor(np.stack([sample.im_shape for sample in samples])),
        scale_factor=paddle.to_tensor(np.stack([sample.scale_factor for sample in samples])),
        image_id=[sample.image_id for sample in samples],
        gt=_collate_gt([sample.gt for sample in samples]),
    )


def _check_images(samples: Sequence[Sample]) -> None:
    kinds = {None if s.image is None else (s.image.shape, str(s.image.dtype)) for s in samples}
    for kind in kinds:
        if kind is None or kind[0][:1] != (3,) or kind[1] != "float32":
            raise ValueError(
                f"images must be [3, H, W] float32, not {kind}; "
                f"end sample_transforms with NormalizeImage and Permute"
            )
    if len(kinds) > 1:
        raise ValueError(f"images of one batch differ: {kinds}; add PadBatch to batch_transforms")


def _collate_gt(gts: list[GroundTruth | None]) -> list[GroundTruth] | None:
    if all(gt is None for gt in gts):
        return None
    if any(gt is None for gt in gts):
        raise ValueError("some samples of the batch have ground truth, others have none")
    return [
        GroundTruth(
            boxes=paddle.to_tensor(gt.boxes),
            labels=paddle.to_tensor(gt.labels),
            segms=gt.segms,
            is_crowd=paddle.to_tensor(gt.is_crowd),
        )
        for gt in gts
    ]


@dataclass(frozen=True)
class BatchLoader:
    """Batches of a data set, epoch by epoch, prepared by threads in the background.

    What comes out depends on the fields, the epoch and nothing else: each sample
    has a random generator of its own, so an interrupted run can be continued, and
    sample i of epoch e is the same whatever was loaded before.

    An image that cannot be read is left out, with a `LeftOutWarning`: another sample,
    drawn at random, takes its place. So every batch stays full, the number of batches
    stays what it is, and all processes have equally many.

    Attributes:
        dataset: anything with a length whose items are `Sample`.
        sample_transforms: applied to each sample, in order.
        batch_transforms: applied to each list of samples, in order.
        batch_size: samples per batch (and process).
        shuffle: a new order in each epoch, instead of the data set's.
        drop_last: leave out a last batch that is not full.
        seed: of order and transforms, 0 or more.
        rank: which of ``world_size`` processes this is. Each takes every
            ``world_size``-th sample, and all have equally many: some samples come
            twice (or are left out, with ``drop_last``) if they do not divide evenly.
        world_size: how many processes share the data set.
        same_size: split a batch where the size of its images changes, instead of padding them:
            features of an image's last rows and columns see what it is padded with, so that its
            detections would depend on its neighbours.
        workers: threads that prepare batches. One is enough if a step takes longer than
            its batch; their number changes the time alone, not the batches.
    """

    dataset: Sequence[Sample]
    sample_transforms: Sequence[Transform]
    batch_transforms: Sequence[BatchTransform]
    batch_size: int
    shuffle: bool = False
    drop_last: bool = False
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    same_size: bool = False
    workers: int = 1
    # rows that failed, and why: they fail again, so this only saves time and repetition
    _unreadable: dict[int, str] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Raises ValueError if a field is out of range or no batch could be made."""
        if self.batch_size < 1 or self.seed < 0:
            raise ValueError(
                f"batch_size must be 1 or more and seed 0 or more, "
                f"not {self.batch_size} and {self.seed}"
            )
        if self.workers < 1:
            raise ValueError(f"workers must be 1 or more, not {self.workers}")
        if not 0 <= self.rank < self.world_size:
            raise ValueError(
                f"rank {self.rank} is not in 0 .. world_size - 1 = {self.world_size - 1}"
            )
        if self.drop_last and len(self) == 0:
            raise ValueError(
                f"{len(self.dataset)} samples for {self.world_size} processes do not fill one "
                f"batch of {self.batch_size}; lower batch_size or switch drop_last off"
            )

    def __len__(self) -> int:
        """Batches per epoch, before they are split (``same_size``)."""
        return len(self._batches(0))

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch.

        Args:
            epoch: its number, 0 or more.
            skip: how many batches to leave out at the start, unread.

        Raises (when a batch is asked for):
            ValueError: not a single image can be read.
        """
        if epoch < 0 or skip < 0:
            raise ValueError(f"epoch and skip must be 0 or more, not {epoch} and {skip}")

        def load(rows: np.ndarray) -> list[list[Sample]]:
            return self._load(epoch, rows)

        loaded = prefetch(load, self._batches(epoch)[skip:], self.workers)
        return map(collate, itertools.chain.from_iterable(loaded))

    def _batches(self, epoch: int) -> list[np.ndarray]:
        """The rows of the data set that make up each batch of this process."""
        n = len(self.dataset)
        rng = np.random.default_rng([self.seed, epoch])
        order = rng.permutation(n) if self.shuffle else np.arange(n)
        even = n // self.world_size if self.drop_last else -(-n // self.world_size)
        # np.resize starts over at the front when the samples are used up
        own = np.resize(order, even * self.world_size)[self.rank :: self.world_size]
        end = len(own) // self.batch_size * self.batch_size if self.drop_last else len(own)
        return [own[i : i + self.batch_size] for i in range(0, end, self.batch_size)]

    def _load(self, epoch: int, rows: np.ndarray) -> list[list[Sample]]:
        """The samples of a batch, or of the parts that it is split into."""
        samples = [self._sample(epoch, row) for row in rows.tolist()]
        groups = [samples]
        if self.same_size:
            by_size = itertools.groupby(samples, key=lambda sample: sample.image.shape)
            groups = [list(group) for _, group in by_size]
        return [self._together(group) for group in groups]

    def _together(self, samples: list[Sample]) -> list[Sample]:
        for transform in self.batch_transforms:
            samples = transform(samples)
        return samples

    def _sample(self, epoch: int, row: int) -> Sample:
        """Sample ``row``; if its image cannot be read, the first of the others that can."""
        # row + 1, as numpy pads seeds with zeros: [seed, epoch, 0] is the order's stream
        rng = np.random.default_rng([self.seed, epoch, row + 1])
        sample = self._try(row, rng)
        if sample is not None:
            return sample
        others = np.random.default_rng([self.seed, epoch, row + 1, 1])
        for other in others.permutation(len(self.dataset)).tolist():
            # a stream each: it must not matter which images are known to fail already
            sample = self._try(other, np.random.default_rng([self.seed, epoch, row + 1, other + 2]))
            if sample is not None:
                return sample
        raise ValueError(
            f"none of the {len(self.dataset)} images can be read; one is {self._unreadable[row]}"
        )

    def _try(self, row: int, rng: np.random.Generator) -> Sample | None:
        if row in self._unreadable:
            return None
        try:
            return apply_transforms(self.dataset[row], self.sample_transforms, rng)
        except UnreadableImage as reason:
            own = str(reason)
            if self._unreadable.setdefault(row, own) is own:  # no other worker was faster
                warnings.warn(f"left out: {reason}", LeftOutWarning, stacklevel=2)
            return None


def prefetch(
    work: Callable[[Item], Result], items: Sequence[Item], workers: int = 1, ahead: int = 4
) -> Iterator[Result]:
    """``map(work, items)`` with background threads, each up to ``ahead`` items ahead.

    An exception in ``work`` is raised here, at the item that caused it. A
    consumer that stops early leaves no thread waiting for it.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > ahead * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
