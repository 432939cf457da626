"""Regression losses of single numbers and of boxes on squared paper."""

import math

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.losses import GIoULoss, SIoULoss, SmoothL1Loss


def tensor(rows):
    return paddle.to_tensor(np.array(rows, np.float32))


def smooth(errors, **options):
    return SmoothL1Loss(**options)(tensor(errors), tensor([0.0] * len(errors))).tolist()


def test_quadratic_below_one_and_linear_above():
    assert smooth([0, 0.5, -0.5, 1, 3, -3]) == [0, 0.125, 0.125, 0.5, 2.5, 2.5]


def test_another_beta():
    assert smooth([0.5, 1, 4], beta=2.0) == [0.0625, 0.25, 3]


def test_beta_zero_is_the_plain_distance():
    assert smooth([0, 0.5, -3], beta=0.0) == [0, 0.5, 3]


def test_the_weight_multiplies():
    assert smooth([0.5, 3], loss_weight=4.0) == [0.5, 10]
    assert smooth([0.5], beta=0.0, loss_weight=4.0) == [2]


def test_smooth_l1_keeps_the_shape():
    assert SmoothL1Loss()(paddle.zeros([0, 4]), paddle.zeros([0, 4])).shape == [0, 4]
    assert SmoothL1Loss()(paddle.zeros([3, 4]), paddle.zeros([3, 4])).shape == [3, 4]


def test_a_negative_beta_is_named():
    with pytest.raises(ValueError, match=r"beta.*-1"):
        SmoothL1Loss(beta=-1.0)


def giou(pred, target, **options):
    return GIoULoss(**options)(tensor([pred]), tensor([target])).item()


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0, 0, 2, 2], 0),
        ([1, 1, 3, 3], 1 - (1 / 7 - 2 / 9)),  # overlap 1, union 7, hull 9
        ([0, 0, 4, 1], 1 - (2 / 6 - 2 / 8)),  # overlap 2, union 6, hull 8
        ([2, 0, 4, 2], 1),  # side by side: overlap 0, the hull is full
        ([4, 0, 6, 2], 1 + 4 / 12),  # apart: hull 12, of which 4 is gap
    ],
)
def test_giou_by_hand(other, expected):
    assert giou([0, 0, 2, 2], other) == pytest.approx(expected, abs=1e-6)
    assert giou(other, [0, 0, 2, 2]) == pytest.approx(expected, abs=1e-6)
    assert giou([0, 0, 2, 2], other, loss_weight=3.0) == pytest.approx(3 * expected, abs=1e-5)


def test_giou_goes_row_by_row():
    made = GIoULoss()(tensor([[0, 0, 2, 2], [0, 0, 2, 2]]), tensor([[0, 0, 2, 2], [2, 0, 4, 2]]))
    np.testing.assert_allclose(made.tolist(), [0, 1], atol=1e-6)
    assert GIoULoss()(paddle.zeros([0, 4]), paddle.zeros([0, 4])).shape == [0]


def test_giou_pulls_boxes_that_do_not_touch():
    pred = tensor([[0.0, 0, 2, 2]])
    pred.stop_gradient = False
    GIoULoss()(pred, tensor([[4.0, 0, 6, 2]])).sum().backward()
    assert pred.grad[0, 2].item() < 0  # descent moves the right side to the right


def test_boxes_without_area_give_a_number():
    assert np.isfinite(giou([1, 1, 1, 1], [1, 1, 1, 1]))


def test_who_compares_boxes():
    assert GIoULoss.compares_boxes and SIoULoss().compares_boxes
    assert not SmoothL1Loss.compares_boxes


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ([0, 0, 2, 2], 0),
        # side by side: no angle; half the hull's width apart
        ([2, 0, 4, 2], 1 + (1 - math.exp(-2 * 0.25)) / 2),
        # corner to corner, 45 degrees: the angle costs 1; half the hull apart in both directions
        ([2, 2, 4, 4], 1 + 2 * (1 - math.exp(-1 * 0.25)) / 2),
        # (2, 1) apart: angle 2 * 2 * 1 / 5, hull 4 x 3, no overlap
        (
            [2, 1, 4, 3],
            1 + (2 - math.exp(-1.2 * (2 / 4) ** 2) - math.exp(-1.2 * (1 / 3) ** 2)) / 2,
        ),
        # one centre, twice as wide: overlap 4, union 8, the width changes by half
        ([-1, 0, 3, 2], 1 - 4 / 8 + (1 - math.exp(-0.5)) ** 4 / 2),
    ],
)
def test_siou_by_hand(other, expected):
    for a, b in (([0, 0, 2, 2], other), (other, [0, 0, 2, 2])):
        assert SIoULoss()(tensor([a]), tensor([b])).item() == pytest.approx(expected, abs=1e-6)


def test_sious_options():
    one, wide = tensor([[0, 0, 2, 2]]), tensor([[-1, 0, 3, 2]])
    expected = 0.5 + (1 - math.exp(-0.5)) ** 2 / 2
    assert SIoULoss(theta=2.0)(one, wide).item() == pytest.approx(expected, abs=1e-6)
    assert SIoULoss(loss_weight=3.0)(one, one + 2).item() == pytest.approx(
        3 * (2 - math.exp(-0.25)), abs=1e-5
    )
    assert SIoULoss()(paddle.zeros([0, 4]), paddle.zeros([0, 4])).shape == [0]
    with pytest.raises(ValueError, match="theta must be above 0"):
        SIoULoss(theta=0.0)
    assert SIoULoss().compares_boxes  # the box head decodes before it asks


def test_siou_has_a_gradient_for_equal_boxes_too():
    pred = tensor([[0, 0, 2, 2], [1, 0, 4, 2]])
    pred.stop_gradient = False
    SIoULoss()(pred, tensor([[0, 0, 2, 2], [0, 0, 2, 2]])).sum().backward()
    assert np.isfinite(pred.grad.numpy()).all() and pred.grad.numpy()[1].any()
