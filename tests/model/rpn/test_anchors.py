"""Anchors of one or two cells."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.rpn.anchors import AnchorGenerator


def one_level(height, width, **options):
    return AnchorGenerator(**options)([(height, width)])[0]


def test_two_cells():
    made = one_level(1, 2, anchor_sizes=(32,), aspect_ratios=(1.0,), strides=(16,))
    assert made.tolist() == [[-16, -16, 16, 16], [0, -16, 32, 16]]
    assert made.dtype == paddle.float32


def test_offset_moves_the_centre_by_a_share_of_the_cell():
    made = one_level(1, 2, anchor_sizes=(32,), aspect_ratios=(1.0,), strides=(16,), offset=0.5)
    assert made.tolist() == [[-8, -8, 24, 24], [8, -8, 40, 24]]


def test_the_ratio_is_height_over_width_at_the_same_area():
    made = one_level(1, 1, anchor_sizes=(32,), aspect_ratios=(4.0, 0.25), strides=(16,))
    assert made.tolist() == [[-8, -32, 8, 32], [-32, -8, 32, 8]]


def test_order_is_row_column_size_ratio():
    made = one_level(2, 2, anchor_sizes=(2, 4), aspect_ratios=(1.0, 4.0), strides=(10,))
    assert made.shape == [2 * 2 * 4, 4]
    x1, y1, x2, y2 = made.numpy().T
    centers = list(zip((x1 + x2) / 2, (y1 + y2) / 2))
    assert centers[::4] == [(0, 0), (10, 0), (0, 10), (10, 10)]
    assert centers[4:8] == [(10, 0)] * 4
    # 2 x 2, 1 x 4, 4 x 4, 2 x 8
    assert list(zip(x2 - x1, y2 - y1))[:4] == [(2, 2), (1, 4), (4, 4), (2, 8)]


def test_every_level_has_its_own_sizes_and_stride():
    generator = AnchorGenerator([[8], [16]], [1.0], [4, 8])
    fine, coarse = generator([(2, 2), (1, 1)])
    assert fine.tolist()[-1] == [0, 0, 8, 8]  # cell (1, 1), centre (4, 4)
    assert coarse.tolist() == [[-8, -8, 8, 8]]
    assert generator.num_anchors == 1


def test_one_list_of_sizes_serves_all_levels():
    generator = AnchorGenerator([8, 16], [0.5, 1.0, 2.0], [4, 8])
    assert generator.num_anchors == 6
    assert generator.cell_anchors[0] == generator.cell_anchors[1]


def test_the_documents_anchors_are_fifteen_per_cell():
    made = AnchorGenerator()([(3, 5)])[0].numpy()
    assert made.shape == (3 * 5 * 15, 4)
    sides = made[:, 2:] - made[:, :2]
    np.testing.assert_allclose(sides.prod(1)[:15:3] ** 0.5, [32, 64, 128, 256, 512], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"anchor_sizes": (32, 0)}, "anchor_sizes"),
        ({"aspect_ratios": (-1.0,)}, "aspect_ratios"),
        ({"strides": (0,)}, "strides"),
        ({"strides": ()}, "strides"),
        ({"anchor_sizes": [[8], [16]], "strides": (4, 8, 16)}, "anchor_sizes"),
        ({"anchor_sizes": [[8], [16, 32]], "strides": (4, 8)}, "anchor_sizes"),
    ],
)
def test_an_impossible_value_is_named(options, name):
    with pytest.raises(ValueError, match=name):
        AnchorGenerator(**options)
