"""Strengths of feature maps, and of what is cut out of them."""

import numpy as np
import pytest

from maskrcnn_edu.viz.features import draw_features, draw_roi_features
from maskrcnn_edu.viz.figure_facts import figure_boxes, figure_facts, figure_values


def test_strength_is_the_mean_of_absolute_values():
    feature = np.array([[[-2.0, 0.0]], [[4.0, 0.0]]])  # 2 channels, 1 x 2 cells
    figure = draw_features({"one": feature, "other": np.zeros([3, 4, 4])})
    assert figure_facts(figure) == {"feature": 2}
    # (|-2| + |4|) / 2 = 3, and 0
    assert figure_values(figure, "feature") == [[0.0, 1.5, 3.0], [0.0, 0.0, 0.0]]
    assert figure.axes[0].get_title() == "one\n2 x 1 x 2"


def test_cells_lie_over_the_box():
    image = np.zeros([20, 40, 3], np.uint8)
    maps = {"RoIAlign": np.ones([5, 2, 2]), "made of it": np.ones([8, 1, 1])}
    figure = draw_roi_features(image, np.array([8.0, 4.0, 20.0, 12.0]), maps)
    assert figure_facts(figure) == {"cell": 4, "feature": 2}
    cells = [[8, 4, 14, 8], [14, 4, 20, 8], [8, 8, 14, 12], [14, 8, 20, 12]]
    assert figure_boxes(figure, "cell") == cells


@pytest.mark.parametrize("count", [1, 5, 6])
def test_every_map_has_a_panel(count):
    figure = draw_features({str(i): np.ones([1, 2, 2]) for i in range(count)})
    assert figure_facts(figure) == {"feature": count}


def test_rows_of_panels_are_as_high_as_each():
    one, two = (draw_features({str(i): np.ones([1, 2, 2]) for i in range(n)}) for n in (5, 6))
    # 2.2 inches and half an inch for the title
    assert one.get_size_inches() == pytest.approx([11.0, 2.7])
    assert two.get_size_inches() == pytest.approx([11.0, 5.4])


def test_a_cell_more_on_every_side_is_seen_of_the_image():
    image, box = np.zeros([90, 50, 3], np.uint8), np.array([10.0, 20.0, 30.0, 60.0])
    axes = draw_roi_features(image, box, {"cut": np.ones([1, 2, 2])}).axes[0]
    # cells of 10 x 20; y grows downwards
    assert axes.get_xlim() == (0.0, 40.0) and axes.get_ylim() == (80.0, 0.0)
