"""RoIAlign on feature maps whose values say where they are."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.roi_align import ROI_CHUNK_ELEMENTS, RoIAlign, iter_roi_chunks


def boxes(*rows):
    return paddle.to_tensor(np.array(rows, np.float32).reshape(-1, 4))


def ramp(height=20, width=30):
    """[1, 2, h, w]: the x and the y of every pixel's centre."""
    y, x = np.mgrid[:height, :width] + 0.5
    return paddle.to_tensor(np.stack([x, y])[None].astype(np.float32))


def test_a_constant_map_gives_the_constant():
    feat = paddle.full([1, 3, 20, 20], 7.0)
    made = RoIAlign(4, [1.0], aligned=True)([feat], [boxes([2, 3, 9, 17], [0, 0, 20, 20])])
    assert made.shape == [2, 3, 4, 4]
    np.testing.assert_allclose(made.numpy(), 7, rtol=1e-6)


def test_aligned_cells_see_what_lies_at_their_centres():
    made = RoIAlign(2, [1.0], aligned=True)([ramp()], [boxes([4, 2, 12, 6])])[0]
    # cells of 4 x 2: centres x = 6, 10 and y = 3, 5
    np.testing.assert_allclose(made[0].numpy(), [[6, 10], [6, 10]], rtol=1e-6)
    np.testing.assert_allclose(made[1].numpy(), [[3, 3], [5, 5]], rtol=1e-6)


def test_without_alignment_the_samples_lie_half_a_pixel_too_far():
    made = RoIAlign(2, [1.0], aligned=False)([ramp()], [boxes([4, 2, 12, 6])])[0]
    np.testing.assert_allclose(made[0].numpy(), [[6.5, 10.5]] * 2, rtol=1e-6)
    np.testing.assert_allclose(made[1].numpy(), [[3.5, 3.5], [5.5, 5.5]], rtol=1e-6)


def test_the_scale_leads_from_the_input_to_the_map():
    made = RoIAlign(1, [0.25], aligned=True)([ramp()], [boxes([8, 16, 24, 32])])[0]
    np.testing.assert_allclose(made.flatten().tolist(), [4, 6], rtol=1e-6)  # (16, 24) / 4
    alone = RoIAlign(1, 0.25, aligned=True)([ramp()], [boxes([8, 16, 24, 32])])[0]
    np.testing.assert_array_equal(alone.numpy(), made.numpy())  # one number will do


@pytest.mark.parametrize(
    ("sampling_ratio", "expected"),
    [
        (1, 30.5),  # the middle of the cell lies between 5 and 6: (25 + 36) / 2
        (0, 31.5),  # as many as pixels: 4, 5, 6, 7
    ],
)
def test_sampling_ratio_is_obeyed_on_one_level(sampling_ratio, expected):
    squares = np.broadcast_to(np.arange(20.0) ** 2, (1, 1, 20, 20)).astype(np.float32)
    extractor = RoIAlign(1, [1.0], sampling_ratio, aligned=True)
    made = extractor([paddle.to_tensor(squares)], [boxes([4, 4, 8, 8])])
    assert made.item() == pytest.approx(expected, 1e-6)


# ---- several levels --------------------------------------------------------------


def constant_levels(images=1):
    """Four levels whose value is their number, plus 10 per image."""
    made = []
    for level, side in enumerate((128, 64, 32, 16)):
        values = np.arange(images) * 10 + level
        values = np.broadcast_to(values[:, None, None, None], (images, 1, side, side))
        made.append(paddle.to_tensor(values.astype(np.float32)))
    return made


SCALES = [1 / 4, 1 / 8, 1 / 16, 1 / 32]


def square(side):
    return [8, 8, 8 + side, 8 + side]


def levels_of(sides, **options):
    made = RoIAlign(1, SCALES, **options)(constant_levels(), [boxes(*map(square, sides))])
    return made.flatten().round().tolist()


def test_a_box_goes_to_the_level_of_its_size():
    assert levels_of([10, 56, 111, 112, 223, 224, 447, 448]) == [0, 0, 0, 1, 1, 2, 2, 3]


def test_boxes_come_back_in_their_own_order():
    assert levels_of([448, 10, 224, 112, 448, 30]) == [3, 0, 2, 1, 3, 0]


def test_the_area_decides_not_the_longer_side():
    long = [0, 0, 448, 28]  # as large as 112 x 112
    made = RoIAlign(1, SCALES)(constant_levels(), [boxes(long)])
    assert made.item() == pytest.approx(1, 1e-6)


def test_another_canonical_size_and_level():
    assert levels_of([28, 56, 112], canonical_size=56) == [1, 2, 3]
    assert levels_of([112, 224], canconical_level=3) == [0, 1]


def test_only_the_levels_between_start_and_end_are_used():
    assert levels_of([10, 224, 448], start_level=1, end_level=2) == [1, 2, 2]


def test_every_level_has_its_scale():
    feats = [ramp(128 // 2**i, 128 // 2**i) for i in range(4)]
    made = RoIAlign(1, SCALES, aligned=True)(feats, [boxes(square(40), square(224))])
    # centres 28 and 120; on the maps of stride 4 and 16
    np.testing.assert_allclose(made[:, 0].flatten().tolist(), [28 / 4, 120 / 16], rtol=1e-6)


def test_sampling_ratio_is_obeyed_on_several_levels():
    squares = np.broadcast_to(np.arange(20.0) ** 2, (1, 1, 20, 20)).astype(np.float32)
    extractor = RoIAlign(1, [1.0] * 4, 1, aligned=True)
    made = extractor([paddle.to_tensor(squares)] * 4, [boxes([4, 4, 8, 8])])
    assert made.item() == pytest.approx(30.5, 1e-6)


# ---- several images --------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 4])
def test_every_box_looks_at_its_own_image(levels):
    feats = constant_levels(images=3)[:levels]
    per_image = [boxes(square(30)), boxes(square(20), square(40)), boxes(square(50))]
    made = RoIAlign(1, SCALES[:levels])(feats, per_image)
    assert made.flatten().round().tolist() == [0, 10, 10, 20]


@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize("counts", [(0, 2), (2, 0), (0, 0)])
def test_an_image_without_boxes(levels, counts):
    feats = constant_levels(images=2)[:levels]
    per_image = [boxes(*[square(30)] * n) for n in counts]
    made = RoIAlign(2, SCALES[:levels])(feats, per_image)
    assert made.shape == [sum(counts), 1, 2, 2]
    assert made[:, 0, 0, 0].round().tolist() == [0] * counts[0] + [10] * counts[1]


def test_large_and_small_boxes_of_two_images_keep_their_places():
    per_image = [boxes(square(448), square(10)), boxes(square(20), square(224), square(112))]
    made = RoIAlign(1, SCALES)(constant_levels(images=2), per_image)
    assert made.flatten().round().tolist() == [3, 0, 10, 12, 11]


def test_gradients_reach_the_map():
    feat = paddle.zeros([1, 1, 8, 8])
    feat.stop_gradient = False
    RoIAlign(1, [1.0], aligned=True)([feat], [boxes([2, 2, 4, 4])]).sum().backward()
    assert feat.grad.sum().item() == pytest.approx(1, 1e-6)
    assert feat.grad[0, 0, 2:4, 2:4].sum().item() == pytest.approx(1, 1e-6)


def test_an_impossible_value_is_named():
    with pytest.raises(ValueError, match="resolution"):
        RoIAlign(0)


# ---- a few at a time ---------------------------------------------------------------


def test_groups_take_every_row_once_and_are_nearly_equal(monkeypatch):
    monkeypatch.setitem(ROI_CHUNK_ELEMENTS, "cpu", 4 * 3 * 2 * 2)  # four RoIs of [3, 2, 2]
    feats = [paddle.rand([2, 3, 8, 8]), paddle.rand([2, 3, 4, 4])]
    groups = list(iter_roi_chunks(feats, [paddle.rand([10, 4]), paddle.rand([4, 4])], 2))
    assert [(image, rows.start, rows.stop) for _, image, rows in groups] == [
        (0, 0, 4), (0, 4, 8), (0, 8, 12), (1, 0, 4),
    ]  # fmt: skip
    for own, image, _ in groups:
        for level, feat in zip(own, feats):
            assert level.shape[0] == 1 and (level[0] == feat[image]).all()


def test_an_image_without_rois_has_a_group_and_a_roi_of_any_size_fits(monkeypatch):
    monkeypatch.setitem(ROI_CHUNK_ELEMENTS, "cpu", 1)
    groups = list(
        iter_roi_chunks([paddle.rand([2, 3, 8, 8])], [boxes(), boxes([0] * 4, [1] * 4)], 7)
    )
    assert [(image, rows) for _, image, rows in groups] == [
        (0, slice(0, 1)), (1, slice(0, 1)), (1, slice(1, 2)),
    ]  # fmt: skip
