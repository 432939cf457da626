"""The photographs that are shipped: their outlines, and the coins cut out of one of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.image_file import read_image

FOLDER = Path(__file__).parents[2] / "data" / "photographs"


def coins(split):
    return CocoDataset(FOLDER / "coins" / f"instances_{split}.json", FOLDER / "coins" / split)


@pytest.mark.parametrize(
    ("dataset", "counts"),
    [
        (
            CocoDataset(FOLDER / "annotations.json", FOLDER),
            {
                "coin": 24, "cup": 1, "saucer": 1, "spoon": 1, "cat": 1, "person": 1, "helmet": 1,
                "rocket": 2,
            },
        ),
        (coins("train"), {"coin": 70}),  # 15 pairs, 10 times two pairs
        (coins("val"), {"coin": 6}),
    ],
)  # fmt: skip
def test_everything_can_be_used(dataset, counts):
    assert dataset.objects_per_class() == counts
    assert dataset.issues == []
    assert [dataset.image_issue(i) for i in range(len(dataset))] == [None] * len(dataset)


def test_every_photograph_has_its_source():
    text = (FOLDER / "README.md").read_text()
    files = {path.name for path in FOLDER.glob("*.*")} - {"README.md", "annotations.json"}
    whole = CocoDataset(FOLDER / "annotations.json", FOLDER)
    assert files == {whole.file_name(i) for i in range(len(whole))}
    assert all(f"`{name}`" in text for name in files)


def places(dataset):
    """Where in the whole photograph the images of a dataset are: [x, y] of each."""
    whole = read_image(FOLDER / "coins.png")[..., 0].astype(np.int64)
    for i in range(len(dataset)):
        crop = read_image(dataset.image_path(i))[..., 0]
        windows = np.lib.stride_tricks.sliding_window_view(whole, crop.shape)
        # the first row and column are enough to tell where it may be
        may = (windows[:, :, 0] == crop[0]).all(axis=2) & (windows[:, :, :, 0] == crop[:, 0]).all(
            axis=2
        )
        ((y, x),) = np.argwhere(may)
        assert np.array_equal(whole[y : y + crop.shape[0], x : x + crop.shape[1]], crop)
        yield np.array([x, y])


def test_no_coin_is_in_both_files():
    content = json.loads((FOLDER / "annotations.json").read_text())
    boxes = np.array([a["bbox"] for a in content["annotations"] if a["image_id"] == 1])
    seen = {}
    for split in ("train", "val"):
        dataset = coins(split)
        own = [dataset[i].gt.boxes[:, :2] + place for i, place in enumerate(places(dataset))]
        corners = np.concatenate(own)
        # which of the 24 coins each is, by its top left corner in the whole photograph
        far = np.abs(corners[:, None] - boxes[None, :, :2]).max(axis=2)
        assert (far.min(axis=1) < 0.2).all()
        seen[split] = set(far.argmin(axis=1).tolist())
    assert seen == {"train": set(range(18)), "val": set(range(18, 24))}
