"""The configuration's reader sections: what they build, and what they refuse."""

import numpy as np
import pytest

from maskrcnn_edu.data.coco import sample_from_array
from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.transforms import NormalizeImage, PadBatch, Permute, RandomFlip

STEPS = [{"RandomFlip": {"prob": 0.25}}, {"NormalizeImage": {}}, {"Permute": None}]


def images(count):
    return [sample_from_array(np.full((4, 4, 3), i, np.uint8), i) for i in range(count)]


def test_names_and_options_become_transforms():
    reader = Reader(STEPS, [{"PadBatch": {"pad_to_stride": 8}}])
    assert reader.transforms() == ([RandomFlip(0.25), NormalizeImage(), Permute()], [PadBatch(8)])
    assert (reader.batch_size, reader.shuffle, reader.drop_last, reader.worker_num) == (
        1, False, False, 1,
    )  # fmt: skip


def test_everything_reaches_the_loader():
    dataset = images(9)
    reader = Reader(STEPS, (), batch_size=4, shuffle=True, drop_last=True, worker_num=3)
    made = reader.loader(dataset, seed=7, rank=1, world_size=2)
    samples, batches = reader.transforms()
    assert made == BatchLoader(
        dataset, samples, batches, 2, shuffle=True, drop_last=True, seed=7, rank=1, world_size=2,
        workers=3,
    )  # fmt: skip


def test_each_of_several_processes_gets_its_share_of_every_batch():
    reader = Reader(STEPS, batch_size=6)
    assert [reader.loader(images(12), world_size=n).batch_size for n in (1, 2, 3)] == [6, 3, 2]
    with pytest.raises(ValueError, match="batch_size 6 cannot be shared by 4 processes"):
        reader.loader(images(12), world_size=4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"worker_num": 0}, "worker_num must be 1 .. 64, got 0"),
        ({"sample_transforms": [{"RandomFlop": {}}]},
         "sample_transforms: unknown transform RandomFlop; did you mean RandomFlip"),
        ({"sample_transforms": [{"PadBatch": {}}]}, "sample_transforms: unknown transform PadB"),
        ({"batch_transforms": [{"Permute": {}}]}, "batch_transforms: unknown transform Permute"),
        ({"sample_transforms": [{"RandomFlip": {"prop": 1}}]},
         "RandomFlip has no option prop; did you mean prob"),
        ({"sample_transforms": [{"RandomFlip": {"prob": 2}}]},
         "sample_transforms: RandomFlip: RandomFlip.prob is 2"),
        ({"sample_transforms": [{"Permute": {}, "Decode": {}}]}, "unknown transform {'Permute'"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_named(changes, words):
    with pytest.raises(ValueError) as caught:
        Reader(**({"sample_transforms": STEPS} | changes))
    assert words in str(caught.value)
