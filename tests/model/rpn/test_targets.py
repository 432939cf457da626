"""Four anchors, one or two objects."""

import math

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.rpn.targets import RPNTargetAssign

ANCHORS = [
    [0, 0, 10, 10],  # IoU 1 with the first object
    [0, 0, 10, 5],  # IoU 0.5: neither foreground nor background
    [0, 0, 10, 2],  # IoU 0.2
    [50, 50, 60, 60],
]


def anchors(rows=ANCHORS):
    return paddle.to_tensor(np.array(rows, np.float32))


def assign(gt, **options):
    return RPNTargetAssign(use_random=False, **options)(anchors(), gt)


def test_labels_of_the_four_anchors(make_gt):
    made = assign(make_gt([[0, 0, 10, 10]]))
    assert made.target_labels.tolist() == [1, -1, 0, 0]
    assert made.gt_index.tolist() == [0, 0, 0, 0]
    assert made.target_labels.dtype == paddle.int32 and made.gt_index.dtype == paddle.int64


def test_deltas_lead_from_each_anchor_to_its_object(make_gt):
    made = assign(make_gt([[0, 0, 10, 10], [52, 51, 56, 71]]))
    assert made.gt_index.tolist() == [0, 0, 0, 1]
    # centre (55, 55), 10 x 10  ->  centre (54, 61), 4 x 20
    expected = [-0.1, 0.6, math.log(0.4), math.log(2)]
    np.testing.assert_allclose(made.target_deltas[3].tolist(), expected, rtol=1e-6)
    assert made.target_deltas[0].tolist() == [0, 0, 0, 0]
    assert made.target_labels.tolist() == [1, -1, 0, 1]  # IoU 36 / 144, but the best the object has


def test_the_thresholds_are_those_of_the_constructor(make_gt):
    made = assign(make_gt([[0, 0, 10, 10]]), positive_overlap=0.5, negative_overlap=0.125)
    assert made.target_labels.tolist() == [1, 1, -1, 0]


def test_who_is_not_drawn_is_ignored(make_gt):
    gt = make_gt([[0, 0, 10, 10]])
    assert assign(gt, batch_size_per_im=2).target_labels.tolist() == [1, -1, 0, -1]
    assert assign(gt, batch_size_per_im=2, fg_fraction=0.0).target_labels.tolist() == [-1, -1, 0, 0]
    one = assign(gt, batch_size_per_im=1)  # half of one anchor is none
    assert one.target_labels.tolist() == [-1, -1, 0, -1]


def test_no_objects(make_gt):
    made = assign(make_gt([]), batch_size_per_im=3)
    assert made.target_labels.tolist() == [0, 0, 0, -1]
    assert made.target_deltas.tolist() == [[0] * 4] * 4
    assert made.gt_index.tolist() == [0] * 4


def test_only_a_crowd_is_background_everywhere(make_gt):
    assert assign(make_gt([[0, 0, 10, 10]], is_crowd=[True])).target_labels.tolist() == [0, 0, 0, 0]


def test_ignore_thresh_reaches_the_matching(make_gt):
    gt = make_gt([[0, 0, 10, 10], [50, 50, 60, 60]], is_crowd=[True, False])
    assert assign(gt).target_labels.tolist() == [0, 0, 0, 1]
    assert assign(gt, ignore_thresh=0.25).target_labels.tolist() == [-1, -1, 0, 1]


def test_an_anchor_outside_the_image_stays_among_the_targets(make_gt):
    outside = paddle.to_tensor([[-10.0, -10, 10, 10], [-9, -9, -1, -1]])
    made = RPNTargetAssign(use_random=False)(outside, make_gt([[-10, -10, 10, 8]]))
    assert made.target_labels.tolist() == [1, 0]


def test_random_draws_keep_the_quota(make_gt):
    paddle.seed(0)
    many = anchors([[0, 0, 10, 10]] * 30 + [[50, 50, 60, 60]] * 70)
    assigner = RPNTargetAssign(batch_size_per_im=20)
    labels = [assigner(many, make_gt([[0, 0, 10, 10]])).target_labels.numpy() for _ in range(2)]
    for drawn in labels:
        assert (drawn[:30] == 1).sum() == 10 and (drawn[30:] == 0).sum() == 10
        assert (drawn == -1).sum() == 80
    assert (labels[0] != labels[1]).any()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"batch_size_per_im": 0}, "batch_size_per_im"),
        ({"fg_fraction": 1.5}, "fg_fraction"),
        ({"fg_fraction": -0.1}, "fg_fraction"),
        ({"negative_overlap": 0.8}, "negative_overlap"),
    ],
)
def test_an_impossible_value_is_named(options, name):
    with pytest.raises(ValueError, match=name):
        RPNTargetAssign(**options)
