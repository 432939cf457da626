"""Waits are counted where they happen, once each, and nothing stays changed; so are operators."""

from collections import Counter

import paddle
import pytest

from benchmarks.operators import count_operators
from benchmarks.syncs import READS, count_syncs
from maskrcnn_edu.model import boxes
from maskrcnn_edu.model.boxes import nms_sorted


def names(found):
    total = Counter()
    for (_, name), count in found.items():
        total[name] += count
    return total


def test_every_way_to_read_a_value_is_one_wait():
    number = paddle.to_tensor(3)
    with count_syncs() as found:
        float(number), int(number), bool(number), number.item(), number.numpy(), number.tolist()
        [0, 1, 2, 3][number]
    assert names(found) == {
        "__float__": 1, "__int__": 1, "__bool__": 1, "item": 1, "numpy": 1, "tolist": 1,
        "__index__": 1,
    }  # fmt: skip


def test_shapes_and_arithmetic_are_none():
    rows = paddle.ones([3, 2])
    with count_syncs() as found:
        len(rows), rows.shape[0], rows + 1, rows[1], rows.sum(axis=0)
    assert not found


def test_results_as_long_as_the_values_say_are_waits():
    flags = paddle.to_tensor([True, False])
    with count_syncs() as found:
        paddle.nonzero(flags)
        flags.nonzero()
    assert names(found) == {"nonzero": 2}


def test_the_line_of_the_package_is_named():
    with count_syncs() as found:
        nms_sorted(paddle.to_tensor([[0.0, 0.0, 4.0, 4.0]]), 0.5)
    ((where, what),) = found
    assert what == "nms" and where.startswith("model/boxes.py:")
    line = int(where.split(":")[1])
    with open(boxes.__file__, encoding="utf-8") as source:
        assert "nms(" in source.readlines()[line - 1]
    assert f"| {where} | `nms` | 1 |" in str(found)


def test_a_step_waits_as_often_every_time(tiny_fpn, make_batch):
    tiny_fpn.train()
    counted = []
    for _ in range(2):
        with count_syncs() as found:
            tiny_fpn(make_batch(images=1))
        counted.append(found)
    assert counted[0] == counted[1] and counted[0].total() > 5


def test_nothing_stays_changed_even_after_an_error():
    tensor = type(paddle.ones([1]))
    before = [getattr(tensor, name) for name in READS], paddle.nonzero, paddle.vision.ops.nms
    with pytest.raises(KeyError), count_syncs():
        raise KeyError
    assert ([getattr(tensor, name) for name in READS], paddle.nonzero, paddle.vision.ops.nms) == (
        before
    )


def test_operators_are_counted_forward_and_backward():
    x = paddle.ones([3])
    weight = paddle.to_tensor([2.0, 3.0, 4.0], stop_gradient=False)
    assert count_operators(lambda: x * x + x) == 2  # a product and a sum
    # a product and a sum, and the gradient of each; that it arrives at the weight is no operator
    assert count_operators(lambda: (x * weight).sum().backward()) == 4
