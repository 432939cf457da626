"""A mask of which only a part is given, against pycocotools' encoding of the whole."""

import numpy as np
import pytest

from maskrcnn_edu.data import rle
from maskrcnn_edu.structures import BitMask


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
