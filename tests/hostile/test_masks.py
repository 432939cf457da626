"""Masks of a few kB that stand for gigabytes."""

import json

import pytest
from PIL import Image

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.problems import UnreadableImage

SIDE = 13_000
FULL = {"size": [SIDE, SIDE], "counts": [0, SIDE * SIDE]}


def dataset(folder, masks, image=(40, 30), claims=(SIDE, SIDE)):
    if image is not None:
        Image.new("1", image).save(folder / "a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": claims[1], "width": claims[0]}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "segmentation": mask, "iscrowd": 0}
            for i, mask in enumerate(masks, 1)
        ],
    }
    (folder / "instances.json").write_text(json.dumps(content))
    return CocoDataset(folder / "instances.json", folder)


ATTACKS = {
    "41 masks of an image that is small": ((40, 30), 41, "30 high and 40 wide, .* 13000 and 13000"),
    "41 masks of an image that is missing": (None, 41, "no such image"),
    "one mask of an image that is small": ((40, 30), 1, "30 high and 40 wide"),
    "41 masks of an image that is so large": ((SIDE, SIDE), 41, "its 41 masks take 6.9 GB"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_refused_before_it_is_decoded(tmp_path, attempt, attack):
    image, count, words = ATTACKS[attack]
    data = dataset(tmp_path, [FULL] * count, image)
    assert (tmp_path / "instances.json").stat().st_size < 10_000
    outcome = attempt(data.__getitem__, 0)
    assert outcome.error == "UnreadableImage" and outcome.matches(words), outcome
    assert outcome.megabytes < 200  # a bit for every pixel of the image that is there
    if image != (SIDE, SIDE):  # `data check` says it, too
        assert words.split()[0] in data.image_issue(0).message


def test_a_mask_of_another_size_than_its_image_is_left_out(tmp_path):
    data = dataset(tmp_path, [FULL, {"size": [30, 40], "counts": [5, 40, 1155]}], claims=(40, 30))
    assert len(data[0].gt) == 1
    (issue,) = data.issues
    assert "for size [13000, 13000], the image is [30, 40]" in issue.message


def test_many_small_masks_of_a_large_image_are_used(tmp_path):
    small = {"size": [SIDE, SIDE], "counts": [SIDE, 40, SIDE * (SIDE - 1) - 40]}
    data = dataset(tmp_path, [small] * 50, image=None)
    segms = data[0].gt.segms
    assert [segm.pixels.shape for segm in segms] == [(40, 1)] * 50


def test_the_masks_of_one_image_may_take_a_gibibyte(tmp_path, monkeypatch):
    masks = [{"size": [30, 40], "counts": [0, 1200]}] * 3
    monkeypatch.setattr("maskrcnn_edu.data.coco.MAX_MASK_BYTES", 3600)
    assert len(dataset(tmp_path, masks, claims=(40, 30))[0].gt) == 3
    monkeypatch.setattr("maskrcnn_edu.data.coco.MAX_MASK_BYTES", 3599)
    with pytest.raises(UnreadableImage, match="its 3 masks take 0.0 GB; outline objects by"):
        dataset(tmp_path, masks, claims=(40, 30))[0]
