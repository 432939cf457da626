"""Annotation files a reader can check with a pencil: an image of 4 rows and 6 columns."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as rle

from maskrcnn_edu.data.coco import CocoDataset, sample_from_array
from maskrcnn_edu.data.image_file import read_image
from maskrcnn_edu.data.problems import UnreadableImage
from maskrcnn_edu.data.transforms import Decode

SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]
# columns 1 and 2, rows 1 and 2: five zeros, two ones, two zeros, two ones, the rest
SQUARE_COUNTS = [5, 2, 2, 2, 13]


def annotation(**changes):
    made = {"id": 1, "image_id": 10, "category_id": 3, "bbox": [1, 1, 2, 2], "iscrowd": 0}
    return made | {"segmentation": [SQUARE]} | changes


def content(*annotations):
    return {
        "images": [
            {"id": 10, "file_name": "a.png", "width": 6, "height": 4},
            {"id": 7, "file_name": "b.png", "width": 6, "height": 4},
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": list(annotations),
    }


@pytest.fixture
def read(tmp_path):
    def write_and_read(*annotations, **changes):
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content(*annotations) | changes))
        return CocoDataset(path, tmp_path)

    return write_and_read


def packed(mask):
    encoded = rle.encode(np.asfortranarray(mask, np.uint8))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode()}


# ---- ids, boxes, polygons --------------------------------------------------------


def test_ids_with_gaps_become_labels_in_order_of_id(read, tmp_path):
    dataset = read(annotation(category_id=9), annotation(category_id=3))
    assert dataset.category_ids == [3, 9]
    assert dataset.class_names == ["cat", "dog"]
    assert dataset.num_classes == 2
    assert dataset[0].gt.labels.tolist() == [1, 0]
    assert dataset[0].path == dataset.image_path(0) == tmp_path / "a.png"


def test_images_keep_their_order_and_those_without_objects_stay(read):
    dataset = read(annotation())
    assert len(dataset) == 2 and dataset.image_ids == [10, 7]
    empty = dataset[1].gt
    assert (empty.boxes.shape, empty.labels.shape, empty.is_crowd.shape) == ((0, 4), (0,), (0,))
    assert len(empty) == 0
    with pytest.raises(IndexError):
        dataset[2]


def test_types_and_sizes_of_a_sample(read):
    sample = read(annotation())[0]
    assert sample.image is None and sample.image_id == 10
    assert sample.im_shape.tolist() == [4, 6] and sample.scale_factor.tolist() == [1, 1]
    assert sample.gt.boxes.dtype == np.float32 and sample.gt.boxes.tolist() == [[1, 1, 3, 3]]
    assert sample.gt.labels.dtype == np.int64 and sample.gt.is_crowd.dtype == bool


def test_a_box_is_clipped_and_its_polygon_is_not(read):
    outside = [-2, 1, 9, 1, 9, 3]
    gt = read(annotation(bbox=[-2, 1, 11, 2], segmentation=[outside]))[0].gt
    assert gt.boxes.tolist() == [[0, 1, 6, 3]]
    assert gt.segms[0][0].tolist() == outside


def test_a_missing_box_is_the_extent_of_the_segmentation(read):
    two_parts = annotation(segmentation=[[0, 0, 1, 0, 0, 1], [3, 2, 5, 2, 4, 3.5]])
    runs = annotation(segmentation={"size": [4, 6], "counts": SQUARE_COUNTS})
    del two_parts["bbox"], runs["bbox"]
    assert read(two_parts, runs)[0].gt.boxes.tolist() == [[0, 0, 5, 3.5], [1, 1, 3, 3]]


def test_every_access_gives_fresh_polygons(read):
    dataset = read(annotation())
    dataset[0].gt.segms[0][0][:] = -1
    (part,) = dataset[0].gt.segms[0]
    assert part.dtype == np.float64 and part.tolist() == SQUARE


# ---- run-length encoding ---------------------------------------------------------


@pytest.mark.parametrize("is_crowd", [0, 1])
def test_both_kinds_of_rle_give_the_same_cropped_pixels(read, is_crowd):
    square = np.zeros((4, 6), np.uint8)
    square[1:3, 1:3] = 1
    square[2, 2] = 0
    runs = {"size": [4, 6], "counts": [5, 2, 2, 1, 14]}
    dataset = read(
        annotation(segmentation=runs, iscrowd=is_crowd),
        annotation(segmentation=packed(square), iscrowd=is_crowd),
    )
    gt = dataset[0].gt
    assert gt.is_crowd.tolist() == [bool(is_crowd)] * 2
    for segm in gt.segms:
        assert segm.pixels.tolist() == [[1, 1], [1, 0]] and segm.pixels.dtype == np.uint8
        assert segm.box.tolist() == [1, 1, 3, 3] and segm.box.dtype == np.float32


@settings(derandomize=True, database=None, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.floats(0.01, 0.99), tall=st.integers(1, 70))
def test_packed_rle_is_read_as_pycocotools_writes_it(tmp_path_factory, seed, density, tall):
    rng = np.random.default_rng(seed)
    mask = rng.random((tall, 40)) < density
    mask[rng.integers(tall), rng.integers(40)] = True
    made = content(annotation(segmentation=packed(mask), bbox=[0, 0, 40, tall]))
    made["images"][0] |= {"width": 40, "height": tall}
    path = tmp_path_factory.mktemp("rle") / "one.json"
    path.write_text(json.dumps(made))
    (segm,) = CocoDataset(path, path.parent)[0].gt.segms
    x1, y1, x2, y2 = segm.box.astype(int)
    pasted = np.zeros_like(mask)
    pasted[y1:y2, x1:x2] = segm.pixels
    assert (pasted == mask).all()
    assert segm.pixels.any(axis=0)[[0, -1]].all() and segm.pixels.any(axis=1)[[0, -1]].all()


# ---- what is left out, and reported ----------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ignore": 1}, "ignore"),
        ({"segmentation": []}, "no segmentation"),
        ({"segmentation": None}, "no segmentation"),
        ({"segmentation": [[1, 1, 3, 3]]}, "no usable polygon"),
        ({"segmentation": [[1, 1, 3, float("nan"), 3, 3]]}, "no usable polygon"),
        ({"bbox": [1, 1, 0, 2]}, "no area"),
        ({"bbox": [6, 1, 3, 2]}, "no area"),
        ({"bbox": [1, 1, 2]}, "[x, y, w, h]"),
        ({"segmentation": {"size": [6, 4], "counts": SQUARE_COUNTS}}, "[6, 4]"),
        ({"segmentation": {"size": [4, 6], "counts": [24]}}, "empty"),
        ({"segmentation": {"size": [4, 6], "counts": [5, 2]}}, "decoded"),
        ({"segmentation": {"size": [4, 6], "counts": [-1, 25]}}, "decoded"),
        ({"segmentation": {"size": [4, 6], "counts": "zzzz"}}, "decoded"),
        ({"segmentation": {"size": [4, 6]}}, "decoded"),
    ],
)
def test_a_useless_annotation_is_skipped_with_its_reason(read, changes, reason):
    dataset = read(annotation(id=77, **changes), annotation())
    assert len(dataset[0].gt) == 1
    issue = dataset.issues[-1]
    assert (issue.image, issue.annotation) == ("a.png", 77)
    assert reason in issue.message and issue.fix


def test_a_bad_part_is_dropped_and_the_object_stays(read):
    dataset = read(annotation(segmentation=[[1, 1, 2, 2], SQUARE]))
    assert len(dataset[0].gt.segms[0]) == 1
    assert len(dataset.issues) == 1 and "part" in dataset.issues[0].message


def test_a_sound_file_has_no_problems(read):
    assert read(annotation()).issues == []


# ---- what is no COCO file --------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"images": None}, 'no list "images"'),
        ({"categories": {}}, 'no list "categories"'),
        ({"annotations": 3}, 'no list "annotations"'),
        ({"categories": []}, "none of its categories can be used: there are none"),
        ({"categories": [{"id": "1", "name": "a"}]}, 'categories[0]: "id" is the text "1"'),
        ({"images": []}, "none of its images can be used: there are none"),
        ({"images": [3]}, "images[0]: 3 is no entry"),
    ],
)
def test_a_file_that_is_no_coco_file_is_refused_by_name(read, changes, named):
    with pytest.raises(ValueError, match="instances.json") as caught:
        read(**changes)
    assert named in str(caught.value)


def test_a_byte_order_mark_is_no_problem(tmp_path):
    path = tmp_path / "windows.json"
    path.write_text(json.dumps(content(annotation())), encoding="utf-8-sig")
    assert CocoDataset(path, tmp_path).issues == []


def test_lists_nested_without_end_are_refused_by_name(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 10**6)
    with pytest.raises(ValueError, match="deep.json"):
        CocoDataset(path, tmp_path)


def test_a_file_that_is_no_json_is_refused_by_name(tmp_path):
    path = tmp_path / "broken.json"
    path.write_bytes(b'{"images": [')
    with pytest.raises(ValueError, match="broken.json: not JSON"):
        CocoDataset(path, tmp_path)


# ---- images ----------------------------------------------------------------------


def saved(tmp_path, image, name="image.png", **options):
    image.save(tmp_path / name, **options)
    return tmp_path / name


def pixel_of(tmp_path, image, name="image.png", **options):
    rgb = read_image(saved(tmp_path, image, name, **options))
    assert rgb.dtype == np.uint8 and rgb.shape == (*image.size[::-1], 3)
    return rgb[0, 0].tolist()


def test_modes_become_rgb(tmp_path):
    assert pixel_of(tmp_path, Image.new("L", (3, 2), 100)) == [100, 100, 100]
    assert pixel_of(tmp_path, Image.new("1", (3, 2), 1)) == [255, 255, 255]
    assert pixel_of(tmp_path, Image.new("LA", (3, 2), (100, 0))) == [100, 100, 100]
    assert pixel_of(tmp_path, Image.new("RGBA", (3, 2), (1, 2, 3, 0))) == [1, 2, 3]
    palette = Image.new("RGB", (3, 2), (9, 8, 7)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert pixel_of(tmp_path, palette) == [9, 8, 7]
    assert pixel_of(tmp_path, palette, transparency=0) == [9, 8, 7]


def test_cmyk_becomes_rgb(tmp_path):
    cyan = Image.new("CMYK", (3, 2), (255, 0, 0, 0))
    assert pixel_of(tmp_path, cyan, "cyan.tif") == [0, 255, 255]


def test_sixteen_bits_are_scaled_and_not_cut_off(tmp_path):
    half = Image.fromarray(np.full((2, 3), 128 * 257, np.uint16))
    assert pixel_of(tmp_path, half) == [128, 128, 128]
    assert pixel_of(tmp_path, half, "half.tif") == [128, 128, 128]


def test_floating_point_is_taken_as_0_to_255(tmp_path):
    values = np.array([[200.7, -3, 900]], np.float32)
    path = saved(tmp_path, Image.fromarray(values), "float.tif")
    assert read_image(path)[0, :, 0].tolist() == [200, 0, 255]


def exif_image(tmp_path):
    """Stored lying, 6 wide and 4 high, with a white top left; to be shown turned by 90 degrees."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[0, 0] = 255
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6
    return saved(tmp_path, image, "turned.png", exif=exif)


def test_exif_turns_the_image_upright(tmp_path):
    path = exif_image(tmp_path)
    for rgb in (read_image(path), read_image(path, (6, 4))):
        assert rgb.shape == (6, 4, 3)
        assert rgb[0, 3].tolist() == [255, 255, 255]


def test_exif_is_not_obeyed_if_the_annotations_are_for_the_stored_image(tmp_path):
    rgb = read_image(exif_image(tmp_path), (4, 6))
    assert rgb.shape == (4, 6, 3)
    assert rgb[0, 0].tolist() == [255, 255, 255]


def test_bad_images_are_refused_by_name(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    whole = saved(tmp_path, Image.new("RGB", (60, 40)), "whole.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    for name in ("text.png", "half.png", "missing.png"):
        with pytest.raises(OSError, match=name):
            read_image(tmp_path / name)


def test_decode_refuses_an_image_of_another_size(read, tmp_path):
    saved(tmp_path, Image.new("RGB", (6, 5)), "a.png")
    with pytest.raises(UnreadableImage, match="a.png.*5 high and 6 wide.* 4 and 6"):
        Decode()(read()[0], np.random.default_rng(0))


def test_decode_reads_the_image(read, tmp_path):
    saved(tmp_path, Image.new("RGB", (6, 4), (1, 2, 3)), "a.png")
    image = Decode()(read()[0], np.random.default_rng(0)).image
    assert image.shape == (4, 6, 3) and image[0, 0].tolist() == [1, 2, 3]


def test_a_sample_from_an_array_needs_no_file():
    sample = sample_from_array(np.zeros((4, 6, 3), np.uint8), image_id=5)
    assert sample.im_shape.tolist() == [4, 6] and sample.gt is None and sample.image_id == 5
    assert Decode()(sample, np.random.default_rng(0)) is sample
    with pytest.raises(ValueError, match="float64"):
        sample_from_array(np.zeros((4, 6, 3)))


@pytest.mark.parametrize(
    ("kind", "brightest", "expected"),
    [
        (np.uint16, 4095, [0, 127, 255]),  # 12 bits
        (np.uint16, 1023, [0, 127, 255]),
        (np.uint16, 65535, [0, 127, 255]),
        (np.int32, 255, [0, 127, 255]),  # 8 bits in 32
        (np.uint16, 3000, [0, 93, 186]),  # 1500 and 3000 of 4095
        (np.uint16, 0, [0, 0, 0]),
    ],
)
def test_wide_numbers_are_scaled_by_the_bits_in_use(tmp_path, kind, brightest, expected):
    values = np.array([[0, brightest // 2, brightest]], kind)
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == expected
