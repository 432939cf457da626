"""Tensors without rows, in Paddle 2.6 as in Paddle 3."""

import paddle
import pytest
from paddle import nn

from maskrcnn_edu.model.ops.empty import apply_nonempty, cat, gather_pairs, is_empty, sum_or_zero

NONE = paddle.zeros([0, 4])
SOME = paddle.arange(12, dtype="float32").reshape([3, 4])


def test_a_layer_without_rows_gives_none_of_its_own_width():
    layer = nn.Linear(4, 2)
    assert apply_nonempty(layer, NONE).shape == [0, 2]
    assert apply_nonempty(layer, SOME).tolist() == layer(SOME).tolist()


def test_convolutions_without_images():
    layer = nn.Sequential(nn.Conv2D(3, 5, 3), nn.BatchNorm2D(5), nn.Conv2DTranspose(5, 2, 2, 2))
    layer.eval()
    assert apply_nonempty(layer, paddle.zeros([0, 3, 6, 6])).shape == [0, 2, 8, 8]


def test_joining():
    assert cat([NONE, SOME, NONE]).tolist() == SOME.tolist()
    assert cat([SOME, SOME]).tolist() == SOME.tolist() * 2
    assert cat([NONE, NONE]).shape == [0, 4]


def test_total():
    values = SOME.clone()
    values.stop_gradient = False
    sum_or_zero(values).backward()
    assert sum_or_zero(values).item() == 66 and values.grad.tolist() == [[1.0] * 4] * 3
    nothing = sum_or_zero(NONE)
    assert nothing.item() == 0 and nothing.shape == [] and nothing.stop_gradient


@pytest.mark.parametrize("shape", [[3, 4], [3, 4, 2]])
def test_picking_is_indexing(shape):
    values = paddle.randn(shape)
    rows, columns = paddle.to_tensor([2, 0, 2]), paddle.to_tensor([3, 1, 0])
    assert gather_pairs(values, rows, columns).tolist() == values[rows, columns].tolist()


def test_picking_nothing():
    none = paddle.zeros([0], dtype="int64")
    assert gather_pairs(paddle.zeros([3, 4, 2]), none, none).shape == [0, 2]
    assert gather_pairs(paddle.zeros([0, 4, 2]), none, none).shape == [0, 2]


def test_is_empty():
    assert not is_empty(SOME) and is_empty(NONE)
