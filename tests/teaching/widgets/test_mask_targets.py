"""The mask target microscope: how good the targets are, and mistakes that show."""

import numpy as np
import pytest

from maskrcnn_edu.model.mask.targets import rasterize_polygons_within_box
from maskrcnn_edu.teaching.widgets.mask_targets import (
    MISTAKES,
    MaskTargetMicroscope,
    iou_with_shape,
    outline_box,
)

RECTANGLE = [np.array([20.0, 30, 90, 30, 90, 110, 20, 110])]
CORNER = [np.array([20.0, 30, 90, 30, 90, 50, 45, 50, 45, 110, 20, 110])]
TRIANGLE = [np.array([20.0, 30, 90, 50, 40, 110])]


@pytest.fixture(scope="module")
def scope():
    return MaskTargetMicroscope({"corner": CORNER, "rectangle": RECTANGLE, "triangle": TRIANGLE})


def summary(scope, **changed):
    return scope.summary(scope.draw(**{**scope.values, **changed}))


@pytest.mark.parametrize("resolution", [7, 14, 28, 56])
def test_a_rectangle_fills_its_box(scope, resolution):
    result = summary(scope, shape="rectangle", resolution=resolution)
    assert result["cells"] == result["other cells"] == resolution**2
    assert result["target IoU"] == 1.0
    assert result["grid lines"] == 2 * (resolution - 1)


@pytest.mark.parametrize("shape", ["corner", "triangle"])
def test_the_target_gets_better_with_the_resolution(scope, shape):
    overlaps = [summary(scope, shape=shape, resolution=m)["target IoU"] for m in (7, 14, 28, 56)]
    assert overlaps == sorted(overlaps) and overlaps[0] < overlaps[-1]


def test_a_moved_box_spoils_the_target(scope):
    overlaps = [summary(scope, shape="rectangle", jitter=j)["target IoU"] for j in (0.0, 0.1, 0.2)]
    # what is left of the rectangle in the box, as the raster's whole cells
    assert overlaps[0] == 1 and overlaps[1] == pytest.approx(0.81, abs=0.08)
    assert overlaps == sorted(overlaps, reverse=True)


def test_iou_by_pencil():
    box = outline_box(RECTANGLE)
    assert box.tolist() == [20, 30, 90, 110]
    left = np.array([[1, 0], [1, 0]], np.uint8)
    assert iou_with_shape(left, RECTANGLE, box) == pytest.approx(0.5, abs=0.01)
    assert iou_with_shape(np.zeros([2, 2], np.uint8), RECTANGLE, box) == 0
    # a box twice as wide: only the left column covers the shape
    wide = np.float32([20, 30, 160, 110])
    assert iou_with_shape(left, RECTANGLE, wide) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("mistake", list(MISTAKES)[1:])
def test_a_mistake_costs_iou_and_leaves_the_right_one_alone(scope, mistake):
    # the lost constant is a mistake that only a full box shows
    shape = "rectangle" if mistake.startswith("constant") else "corner"
    right, wrong = (summary(scope, shape=shape, mistake=m) for m in ("none", mistake))
    assert wrong["target IoU"] == right["target IoU"] == right["other IoU"]
    assert wrong["other IoU"] < right["target IoU"] - 0.02


def test_what_each_mistake_does():
    box = outline_box(CORNER)
    right = rasterize_polygons_within_box(CORNER, box, 14)
    assert (MISTAKES["none"](CORNER, box, 14) == right).all()
    assert (MISTAKES["constant mask becomes zeros"](CORNER, box, 14) == right).all()
    assert not MISTAKES["constant mask becomes zeros"](RECTANGLE, box, 14).any()
    assert (MISTAKES["x and y swapped"](CORNER, box, 14) != right.T).mean() < 0.05
    # at twice the resolution half a cell is a whole one
    off, fine = (
        MISTAKES["half a cell off"](CORNER, box, 14),
        box + np.tile((box[2:] - box[:2]) / 28, 2),
    )
    assert (off == rasterize_polygons_within_box(CORNER, fine, 14)).all()
    at_origin = [CORNER[0] - np.tile(box[:2], 6)]
    assert (MISTAKES["box frame not subtracted"](at_origin, box, 14) == right).all()


def test_a_sweep_moves_everything_and_repeats(scope, caplog):
    before = scope.image.value
    first = scope.sweep()
    assert scope.image.value == before and scope.sweep() == first
    assert [sum(f["moved"] == name for f in first) for name in scope.controls] == [3, 4, 5, 5]
    assert not caplog.records  # matplotlib's warnings would be part of a notebook's output


def test_a_control_changes_the_picture(scope):
    before = scope.image.value
    scope.controls["mistake"].value = "x and y swapped"
    assert scope.image.value != before
    scope.controls["mistake"].value = "none"
