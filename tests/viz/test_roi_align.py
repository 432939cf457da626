import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.viz.figure_facts import figure_boxes, figure_facts
from maskrcnn_edu.viz.roi_align import draw_bilinear, draw_sampling_points, sampling_points

FEATURE = np.random.default_rng(0).normal(size=[12, 16]).astype(np.float32)
BOXES = {
    "inside": [9.0, 6.5, 40.0, 33.0],
    "beyond the border": [-14.0, -20.0, 30.0, 60.0],
    "smaller than a pixel": [20.0, 20.0, 22.0, 21.0],
}


def read(feature, x, y):
    """One bilinear value; centres of pixels at i + 0.5, written from the definition."""
    height, width = feature.shape
    if not (-0.5 <= x <= width + 0.5 and -0.5 <= y <= height + 0.5):
        return 0.0
    x, y = np.clip(x - 0.5, 0, width - 1), np.clip(y - 0.5, 0, height - 1)
    weights_x = np.maximum(0, 1 - np.abs(x - np.arange(width)))
    weights_y = np.maximum(0, 1 - np.abs(y - np.arange(height)))
    return float(weights_y @ feature @ weights_x)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES)
def test_reading_at_the_points_is_roi_align(box, ratio, aligned):
    points = sampling_points(np.array(box), 3, ratio, 0.25, aligned)
    by_hand = [[np.mean([read(FEATURE, *p) for p in cell]) for cell in row] for row in points]
    layer = RoIAlign(3, 0.25, ratio, aligned=aligned)
    theirs = layer([paddle.to_tensor(FEATURE)[None, None]], [paddle.to_tensor([box])])[0, 0]
    assert np.allclose(by_hand, theirs.numpy(), atol=1e-5)


def test_two_cells_by_pencil():
    points = sampling_points(np.array([0.0, 0, 8, 8]), 2, 1, 0.5, aligned=True)
    assert points.reshape(4, 2).tolist() == [[1, 1], [3, 1], [1, 3], [3, 3]]
    shifted = sampling_points(np.array([0.0, 0, 8, 8]), 2, 1, 0.5, aligned=False)
    assert (shifted - points == 0.5).all()


def test_facts():
    box = paddle.to_tensor(BOXES["inside"])
    figure = draw_sampling_points(paddle.to_tensor(FEATURE), box, 3, 2, 0.25, True)
    assert figure_facts(figure) == {"box": 2, "cell": 9, "feature": 2, "sample": 36}
    assert figure_boxes(figure, "box") == [[2.2, 1.6, 10, 8.2]] * 2
    assert figure_boxes(figure, "cell")[0][:2] == [2.2, 1.6]
    points = sampling_points(box, 3, 2, 0.25, True).reshape(-1, 2)
    assert [b[:2] for b in figure_boxes(figure, "sample")] == points.round(1).tolist()
    assert [panel.get_title() for panel in figure.axes] == [
        "feature map", "enlarged, aligned=True"
    ]  # fmt: skip
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [
        "box", "cell", "point that is read", "point outside, reads 0"
    ]  # fmt: skip


def test_the_enlarged_view_is_square_and_shows_the_box_and_a_little_around():
    box = np.array([8.0, 8, 24, 40])  # feature pixels 2 .. 6 and 2 .. 10
    left, right = draw_sampling_points(FEATURE, box, 2, 2, 0.25, True).axes
    assert (left.get_xlim(), left.get_ylim()) == ((0, 16), (12, 0))
    # 8 + 2 * 1.5 pixels along the longer side, around the middle (4, 6)
    assert (right.get_xlim(), right.get_ylim()) == ((-1.5, 9.5), (11.5, 0.5))


def test_points_outside_are_told_apart():
    box = np.array(BOXES["beyond the border"])
    counts = figure_facts(draw_sampling_points(FEATURE, box, 3, 2, 0.25, True))
    assert counts["outside"] > 0 and counts["outside"] + counts["sample"] == 36


@pytest.mark.parametrize("aligned", [True, False])
def test_a_box_without_area(aligned):
    box = np.array([8.0, 8, 8, 8])
    counts = figure_facts(draw_sampling_points(FEATURE, box, 2, 0, 0.25, aligned))
    # unaligned, every side is at least one pixel; aligned, no feature pixel is touched
    assert counts.get("sample", 0) == (0 if aligned else 4)


def test_four_pixels_share_a_sample():
    feature = np.arange(12.0).reshape(3, 4)
    figure = draw_bilinear(feature, 1.75, 1.0)
    assert figure_facts(figure) == {"feature": 1, "sample": 1, "share": 4}
    assert figure_boxes(figure, "share") == [[0.5 + x, 0.5 + y] * 2 for y in (0, 1) for x in (1, 2)]
    said = [text.get_text() for text in figure.axes[0].texts]
    # a quarter of the way from column 1 to 2, half way from row 0 to 1
    assert said == ["1.00\nx 0.38", "2.00\nx 0.12", "5.00\nx 0.38", "6.00\nx 0.12"]
    # (1 + 5) * 0.375 + (2 + 6) * 0.125
    assert figure.axes[0].get_title() == "at (1.75, 1.00): 3.250"


def test_points_up_to_half_a_pixel_beyond_the_map_are_read():
    # centres of 2 x 2 cells of one pixel: -0.3 and 0.7
    edge = draw_sampling_points(np.zeros([4, 4]), np.array([-0.8, -0.8, 1.2, 1.2]), 2, 1, 1.0, True)
    assert figure_facts(edge)["sample"] == 4 and "outside" not in figure_facts(edge)
    # -0.6 and 0.4: three of four are beyond, in x or in y
    beyond = draw_sampling_points(
        np.zeros([4, 4]), np.array([-1.1, -1.1, 0.9, 0.9]), 2, 1, 1.0, True
    )
    assert (figure_facts(beyond)["sample"], figure_facts(beyond)["outside"]) == (1, 3)


def test_a_box_that_reads_nothing_of_the_map_has_its_points_all_the_same():
    figure = draw_sampling_points(
        np.zeros([4, 4]), np.array([20.0, 0.0, 22.0, 2.0]), 2, 1, 1.0, True
    )
    assert figure_facts(figure)["outside"] == 4 and "sample" not in figure_facts(figure)


def test_the_enlarged_view_has_a_line_at_every_pixel():
    figure = draw_sampling_points(
        np.zeros([20, 20]), np.array([1.0, 9.0, 5.0, 13.0]), 2, 1, 1.0, True
    )
    lines = [tuple(line.get_xdata()) for line in figure.axes[1].lines]
    upright = sorted(x[0] for x in lines if x[0] == x[1] and len(x) == 2)
    # the box and 1.5 pixels around it: from -0.5 to 6.5, so lines at -1 .. 6
    assert upright == list(range(-1, 7))
