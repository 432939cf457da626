"""The anchor microscope draws what the package's matcher says."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.structures import GroundTruth
from maskrcnn_edu.teaching.widgets.anchors import AnchorMicroscope


def objects(boxes):
    count = len(boxes)
    return GroundTruth(
        paddle.to_tensor(np.asarray(boxes, np.float32).reshape(-1, 4)),
        paddle.zeros([count], "int64"),
        [[] for _ in boxes],
        paddle.zeros([count], "bool"),
    )


@pytest.fixture(scope="module")
def scope():
    image = np.full([64, 64, 3], 128, np.uint8)
    return AnchorMicroscope(image, objects([[16, 16, 48, 48]]), (16, 32, 64), (8, 16, 32))


def summary(scope, **changed):
    return scope.summary(scope.draw(**{**scope.values, **changed}))


def test_one_anchor_fits_the_object_exactly(scope):
    # 4 x 4 anchors of 32 pixels, 16 apart; the one at (32, 32) is the object. Half of
    # the object in the 4 next ones: IoU 1 / 3; a quarter in the 4 at the corners: 1 / 7
    result = summary(scope, size=32, stride=16, ratio=1.0, positive=0.7, negative=0.3)
    assert result == {
        "negative": 11, "ignored": 4, "positive": 1,
        "positive boxes": 1, "objects": 1, "anchor": (32.0, 32.0),
    }  # fmt: skip


def test_thresholds_move_anchors_between_the_kinds(scope):
    result = summary(scope, size=32, stride=16, ratio=1.0, negative=0.4)
    assert (result["negative"], result["ignored"], result["positive"]) == (15, 0, 1)
    loose = summary(scope, size=32, stride=8, ratio=1.0, positive=0.5)
    strict = summary(scope, size=32, stride=8, ratio=1.0, positive=0.9)
    assert loose["positive"] > strict["positive"] == 1


def test_no_object_goes_without(scope):
    result = summary(scope, size=16, stride=16)
    assert result["positive"] > 0  # though no IoU reaches 0.7


def test_a_ratio_keeps_the_area(scope):
    width, height = summary(scope, size=32, ratio=2.0)["anchor"]
    assert height == pytest.approx(2 * width, abs=0.2)
    assert width * height == pytest.approx(32 * 32, rel=0.01)


def test_an_image_without_objects():
    scope = AnchorMicroscope(np.zeros([40, 50, 3], np.uint8), objects([]), (16,), (16,))
    result = scope.summary(scope.figure)
    assert (result["negative"], result["positive"], result["objects"]) == (12, 0, 0)


def test_a_sweep_moves_everything_and_repeats(scope):
    before = scope.image.value
    first = scope.sweep()
    assert scope.image.value == before and scope.sweep() == first
    assert [sum(f["moved"] == name for f in first) for name in scope.controls] == [3, 3, 3, 5, 5]
    per_stride = {8: 64, 16: 16, 32: 4}
    for result in first:
        stride = result["to"] if result["moved"] == "stride" else scope.values["stride"]
        total = result["negative"] + result["ignored"] + result["positive"]
        assert total == per_stride[stride]
        assert result["positive boxes"] == result["positive"]


def test_a_control_changes_the_picture(scope):
    before = scope.image.value
    scope.controls["ratio"].value = 2.0
    assert scope.image.value != before
    scope.controls["ratio"].value = 1.0
