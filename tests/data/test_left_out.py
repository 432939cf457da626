"""Images that cannot be read: training and evaluation go on without them."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.data.problems import LeftOutWarning, UnreadableImage
from maskrcnn_edu.data.transforms import Decode, NormalizeImage, Permute, RandomFlip
from maskrcnn_edu.inference.evaluate import evaluate

COUNT = 12
BAD = (3, 8, 9)


@pytest.fixture
def folder(tmp_path):
    """Twelve images with one object each; three of them cannot be read."""
    rng = np.random.default_rng(0)
    for i in range(COUNT):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "3.png").unlink()
    (tmp_path / "8.png").write_bytes((tmp_path / "8.png").read_bytes()[:300])
    Image.new("RGB", (64, 63)).save(tmp_path / "9.png")
    write(tmp_path / "all.json", range(COUNT))
    write(tmp_path / "good.json", [i for i in range(COUNT) if i not in BAD])
    return tmp_path


def write(path, ids):
    made = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 64} for i in ids],
        "categories": [{"id": i, "name": f"class {i}"} for i in (1, 2, 3)],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 1 + i % 3, "bbox": [8, 8, 40, 30]}
            | {"segmentation": [[8, 8, 48, 8, 48, 38, 8, 38]], "area": 1200, "iscrowd": 0}
            for i in ids
        ],
    }
    path.write_text(json.dumps(made))


def loader(folder, **changes):
    steps = [Decode(), RandomFlip(), NormalizeImage(), Permute()]
    fields = {"batch_size": 2, "shuffle": True, "seed": 5} | changes
    return BatchLoader(CocoDataset(folder / "all.json", folder), steps, [], **fields)


def ids(batches):
    return [batch.image_id for batch in batches]


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LeftOutWarning)
        yield


def test_the_image_is_named_once_with_the_reason(folder):
    loading = loader(folder)
    with pytest.warns(LeftOutWarning) as warned:
        for epoch in range(3):
            list(loading.epoch(epoch))
    messages = sorted(str(each.message) for each in warned)
    assert len(messages) == 3
    assert "3.png: no such image" in messages[0] and "8.png: cannot be read" in messages[1]
    assert "9.png: the file is 63 high" in messages[2]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_batches_stay_full_and_hold_readable_images_only(folder, quiet, batch_size):
    loading = loader(folder, batch_size=batch_size)
    batches = ids(loading.epoch(0))
    assert len(batches) == len(loading) == -(-COUNT // batch_size)
    assert all(len(batch) == batch_size for batch in batches[:-1]) and batches[-1]
    seen = [i for batch in batches for i in batch]
    assert set(seen) == set(range(COUNT)) - set(BAD)


def test_the_same_seed_gives_the_same_batches_wherever_one_begins(folder, quiet):
    """Whether failures are known already must not matter to what comes after."""
    experienced = loader(folder)
    for epoch in range(3):
        list(experienced.epoch(epoch))
    whole = list(loader(folder).epoch(3))
    for other in (list(experienced.epoch(3)), list(loader(folder).epoch(3, skip=2))):
        for a, b in zip(whole[-len(other) :], other):
            assert a.image_id == b.image_id
            assert (a.image.numpy() == b.image.numpy()).all()
    assert ids(loader(folder, seed=6).epoch(3)) != ids(whole)


def test_no_image_stands_in_for_all_others(folder, quiet):
    loading = loader(folder, shuffle=False)
    places = [[i for batch in ids(loading.epoch(e)) for i in batch] for e in range(20)]
    stand_ins = {row[bad] for row in places for bad in BAD}
    assert len(stand_ins) > 4


def test_processes_have_equally_many_batches(folder, quiet):
    ranks = [ids(loader(folder, rank=r, world_size=2).epoch(0)) for r in (0, 1)]
    assert len(ranks[0]) == len(ranks[1]) == 3


def test_without_any_readable_image_there_is_one_clear_error(folder, quiet):
    for path in folder.glob("*.png"):
        path.unlink()
    with pytest.raises(ValueError, match=r"none of the 12 images can be read; .*image folder"):
        list(loader(folder).epoch(0))


def test_mistakes_in_the_configuration_are_not_taken_for_broken_images(folder):
    data = CocoDataset(folder / "all.json", folder)
    with pytest.raises(ValueError, match="Permute needs an image"):
        list(BatchLoader(data, [Permute()], [], 1).epoch(0))


def test_decode_says_that_it_is_the_image(folder):
    data = CocoDataset(folder / "all.json", folder)
    with pytest.raises(UnreadableImage, match="3.png"):
        Decode()(data[3], np.random.default_rng(0))


def test_evaluation_leaves_them_out(folder, quiet, tiny_fpn):
    """The same verdict as on a dataset that never had these images."""
    from maskrcnn_edu.data.reader import Reader

    steps = [{"Decode": {}}, {"NormalizeImage": {}}, {"Permute": {}}]
    reader = Reader(steps, [{"PadBatch": {"pad_to_stride": 32}}], batch_size=1)
    result = evaluate(tiny_fpn, CocoDataset(folder / "all.json", folder), reader)
    expected = evaluate(tiny_fpn, CocoDataset(folder / "good.json", folder), reader)
    assert {r["image_id"] for r in result.results} <= set(range(COUNT)) - set(BAD)
    assert result.results == expected.results
    assert (result.bbox, result.segm) == (expected.bbox, expected.segm)


def test_several_workers_leave_out_the_same_images_and_say_so_once(folder):
    dataset = CocoDataset(folder / "all.json", folder)
    steps = [Decode(), RandomFlip(), NormalizeImage(), Permute()]
    results = []
    for workers in (1, 4):
        made = BatchLoader(dataset, steps, [], 2, shuffle=True, workers=workers)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", LeftOutWarning)
            batches = [*made.epoch(0), *made.epoch(1)]
        messages = [str(w.message) for w in caught if w.category is LeftOutWarning]
        pixels = [batch.image.numpy().sum() for batch in batches]
        results.append(([batch.image_id for batch in batches], pixels, sorted(messages)))
    assert results[0] == results[1] and len(results[0][2]) == len(BAD)
