"""Boxes that can be drawn on squared paper."""

import math

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.boxes import (
    bbox2delta,
    bbox_area,
    bbox_overlaps,
    clip_bbox,
    delta2bbox,
    exp_float64,
    nms,
    nms_sorted,
    nonempty_bbox,
)


def boxes(*rows):
    return paddle.to_tensor(np.array(rows, np.float32).reshape(-1, 4))


def test_area_is_width_times_height_without_plus_one():
    assert bbox_area(boxes([1, 2, 4, 8], [5, 5, 5, 9])).tolist() == [18, 0]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0, 0, 2, 2], 1.0),
        ([1, 1, 3, 3], 1 / 7),  # overlap 1, union 4 + 4 - 1
        ([0, 0, 4, 1], 2 / 6),  # overlap 2, union 4 + 4 - 2
        ([2, 0, 4, 2], 0.0),  # a common side is no overlap
        ([5, 5, 6, 6], 0.0),  # apart along both axes: no product of two negatives
    ],
)
def test_overlap_of_two_boxes(other, expected):
    assert bbox_overlaps(boxes([0, 0, 2, 2]), boxes(other)).item() == pytest.approx(expected, 1e-6)


def test_overlaps_has_a_row_per_first_and_a_column_per_second_box():
    iou = bbox_overlaps(
        boxes([0, 0, 2, 2], [0, 0, 4, 4]), boxes([0, 0, 2, 2], [0, 0, 4, 2], [9] * 4)
    )
    expected = [[1, 0.5, 0], [0.25, 0.5, 0]]
    assert iou.tolist() == expected


def test_boxes_without_area_overlap_nothing_not_even_themselves():
    point = boxes([1, 1, 1, 1])
    assert bbox_overlaps(point, point).item() == 0
    assert bbox_overlaps(boxes(), point).shape == [0, 1]
    assert bbox_overlaps(point, boxes()).shape == [1, 0]


def test_encode_by_hand():
    # centre (2, 1), 4 x 2  ->  centre (6, 4), 4 x 8
    delta = bbox2delta(boxes([0, 0, 4, 2]), boxes([4, 0, 8, 8]))
    np.testing.assert_allclose(delta.tolist(), [[1, 1.5, 0, math.log(4)]], rtol=1e-6)


def test_every_weight_multiplies_its_own_delta():
    # centre (1, 2), 2 x 4  ->  centre (3, 3), 4 x 16
    delta = bbox2delta(boxes([0, 0, 2, 4]), boxes([1, -5, 5, 11]), (10, 20, 3, 5))
    expected = [[10 * 1, 20 * 0.25, 3 * math.log(2), 5 * math.log(4)]]
    np.testing.assert_allclose(delta.tolist(), expected, rtol=1e-6)


def test_decode_by_hand():
    # centre (1, 2), 2 x 4: right by one width, up by a quarter height, twice as wide
    moved = delta2bbox(paddle.to_tensor([[1.0, -0.25, math.log(2), 0.0]]), boxes([0, 0, 2, 4]))
    np.testing.assert_allclose(moved.tolist(), [[[1, -1, 5, 3]]], atol=1e-6)


def test_decoding_undoes_encoding():
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(0, 50, (20, 2, 2)), rng.uniform(1, 40, (20, 2, 2))
    source, target = (boxes(*np.hstack([corner[:, i], corner[:, i] + size[:, i]])) for i in (0, 1))
    weights = (10.0, 9.0, 5.0, 4.0)
    back = delta2bbox(bbox2delta(source, target, weights), source, weights)
    np.testing.assert_allclose(back[:, 0].numpy(), target.numpy(), atol=2e-5)


def test_decoding_several_classes_at_once():
    deltas = paddle.to_tensor([[0.0, 0, 0, 0, 0.5, 0, 0, 0]])
    expected = [[[0, 0, 2, 4], [1, 0, 3, 4]]]
    assert delta2bbox(deltas, boxes([0, 0, 2, 4])).tolist() == expected
    assert delta2bbox(deltas.reshape([1, 2, 4]), boxes([0, 0, 2, 4])).tolist() == expected


def test_one_decoding_enlarges_at_most_62_5_times():
    for delta, weight in ((9.0, 1.0), (90.0, 10.0)):  # the limit holds after the weight
        wild = paddle.to_tensor([[0.0, 0, delta, 0]])
        x1, y1, x2, y2 = delta2bbox(wild, boxes([-1, -1, 1, 1]), [1, 1, weight, 1])[0, 0].tolist()
        assert (y1, y2) == (-1, 1)
        assert x2 - x1 == pytest.approx(2 * 62.5, 1e-5)


def test_decoding_no_box():
    assert delta2bbox(paddle.zeros([0, 3, 4]), boxes()).shape == [0, 3, 4]


def test_clipping_takes_height_first():
    clipped = clip_bbox(boxes([-1, -2, 30, 40], [3, 4, 5, 6]), paddle.to_tensor([20.0, 10.0]))
    assert clipped.tolist() == [[0, 0, 10, 20], [3, 4, 5, 6]]


def test_clipping_keeps_leading_axes():
    assert clip_bbox(paddle.full([2, 3, 4], 7.0), paddle.to_tensor([5.0, 6.0])).tolist() == (
        [[[6, 5, 6, 5]] * 3] * 2
    )


def test_nonempty_needs_both_sides_longer_than_the_minimum():
    some = boxes([0, 0, 1, 1], [0, 0, 0, 5], [0, 0, 5, 0], [0, 0, 2, 3], [3, 0, 2, 9])
    assert nonempty_bbox(some).tolist() == [True, False, False, True, False]
    assert nonempty_bbox(some, 1.0).tolist() == [False, False, False, True, False]


# ---- suppression -----------------------------------------------------------------


def test_the_best_box_removes_its_copies():
    rows = boxes([0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [20, 0, 30, 8])
    scores = paddle.to_tensor([0.1, 0.8, 0.3, 0.9])
    assert nms(rows, scores, 0.5).tolist() == [3, 1]  # best first


def test_an_overlap_equal_to_the_threshold_stays():
    rows, scores = boxes([0, 0, 4, 1], [0, 0, 2, 1]), paddle.to_tensor([0.9, 0.8])
    assert nms(rows, scores, 0.5).tolist() == [0, 1]  # IoU 2 / 4
    assert nms(rows, scores, 0.49).tolist() == [0]


def test_a_removed_box_removes_nothing():
    # 0 removes 1 (IoU 7 / 13); 1 would have removed 2 (IoU 7 / 13), 0 does not (4 / 16)
    rows = boxes([0, 0, 10, 1], [3, 0, 13, 1], [6, 0, 16, 1])
    assert nms(rows, paddle.to_tensor([0.9, 0.8, 0.7]), 0.5).tolist() == [0, 2]


def test_of_equal_scores_the_first_wins():
    rows = boxes([0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 8])
    assert nms(rows, paddle.to_tensor([0.5, 0.5, 0.5]), 0.5).tolist() == [0]


@pytest.mark.parametrize("eta", [1.0, 0.8])
def test_no_box_to_suppress(eta):
    kept = nms(boxes(), paddle.zeros([0]), 0.5, eta)
    assert kept.shape == [0] and kept.dtype == paddle.int64


def test_adaptive_suppression_shrinks_the_threshold_while_it_is_above_one_half():
    rows = boxes(
        [0, 0, 100, 10],  # stays; 0.7 -> 0.56
        [0, 0, 60, 10],  # IoU 0.6: stays at 0.7, goes at 0.56
        [0, 50, 100, 60],  # apart: stays; 0.56 -> 0.448
        [0, 50, 45, 60],  # IoU 0.45 > 0.448: goes
        [0, 90, 100, 100],  # apart: stays; 0.448 is not above 0.5 and remains
        [0, 90, 44, 100],  # IoU 0.44 stays (0.448 * 0.8 would be 0.3584)
    )
    assert nms_sorted(rows, 0.7, eta=0.8).tolist() == [0, 2, 4, 5]
    assert nms_sorted(rows, 0.7).tolist() == [0, 1, 2, 3, 4, 5]


def test_adaptive_suppression_at_its_borders():
    # IoU with the first: 0.75 and 0.5, exactly
    rows = boxes([0, 0, 8, 4], [0, 0, 6, 4], [0, 0, 4, 4])
    most, half = rows[:2], paddle.concat([rows[:1], rows[2:]])
    # an overlap at the threshold stays, and goes once the first box has shrunk it a little
    assert nms_sorted(most, 0.75).tolist() == [0, 1]
    assert nms_sorted(most, 0.75, eta=0.999).tolist() == [0]  # 0.74925
    # a threshold of 0.5 is not above 0.5: it never shrinks
    assert nms_sorted(half, 0.5, eta=0.25).tolist() == [0, 1]
    assert nms_sorted(half, 0.5).tolist() == [0, 1]
    # only boxes that stay shrink it: 0.8 -> 0.6 by the first; the second goes
    assert nms_sorted(rows, 0.8, eta=0.75).tolist() == [0, 2]


def test_exp_is_rounded_to_the_nearest_float32():
    x = paddle.to_tensor(np.linspace(-4, 4, 1001, dtype=np.float32))
    exact = np.exp(x.numpy().astype(np.float64)).astype(np.float32)
    assert exp_float64(x).dtype == paddle.float32
    np.testing.assert_array_equal(exp_float64(x).numpy(), exact)


def test_of_equal_scores_the_first_one_is_first(monkeypatch):
    """Three hundred boxes apart from each other, of two scores in turn; then as in Paddle 2.6."""
    places = 10.0 * np.arange(300)[:, None]
    boxes = paddle.to_tensor(np.float32(places + [0, 0, 4, 4]))
    scores = paddle.to_tensor(np.float32([0.5, 0.9] * 150))
    expected = [*range(1, 300, 2), *range(0, 300, 2)]
    assert nms(boxes, scores, 0.5).tolist() == expected

    def old_argsort(x, axis=-1, descending=False):
        raise AssertionError("not stable")

    monkeypatch.setattr(paddle, "argsort", old_argsort)
    assert nms(boxes, scores, 0.5).tolist() == expected
