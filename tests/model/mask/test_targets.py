"""Shapes drawn on small grids."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.mask.targets import (
    MaskAssigner,
    generate_mask_target,
    rasterize_bitmask_within_box,
    rasterize_polygons_within_box,
    rasterize_within_box,
)
from maskrcnn_edu.structures import BitMask, GroundTruth, RoISamples

RECTANGLE = np.array([10.0, 20, 26, 20, 26, 28, 10, 28])  # 16 wide, 8 high


def polygon(*points):
    return np.array(points, np.float64).reshape(-1)


def draw(parts, box, resolution=4):
    mask = rasterize_polygons_within_box(parts, np.array(box, np.float32), resolution)
    assert mask.dtype == np.uint8 and mask.shape == (resolution, resolution)
    return mask.tolist()


# ---- polygons --------------------------------------------------------------------


def test_a_rectangle_fills_its_own_box():
    assert draw([RECTANGLE], [10, 20, 26, 28]) == [[1] * 4] * 4


def test_the_left_half():
    assert draw([RECTANGLE], [10, 20, 42, 28]) == [[1, 1, 0, 0]] * 4


def test_the_lower_half():
    assert draw([RECTANGLE], [10, 12, 26, 28]) == [[0] * 4, [0] * 4, [1] * 4, [1] * 4]


def test_a_box_inside_the_object_is_full_and_one_beside_it_empty():
    assert draw([RECTANGLE], [14, 22, 20, 26]) == [[1] * 4] * 4
    assert draw([RECTANGLE], [30, 22, 40, 26]) == [[0] * 4] * 4


def test_an_l_is_not_turned():
    # upright on the left, foot at the bottom; x and y have different scales
    letter = polygon(0, 0, 2, 0, 2, 6, 8, 6, 8, 8, 0, 8) * np.tile([1.0, 3.0], 6)
    assert draw([letter], [0, 0, 8, 24]) == [
        [1, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 1, 1, 1],
    ]


def test_the_middle_of_a_cell_decides():
    # covers the middles 0.5, 1.5, 2.5 (its very edge) along x, and 0.5 alone along y
    assert draw([polygon(0, 0, 2.5, 0, 2.5, 1.4, 0, 1.4)], [0, 0, 3, 3], 3) == [
        [1, 1, 1],
        [0, 0, 0],
        [0, 0, 0],
    ]


def test_corners_lie_on_fifths_of_a_cell():
    # pycocotools rounds 1.35 to 1.4, whose cell 1 then has its middle 1.5 outside;
    # 1.55 becomes 1.6: inside
    heights = {1.35: 1, 1.55: 2}
    for height, rows in heights.items():
        square = polygon(0, 0, 2, 0, 2, height, 0, height)
        assert draw([square], [0, 0, 2, 2], 2) == [[1, 1]] * rows + [[0, 0]] * (2 - rows)


def test_what_one_part_covers_twice_is_outside():
    square = polygon(0, 0, 2, 0, 2, 2, 0, 2)
    assert draw([np.tile(square, 2)], [0, 0, 2, 2], 2) == [[0, 0], [0, 0]]


def test_several_parts_and_their_overlap():
    left, right = polygon(0, 0, 2, 0, 2, 8, 0, 8), polygon(6, 0, 8, 0, 8, 8, 6, 8)
    assert draw([left, right], [0, 0, 8, 8]) == [[1, 0, 0, 1]] * 4
    assert draw([left, left], [0, 0, 8, 8]) == [[1, 0, 0, 0]] * 4  # not "exclusive or"


@pytest.mark.parametrize("part", [[], [3.0, 3], [0.0, 0, 8, 8]])
def test_one_or_two_points_enclose_nothing(part):
    assert draw([np.array(part)], [0, 0, 8, 8]) == [[0] * 4] * 4
    assert draw([np.array(part), polygon(0, 0, 8, 0, 8, 8, 0, 8)], [0, 0, 8, 8]) == [[1] * 4] * 4


def test_no_parts():
    assert draw([], [0, 0, 8, 8]) == [[0] * 4] * 4


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_given_polygons_stay_as_they_are(dtype):
    parts = [RECTANGLE.astype(dtype), (RECTANGLE + 3).astype(dtype)]
    before = [p.copy() for p in parts]
    draw(parts, [12, 21, 30, 29])
    for part, copy in zip(parts, before):
        assert part.dtype == dtype
        np.testing.assert_array_equal(part, copy)


def test_a_box_without_area_gives_a_mask_without_nan():
    assert np.isin(draw([RECTANGLE], [12, 22, 12, 22]), [0, 1]).all()


# ---- bit masks -------------------------------------------------------------------


def bitmask_of(shape, size=64):
    """A polygon's shape as pixels of a whole image."""
    box = np.array([0, 0, size, size], np.float32)
    return BitMask(rasterize_polygons_within_box(shape, box, size), box)


def sample(segm, box, resolution=4):
    mask = rasterize_bitmask_within_box(segm, np.array(box, np.float32), resolution)
    assert mask.dtype == np.uint8
    return mask.tolist()


def test_pixels_over_their_own_box():
    pixels = np.array([[1, 0], [1, 1]], np.uint8)
    segm = BitMask(pixels, np.array([10, 20, 14, 28], np.float32))
    assert sample(segm, [10, 20, 14, 28], 2) == pixels.tolist()
    assert sample(segm, [12, 20, 14, 28], 2) == [[0, 0], [1, 1]]  # the right column
    assert sample(segm, [30, 20, 34, 28], 2) == [[0, 0], [0, 0]]


def test_between_two_pixels_one_half_counts_as_object():
    segm = BitMask(np.array([[1, 0]], np.uint8), np.array([0, 0, 2, 1], np.float32))
    # one cell, whose centre lies on the border of the two pixels, and beside it
    assert sample(segm, [0.5, 0, 1.5, 1], 1) == [[1]]
    assert sample(segm, [0.6, 0, 1.6, 1], 1) == [[0]]


SHAPES = {
    "rectangle": [polygon(8, 12, 50, 12, 50, 40, 8, 40)],
    "triangle": [polygon(6, 54, 32, 6, 58, 50)],
    "letter": [polygon(8, 8, 24, 8, 24, 40, 56, 40, 56, 56, 8, 56)],
    "two parts": [polygon(4, 4, 26, 6, 20, 58, 6, 56), polygon(36, 10, 60, 30, 38, 54)],
    "circle": [32 + 25 * np.stack([np.cos(t), np.sin(t)], 1).reshape(-1)
               for t in [np.linspace(0, 2 * np.pi, 60, endpoint=False)]],
}  # fmt: skip


@pytest.mark.parametrize("resolution", [14, 28])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("box", [[4, 4, 60, 60], [10, 2, 45, 62]])
def test_pixels_and_outline_of_one_shape_agree(shape, resolution, box):
    parts, box = SHAPES[shape], np.array(box, np.float32)
    outline = rasterize_within_box(parts, box, resolution).astype(bool)
    pixels = rasterize_within_box(bitmask_of(parts), box, resolution).astype(bool)
    assert (outline & pixels).sum() / (outline | pixels).sum() >= 0.9


@pytest.mark.parametrize("resolution", [14, 28])
def test_the_hole_of_a_ring_stays_empty(resolution):
    y, x = np.mgrid[:64, :64] + 0.5
    radius = np.hypot(x - 32, y - 32)
    ring = BitMask(((radius < 28) & (radius > 14)).astype(np.uint8), np.float32([0, 0, 64, 64]))
    mask = np.array(sample(ring, [0, 0, 64, 64], resolution))
    middle, quarter = resolution // 2, resolution // 8
    assert mask[middle - quarter : middle + quarter, middle - quarter : middle + quarter].sum() == 0
    assert mask[middle, quarter] == mask[quarter, middle] == 1
    share = np.pi * (28**2 - 14**2) / 64**2
    assert mask.mean() == pytest.approx(share, abs=0.03)


# ---- targets of an image ---------------------------------------------------------


def samples(boxes, labels, gt_index):
    boxes = paddle.to_tensor(np.array(boxes, np.float32).reshape(-1, 4))
    labels, index = (paddle.to_tensor(np.array(v, np.int64)) for v in (labels, gt_index))
    return RoISamples(boxes, labels, boxes, index, paddle.zeros_like(index))


@pytest.fixture
def two_objects():
    """A rectangle, and an L of pixels."""
    letter = BitMask(np.array([[1, 0], [1, 1]], np.uint8), np.array([40, 40, 44, 44], np.float32))
    boxes = paddle.to_tensor([[10.0, 20, 26, 28], [40, 40, 44, 44]])
    labels = paddle.to_tensor([1, 0], dtype="int64")
    return GroundTruth(boxes, labels, [[RECTANGLE], letter], paddle.to_tensor([False, False]))


def test_every_foreground_roi_gets_its_own_objects_mask(two_objects):
    rois = samples(
        [[0, 0, 5, 5], [40, 40, 44, 44], [10, 20, 42, 28], [10, 20, 26, 28]],
        [3, 0, 1, -1],  # background, object, object, not trained on
        [0, 1, 0, 0],
    )
    made = MaskAssigner(num_classes=3, mask_resolution=2)(rois, two_objects)
    assert made.index.tolist() == [1, 2]
    assert made.target_labels.tolist() == [0, 1]
    assert made.target_masks.tolist() == [[[1, 0], [1, 1]], [[1, 0], [1, 0]]]
    assert made.target_masks.dtype == paddle.float32
    assert made.index.dtype == made.target_labels.dtype == paddle.int64
    assert len(made) == 2


def test_the_documents_function_does_the_same(two_objects):
    rois = samples([[10, 20, 26, 28]], [1], [0])
    made = generate_mask_target(rois, two_objects, 3, 4)
    assert made.target_masks.tolist() == [[[1] * 4] * 4]


@pytest.mark.parametrize("labels", [[], [3, 3], [-1, 3]])
def test_no_foreground(two_objects, labels):
    rois = samples([[0, 0, 5, 5]] * len(labels), labels, [0] * len(labels))
    made = MaskAssigner(num_classes=3, mask_resolution=7)(rois, two_objects)
    assert len(made) == 0
    assert (made.index.shape, made.target_labels.shape) == ([0], [0])
    assert made.target_masks.shape == [0, 7, 7]


def test_an_impossible_value_is_named():
    with pytest.raises(ValueError, match="mask_resolution"):
        MaskAssigner(mask_resolution=0)


def test_by_default_there_are_80_classes_and_14_cells(two_objects):
    rois = samples([[10, 20, 26, 28]] * 2, [79, 80], [0, 0])
    made = MaskAssigner()(rois, two_objects)
    assert made.target_labels.tolist() == [79] and made.target_masks.shape == [1, 14, 14]
