import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from maskrcnn_edu.viz.figure_facts import figure_boxes, figure_facts, figure_values


@pytest.fixture
def figure():
    made = Figure()
    axes = made.add_subplot()
    axes.imshow(np.array([[0.0, 1], [2, 3]]), extent=(0, 8, 6, 0), gid="map")
    axes.add_patch(Rectangle((1, 2), 3.04, 4, gid="box"))
    axes.add_patch(Rectangle((-0.01, 0), 1, 1, gid="box"))
    axes.add_patch(Rectangle((0, 0), 1, 1))
    axes.add_patch(PathPatch(Path([(0, 0), (4, 1), (2, 5)]), gid="outline"))
    axes.scatter([1, 2, 3], [4, 5, 6], gid="point")
    axes.annotate("", xy=(5, 6), xytext=(1, 2), gid="arrow", arrowprops={})
    axes.text(3, 4, "text", gid="label")
    return made


def test_counts_by_kind_in_order_of_name(figure):
    counts = figure_facts(figure)
    assert counts == {"arrow": 1, "box": 2, "label": 1, "map": 1, "outline": 1, "point": 3}
    assert list(counts) == sorted(counts)


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        ("box", [[1, 2, 4, 6], [0, 0, 1, 1]]),
        ("outline", [[0, 0, 4, 5]]),
        ("map", [[0, 0, 8, 6]]),
        ("point", [[1, 4, 1, 4], [2, 5, 2, 5], [3, 6, 3, 6]]),
        ("arrow", [[1, 2, 5, 6]]),
        ("label", [[3, 4, 3, 4]]),
        ("unknown", []),
    ],
)
def test_extents(figure, kind, where):
    assert figure_boxes(figure, kind) == where
    assert "-0.0" not in str(figure_boxes(figure, kind))


def test_values(figure):
    assert figure_values(figure, "map") == [[0, 1.5, 3]]
    assert figure_values(figure, "box") == []


def test_facts_do_not_change_by_drawing(figure):
    before = figure_facts(figure)
    figure.draw_without_rendering()
    assert figure_facts(figure) == before


def test_an_artist_without_extent_is_not_passed_over(figure):
    figure.axes[0].xaxis.set_gid("axis")
    with pytest.raises(TypeError, match="'axis'"):
        figure_facts(figure)


def test_a_line_reaches_from_its_smallest_to_its_largest_numbers():
    made = Figure()
    made.add_subplot().plot([0, 1, 2], [5.0, 1, 3], gid="loss")
    assert figure_facts(made) == {"loss": 1}
    assert figure_boxes(made, "loss") == [[0, 1, 2, 5]]
