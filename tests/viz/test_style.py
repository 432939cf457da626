import numpy as np
import paddle
import pytest

from maskrcnn_edu.data.coco import sample_from_array
from maskrcnn_edu.data.transforms import NormalizeImage, Permute
from maskrcnn_edu.viz.style import canvas, evenly_spaced, to_array, to_pixels


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
    shown = axes.get_position().height * figure.get_figheight()
    assert shown == pytest.approx(plain.get_figheight())


def test_spread():
    assert evenly_spaced(3, 5).tolist() == [0, 1, 2]
    assert evenly_spaced(9, 3).tolist() == [0, 4, 8]
    assert evenly_spaced(0, 3).tolist() == []
