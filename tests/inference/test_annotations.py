"""Predicted masks become outlines, LabelMe's files and COCO's annotations, and masks again."""

import itertools
import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskrcnn_edu.cli.main import main
from maskrcnn_edu.config.schema import parse_config
from maskrcnn_edu.data import rle
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.inference.annotations import polygons, simplified, write_coco, write_labelme
from maskrcnn_edu.structures import BitMask
from maskrcnn_edu.weights.folder import ClassNames, save_model

HEIGHT, WIDTH = 48, 64
PETS = ClassNames(["cat", "dog", "emu"], [3, 7, 9])


def bit_mask(mask):
    return rle.crop(np.asarray(mask, np.uint8))


def filled(parts, height, width):
    """The pixels inside of closed curves, as training has them of polygons."""
    runs = coco_mask.frPyObjects([part[:-1].ravel().tolist() for part in parts], height, width)
    return coco_mask.decode(coco_mask.merge(runs)).astype(bool)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


# ---- outlines --------------------------------------------------------------------


def test_a_rectangle_is_its_sides_and_cut_corners():
    """Half way between inside and outside: sides where they are, corners cut by half a pixel."""
    mask = np.zeros([8, 12], np.uint8)
    mask[2:6, 3:10] = 1
    (curve,) = polygons(bit_mask(mask))
    assert curve[0].tolist() == curve[-1].tolist() and len(curve) <= 9
    assert (curve.min(axis=0).tolist(), curve.max(axis=0).tolist()) == ([3, 2], [10, 6])
    assert (filled([curve], 8, 12) == mask).all()


def test_a_pixel_is_a_square_on_its_corner():
    (curve,) = polygons(BitMask(np.ones([1, 1], np.uint8), np.float32([4, 7, 5, 8])))
    corners = {tuple(corner) for corner in curve.tolist()}
    assert corners == {(4.5, 7), (5, 7.5), (4.5, 8), (4, 7.5)}
    assert len(curve) == 5
    assert np.argwhere(filled([curve], 10, 10)).tolist() == [[7, 4]]


def test_nothing_has_no_outline():
    assert polygons(BitMask(np.zeros([3, 4], np.uint8), np.float32([0, 0, 4, 3]))) == []


def test_parts_are_curves_of_their_own_and_holes_are_not():
    """A frame of 8 x 8 with two holes of 2 x 3, one in a corner of it, and a bar beside it."""
    mask = np.zeros([12, 20], np.uint8)
    mask[2:10, 2:10] = 1
    mask[4:6, 3:6] = mask[7:9, 6:9] = 0
    mask[1:11, 15:17] = 1
    curves = polygons(bit_mask(mask))
    assert len(curves) == 2
    assert (filled(curves, 12, 20) == mask).all()
    assert filled(curves, 12, 20).sum() == 64 - 12 + 20


def test_a_straight_line_needs_no_corner_in_between():
    """Within 0.35 pixels of the line the middle corner goes; at 0.4 it stays."""
    for off, kept in ((0.0, 2), (0.3, 2), (0.4, 3), (-0.4, 3)):
        assert len(simplified(np.array([[0, 0], [5, off], [10, 0]]))) == kept
    stairs = np.array([[0, 0], [1, 0.5], [2, 1.0], [3, 1.5], [4, 2]])
    assert simplified(stairs).tolist() == [[0, 0], [4, 2]]
    closed = np.array([[0, 0], [4, 0], [4, 4], [0, 4], [0, 0.0]])
    assert simplified(closed).tolist() == closed.tolist()


def test_a_disc_of_radius_20_has_few_corners_and_all_its_pixels():
    y, x = np.mgrid[:48, :48] + 0.5 - 24
    disc = x**2 + y**2 < 20**2
    (curve,) = polygons(bit_mask(disc))
    assert len(curve) < 60  # of 160 sides of pixels
    assert (filled([curve], 48, 48) == disc).all()


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.booleans()))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_the_centres_inside_are_the_pixels_of_the_mask(mask):
    """Whatever the mask: how often the curves go round a pixel's centre is odd inside."""
    height, width = mask.shape
    curves = polygons(BitMask(mask, np.float32([0, 0, width, height])))
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.zeros(mask.shape, bool)
    for curve in curves:
        for (x1, y1), (x2, y2) in itertools.pairwise(curve):
            crosses = (y1 > y) != (y2 > y)
            with np.errstate(divide="ignore", invalid="ignore"):
                inside ^= crosses & (x < x1 + (y - y1) / (y2 - y1) * (x2 - x1))
    np.testing.assert_array_equal(inside, mask.astype(bool))


# ---- files -----------------------------------------------------------------------


def scene():
    """Class, score and mask of: a disc, a ring, two bars, and a speck below the score."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    disc = (x - 14) ** 2 + (y - 14) ** 2 < 10**2
    far = (x - 44) ** 2 + (y - 16) ** 2
    ring = (far < 13**2) & (far > 6**2)
    bars = (y > 34) & (y < 44) & ((x > 4) & (x < 20) | (x > 30) & (x < 60))
    speck = (x < 3) & (y > 46)
    return [(0, 0.9, disc), (1, 0.8, ring), (2, 0.5, bars), (0, 0.4, speck)]


@pytest.fixture
def predicted(tmp_path):
    """What ``results.json`` and ``photos.json`` hold of two images with the same objects."""
    results, photos = [], []
    for number, name in enumerate(["x.png", "b/x.png"]):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full([HEIGHT, WIDTH, 3], 50 * number, np.uint8)).save(path)
        overlay = ["x_found.png", "x_2_found.png"][number]
        photos.append({"image_id": number, "path": str(path), "height": HEIGHT, "width": WIDTH,
                       "overlay": overlay, "problem": None})  # fmt: skip
        results += [
            {"image_id": number, "category_id": PETS.category_ids[label], "score": score,
             "category": PETS.names[label], "segmentation": rle.encode(mask)}
            for label, score, mask in scene()
        ]  # fmt: skip
    return results, photos


def check_masks(dataset):
    """Each of its images has the three objects of the scene that are sure enough."""
    assert dataset.issues == [] and len(dataset) == 2
    for row in range(2):
        gt = dataset[row].gt
        names = [dataset.class_names[label] for label in np.asarray(gt.labels)]
        assert names == ["cat", "dog", "emu"]
        assert [len(segm) for segm in gt.segms] == [1, 1, 2]
        for segm, (_, _, mask) in zip(gt.segms, scene()):
            closed = [np.append(part, part[:2]).reshape(-1, 2) for part in segm]
            assert iou(filled(closed, HEIGHT, WIDTH), mask) > 0.99


def test_labelme_files_hold_classes_corners_and_groups(predicted, tmp_path):
    write_labelme(*predicted, tmp_path / "out", 0.5)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "x.png", "x.json", "x_2.png", "x_2.json",
    }  # fmt: skip
    content = json.loads((tmp_path / "out/x_2.json").read_text())
    assert content["imagePath"] == "x_2.png" and content["imageData"] is None
    assert (content["imageHeight"], content["imageWidth"]) == (HEIGHT, WIDTH)
    shapes = content["shapes"]
    assert [shape["label"] for shape in shapes] == ["cat", "dog", "emu", "emu"]
    assert [shape["group_id"] for shape in shapes] == [None, None, 2, 2]
    assert {shape["shape_type"] for shape in shapes} == {"polygon"}
    assert shapes[0]["description"] == "score 0.90"
    left = np.array(sorted(shapes[2:], key=lambda s: s["points"][0][0])[0]["points"])
    # the middles of the pixels are between 4 and 20, and between 34 and 44
    assert left.min(axis=0).tolist() == [4, 34] and left.max(axis=0).tolist() == [20, 44]


def test_labelme_files_come_back_as_a_dataset(predicted, tmp_path, capsys):
    write_labelme(*predicted, tmp_path / "out", 0.5)
    made, options = str(tmp_path / "made"), ["--val-share", "0"]
    assert main(["data", "import", "labelme", str(tmp_path / "out"), "--out", made, *options]) == 0
    assert "nothing was left out" in capsys.readouterr().out
    check_masks(CocoDataset(f"{made}/annotations/instances_train.json", f"{made}/train"))


def test_what_somebody_may_have_corrected_is_not_replaced(predicted, tmp_path):
    write_labelme(*predicted, tmp_path / "out", 0.5)
    (tmp_path / "out/x.json").write_text("corrected")
    with pytest.raises(ValueError, match="out is there already"):
        write_labelme(*predicted, tmp_path / "out", 0.5)
    assert (tmp_path / "out/x.json").read_text() == "corrected"


def test_a_coco_file_is_a_dataset_without_issues(predicted, tmp_path):
    file = tmp_path / "found.json"
    folder = write_coco(*predicted, file, 0.5, PETS)
    assert folder == tmp_path / "photos"
    dataset = CocoDataset(file, folder)
    assert [dataset.file_name(row) for row in (0, 1)] == ["x.png", "b/x.png"]
    assert (dataset.class_names, dataset.category_ids) == (PETS.names, PETS.category_ids)
    check_masks(dataset)
    assert main(["data", "check", str(file), "--images", str(folder)]) == 0


READER = """
EvalReader:
  sample_transforms: [{Decode: {}}, {NormalizeImage: {}}, {Permute: {}}]
  batch_transforms: [{PadBatch: {pad_to_stride: 32}}]
"""


def test_the_command_writes_both(build_tiny, tiny_text, shapes, tmp_path, capsys):
    """Every mask of an untrained model comes back; one of three images cannot be read."""
    config = parse_config(tiny_text["fpn"] + READER)
    save_model(tmp_path / "run", build_tiny(tiny_text["fpn"]), config, PETS)
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    for name in ("000001.png", "000002.png"):
        shutil.copyfile(shapes / "val" / name, images / name)
    (images / "broken.png").write_text("no image")
    arguments = ["predict", "--weights", str(tmp_path / "run"), "--out", str(out), str(images)]
    arguments += ["--min-score", "0.3", "--labelme", "--coco"]
    assert main(arguments) == 1
    printed = capsys.readouterr().out
    assert f"correct them: labelme {out}/labelme" in printed
    assert f"{out}/instances.json names images in {images}" in printed
    sure = [r for r in json.loads((out / "results.json").read_text()) if r["score"] >= 0.3]
    masks = [mask for r in sure if (mask := coco_mask.decode(r["segmentation"])).any()]
    made = ["data", "import", "labelme", f"{out}/labelme", "--out", f"{out}/made", "--val-share=0"]
    assert main(made) == 0
    for file in ("instances.json", "made/annotations/instances_train.json"):
        found = COCO(out / file)
        again = [found.annToMask(entry) for entry in found.dataset["annotations"]]
        assert len(again) == len(masks) > 0
        assert min(map(iou, masks, again)) > 0.98
    assert main(arguments) == 2  # somebody may have corrected them
    assert "labelme is there already, perhaps corrected" in capsys.readouterr().err


def test_masks_without_a_pixel_are_left_out(predicted, tmp_path):
    results, photos = predicted
    results[0]["segmentation"] = rle.encode(np.zeros([HEIGHT, WIDTH], bool))
    write_labelme(results, photos, tmp_path / "out", 0.5)
    labels = [s["label"] for s in json.loads((tmp_path / "out/x.json").read_text())["shapes"]]
    assert labels == ["dog", "emu", "emu"]
    write_coco(results, photos, tmp_path / "found.json", 0.5, PETS)
    entries = json.loads((tmp_path / "found.json").read_text())["annotations"]
    assert [e["category_id"] for e in entries if e["image_id"] == 0] == [7, 9]
