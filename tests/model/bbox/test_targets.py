"""RoIs drawn from a handful of proposals."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.bbox.targets import BBoxAssigner, generate_proposal_target
from maskrcnn_edu.structures import Proposals

CAT = [0, 0, 8, 8]
DOG = [20, 20, 30, 30]
NEAR_CAT = [0, 0, 8, 6]  # IoU 0.75
HALF_CAT = [0, 0, 8, 4]  # IoU 0.5
FAR = [50, 50, 60, 60]


def proposals(*boxes):
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    count = len(rows)
    return Proposals(paddle.to_tensor(rows), paddle.zeros([count]), paddle.arange(count))


def assign(boxes, gt, call=None, **options):
    options = {"use_random": False, "num_classes": 5, **options}
    return BBoxAssigner(**options)(proposals(*boxes), gt, **(call or {}))


def test_foreground_first_with_class_box_and_object(make_gt):
    gt = make_gt([CAT, DOG], [3, 1])
    made = assign([FAR, DOG, NEAR_CAT], gt, {"add_gt_as_proposals": False}, fg_fraction=1.0)
    assert made.boxes.tolist() == [DOG, NEAR_CAT, FAR]
    assert made.target_labels.tolist() == [1, 3, 5]  # background is C
    assert made.gt_boxes.tolist()[:2] == [DOG, CAT]
    assert made.gt_index.tolist()[:2] == [1, 0]
    assert made.proposal_index.tolist() == [1, 2, 0]
    for index in (made.target_labels, made.gt_index, made.proposal_index):
        assert index.dtype == paddle.int64


def test_annotated_boxes_join_the_proposals(make_gt):
    made = assign([FAR, NEAR_CAT], make_gt([CAT, DOG], [3, 1]), fg_fraction=1.0)
    assert made.boxes.tolist() == [NEAR_CAT, CAT, DOG, FAR]
    assert made.proposal_index.tolist() == [1, -1, -1, 0]
    assert made.target_labels.tolist() == [3, 3, 1, 5]


def test_proposal_index_leads_back(make_gt):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 40, (60, 2))
    boxes = np.hstack([corner, corner + rng.uniform(4, 20, (60, 2))]).astype(np.float32)
    gt = make_gt([CAT, DOG, [10, 10, 40, 40]], [3, 1, 0])
    paddle.seed(0)
    made = assign(boxes, gt, use_random=True, batch_size_per_im=32)
    assert len(made) == 32
    for row, index in enumerate(made.proposal_index.tolist()):
        origin = boxes[index] if index >= 0 else gt.boxes[made.gt_index[row]].numpy()
        np.testing.assert_array_equal(made.boxes[row].numpy(), origin)
    np.testing.assert_array_equal(made.gt_boxes.numpy(), gt.boxes[made.gt_index].numpy())


def test_a_quarter_may_be_foreground(make_gt):
    made = assign([CAT] * 10 + [FAR] * 10, make_gt([CAT]), batch_size_per_im=8)
    assert made.target_labels.tolist() == [0, 0, 5, 5, 5, 5, 5, 5]
    assert made.proposal_index.tolist() == [0, 1, 10, 11, 12, 13, 14, 15]


def test_random_draws_keep_the_quota(make_gt):
    paddle.seed(0)
    draws = [
        assign([CAT] * 30 + [FAR] * 30, make_gt([CAT]), use_random=True, batch_size_per_im=16)
        for _ in range(2)
    ]
    for made in draws:
        assert made.target_labels.tolist() == [0] * 4 + [5] * 12
    assert draws[0].proposal_index.tolist() != draws[1].proposal_index.tolist()


def test_thresholds(make_gt):
    call = {"add_gt_as_proposals": False}
    boxes, gt = [CAT, NEAR_CAT, HALF_CAT, FAR], make_gt([CAT], [2])
    with_half = assign(boxes, gt, call, fg_fraction=1.0)  # from 0.5 up
    assert dict(zip(with_half.proposal_index.tolist(), with_half.target_labels.tolist())) == (
        {0: 2, 1: 2, 2: 2, 3: 5}
    )
    gap = assign(boxes, gt, call, fg_fraction=1.0, fg_thresh=1.0, bg_thresh=0.75)
    # IoU 0.75 is neither: it is not drawn
    assert dict(zip(gap.proposal_index.tolist(), gap.target_labels.tolist())) == {0: 2, 2: 5, 3: 5}


def test_low_quality_matches_do_not_count_here(make_gt):
    made = assign([[0, 0, 8, 3]], make_gt([CAT]), {"add_gt_as_proposals": False})
    assert made.target_labels.tolist() == [5]


@pytest.mark.parametrize(("stage", "expected"), [(0, [2, 2, 2, 5]), (1, [2, 2, 5, 5])])
def test_every_stage_of_a_cascade_has_its_threshold_and_keeps_all_boxes(make_gt, stage, expected):
    made = assign(
        [CAT, NEAR_CAT, HALF_CAT, FAR],
        make_gt([CAT], [2]),
        {"stage": stage, "is_cascade": True, "add_gt_as_proposals": False},
        cascade_iou=(0.5, 0.7, 0.8),
        batch_size_per_im=1,  # of no importance in a cascade
    )
    assert made.target_labels.tolist() == expected
    assert made.boxes.tolist() == [CAT, NEAR_CAT, HALF_CAT, FAR]
    assert made.proposal_index.tolist() == [0, 1, 2, 3]


def test_a_cascade_ignores_what_is_close_to_a_crowd(make_gt):
    gt = make_gt([CAT, DOG], is_crowd=[True, False])
    call = {"is_cascade": True, "add_gt_as_proposals": False}
    made = assign([NEAR_CAT, DOG, FAR], gt, call, ignore_thresh=0.5)
    assert made.target_labels.tolist() == [-1, 0, 5]


def test_ignored_boxes_are_not_drawn(make_gt):
    gt = make_gt([CAT, DOG], is_crowd=[True, False])
    made = assign([NEAR_CAT, DOG, FAR], gt, ignore_thresh=0.5, fg_fraction=1.0)
    assert made.proposal_index.tolist() == [1, -1, 2]  # the crowd's own box is close to itself
    assert made.target_labels.tolist() == [0, 0, 5]


def test_no_objects(make_gt):
    made = assign([CAT, DOG, FAR], make_gt([]), batch_size_per_im=2)
    assert made.boxes.tolist() == [CAT, DOG]
    assert made.target_labels.tolist() == [5, 5]
    assert made.gt_boxes.tolist() == [[0] * 4] * 2
    assert made.proposal_index.tolist() == [0, 1]


def test_no_proposals(make_gt):
    made = assign([], make_gt([CAT], [2]), fg_fraction=1.0)
    assert made.boxes.tolist() == [CAT] and made.target_labels.tolist() == [2]
    for gt, call in ((make_gt([]), {}), (make_gt([CAT]), {"add_gt_as_proposals": False})):
        none = assign([], gt, call)
        assert len(none) == 0
        assert none.boxes.shape == none.gt_boxes.shape == [0, 4]
        assert none.target_labels.shape == none.gt_index.shape == none.proposal_index.shape == [0]


def test_samples_carry_no_gradient(make_gt):
    boxes = paddle.to_tensor([[0.0, 0, 8, 6]])
    boxes.stop_gradient = False
    moving = Proposals(boxes, paddle.zeros([1]), paddle.zeros([1], dtype="int64"))
    made = BBoxAssigner()(moving, make_gt([CAT]))
    assert made.boxes.stop_gradient and made.gt_boxes.stop_gradient


def test_the_function_behind_the_class(make_gt):
    made = generate_proposal_target(
        proposals(NEAR_CAT, FAR), make_gt([CAT], [4]), 2, 0.5, 0.5, 0.5, 9, use_random=False
    )
    assert made.target_labels.tolist() == [4, 9]
    assert made.boxes.tolist() == [NEAR_CAT, FAR]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"batch_size_per_im": 0}, "batch_size_per_im"),
        ({"fg_fraction": 1.5}, "fg_fraction"),
        ({"bg_thresh": 0.6}, "bg_thresh"),
    ],
)
def test_an_impossible_value_is_named(options, name):
    with pytest.raises(ValueError, match=name):
        BBoxAssigner(**options)


def test_the_defaults_are_paddledetections():
    assert BBoxAssigner() == BBoxAssigner(
        batch_size_per_im=512, fg_fraction=0.25, fg_thresh=0.5, bg_thresh=0.5, ignore_thresh=-1.0,
        use_random=True, cascade_iou=(0.5, 0.6, 0.7), num_classes=80, assign_on_cpu=False,
    )  # fmt: skip
