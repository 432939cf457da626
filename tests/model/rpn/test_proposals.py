"""Proposals from a few anchors; with deltas of zero a proposal is its anchor."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.boxes import clip_bbox, delta2bbox
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.model.rpn.proposals import ProposalGenerator
from maskrcnn_edu.structures import RPNOutput

APART = [[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10], [60, 0, 70, 10]]


def propose(generator, anchors, scores, im_shape=(100, 200), level_sizes=None, deltas=None):
    anchors = paddle.to_tensor(np.array(anchors, np.float32).reshape(-1, 4))
    deltas = paddle.zeros_like(anchors) if deltas is None else deltas
    scores = paddle.to_tensor(np.array(scores, np.float32))
    shape = paddle.to_tensor(np.array(im_shape, np.float32))
    return generator(scores, deltas, anchors, shape, level_sizes or [len(anchors)])


def test_best_first_with_the_anchors_number():
    made = propose(ProposalGenerator(), APART, [0.1, 3.0, -2.0, 1.0])
    assert made.anchor_index.tolist() == [1, 3, 0, 2]
    assert made.boxes.tolist() == [APART[i] for i in (1, 3, 0, 2)]
    np.testing.assert_allclose(made.scores.tolist(), [3, 1, 0.1, -2], rtol=1e-6)
    assert made.anchor_index.dtype == paddle.int64


def test_anchor_index_leads_back_to_the_anchor():
    rng = np.random.default_rng(0)
    levels = AnchorGenerator([[8], [16]], strides=[8, 16])([(4, 6), (2, 3)])
    anchors, sizes = paddle.concat(levels), [len(a) for a in levels]
    deltas = paddle.to_tensor(rng.normal(0, 0.3, anchors.shape).astype(np.float32))
    scores = rng.normal(size=len(anchors)).astype(np.float32)
    generator = ProposalGenerator(30, 15, topk_after_collect=True)
    made = propose(generator, anchors.numpy(), scores, (30, 45), sizes, deltas)
    assert len(made) == 15
    index = made.anchor_index
    moved = delta2bbox(deltas[index], anchors[index])[:, 0]
    clipped = clip_bbox(moved, paddle.to_tensor([30.0, 45.0]))
    np.testing.assert_allclose(made.boxes.numpy(), clipped.numpy(), atol=1e-5)
    np.testing.assert_array_equal(made.scores.numpy(), scores[index.numpy()])
    assert len(set(index.tolist())) == 15
    assert index.max() >= sizes[0] > index.min()  # both levels contribute


def test_near_copies_go():
    made = propose(
        ProposalGenerator(nms_thresh=0.7),
        [[0, 0, 10, 10], [0, 0, 10, 8], [0, 0, 10, 6]],
        [1.0, 3.0, 2.0],
    )
    assert made.anchor_index.tolist() == [1]  # IoU 0.75 with 2, 0.8 with 0


def test_boxes_are_cut_off_at_the_image_not_at_the_padding():
    made = propose(ProposalGenerator(), [[-5, -5, 15, 15], [90, 30, 120, 60]], [2, 1], (40, 100))
    assert made.boxes.tolist() == [[0, 0, 15, 15], [90, 30, 100, 40]]


@pytest.mark.parametrize("min_size", [0.0, 0.1, 1.0])
def test_a_min_size_below_one_acts_as_one(min_size):
    rows = [[0, 0, 1, 9], [20, 0, 29, 0.99], [40, 0, 49, 1]]
    made = propose(ProposalGenerator(min_size=min_size), rows, [3, 2, 1])
    assert made.anchor_index.tolist() == [0, 2]


def test_min_size_counts_after_clipping():
    rows = [[0, 0, 9, 9], [195, 0, 220, 20]]  # the image ends at x = 200
    made = propose(ProposalGenerator(min_size=6), rows, [1, 2])
    assert made.anchor_index.tolist() == [0]


def test_only_the_best_anchors_enter_suppression():
    made = propose(ProposalGenerator(pre_nms_top_n=2), APART, [0, 3, 1, 2])
    assert made.anchor_index.tolist() == [1, 3]


def test_slivers_do_not_make_room_for_others():
    # the best two are chosen first, and then one of them is too small
    rows = [[0, 0, 0.5, 10], *APART[1:]]
    made = propose(ProposalGenerator(pre_nms_top_n=2), rows, [9, 3, 2, 1])
    assert made.anchor_index.tolist() == [1]


def test_only_the_best_survivors_are_kept():
    made = propose(ProposalGenerator(post_nms_top_n=3), APART, [0, 3, 1, 2])
    assert made.anchor_index.tolist() == [1, 3, 2]


def test_with_one_level_there_is_nothing_to_collect_and_no_limit_after_it():
    # as in PaddleDetection (golden case c4_after_collect): only pre_nms_top_n limits
    generator = ProposalGenerator(3, 2, topk_after_collect=True)
    assert propose(generator, APART, [0, 3, 1, 2]).anchor_index.tolist() == [1, 3, 2]


@pytest.mark.parametrize("after", [False, True])
def test_all_levels_compete_for_the_places_of_the_image(after):
    generator = ProposalGenerator(4, 3, topk_after_collect=after)
    shifted = [[x1, y1 + 40, x2, y2 + 40] for x1, y1, x2, y2 in APART]
    made = propose(generator, APART + shifted, [4, 9, 8, 5, 6, 1, 2, 3], level_sizes=[4, 4])
    assert made.anchor_index.tolist() == [1, 2, 4]  # scores 9, 8, 6


def test_few_proposals_of_several_levels_stay_level_by_level():
    made = propose(ProposalGenerator(), APART, [1, 2, 3, 4], level_sizes=[2, 2])
    assert made.anchor_index.tolist() == [1, 0, 3, 2]


def test_suppression_stays_within_a_level():
    twins = [APART[0], APART[0]]
    assert len(propose(ProposalGenerator(), twins, [2, 1], level_sizes=[1, 1])) == 2
    assert len(propose(ProposalGenerator(), twins, [2, 1], level_sizes=[2])) == 1


def test_adaptive_suppression_is_passed_on():
    rows = [[0, 0, 100, 10], [0, 0, 60, 10]]  # IoU 0.6
    assert len(propose(ProposalGenerator(nms_thresh=0.7), rows, [2, 1])) == 2
    assert len(propose(ProposalGenerator(nms_thresh=0.7, eta=0.8), rows, [2, 1])) == 1


def test_nothing_survives():
    for sizes in ([2], [1, 1]):
        made = propose(ProposalGenerator(min_size=50), APART[:2], [1, 2], level_sizes=sizes)
        assert len(made) == 0
        assert (made.boxes.shape, made.scores.shape) == ([0, 4], [0])
        assert made.anchor_index.shape == [0]


def test_proposals_carry_no_gradient():
    deltas = paddle.zeros([4, 4])
    deltas.stop_gradient = False
    made = propose(ProposalGenerator(), APART, [1, 2, 3, 4], deltas=deltas)
    assert made.boxes.stop_gradient and made.scores.stop_gradient


def test_level_of_an_anchor():
    rpn = RPNOutput(None, None, None, level_sizes=[12, 3, 1])
    assert rpn.level_of(np.array([0, 11, 12, 14, 15])).tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"pre_nms_top_n": 0}, "pre_nms_top_n"),
        ({"post_nms_top_n": -1}, "post_nms_top_n"),
        ({"nms_thresh": 0.0}, "nms_thresh"),
        ({"nms_thresh": 1.1}, "nms_thresh"),
        ({"eta": 0.0}, "eta"),
    ],
)
def test_an_impossible_value_is_named(options, name):
    with pytest.raises(ValueError, match=name):
        ProposalGenerator(**options)


def test_only_too_many_are_sorted_across_the_levels():
    scores = [1, 2, 4, 3]  # the second level has the better ones
    exactly = propose(ProposalGenerator(post_nms_top_n=4), APART, scores, level_sizes=[2, 2])
    assert exactly.anchor_index.tolist() == [1, 0, 2, 3]  # level after level
    fewer = propose(ProposalGenerator(post_nms_top_n=3), APART, scores, level_sizes=[2, 2])
    assert fewer.anchor_index.tolist() == [2, 3, 1]


# ---- every step ------------------------------------------------------------------


def test_every_step_says_what_it_left():
    """Two levels of four; the steps leave 4, 3, 2 and 1 of each, and one of all."""
    sliver, copy = [20, 0, 20.5, 10], [0, 0, 10, 9]  # too narrow; IoU 0.9 with the first
    level = [APART[0], copy, sliver, APART[3]]
    moved = [[x1, y1 + 50, x2, y2 + 50] for x1, y1, x2, y2 in level]
    anchors = paddle.to_tensor(np.array(level + moved, np.float32))
    scores = paddle.to_tensor([9.0, 8, 7, 6, 1, 4, 3, 2])
    generator = ProposalGenerator(pre_nms_top_n=4, post_nms_top_n=1, nms_thresh=0.7)
    shape = paddle.to_tensor([100.0, 200.0])
    steps = generator.steps(scores, paddle.zeros_like(anchors), anchors, shape, [4, 4])
    as_lists = {
        name: [level.tolist() for level in getattr(steps, name)]
        for name in ("best", "large", "survivors", "kept")
    }
    assert as_lists == {
        "best": [[0, 1, 2, 3], [5, 6, 7, 4]],  # anchors
        "large": [[0, 1, 3], [4, 6, 7]],  # rows of these eight
        "survivors": [[0, 3], [4, 6]],  # anchor 4, the worst, overlaps anchor 5
        "kept": [[0], [4]],
    }
    assert steps.proposals.anchor_index.tolist() == [0]
    assert steps.proposals.scores.tolist() == [9]
