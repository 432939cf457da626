"""The RoIAlign microscope: its dots are where the operator reads, its region what RoIPool takes."""

import numpy as np
import pytest

from maskrcnn_edu.teaching.widgets.roi_align import RoIAlignMicroscope, pooled_region
from maskrcnn_edu.viz.figure_facts import marked_artists

RNG = np.random.default_rng(0)
FEATURE = RNG.integers(0, 100, (8, 9)).astype(np.float32)
RAMP = np.arange(64, dtype=np.float32).reshape(8, 8)


@pytest.fixture(scope="module")
def scope():
    return RoIAlignMicroscope(RAMP)


def read(feature, points):
    """Bilinear values of a map at points whose (0.5, 0.5) is the first pixel's centre."""
    values = []
    for x, y in np.clip(points - 0.5, 0, None):
        x, y = min(x, feature.shape[1] - 1), min(y, feature.shape[0] - 1)
        x0, y0 = min(int(x), feature.shape[1] - 2), min(int(y), feature.shape[0] - 2)
        a, b = x - x0, y - y0
        values.append(
            feature[y0, x0] * (1 - a) * (1 - b) + feature[y0, x0 + 1] * a * (1 - b)
            + feature[y0 + 1, x0] * (1 - a) * b + feature[y0 + 1, x0 + 1] * a * b
        )  # fmt: skip
    return np.array(values)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(4.0, 4.0), (3.5, 5.0)])
def test_the_mean_of_the_dots_is_what_the_operator_returns(aligned, ratio, size):
    scope = RoIAlignMicroscope(FEATURE, size)
    for x, y in [(1.0, 1.0), (1.25, 0.5), (1.75, 2.25)]:
        figure = scope.draw(x, y, aligned, ratio)
        (dots,) = marked_artists(figure, "points")
        points = np.asarray(dots.get_offsets())  # cell after cell
        by_hand = read(FEATURE, points).reshape(4, -1).mean(axis=1)
        result = scope.summary(figure)
        assert result["RoIAlign"] == pytest.approx(by_hand, abs=1e-3)
        assert result["points"] == len(points)


def test_the_maximum_of_the_region_is_roi_pool():
    scope = RoIAlignMicroscope(FEATURE, resolution=1)
    for x in (0.5, 1.0, 1.25, 1.5, 1.75, 2.5):
        for y in (0.5, 1.25, 2.5):
            box = np.float32([x, y, x + 4, y + 4])
            x1, y1, x2, y2 = pooled_region(box, FEATURE.shape).astype(int)
            result = scope.summary(scope.draw(x, y, True, 2))
            assert result["RoIPool"] == [FEATURE[y1:y2, x1:x2].max()]
            assert result["RoIPool region"] == [x1, y1, x2, y2]


def test_a_quarter_pixel_moves_roi_align_only(scope):
    here, there = (scope.summary(scope.draw(x, 1.0, True, 2)) for x in (1.0, 1.25))
    assert here["RoIPool"] == there["RoIPool"]
    # the ramp grows by 1 per pixel
    assert np.subtract(there["RoIAlign"], here["RoIAlign"]).tolist() == [0.25] * 4
    assert np.subtract(there["mean point"], here["mean point"]).tolist() == [0.25, 0]


def test_without_aligned_everything_lies_half_a_pixel_off(scope):
    good, old = (scope.summary(scope.draw(1.0, 1.0, aligned, 2)) for aligned in (True, False))
    assert good["mean point"] == [3.0, 3.0]  # the middle of the box
    assert old["mean point"] == [3.5, 3.5]


def test_a_sweep_moves_everything_and_repeats(scope):
    before = scope.image.value
    first = scope.sweep()
    assert scope.image.value == before and scope.sweep() == first
    assert [sum(f["moved"] == name for f in first) for name in scope.controls] == [9, 9, 2, 4]
    along_x = [f for f in first if f["moved"] == "x"]
    assert len({tuple(f["RoIAlign"]) for f in along_x}) == 9
    assert len({tuple(f["RoIPool"]) for f in along_x}) == 3


def test_a_control_changes_the_picture(scope):
    before = scope.image.value
    scope.controls["aligned"].value = False
    assert scope.image.value != before
    scope.controls["aligned"].value = True


def test_a_map_without_room_is_refused():
    with pytest.raises(ValueError, match="no room"):
        RoIAlignMicroscope(RAMP[:4])
