"""The drawn data set: the same every time, and annotated as it is drawn."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.shapes import CATEGORIES, area, draw_scene, inside, write_shapes
from maskrcnn_edu.structures import BitMask

COUNT = 60

# pycocotools' arrays do not know numpy 2's way of asking for a copy
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes")
    write_shapes(path, train=COUNT, val=10)
    return path


@pytest.fixture(scope="module")
def annotations(folder):
    return json.loads((folder / "annotations/instances_train.json").read_text())["annotations"]


@pytest.fixture(scope="module")
def scenes():
    """The same images as in the folder, as layers."""
    return [draw_scene(np.random.default_rng([0, 0, i]), 128) for i in range(COUNT)]


def decoded(segmentation):
    if isinstance(segmentation, list):
        return rle.decode(rle.merge(rle.frPyObjects(segmentation, 128, 128))).astype(bool)
    if isinstance(segmentation["counts"], list):
        segmentation = rle.frPyObjects(segmentation, 128, 128)
    return rle.decode(segmentation).astype(bool)


# ---- geometry --------------------------------------------------------------------


def test_a_pixel_is_inside_if_its_centre_is():
    square = np.array([[0.4, 1.0], [2.6, 1.0], [2.6, 2.4], [0.4, 2.4]])
    assert inside(square, 4).astype(int).tolist() == [
        [0, 0, 0, 0],
        [1, 1, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_inside_is_cut_at_the_border():
    triangle = np.array([[-2.0, -2.0], [6.0, -2.0], [-2.0, 6.0]])
    assert inside(triangle, 4).sum() == 6  # centres with x + y < 4: 3 + 2 + 1
    assert not inside(triangle + 50, 4).any()


def test_area_of_a_triangle():
    assert area(np.array([[0, 0], [4, 0], [0, 3]])) == 6


# ---- reproducibility -------------------------------------------------------------


def pixels_of(path):
    with Image.open(path) as image:
        return np.array(image)


def test_the_same_seed_gives_the_same_files(folder, tmp_path):
    write_shapes(tmp_path, train=5, val=10)
    name = "annotations/instances_val.json"
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    for i in range(1, 6):  # images do not depend on how many there are
        name = f"train/{i:06d}.png"
        assert (pixels_of(tmp_path / name) == pixels_of(folder / name)).all()


def test_no_two_images_are_the_same(folder):
    paths = [*folder.glob("train/*.png"), *folder.glob("val/*.png")]
    assert len({pixels_of(path).tobytes() for path in paths}) == COUNT + 10


def test_another_seed_gives_other_images(folder, tmp_path):
    write_shapes(tmp_path, train=1, val=0, seed=1)
    name = "train/000001.png"
    assert (pixels_of(tmp_path / name) != pixels_of(folder / name)).any()


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"train": 2}, {"train": 4}, {"size": 64}, {"val": 0}]
)
def test_images_of_another_call_are_not_mixed_with_these(tmp_path, other):
    first = {"train": 3, "val": 1, "seed": 0}
    write_shapes(tmp_path, **first)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(ValueError, match="of another size, seed or number; choose another --out"):
        write_shapes(tmp_path, **first | other)
    write_shapes(tmp_path, **first)  # the same again
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_an_interrupted_call_is_completed(tmp_path):
    write_shapes(tmp_path, train=3, val=1)
    (tmp_path / "annotations" / "instances_train.json").unlink()
    (tmp_path / "train" / "000003.png").unlink()
    (tmp_path / "train" / "000001.png").write_bytes(b"")
    write_shapes(tmp_path, train=3, val=1)
    dataset = CocoDataset(tmp_path / "annotations" / "instances_train.json", tmp_path / "train")
    assert [dataset.image_issue(i) for i in range(3)] == [None] * 3


def test_no_unfinished_file_stays(folder):
    names = sorted(path.name for path in (folder / "annotations").iterdir())
    assert names == ["instances_train.json", "instances_val.json"]


def test_bad_arguments_are_refused(tmp_path):
    for bad in ({"train": -1}, {"size": 20}, {"seed": -1}):
        with pytest.raises(ValueError, match="must be"):
            write_shapes(tmp_path, **bad)


# ---- annotations -----------------------------------------------------------------


def test_our_reader_skips_nothing(folder):
    dataset = CocoDataset(folder / "annotations/instances_train.json", folder / "train")
    assert dataset.issues == [] and len(dataset) == COUNT
    assert dataset.class_names == list(CATEGORIES)
    assert dataset.category_ids == [1, 2, 4, 7, 8, 11]


def test_masks_are_what_is_painted_and_visible(annotations, scenes):
    layers = [layer for _, scene in scenes for layer in scene]
    assert len(layers) == len(annotations)
    for layer, made in zip(layers, annotations, strict=True):
        mask = decoded(made["segmentation"])
        if isinstance(made["segmentation"], dict):
            assert (mask == layer.mask).all()
        else:  # pycocotools draws polygons with borders of its own
            overlap = (mask & layer.mask).sum() / (mask | layer.mask).sum()
            assert overlap > 0.9
        assert made["area"] == layer.mask.sum() >= 40


def test_boxes_hold_the_visible_pixels_and_stay_in_the_image(annotations, scenes):
    layers = [layer for _, scene in scenes for layer in scene]
    for layer, made in zip(layers, annotations, strict=True):
        x, y, w, h = made["bbox"]
        assert 0 <= x < x + w <= 128.001 and 0 <= y < y + h <= 128.001
        rows, columns = np.nonzero(layer.mask)
        slack = 0 if isinstance(made["segmentation"], dict) else 1.5
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(np.array([x, y, x + w, y + h]) - tight).max() <= slack + 0.01


def test_no_two_objects_claim_a_pixel(scenes):
    for _, scene in scenes:
        if scene:
            assert np.sum([layer.mask for layer in scene], axis=0).max() == 1


def test_every_part_stays_recognizable(scenes):
    for _, scene in scenes:
        for layer in scene:
            for whole, visible in zip(layer.whole, layer.visible, strict=True):
                assert visible.sum() >= 0.4 * whole.sum()


def test_objects_can_be_told_from_their_surroundings(scenes):
    """The mean colours on both sides of the outline differ."""
    for pixels, scene in scenes:
        for layer in scene[-1:]:  # the nearest: its surroundings are all visible
            grown = np.pad(layer.mask, 2)
            grown = np.any([np.roll(grown, by, 0) for by in range(-2, 3)], axis=0)
            grown = np.any([np.roll(grown, by, 1) for by in range(-2, 3)], axis=0)[2:-2, 2:-2]
            inner = pixels[layer.mask].mean(axis=0)
            outer = pixels[grown & ~layer.mask].mean(axis=0)
            assert np.linalg.norm(inner - outer) > 40


def test_every_kind_of_annotation_occurs(annotations, folder):
    segmentations = [a["segmentation"] for a in annotations]
    lists = [s for s in segmentations if isinstance(s, list)]
    runs = [s["counts"] for s in segmentations if isinstance(s, dict)]
    assert {type(counts) for counts in runs} == {str, list}
    assert {len(parts) for parts in lists} == {1, 2}
    assert any(np.concatenate(parts).min() < 0 for parts in lists)
    assert {a["category_id"] for a in annotations} == set(CATEGORIES.values())
    crowds = [a for a in annotations if a["iscrowd"]]
    assert crowds and all(isinstance(a["segmentation"], dict) for a in crowds)
    assert len({a["image_id"] for a in annotations}) < COUNT  # some images are empty


def test_rings_have_holes(folder):
    dataset = CocoDataset(folder / "annotations/instances_train.json", folder / "train")
    ring = dataset.class_names.index("ring")
    for i in range(COUNT):
        gt = dataset[i].gt
        for label, segm in zip(gt.labels, gt.segms, strict=True):
            assert label != ring or (isinstance(segm, BitMask) and segm.pixels.mean() < 0.75)


def test_objects_grow_with_the_image():
    def widths(size):
        scenes = [draw_scene(np.random.default_rng(i), size)[1] for i in range(20)]
        return [np.ptp(np.nonzero(layer.mask)[1]) + 1 for scene in scenes for layer in scene]

    assert 1.7 < np.median(widths(256)) / np.median(widths(128)) < 2.3
