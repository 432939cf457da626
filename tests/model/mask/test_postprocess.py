"""Small masks pasted into small images."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.data.rle import encode, encode_crop
from maskrcnn_edu.inference.export import paste_whole
from maskrcnn_edu.model.mask import postprocess
from maskrcnn_edu.model.mask.postprocess import MaskPostProcess, pixel_coords


def tensor(rows):
    return paddle.to_tensor(np.array(rows, np.float32))


def pasted(mask, box, height, width, threshold=0.5):
    """One mask in its image, [height, width] of 0 and 1."""
    made = MaskPostProcess(threshold)(tensor([mask]), tensor([box]), height, width)[0]
    return made.numpy().astype(int)


def assert_values(values, mask, box):
    """The probabilities of the image's pixels: each is object up to its own threshold."""
    values = np.array(values)
    for threshold in {v + d for v in values.flat for d in (-0.001, 0.001) if 0 < v + d < 1}:
        made = pasted(mask, box, *values.shape, threshold)
        np.testing.assert_array_equal(made, values >= threshold, f"threshold {threshold}")


def filled(height, width, x1, y1, x2, y2):
    made = np.zeros([height, width])
    made[y1:y2, x1:x2] = 1
    return made


@pytest.mark.parametrize("cells", [4, 7, 14])
@pytest.mark.parametrize("box", [(1, 2, 3, 4), (0, 0, 2, 3), (4, 1, 7, 5), (0, 0, 7, 5)])
def test_a_full_mask_fills_exactly_its_box(cells, box):
    made = MaskPostProcess()(paddle.ones([1, cells, cells]), tensor([box]), 5, 7)
    assert made.dtype == paddle.bool
    np.testing.assert_array_equal(made[0].numpy(), filled(5, 7, *box))


def test_one_cell_per_pixel_is_a_copy():
    mask = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]
    expected = np.zeros([5, 6])
    expected[1:4, 2:5] = mask
    assert_values(expected, mask, [2, 1, 5, 4])


def test_rows_are_rows():
    # an L, stretched to 6 x 2 pixels
    assert pasted([[1, 0], [1, 1]], [0, 0, 6, 2], 3, 7).tolist() == [
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]


def test_bilinear_by_hand():
    # two cells over four pixels: pixel centres lie at -0.25, 0.25, 0.75, 1.25 cells
    assert_values([[0.75, 0.75, 0.25, 0, 0]] * 2, [[1.0, 0.0], [1.0, 0.0]], [0, 0, 4, 2])
    # the same along y; half a cell beyond the border the mask has faded to 0
    column = [[v] * 2 for v in (0.25, 0.75, 0.75, 0.25, 0, 0)]
    assert_values(column, [[1.0, 1.0], [0.0, 0.0]], [0, 1, 2, 5])


def test_two_directions_multiply():
    # pixel (1, 1) of a 4 x 4 box lies at (0.25, 0.25): shares 9/16, 3/16, 3/16, 1/16
    for cells, share in zip(np.eye(4).reshape(4, 2, 2), (9, 3, 3, 1)):
        assert pasted(cells, [0, 0, 4, 4], 4, 4, share / 16 - 0.001)[1, 1] == 1
        assert pasted(cells, [0, 0, 4, 4], 4, 4, share / 16 + 0.001)[1, 1] == 0


def test_a_fractional_box():
    # columns 1.5 .. 3.5 hold the centres of pixels 1 (border), 2 and 3 (border)
    assert_values([[0, 0.5, 1, 0.5, 0]], [[1.0]], [1.5, 0, 3.5, 1])


def test_a_box_that_leaves_the_image():
    made = MaskPostProcess()(paddle.ones([1, 2, 2]), tensor([[-2, -1, 2, 1]]), 3, 4)
    np.testing.assert_array_equal(made[0].numpy(), filled(3, 4, 0, 0, 2, 1))


NO_AREA = [
    [2, 1, 2, 3],  # no width, between two pixels
    [2.5, 1, 2.5, 3],  # no width, on the centre of a pixel: 0 / 0
    [1, 1.5, 3, 1.5],  # no height
    [2.5, 2.5, 2.5, 2.5],
]


@pytest.mark.parametrize("box", NO_AREA)
@pytest.mark.parametrize("cells", [1, 2])
def test_a_box_without_area_holds_nothing(box, cells):
    assert not MaskPostProcess()(paddle.ones([1, cells, cells]), tensor([box]), 4, 5).any()


@pytest.mark.parametrize("box", NO_AREA)
def test_a_box_without_area_gives_no_nan(box):
    assert not any(np.isnan(at.numpy()).any() for at in pixel_coords(tensor([box]), 2, 4, 5))


def test_many_masks_do_not_mix():
    boxes = tensor([[0, 0, 2, 2], [3, 1, 5, 4]])
    made = MaskPostProcess()(paddle.ones([2, 2, 2]), boxes, 4, 6)
    np.testing.assert_array_equal(made[0].numpy(), filled(4, 6, 0, 0, 2, 2))
    np.testing.assert_array_equal(made[1].numpy(), filled(4, 6, 3, 1, 5, 4))


def test_no_mask():
    made = MaskPostProcess()(paddle.zeros([0, 2, 2]), paddle.zeros([0, 4]), 4, 6)
    assert made.shape == [0, 4, 6] and made.dtype == paddle.bool


def test_the_threshold_itself_is_object():
    half = tensor([[[0.5]]])
    assert MaskPostProcess(0.5)(half, tensor([[0, 0, 1, 1]]), 1, 1).item() is True
    assert MaskPostProcess(0.51)(half, tensor([[0, 0, 1, 1]]), 1, 1).item() is False


@pytest.mark.parametrize("value", [0, 1, -0.5])
def test_an_impossible_value_is_named(value):
    with pytest.raises(ValueError, match="binary_thresh"):
        MaskPostProcess(value)


# ---- masks in the memory of their boxes ------------------------------------------


def random_masks(random, height, width, cells):
    corners = random.uniform(-0.2, 1, [40, 2])
    boxes = np.concatenate([corners, corners + random.uniform(0, 1, [40, 2]) ** 2], axis=1)
    boxes[0], boxes[1], boxes[2] = [0, 0, 1, 1], [0.5, 0.5, 0.5, 0.6], [1, 1, 1, 1]
    boxes = boxes.clip(0, 1) * [width, height, width, height]
    return tensor(random.random([40, cells, cells])), tensor(boxes)


@pytest.mark.parametrize("at_once", [1, 2**24])
@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (57, 83), (120, 31)])
def test_parts_are_the_whole_and_so_are_their_runs(monkeypatch, size, at_once):
    monkeypatch.setattr(postprocess, "PASTE_CHUNK_ELEMENTS", at_once)
    monkeypatch.setattr(postprocess, "MIN_PASTE_ROWS", 1)
    masks, boxes = random_masks(np.random.default_rng(sum(size)), *size, 14)
    expected = (paste_whole(masks, boxes, *size) >= 0.5).numpy()
    np.testing.assert_array_equal(MaskPostProcess()(masks, boxes, *size).numpy(), expected)
    parts = list(MaskPostProcess().paste_in_boxes(masks, boxes, *size))
    for whole, part in zip(expected, parts, strict=True):
        assert encode_crop(part, *size) == encode(whole)
    assert sum(p.pixels.size for p in parts) < 0.7 * expected.size or 1 in size


def test_a_part_covers_the_pixels_in_which_some_cell_has_a_share():
    # one pixel for each cell; the pixels beside the box are one cell away: no share
    (part,) = MaskPostProcess().paste_in_boxes(
        paddle.ones([1, 2, 2]), tensor([[2, 1, 4, 3]]), height=5, width=6
    )
    assert part.box.tolist() == [2, 1, 4, 3] and part.pixels.tolist() == [[1, 1], [1, 1]]
    # two pixels for each cell: half a cell beyond the border the next ones have a share
    (part,) = MaskPostProcess().paste_in_boxes(
        paddle.ones([1, 2, 2]), tensor([[2, 1, 6, 5]]), height=7, width=9
    )
    assert part.box.tolist() == [1, 0, 7, 6]
    assert part.pixels.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0],
    ]
