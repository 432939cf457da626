"""Batches: their tensors, their order, their thread."""

import threading
import time
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import paddle
import pytest

from maskrcnn_edu.data.coco import Sample, sample_from_array
from maskrcnn_edu.data.loader import BatchLoader, collate, prefetch
from maskrcnn_edu.data.problems import UnreadableImage
from maskrcnn_edu.data.transforms import (
    NormalizeImage,
    PadBatch,
    Permute,
    RandomFlip,
    RandomTranspose,
    Resize,
)
from maskrcnn_edu.structures import GroundTruth


def ground_truth(count):
    return GroundTruth(
        boxes=np.tile(np.array([0, 0, 2, 2], np.float32), (count, 1)),
        labels=np.arange(count),
        segms=[[np.array([0.0, 0, 2, 0, 2, 2])] for _ in range(count)],
        is_crowd=np.zeros(count, bool),
    )


def samples(count, gt=True):
    """Sample i is numbered i, i + 1 pixels wide, and has i objects."""
    made = [sample_from_array(np.full((2, i + 1, 3), i, np.uint8), i) for i in range(count)]
    return [replace(s, gt=ground_truth(s.image_id) if gt else None) for s in made]


@dataclass(frozen=True)
class AddNoise:
    """A transform that shows which random numbers it was given."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return replace(sample, scale_factor=rng.random(2).astype(np.float32))


def loader(count=7, **changes):
    fields = {
        "dataset": samples(count),
        "sample_transforms": [AddNoise(), NormalizeImage(), Permute()],
        "batch_transforms": [PadBatch(4)],
        "batch_size": 2,
        "shuffle": True,
    }
    return BatchLoader(**(fields | changes))


def ids(batches):
    return [batch.image_id for batch in batches]


def noise(batches):
    return [batch.scale_factor.numpy().tolist() for batch in batches]


# ---- tensors ---------------------------------------------------------------------


def test_a_batch_is_tensors_of_the_promised_types():
    (batch,) = loader(3, batch_size=3, shuffle=False).epoch(0)
    assert batch.image_id == [0, 1, 2]
    assert batch.image.shape == [3, 3, 4, 4]
    assert batch.im_shape.numpy().tolist() == [[2, 1], [2, 2], [2, 3]]
    for tensor in (batch.image, batch.im_shape, batch.scale_factor, batch.gt[2].boxes):
        assert tensor.dtype == paddle.float32
    assert batch.gt[2].labels.dtype == paddle.int64
    assert batch.gt[2].is_crowd.dtype == paddle.bool
    assert batch.gt[2].segms[0][0].tolist() == [0, 0, 2, 0, 2, 2]


def test_what_is_in_a_batch_is_what_was_in_the_samples():
    transforms = [NormalizeImage(is_scale=False, norm_type="none"), Permute()]
    (batch,) = loader(3, batch_size=3, shuffle=False, sample_transforms=transforms).epoch(0)
    pixels = batch.image.numpy()
    for i in range(3):  # i + 1 columns of the value i, the rest is padding
        assert pixels[i].sum() == 3 * 2 * (i + 1) * i
        assert (pixels[i, :, :2, : i + 1] == i).all()
    assert batch.scale_factor.numpy().tolist() == [[1, 1]] * 3
    assert batch.gt[2].boxes.numpy().tolist() == [[0, 0, 2, 2]] * 2
    assert batch.gt[2].labels.numpy().tolist() == [0, 1]


def test_crowds_stay_crowds():
    gt = replace(ground_truth(3), is_crowd=np.array([False, True, False]))
    crowded = [replace(samples(1)[0], gt=gt)]
    for flip in (RandomFlip(prob=1.0), RandomTranspose(prob=1.0), Resize([4, 4])):
        transforms = [flip, NormalizeImage(), Permute()]
        (batch,) = loader(dataset=crowded, sample_transforms=transforms).epoch(0)
        assert batch.gt[0].is_crowd.numpy().tolist() == [False, True, False]
        assert batch.gt[0].boxes.shape == [3, 4]


def test_no_objects_are_zero_rows():
    gt = next(loader(1, batch_size=1).epoch(0)).gt[0]
    assert (gt.boxes.shape, gt.labels.shape, gt.is_crowd.shape) == ([0, 4], [0], [0])
    assert gt.labels.dtype == paddle.int64 and gt.is_crowd.dtype == paddle.bool


def test_without_ground_truth_there_is_none():
    assert next(loader(dataset=samples(2, gt=False)).epoch(0)).gt is None


def test_what_cannot_be_one_batch_is_refused():
    images = [replace(s, image=np.zeros((3, 2, 2), np.float32)) for s in samples(2)]
    with pytest.raises(ValueError, match="ground truth"):
        collate([images[0], replace(images[1], gt=None)])
    with pytest.raises(ValueError, match="PadBatch"):
        collate([images[0], replace(images[1], image=np.zeros((3, 2, 5), np.float32))])
    with pytest.raises(ValueError, match="Permute"):
        collate(samples(1))


# ---- order and randomness --------------------------------------------------------


def test_an_epoch_visits_every_sample_once():
    batches = ids(loader().epoch(0))
    assert sorted(chain(*batches)) == list(range(7))
    assert [len(batch) for batch in batches] == [2, 2, 2, 1]
    assert len(loader()) == 4 and len(loader(drop_last=True)) == 3
    assert len(ids(loader(drop_last=True).epoch(0))) == 3


def test_without_shuffle_the_order_is_the_data_sets():
    assert ids(loader(shuffle=False).epoch(3)) == [[0, 1], [2, 3], [4, 5], [6]]


def test_order_and_noise_change_with_epoch_and_seed_only():
    first = list(loader(30).epoch(1))
    again = list(loader(30).epoch(1))
    assert ids(first) == ids(again) and noise(first) == noise(again)
    for other in (loader(30).epoch(2), loader(30, seed=1).epoch(1)):
        other = list(other)
        assert ids(other) != ids(first) and noise(other) != noise(first)


def test_random_numbers_are_those_of_seed_epoch_and_sample():
    """Written down, because a run that was interrupted must go on with the same ones."""
    order = np.random.default_rng([3, 2]).permutation(5).tolist()
    batches = list(loader(5, batch_size=1, seed=3).epoch(2))
    assert ids(batches) == [[i] for i in order]
    for i, (values,) in zip(order, noise(batches)):
        expected = np.random.default_rng([3, 2, i + 1]).random(2).astype(np.float32)
        assert values == expected.tolist()


@dataclass(frozen=True)
class Broken:
    """A transform that takes some samples for broken files."""

    rows: tuple[int, ...]

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if sample.image_id in self.rows:
            raise UnreadableImage(f"{sample.image_id}.png", "broken", "mend it")
        return sample


@pytest.mark.filterwarnings("ignore::maskrcnn_edu.data.problems.LeftOutWarning")
def test_who_stands_in_for_a_broken_image_and_with_which_random_numbers():
    broken = (2, 3, 4)
    transforms = [Broken(broken), AddNoise(), NormalizeImage(), Permute()]
    fields = {"shuffle": False, "batch_size": 1, "seed": 3, "sample_transforms": transforms}
    batches = list(loader(7, **fields).epoch(5))
    others = np.random.default_rng([3, 5, 2 + 1, 1]).permutation(7).tolist()
    other = next(row for row in others if row not in broken)
    assert ids(batches)[2] == [other]
    expected = np.random.default_rng([3, 5, 2 + 1, other + 2]).random(2).astype(np.float32)
    assert noise(batches)[2][0] == expected.tolist()


def test_a_sample_looks_different_in_every_epoch():
    calm = loader(4, shuffle=False, batch_size=4)
    seen = [np.array(noise(calm.epoch(e))[0]) for e in range(5)]
    for row in range(4):
        assert len({tuple(epoch[row]) for epoch in seen}) == 5


def test_each_sample_has_random_numbers_of_its_own():
    made = np.concatenate(noise(loader(30).epoch(0)))
    assert len(np.unique(made)) == 60
    alone = noise(loader(30, shuffle=False, batch_size=1).epoch(0))
    batch = noise(loader(30, shuffle=False, batch_size=30).epoch(0))
    assert list(chain(*alone)) == batch[0]


def test_an_interrupted_epoch_continues_where_it_stopped():
    whole, rest = list(loader().epoch(5)), list(loader().epoch(5, skip=2))
    assert ids(rest) == ids(whole)[2:] and noise(rest) == noise(whole)[2:]
    assert list(loader().epoch(5, skip=99)) == []


def test_skipped_samples_are_not_read():
    class Watched(list):
        def __getitem__(self, i):
            read.append(i)
            return super().__getitem__(i)

    read = []
    list(loader(dataset=Watched(samples(6)), shuffle=False).epoch(0, skip=2))
    assert read == [4, 5]


def test_processes_share_the_samples_evenly():
    ranks = [ids(loader(8, rank=rank, world_size=2).epoch(0)) for rank in (0, 1)]
    assert sorted(chain(*ranks[0], *ranks[1])) == list(range(8))
    uneven = [ids(loader(5, rank=r, world_size=2, batch_size=1).epoch(0)) for r in (0, 1)]
    assert [len(own) for own in uneven] == [3, 3]
    assert set(chain(*uneven[0], *uneven[1])) == set(range(5))
    dropped = [loader(5, rank=r, world_size=2, batch_size=1, drop_last=True) for r in (0, 1)]
    assert [len(own) for own in dropped] == [2, 2]


@pytest.mark.parametrize(
    ("drop_last", "expected"),
    [
        (False, [[[0, 2], [4, 6]], [[1, 3], [5, 0]]]),  # 0 once more, as 7 is odd
        (True, [[[0, 2]], [[1, 3]]]),  # three each, and the third has nobody to go with
    ],
)
def test_who_takes_what(drop_last, expected):
    fields = {"shuffle": False, "drop_last": drop_last, "world_size": 2}
    ranks = [loader(7, rank=rank, **fields) for rank in (0, 1)]
    assert [ids(own.epoch(0)) for own in ranks] == expected
    assert [len(own) for own in ranks] == [len(expected[0])] * 2


def test_three_processes_take_turns_and_the_last_ones_start_over():
    fields = {"shuffle": False, "batch_size": 1, "world_size": 3}
    ranks = [ids(loader(4, rank=rank, **fields).epoch(0)) for rank in range(3)]
    assert ranks == [[[0], [3]], [[1], [0]], [[2], [1]]]


def test_two_processes_make_the_batches_of_one():
    """Batch b of both together is batch b of one process, with the same random numbers."""
    whole = list(loader(12, batch_size=4, seed=9).epoch(6))
    halves = [list(loader(12, seed=9, rank=rank, world_size=2).epoch(6)) for rank in (0, 1)]
    assert len(whole) == len(halves[0]) == len(halves[1]) == 3
    for batch, first, second in zip(whole, *halves):
        assert not set(first.image_id) & set(second.image_id)
        together = dict(
            zip(first.image_id + second.image_id, noise([first])[0] + noise([second])[0])
        )
        assert together == dict(zip(batch.image_id, noise([batch])[0]))


def test_skipping_is_each_process_own_business():
    whole = ids(loader(12, rank=1, world_size=2).epoch(0))
    assert ids(loader(12, rank=1, world_size=2).epoch(0, skip=1)) == whole[1:]


def test_bad_fields_are_refused():
    with pytest.raises(ValueError, match="lower batch_size"):
        loader(3, batch_size=4, drop_last=True)
    with pytest.raises(ValueError, match="batch_size"):
        loader(batch_size=0)
    with pytest.raises(ValueError, match="rank 2"):
        loader(rank=2, world_size=2)
    with pytest.raises(ValueError, match="seed 0 or more"):
        loader(seed=-1)
    with pytest.raises(ValueError, match="rank -1"):
        loader(rank=-1)
    for bad in ((0, -1), (-1, 0)):
        with pytest.raises(ValueError, match="epoch and skip must be 0 or more"):
            loader().epoch(*bad)
    assert len(loader(4, batch_size=4, drop_last=True)) == 1  # just enough


def test_an_empty_data_set_has_no_batches():
    assert len(loader(0)) == 0 and list(loader(0).epoch(0)) == []


# ---- the thread ------------------------------------------------------------------


def test_prefetch_is_map():
    assert list(prefetch(str, range(10))) == [str(i) for i in range(10)]
    assert list(prefetch(str, [])) == []


def test_prefetch_works_in_the_background_and_not_too_far_ahead():
    done = []

    def work(item):
        done.append((item, threading.current_thread()))

    results = prefetch(work, range(20), ahead=4)
    assert done == []  # nothing begins before it is asked for
    next(results)
    deadline = time.time() + 5
    while len(done) < 5 and time.time() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert [item for item, _ in done] == [0, 1, 2, 3, 4]
    assert all(thread is not threading.current_thread() for _, thread in done)
    results.close()


def test_an_exception_arrives_at_the_item_that_caused_it():
    results = prefetch(lambda item: 1 // (2 - item), range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_exception_in_a_transform_reaches_the_consumer():
    with pytest.raises(ValueError, match="Permute needs an image"):
        list(loader(sample_transforms=[Permute(), Permute()]).epoch(0))


def test_an_abandoned_epoch_leaves_no_thread():
    before = threading.active_count()
    for _ in loader(40, batch_size=1).epoch(0):
        break
    assert threading.active_count() == before


@pytest.mark.parametrize("workers", [2, 5])
def test_workers_change_nothing_but_the_time(workers):
    plain = list(loader(23).epoch(3, skip=1))
    shared = list(loader(23, workers=workers).epoch(3, skip=1))
    assert ids(shared) == ids(plain) and noise(shared) == noise(plain)


def test_workers_work_at_the_same_time():
    together = threading.Barrier(3)
    # each item waits until three are in the works
    assert list(prefetch(lambda item: together.wait(timeout=20) >= 0, range(6), 3)) == [True] * 6
    with pytest.raises(ValueError, match="workers must be 1 or more, not 0"):
        loader(workers=0)
