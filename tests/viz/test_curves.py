import numpy as np
import pytest

from maskrcnn_edu.viz.curves import LOSSES, draw_curves


def history(totals):
    """One logged step in two, every loss its own multiple of these numbers."""
    return [
        {"step": 2 * i, **{name: value * (k + 1) for k, name in enumerate(LOSSES)}}
        for i, value in enumerate(totals)
    ]


EVALUATIONS = [
    {"step": 0, "bbox_AP": 0.0, "segm_AP": 0.1, "bbox_AP50": 0.9},
    {"step": 8, "bbox_AP": 0.4, "segm_AP": 0.3, "bbox_AP50": 0.9},
]


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_every_loss_has_its_line_its_steps_and_its_colour():
    upper, _ = draw_curves(history([1, 1, 1, 1]), EVALUATIONS).axes
    assert list(lines(upper)) == list(LOSSES)
    for k, line in enumerate(upper.lines):
        assert line.get_xdata().tolist() == [0, 2, 4, 6]
        assert line.get_ydata().tolist() == pytest.approx([k + 1] * 4)
    assert len({line.get_color() for line in upper.lines}) == len(LOSSES)


def test_a_point_is_the_mean_of_the_nine_steps_around_it():
    values = [0.0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0]
    upper, _ = draw_curves(history(values), []).axes
    # 9 / 9 wherever all nine are there; at the ends, 9 of 5, 6, 7 and 8 steps
    expected = [0, 9 / 6, 9 / 7, 9 / 8, 1, 1, 1, 9 / 8, 9 / 7, 9 / 6, 0]
    assert upper.lines[0].get_ydata().tolist() == pytest.approx(expected)
    assert upper.lines[4].get_ydata().tolist() == pytest.approx([5 * v for v in expected])


def test_fewer_steps_than_the_mean_takes():
    upper, _ = draw_curves(history([3, 1]), []).axes
    assert upper.lines[0].get_ydata().tolist() == pytest.approx([3, 2])
    upper, _ = draw_curves(history([4]), []).axes
    assert upper.lines[0].get_ydata().tolist() == [4]


def test_ap_is_drawn_as_it_was_measured():
    _, lower = draw_curves(history([1, 1]), EVALUATIONS).axes
    assert list(lines(lower)) == ["segm_AP", "bbox_AP"]
    for name, line in lines(lower).items():
        assert line.get_xdata().tolist() == [0, 8]
        assert line.get_ydata().tolist() == [e[name] for e in EVALUATIONS]
        assert line.get_linestyle() == "-" and line.get_marker() in ("o", "s")
    assert len({(line.get_color(), line.get_marker()) for line in lower.lines}) == 2


def test_axes_say_what_they_show():
    upper, lower = draw_curves(history([1, 3]), EVALUATIONS).axes
    assert upper.get_title() == "losses (moving mean)" and upper.get_ylim()[0] == 0
    assert lower.get_title() == "AP on validation images" and lower.get_xlabel() == "step"
    assert lower.get_ylim() == (0, 1)
    for axes in (upper, lower):
        assert [t.get_text() for t in axes.get_legend().get_texts()] == list(lines(axes))


def test_losses_and_ap_have_one_axis_of_steps():
    upper, lower = draw_curves(history([1, 3]), EVALUATIONS).axes  # steps 0 and 2; looks at 0 and 8
    assert upper.get_xlim() == lower.get_xlim() and lower.get_xlim()[1] > 8
    upper.set_xlim(1, 5)
    assert lower.get_xlim() == (1, 5)
    (left, bottom), (right, top) = upper.get_position().p0, lower.get_position().p1
    assert bottom > top and left < right  # one below the other


def test_nothing_yet():
    upper, lower = draw_curves([], []).axes
    assert all(np.size(line.get_ydata()) == 0 for line in (*upper.lines, *lower.lines))
