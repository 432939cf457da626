"""Runs that can be counted with a finger, and crops against pycocotools' whole masks."""

import numpy as np
import pytest

from maskrcnn_edu.data import rle
from maskrcnn_edu.data.problems import InvalidAnnotation
from maskrcnn_edu.structures import BitMask

SQUARE = [[0, 0, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0]]
COUNTS = [5, 2, 2, 2, 13]  # down the columns: five zeros, two ones, two zeros, two ones, the rest

# ---- by hand -----------------------------------------------------------------------


def test_runs_go_down_the_columns():
    mask = rle.decode(np.array(COUNTS), 4, 6)
    assert mask.dtype == np.uint8 and mask.tolist() == SQUARE
    assert rle.decode(np.array([0, 2, 1]), 1, 3).tolist() == [[1, 1, 0]]  # zeros first, if none


def test_only_the_columns_of_the_object_are_decoded():
    found = rle.decode_crop(np.array(COUNTS), 4)
    assert found.box.tolist() == [1, 1, 3, 3] and found.pixels.tolist() == [[1, 1], [1, 1]]
    # runs of no ones at both ends; a run that goes on at the top of the next column
    found = rle.decode_crop(np.array([1, 0, 6, 2, 11, 0, 4]), 4)
    assert found.box.tolist() == [1, 0, 3, 4]
    assert found.pixels.tolist() == [[0, 1], [0, 0], [0, 0], [1, 0]]


def test_decoding_columns_is_cropping_the_whole():
    random = np.random.default_rng(0)
    for _ in range(100):
        mask = random.random((7, 9)) < random.choice([0.02, 0.3, 0.9])
        mask[3, 5] = True
        runs = rle.parse(rle.encode(mask), 7, 9)
        want, found = rle.crop(rle.decode(runs, 7, 9)), rle.decode_crop(runs, 7)
        assert found.box.tolist() == want.box.tolist() and found.box.dtype == want.box.dtype
        np.testing.assert_array_equal(found.pixels, want.pixels)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        # "0" plus the number; from the fourth run on, plus the difference to the last but one
        ("5220;", [5, 2, 2, 2, 13]),  # 2 - 2 = 0, 13 - 2 = 11
        ("522O<", [5, 2, 2, 1, 14]),  # 1 - 2 = -1: five bits of ones, 31
        ("d04", [20, 4]),  # 20 has five bits: 20 + 32 for "it goes on", then 0
        ("P18", [32, 8]),  # 32: five bits 0 and "it goes on", then 1
        ("02P1", [0, 2, 32]),
        ("", []),
    ],
)
def test_packed_counts(text, counts):
    assert rle.decompress_counts(text) == counts


def test_both_ways_of_writing_counts_are_parsed():
    for counts in (COUNTS, "5220;"):
        runs = rle.parse({"size": [4, 6], "counts": counts}, 4, 6)
        assert runs.dtype == np.int64 and runs.tolist() == COUNTS
    assert rle.encode(np.array(SQUARE)) == {"size": [4, 6], "counts": "5220;"}


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([24], "empty"),
        ([5, 0, 19], "empty"),
        ([5, 2, 2, 2, 12], "do not fill"),
        ([5, 2, 2, 2, 14], "do not fill"),
        ([-1, 2, 23], "do not fill"),
        ([5.0, 19], "do not fill"),
        ("5220", "do not fill"),
        ("5220;P", "do not fill"),  # the last number has no end
        (None, "do not fill"),
    ],
)
def test_runs_that_are_no_mask(counts, words):
    with pytest.raises(InvalidAnnotation, match=words):
        rle.parse({"size": [4, 6], "counts": counts}, 4, 6)
    with pytest.raises(InvalidAnnotation, match=r"size \[6, 4\], the image is \[4, 6\]"):
        rle.parse({"size": [6, 4], "counts": counts}, 4, 6)


@pytest.mark.parametrize(
    ("counts", "box"),
    [
        (COUNTS, [1, 1, 3, 3]),
        ([2, 4, 18], [0, 0, 2, 4]),  # over the end of a column: it may touch top and bottom
        ([4, 4, 16], [1, 0, 2, 4]),  # a whole column, and no more
        ([0, 1, 22, 1], [0, 0, 6, 4]),
        ([6, 1, 2, 0, 2, 1, 12], [1, 2, 3, 4]),  # a run of no ones does not count
    ],
)
def test_boxes_of_runs(counts, box):
    assert rle.to_bbox(np.array(counts), 4).tolist() == box


def test_a_crop_is_as_small_as_can_be():
    mask = rle.crop(np.array(SQUARE))
    assert mask.pixels.tolist() == [[1, 1], [1, 1]] and mask.box.tolist() == [1, 1, 3, 3]
    assert mask.box.dtype == np.float32 and mask.pixels.flags.c_contiguous
    assert rle.encode_crop(mask, 4, 6) == {"size": [4, 6], "counts": "5220;"}


# ---- crops -------------------------------------------------------------------------


@pytest.mark.parametrize("place", [(0, 0), (2, 0), (0, 3), (2, 3)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_part_of_an_image_is_encoded_like_the_whole(place, share):
    y, x = place
    pixels = (np.random.default_rng(1).random([6, 5]) < share).astype(np.uint8)
    for height, width in [(y + 6, x + 5), (y + 9, x + 5), (y + 6, x + 8), (y + 7, x + 6)]:
        whole = np.zeros([height, width], np.uint8)
        whole[y : y + 6, x : x + 5] = pixels
        part = BitMask(pixels, np.float32([x, y, x + 5, y + 6]))
        assert rle.encode_crop(part, height, width) == rle.encode(whole)


def test_an_empty_part():
    part = BitMask(np.zeros([0, 0], np.uint8), np.zeros(4, np.float32))
    assert rle.encode_crop(part, 3, 4) == rle.encode(np.zeros([3, 4]))
