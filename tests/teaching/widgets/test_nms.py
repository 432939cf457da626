"""The NMS microscope names who removed whom."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.boxes import nms
from maskrcnn_edu.teaching.widgets.nms import NMSMicroscope

BOXES = np.float32([
    [10, 10, 50, 50],  # IoU 0.6 with 1, by a shift of 10 of 40
    [20, 10, 60, 50],
    [30, 10, 70, 50],  # IoU 1 / 3 with 0, 0.6 with 1
    [70, 70, 90, 90],  # alone
])  # fmt: skip
SCORES = np.float32([0.9, 0.8, 0.7, 0.25])
IMAGE = np.full([100, 100, 3], 255, np.uint8)


@pytest.fixture(scope="module")
def scope():
    return NMSMicroscope(IMAGE, paddle.to_tensor(BOXES), paddle.to_tensor(SCORES))


def summary(scope, iou, score=0.1):
    return scope.summary(scope.draw(iou, score))


def test_the_removed_do_not_remove(scope):
    # box 2 overlaps box 1 by 0.6, but box 1 is gone by then
    assert summary(scope, 0.5) == {
        "kept": 3, "suppressed": 1, "score too low": 0, "who removed whom": [(0, 1)],
    }  # fmt: skip


def test_a_lower_threshold_removes_more(scope):
    assert summary(scope, 0.3)["who removed whom"] == [(0, 1), (0, 2)]
    assert summary(scope, 0.7)["who removed whom"] == []


def test_low_scores_go_first_and_remove_nobody(scope):
    result = summary(scope, 0.5, 0.3)
    assert (result["kept"], result["suppressed"], result["score too low"]) == (2, 1, 1)
    assert summary(scope, 0.5, 0.9) == {
        "kept": 0, "suppressed": 0, "score too low": 4, "who removed whom": [],
    }  # fmt: skip


def test_order_of_scores_not_of_rows():
    scope = NMSMicroscope(IMAGE, paddle.to_tensor(BOXES), paddle.to_tensor(SCORES[::-1].copy()))
    # scores 0.25, 0.7, 0.8, 0.9: box 3 keeps itself, box 2 removes box 1, box 0 survives
    assert summary(scope, 0.5)["who removed whom"] == [(2, 1)]


def test_a_sweep_moves_everything_and_repeats(scope):
    before = scope.image.value
    first = scope.sweep()
    assert scope.image.value == before and scope.sweep() == first
    assert [sum(f["moved"] == name for f in first) for name in scope.controls] == [9, 10]
    for result in first:
        assert result["kept"] + result["suppressed"] + result["score too low"] == 4
        assert len(result["who removed whom"]) == result["suppressed"]
    kept = [f["kept"] for f in first if f["moved"] == "iou_threshold"]
    expected = [len(nms(scope.boxes, scope.scores, round(0.1 * i, 1))) for i in range(1, 10)]
    assert kept == expected


def test_a_control_changes_the_picture(scope):
    before = scope.image.value
    scope.controls["iou_threshold"].value = 0.9
    assert scope.image.value != before
    scope.controls["iou_threshold"].value = 0.5


def test_no_boxes_at_all():
    scope = NMSMicroscope(IMAGE, paddle.zeros([0, 4]), paddle.zeros([0]))
    assert scope.summary(scope.figure)["kept"] == 0
