"""Where labels stand. The canvas is 5 inches for 48 pixels high: a line of 12 points has 1.6."""

import numpy as np
import pytest

from maskrcnn_edu.viz.figure_facts import marked_artists
from maskrcnn_edu.viz.labels import draw_label
from maskrcnn_edu.viz.style import canvas


@pytest.mark.parametrize(
    ("box", "place", "alignment"),
    [
        ([10, 20, 30, 40], (10, 20), "bottom"),  # above the box
        ([10, 1.5, 30, 40], (10, 1.5), "top"),  # no room above: 12 points are 1.6 pixels
        ([10, 1.7, 30, 40], (10, 1.7), "bottom"),
        ([-5, -7, 30, 40], (0, 0), "top"),  # the corner is outside
    ],
)
def test_a_label_stays_inside_the_image(image, box, place, alignment):
    figure, axes = canvas(image)
    draw_label(axes, box, "text", "red")
    (label,) = marked_artists(figure, "label")
    assert label.get_position() == place and label.get_text() == "text"
    assert label.get_verticalalignment() == alignment


def places(figure):
    return [(*t.get_position(), t.get_verticalalignment()) for t in marked_artists(figure, "label")]


def test_the_next_label_of_a_box_goes_where_no_label_is(image):
    figure, axes = canvas(image)
    for _ in range(4):
        draw_label(axes, [10, 20, 60, 40], "a", "red")
    # above the left corner, inside it, below the box, inside its lower corner
    assert places(figure) == [
        (10, 20, "bottom"), (10, 20, "top"), (10, 40, "top"), (10, 40, "bottom"),
    ]  # fmt: skip


def test_where_it_is_crowded_the_short_text_is_drawn_or_none(image):
    figure, axes = canvas(image)
    # letters have 0.64 * 8 points: ten are 6.83 pixels wide, four 2.73
    for _ in range(4):  # from 50 to 56.83: above, inside, below, at the lower corner
        draw_label(axes, [50, 20, 50.1, 23.4], "0123456789", "red")
    # the next begins at 55, or at 53.17 to end with its box
    draw_label(axes, [55, 20, 60, 23.4], "0123456789", "red")
    assert len(places(figure)) == 4
    draw_label(axes, [55, 20, 60, 23.4], "0123456789", "red", short="0123")
    assert [t.get_text() for t in marked_artists(figure, "label")][4:] == ["0123"]
    assert places(figure)[-1] == (pytest.approx(60 - 2.73, abs=0.01), 20, "bottom")


def test_no_label_covers_another():
    figure, axes = canvas(np.zeros([48, 64, 3], np.uint8))
    random = np.random.default_rng(0)
    for x, y in random.uniform(0, 40, [60, 2]):
        draw_label(axes, [x, y, x + 5, y + 4], "label", "red")
    figure.canvas.draw()
    extents = [t.get_window_extent() for t in marked_artists(figure, "label")]
    assert 20 < len(extents) < 60
    assert not any(one.overlaps(other) for i, one in enumerate(extents) for other in extents[:i])
