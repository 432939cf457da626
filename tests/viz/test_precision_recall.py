import numpy as np
import pytest

from maskrcnn_edu.viz.precision_recall import MOST_NAMES, draw_precision_recall


def curves(axes):
    return {line.get_label(): line.get_ydata().tolist() for line in axes.lines}


def test_a_line_for_each_class_and_for_each_threshold():
    """Two thresholds, recalls 0, 1/2 and 1, three classes; nobody annotated the second."""
    precision = np.array([
        [[1.0, -1, 0.6], [0.5, -1, 0.6], [0.0, -1, 0.6]],
        [[0.5, -1, 0.0], [0.1, -1, 0.0], [0.0, -1, 0.0]],
    ])  # fmt: skip
    figure = draw_precision_recall(precision, ["cat", "dog", "emu"], [0.5, 0.75], "masks")
    left, right = figure.axes
    assert curves(left) == {"cat 0.50": [1, 0.5, 0], "emu 0.60": [0.6, 0.6, 0.6]}
    assert all(line.get_xdata().tolist() == [0, 0.5, 1] for line in (*left.lines, *right.lines))
    means = curves(right)
    assert list(means) == ["IoU 0.50: 0.55", "IoU 0.75: 0.10"]
    assert means["IoU 0.50: 0.55"] == pytest.approx([0.8, 0.55, 0.3])
    assert means["IoU 0.75: 0.10"] == pytest.approx([0.25, 0.05, 0])
    assert left.get_title() == "masks, each class at IoU 0.50"
    assert [axes.get_xlabel() for axes in (left, right)] == ["recall"] * 2
    names = [[t.get_text() for t in axes.get_legend().get_texts()] for axes in (left, right)]
    assert names == [list(curves(left)), list(means)]


def test_classes_look_different_as_long_as_they_are_named():
    names = [f"class {n}" for n in range(MOST_NAMES)]
    left, _ = draw_precision_recall(np.ones([1, 2, MOST_NAMES]), names, [0.5], "boxes").axes
    assert len({(line.get_color(), line.get_linestyle()) for line in left.lines}) == MOST_NAMES
    assert len(left.get_legend().get_texts()) == MOST_NAMES
    more = np.ones([1, 2, MOST_NAMES + 1])
    left, right = draw_precision_recall(more, [*names, "x"], [0.5], "boxes").axes
    assert len(left.lines) == MOST_NAMES + 1 and left.get_legend() is None
    assert right.get_legend() is not None


def test_where_nothing_is_annotated_there_is_no_line():
    figure = draw_precision_recall(-np.ones([10, 101, 2]), ["a", "b"], np.ones(10), "masks")
    assert all(not axes.lines and axes.get_legend() is None for axes in figure.axes)
