"""One object of 8 x 8 pixels, and boxes that cover known shares of it."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model import matching
from maskrcnn_edu.model.boxes import bbox_overlaps
from maskrcnn_edu.model.matching import label_box, subsample_labels


def strip(height, left=0):
    """IoU with the object [0, 0, 8, 8] at left 0: height / 8."""
    return [left, 0, left + 8, height]


def tensor(rows):
    return paddle.to_tensor(np.array(rows, np.float32).reshape(-1, 4))


OBJECT = [0, 0, 8, 8]
FAR = [100, 100, 108, 108]


def test_positive_includes_its_threshold_and_negative_excludes_it(make_gt):
    rows = tensor([strip(8), strip(6), strip(5), strip(2), strip(1), FAR])
    matches, labels = label_box(rows, make_gt([OBJECT]), 0.75, 0.25, False)
    assert labels.tolist() == [1, 1, -1, -1, 0, 0]  # 1, 0.75 | 0.625, 0.25 | 0.125, 0
    assert labels.dtype == paddle.int32 and matches.dtype == paddle.int64


def test_a_box_belongs_to_the_object_that_it_overlaps_most(make_gt):
    gt = make_gt([FAR, strip(8, left=4), OBJECT])
    matches, labels = label_box(tensor([strip(8), strip(8, 5), FAR]), gt, 0.5, 0.5, False)
    assert matches.tolist() == [2, 1, 0]
    assert labels.tolist() == [1, 1, 1]


def test_low_quality_matches_leave_no_object_alone(make_gt):
    rows = tensor([strip(3), strip(2), strip(3)])  # the first and the last tie
    gt = make_gt([OBJECT])
    assert label_box(rows, gt, 0.75, 0.5, False)[1].tolist() == [0, 0, 0]
    assert label_box(rows, gt, 0.75, 0.5, True)[1].tolist() == [1, 0, 1]


def test_an_object_that_no_box_touches_makes_nothing_foreground(make_gt):
    rows = tensor([strip(8), strip(1)])
    assert label_box(rows, make_gt([OBJECT, FAR]), 0.75, 0.25, True)[1].tolist() == [1, 0]


def test_a_low_quality_box_still_trains_towards_the_object_it_overlaps_most(make_gt):
    # the second box is the best of the second object (IoU 4 / 12), but overlaps the first more
    gt = make_gt([OBJECT, [0, 6, 8, 14]])
    rows = tensor([strip(8), [0, 2, 8, 10], FAR])
    matches, labels = label_box(rows, gt, 0.75, 0.25, True)
    assert labels.tolist() == [1, 1, 0]
    assert matches.tolist()[:2] == [0, 0]  # IoU 6 / 10 against 4 / 12


@pytest.mark.parametrize("low_quality", [False, True])
def test_a_crowd_matches_nothing(make_gt, low_quality):
    gt = make_gt([OBJECT, FAR], is_crowd=[True, False])
    matches, labels = label_box(tensor([strip(8), FAR]), gt, 0.75, 0.25, low_quality)
    assert labels.tolist() == [0, 1]
    assert matches.tolist()[1] == 1


def test_boxes_close_to_a_crowd_are_ignored(make_gt):
    gt = make_gt([OBJECT, FAR], is_crowd=[True, False])
    rows = tensor([strip(8), strip(5), strip(4), FAR])
    labels = label_box(rows, gt, 0.75, 0.25, True, ignore_thresh=0.5)[1]
    assert labels.tolist() == [-1, -1, 0, 1]  # IoU with the crowd 1, 0.625, 0.5 (not above), 0


def test_close_to_a_crowd_counts_more_than_a_good_match(make_gt):
    gt = make_gt([OBJECT, strip(7)], is_crowd=[True, False])
    labels = label_box(tensor([strip(7), FAR]), gt, 0.75, 0.25, True, ignore_thresh=0.5)[1]
    assert labels.tolist() == [-1, 0]


@pytest.mark.parametrize("gt", [([], []), ([OBJECT], [True]), ([OBJECT, FAR], [True, True])])
def test_without_a_single_object_everything_is_background(make_gt, gt):
    boxes, is_crowd = gt
    some = make_gt(boxes, is_crowd=is_crowd)
    matches, labels = label_box(tensor([strip(8), FAR]), some, 0.5, 0.5, True)
    assert labels.tolist() == [0, 0] and matches.tolist() == [0, 0]
    assert labels.dtype == paddle.int32 and matches.dtype == paddle.int64


def test_no_boxes_to_match(make_gt):
    matches, labels = label_box(tensor([]), make_gt([OBJECT]), 0.5, 0.5, False)
    assert matches.shape == [0] and labels.shape == [0]


def test_host_memory_gives_the_same_answer(make_gt):
    gt = make_gt([OBJECT, FAR], is_crowd=[False, True])
    rows = tensor([strip(8), strip(3), FAR])
    here, there = (label_box(rows, gt, 0.7, 0.3, True, 0.5, assign_on_cpu=a) for a in (False, True))
    assert [t.tolist() for t in here] == [t.tolist() for t in there]


# ---- sampling --------------------------------------------------------------------


def draw(labels, *args, **kwargs):
    drawn = subsample_labels(paddle.to_tensor(labels), *args, **kwargs)
    assert all(d.dtype == paddle.int64 for d in drawn)
    return [d.tolist() for d in drawn]


def test_without_randomness_the_first_ones_are_drawn():
    labels = [0, 1, -1, 1, 0, 1, 0, 0]
    assert draw(labels, 4, 0.5, use_random=False) == [[1, 3], [0, 4]]


def test_background_fills_what_foreground_leaves_free():
    assert draw([0, 0, 1, 0, 0, 0], 4, 0.5, use_random=False) == [[2], [0, 1, 3]]


def test_foreground_never_exceeds_its_share_even_if_background_is_short():
    assert draw([1, 1, 1, 0, 1], 4, 0.5, use_random=False) == [[0, 1], [3]]


def test_the_share_is_rounded_down():
    assert draw([1, 1, 0, 0, 0, 0], 5, 0.39, use_random=False) == [[0], [2, 3, 4, 5]]


def test_classes_and_their_background_label():
    assert draw([7, 0, 80, -1, 80], 4, 0.5, 80, use_random=False) == [[0, 1], [2, 4]]


@pytest.mark.parametrize("use_random", [True, False])
@pytest.mark.parametrize("labels", [[-1, -1], [0, 0], [1, 1]])
def test_a_kind_that_is_not_there(labels, use_random):
    fg, bg = draw(labels, 2, 1.0, use_random=use_random)
    assert len(fg) == labels.count(1) and len(bg) == labels.count(0)


def test_random_draws_differ_and_repeat_nothing():
    paddle.seed(0)
    labels = [1] * 50 + [0] * 50 + [-1] * 50
    draws = [draw(labels, 20, 0.25) for _ in range(3)]
    for fg, bg in draws:
        assert len(set(fg)) == 5 and max(fg) < 50
        assert len(set(bg)) == 15 and min(bg) >= 50 and max(bg) < 100
    assert draws[0] != draws[1] != draws[2]


@pytest.mark.parametrize("ignore_thresh", [-1.0, 0.3])
@pytest.mark.parametrize("crowds", [0, 3, 12])
def test_a_few_objects_at_a_time_or_all_at_once(monkeypatch, make_gt, crowds, ignore_thresh):
    random = np.random.default_rng(crowds)
    corners = random.integers(0, 30, [112, 2])
    # whole numbers, so that many overlaps are equal
    sides = random.integers(1, 12, [112, 2])
    placed = np.concatenate([corners, corners + sides], axis=1).astype(np.float32)
    gt = make_gt(placed[:12].tolist(), is_crowd=[i < crowds for i in range(12)])
    boxes, sizes = paddle.to_tensor(placed[12:]), []

    def spy(objects, boxes):
        sizes.append(len(objects))
        return bbox_overlaps(objects, boxes)

    monkeypatch.setattr(matching, "bbox_overlaps", spy)
    whole = label_box(boxes, gt, 0.6, 0.3, True, ignore_thresh)
    assert set(sizes) == {12}
    for elements, at_once in ((250, 2), (1, 1)):  # a hundred boxes; at least one object
        sizes.clear()
        monkeypatch.setattr(matching, "IOU_CHUNK_ELEMENTS", elements)
        parts = label_box(boxes, gt, 0.6, 0.3, True, ignore_thresh)
        assert set(sizes) == {at_once}
        assert [t.tolist() for t in parts] == [t.tolist() for t in whole]
    assert (len(set(whole[1].tolist())) > 1) == (crowds < 12)
