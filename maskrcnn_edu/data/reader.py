"""Reader: the configuration's ``TrainReader`` and ``EvalReader`` sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from maskrcnn_edu.data.coco import Sample
from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.data.transforms import BATCH_TRANSFORMS, TRANSFORMS
from maskrcnn_edu.system.suggest import did_you_mean

MAX_WORKERS = 64  # more threads prepare no batch sooner


@dataclass(frozen=True)
class Reader:
    """How images become batches.

    Args:
        sample_transforms: one ``{Name: {option: value}}`` per step, see
            `maskrcnn_edu.data.transforms`.
        batch_transforms: the same, for all images of a batch together.
        batch_size: images per batch.
        shuffle: a new order in every epoch.
        drop_last: leave out a last batch that is not full.
        worker_num: threads that prepare batches while the last one is computed.

    Raises:
        ValueError: an unknown transform or option, or an impossible value.
    """

    sample_transforms: Sequence[dict]
    batch_transforms: Sequence[dict] = ()
    batch_size: int = 1
    shuffle: bool = False
    drop_last: bool = False
    worker_num: int = 1

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {self.batch_size}")
        if not 1 <= self.worker_num <= MAX_WORKERS:
            raise ValueError(f"worker_num must be 1 .. {MAX_WORKERS}, got {self.worker_num}")
        self.transforms()

    def transforms(self) -> tuple[list, list]:
        """The built sample transforms and batch transforms."""
        return (
            [_build("sample_transforms", TRANSFORMS, step) for step in self.sample_transforms],
            [_build("batch_transforms", BATCH_TRANSFORMS, step) for step in self.batch_transforms],
        )

    def loader(
        self,
        dataset: Sequence[Sample],
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        same_size: bool = False,
    ) -> BatchLoader:
        """Batches of a dataset; each of several processes gets its share of every batch.

        Args:
            dataset, seed, rank, world_size, same_size: see `BatchLoader`.

        Raises:
            ValueError: the batch cannot be shared out evenly.
        """
        if self.batch_size % world_size:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be shared by {world_size} processes"
            )
        sample_transforms, batch_transforms = self.transforms()
        return BatchLoader(
            dataset,
            sample_transforms,
            batch_transforms,
            self.batch_size // world_size,
            shuffle=self.shuffle,
            drop_last=self.drop_last,
            seed=seed,
            rank=rank,
            world_size=world_size,
            same_size=same_size,
            workers=self.worker_num,
        )


def _build(where: str, known: dict[str, type], step: dict[str, Any]) -> Any:
    """One transform from ``{Name: {option: value}}``."""
    name, options = next(iter(step.items())) if len(step) == 1 else (str(step), {})
    if name not in known:
        raise ValueError(f"{where}: unknown transform {name}{did_you_mean(name, known)}")
    names = [f.name for f in fields(known[name])]
    for option in options or {}:
        if option not in names:
            raise ValueError(f"{where}: {name} has no option {option}{did_you_mean(option, names)}")
    try:
        return known[name](**(options or {}))
    except ValueError as error:
        raise ValueError(f"{where}: {name}: {error}") from error
