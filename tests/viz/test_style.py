import numpy as np
import paddle
import pytest

from maskrcnn_edu.data.coco import sample_from_array
from maskrcnn_edu.data.transforms import NormalizeImage, Permute
from maskrcnn_edu.viz.figure_facts import marked_artists
from maskrcnn_edu.viz.style import (
    GAP,
    LEGEND_ROW,
    PALETTE,
    canvas,
    colour,
    draw_box,
    evenly_spaced,
    say_nothing,
    to_array,
    to_pixels,
    two_canvases,
)


def test_to_pixels_undoes_what_the_reader_did():
    pixels = np.random.default_rng(0).integers(0, 256, [5, 7, 3], dtype=np.uint8)
    sample = sample_from_array(pixels)
    for step in (NormalizeImage(), Permute()):
        sample = step(sample, np.random.default_rng(0))
    assert np.array_equal(to_pixels(sample.image), pixels)
    assert np.array_equal(to_pixels(paddle.to_tensor(sample.image)), pixels)


def test_to_pixels_clips_and_takes_other_statistics():
    image = np.array([-1.0, 0.5, 2.0]).reshape(3, 1, 1)
    assert to_pixels(image, mean=(0, 0, 0), std=(1, 1, 1)).tolist() == [[[0, 128, 255]]]


def test_to_pixels_wants_one_image():
    with pytest.raises(ValueError, match=r"\[1, 3, 4, 4\]"):
        to_pixels(np.zeros([1, 3, 4, 4]))
    for shape in ([3, 4], [1, 4, 4]):
        with pytest.raises(ValueError, match="needs one image"):
            to_pixels(np.zeros(shape))


def test_to_array_takes_tensors_and_arrays():
    assert to_array(paddle.ones([2], dtype="int64")).tolist() == [1, 1]
    assert to_array(np.ones([2])).tolist() == [1, 1]


def test_what_is_drawn_later_does_not_move_the_view(image):
    _, axes = canvas(image)
    axes.plot([-50, 500], [-50, 500])
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 64), (48, 0))


def test_a_legend_gets_its_own_room_below_the_image(image):
    plain, _ = canvas(image)
    figure, axes = canvas(image, [("a", {"color": "red", "linewidth": 1})])
    assert figure.get_figheight() > plain.get_figheight()
    assert [axes.get_position().x0, axes.get_position().x1] == pytest.approx([0, 1])
    shown = axes.get_position().height * figure.get_figheight()
    assert shown == pytest.approx(plain.get_figheight())


def test_spread():
    assert evenly_spaced(3, 5).tolist() == [0, 1, 2]
    assert evenly_spaced(9, 3).tolist() == [0, 4, 8]
    assert evenly_spaced(0, 3).tolist() == []


def test_a_small_image_is_enlarged_and_a_strip_is_not_endless():
    figure, _ = canvas(np.zeros([48, 96, 3], np.uint8))
    assert figure.get_size_inches().tolist() == [10, 5]
    figure, _ = canvas(np.zeros([10, 100, 3], np.uint8))
    assert figure.get_size_inches().tolist() == [20, 5]
    figure, _ = canvas(np.zeros([100, 10, 3], np.uint8))
    assert figure.get_size_inches().tolist() == [5, 20]


@pytest.mark.parametrize(("entries", "rows"), [(1, 1), (3, 1), (4, 2), (7, 3)])
def test_a_legend_has_three_entries_in_a_row(image, entries, rows):
    line = {"color": "red", "linewidth": 1}
    figure, _ = canvas(image, [(f"entry {i}", line) for i in range(entries)])
    assert figure.get_figheight() == pytest.approx(5 + rows * LEGEND_ROW)
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [f"entry {i}" for i in range(entries)]


def test_the_image_fills_the_axes_pixel_for_pixel(image):
    _, axes = canvas(image)
    (shown,) = axes.images
    assert shown.get_extent() == [0, 64, 48, 0]
    assert np.array_equal(shown.get_array(), image)


def test_colours_of_classes_begin_again_after_the_last():
    assert [colour(i) for i in (0, 1, 6, 7, 8)] == [PALETTE[i] for i in (0, 1, 6, 0, 1)]
    assert len(set(PALETTE)) == len(PALETTE) == 7


def test_a_box_is_a_frame_with_its_kind(image):
    _, axes = canvas(image)
    frame = draw_box(axes, [3, 4, 10, 20], "thing", {"color": "red", "linewidth": 2})
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((3, 4), 7, 16)
    assert frame.get_gid() == "thing" and not frame.get_fill()


def test_two_canvases_are_as_wide_as_two_and_the_gap(image):
    one, _ = canvas(image)
    two, axes = two_canvases(image)
    wide, high = one.get_size_inches()
    assert two.get_size_inches() == pytest.approx([2 * wide + GAP, high])
    left, right = (each.get_position() for each in axes)
    assert left.x0 == 0 and right.x1 == pytest.approx(1) and right.x0 > left.x1


def test_nothing_is_told_in_the_middle(image):
    figure, _ = canvas(image)
    say_nothing(figure, "no objects")
    (text,) = marked_artists(figure, "nothing")
    assert (text.get_text(), text.get_position()) == ("no objects", (0.5, 0.5))
