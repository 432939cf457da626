"""An image of 4 rows and 10 columns, moved; the numbers can be checked with a pencil."""

import numpy as np
import pytest

from maskrcnn_edu.data.coco import Sample
from maskrcnn_edu.data.transforms import (
    BATCH_TRANSFORMS,
    TRANSFORMS,
    Decode,
    NormalizeImage,
    PadBatch,
    Permute,
    RandomDistort,
    RandomFlip,
    RandomResize,
    RandomTranspose,
    Resize,
    apply_transforms,
)
from maskrcnn_edu.structures import BitMask, GroundTruth


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def sample():
    """A polygon over its box, and a bit mask: an L whose foot points right."""
    image = np.arange(4 * 10 * 3, dtype=np.uint8).reshape(4, 10, 3)
    letter = BitMask(np.array([[1, 0], [1, 1]], np.uint8), np.array([2, 1, 4, 3], np.float32))
    gt = GroundTruth(
        boxes=np.array([[1, 0, 3, 2], [2, 1, 4, 3]], np.float32),
        labels=np.array([5, 6]),
        segms=[[np.array([1.0, 0, 3, 0, 3, 2])], letter],
        is_crowd=np.array([False, True]),
    )
    return Sample(image, 1, np.array([4, 10], np.float32), np.ones(2, np.float32), gt)


def numbers(sample):
    polygon, bits = sample.gt.segms
    return [sample.gt.boxes.tolist(), polygon[0].tolist(), bits.box.tolist(), bits.pixels.tolist()]


# ---- flips -----------------------------------------------------------------------


def test_a_horizontal_flip(sample, rng):
    flipped = RandomFlip(prob=1.0)(sample, rng)
    assert numbers(flipped) == [
        [[7, 0, 9, 2], [6, 1, 8, 3]],
        [9, 0, 7, 0, 7, 2],
        [6, 1, 8, 3],
        [[0, 1], [1, 1]],
    ]
    assert (flipped.image[:, 0] == sample.image[:, 9]).all()
    assert flipped.gt.boxes.dtype == flipped.gt.segms[1].box.dtype == np.float32
    assert flipped.gt.labels.tolist() == [5, 6] and flipped.gt.is_crowd.tolist() == [False, True]


def test_a_vertical_flip(sample, rng):
    flipped = RandomFlip(prob=1.0, direction="vertical")(sample, rng)
    assert numbers(flipped) == [
        [[1, 2, 3, 4], [2, 1, 4, 3]],
        [1, 4, 3, 4, 3, 2],
        [2, 1, 4, 3],
        [[1, 1], [1, 0]],
    ]
    assert (flipped.image[0] == sample.image[3]).all()


def test_transposing_exchanges_x_and_y_everywhere(sample, rng):
    turned = RandomTranspose(prob=1.0)(Resize([8, 10], keep_ratio=False)(sample, rng), rng)
    assert turned.im_shape.tolist() == [10, 8] and turned.scale_factor.tolist() == [1, 2]
    assert turned.image.shape == (10, 8, 3)
    assert numbers(turned) == [
        [[0, 1, 4, 3], [2, 2, 6, 4]],
        [0, 1, 0, 3, 4, 3],
        [2, 2, 6, 4],
        [[1, 1], [0, 1]],
    ]


@pytest.mark.parametrize(
    "turn", [RandomFlip(1.0), RandomFlip(1.0, "vertical"), RandomTranspose(1.0)]
)
def test_twice_is_once_undone_and_the_given_sample_is_untouched(sample, rng, turn):
    before = numbers(sample)
    twice = turn(turn(sample, rng), rng)
    assert numbers(twice) == numbers(sample) == before
    assert (twice.image == sample.image).all()


def test_prob_is_how_often(sample):
    rng = np.random.default_rng(0)
    flips = [RandomFlip(prob=0.3)(sample, rng) is not sample for _ in range(500)]
    assert 0.2 < np.mean(flips) < 0.4
    assert RandomFlip(prob=0.0)(sample, rng) is sample


@pytest.mark.parametrize("turn", [RandomFlip(1.0), RandomTranspose(1.0), Resize([8, 20])])
def test_no_objects_and_no_ground_truth_pass(sample, rng, turn):
    none = GroundTruth(np.zeros((0, 4), np.float32), np.zeros(0, int), [], np.zeros(0, bool))
    moved = turn(Sample(sample.image, 1, sample.im_shape, sample.scale_factor, none), rng)
    assert moved.gt.boxes.shape == (0, 4) and moved.gt.boxes.dtype == np.float32
    assert turn(Sample(sample.image, 1, sample.im_shape, sample.scale_factor), rng).gt is None


# ---- sizes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "keep_ratio", "expected"),
    [
        ([8, 100], True, (8, 20)),  # the short side decides
        ([8, 15], True, (6, 15)),  # the long side decides: 10 -> 15
        ([15, 8], True, (6, 15)),  # in either order
        (20, True, (8, 20)),  # one number: both sides at most this
        ([8, 15], False, (8, 15)),
        (7, False, (7, 7)),
    ],
)
def test_new_sizes(target, keep_ratio, expected):
    assert Resize(target, keep_ratio=keep_ratio).new_size(4, 10) == expected
    if keep_ratio:
        assert Resize(target).new_size(10, 4) == expected[::-1]


def test_no_side_vanishes():
    assert Resize([10, 20]).new_size(1, 1000) == (1, 20)


def test_ground_truth_moves_by_the_ratios_of_each_axis(sample, rng):
    resized = Resize([5, 100])(sample, rng)  # 4 x 10 -> 5 x 12.5, rounded up
    assert resized.image.shape == (5, 13, 3) and resized.im_shape.tolist() == [5, 13]
    assert resized.scale_factor == pytest.approx([1.25, 1.3])
    assert resized.gt.boxes[0] == pytest.approx([1.3, 0, 3.9, 2.5])
    assert resized.gt.segms[0][0] == pytest.approx([1.3, 0, 3.9, 0, 3.9, 2.5])
    assert resized.gt.segms[1].box == pytest.approx([2.6, 1.25, 5.2, 3.75])
    assert resized.gt.segms[1].pixels.tolist() == [[1, 0], [1, 1]]
    assert resized.scale_factor.dtype == resized.im_shape.dtype == np.float32


def test_scale_factors_multiply(sample, rng):
    twice = apply_transforms(sample, [Resize([8, 20]), Resize([12, 30])], rng)
    assert twice.scale_factor.tolist() == [3, 3]
    assert twice.gt.boxes[0].tolist() == [3, 0, 9, 6]


def test_nearest_repeats_pixels(sample, rng):
    image = Resize([8, 20], interp=0)(sample, rng).image
    assert (image == sample.image.repeat(2, axis=0).repeat(2, axis=1)).all()


def test_random_resize_draws_every_size_of_its_list(sample, rng):
    heights = {RandomResize([[4, 99], [6, 99], 20])(sample, rng).image.shape[0] for _ in range(40)}
    assert heights == {4, 6, 8}


def test_random_range_draws_between_the_ends(sample, rng):
    resize = RandomResize([[4, 90], [6, 99]], random_range=True)
    assert {resize(sample, rng).image.shape[0] for _ in range(40)} == {4, 5, 6}


def test_without_random_size_there_is_one_size(sample, rng):
    assert RandomResize([8, 99], random_size=False)(sample, rng).image.shape == (8, 20, 3)


# ---- values ----------------------------------------------------------------------


def test_normalizing(sample, rng):
    made = NormalizeImage(mean=[0.5, 0, 0], std=[0.5, 1, 0.1])(sample, rng).image
    assert made.dtype == np.float32
    assert made[3, 9] == pytest.approx([(117 / 255 - 0.5) / 0.5, 118 / 255, 119 / 25.5])
    plain = NormalizeImage(is_scale=False, norm_type="none")(sample, rng).image
    assert plain.dtype == np.float32 and (plain == sample.image).all()


def test_permute_puts_channels_first(sample, rng):
    image = Permute()(sample, rng).image
    assert image.shape == (3, 4, 10) and image.flags.c_contiguous
    assert (image[2] == sample.image[:, :, 2]).all()


def test_distorting_changes_values_and_nothing_else(sample, rng):
    changed = RandomDistort(prob=1.0)(sample, rng)
    assert changed.image.dtype == np.uint8 and (changed.image != sample.image).any()
    assert changed.gt is sample.gt
    assert (RandomDistort(prob=0.0)(sample, rng).image == sample.image).all()


def test_saturation_leaves_grey_alone(sample, rng):
    distort = RandomDistort(brightness=0, contrast=0, saturation=1, prob=1.0)
    grey = sample.image[..., :1].repeat(3, axis=2)
    made = distort(Sample(grey, 1, sample.im_shape, sample.scale_factor), rng).image
    assert (made == grey).all()
    assert (distort(sample, rng).image != sample.image).any()


# ---- padding ---------------------------------------------------------------------


def ones(height, width):
    size = np.array([height, width], np.float32)
    return Sample(np.ones((3, height, width), np.float32), 1, size, np.ones(2, np.float32))


def test_padding_fills_right_and_bottom_with_zeros():
    a, b = PadBatch(pad_to_stride=4)([ones(3, 5), ones(4, 2)])
    assert a.image.shape == b.image.shape == (3, 4, 8)
    assert a.image[0].tolist() == [[1] * 5 + [0] * 3] * 3 + [[0] * 8]
    assert b.image[0].tolist() == [[1] * 2 + [0] * 6] * 4
    assert a.im_shape.tolist() == [3, 5]


@pytest.mark.parametrize("no_stride", [0, -1])
def test_padding_without_a_stride(no_stride):
    a, b = PadBatch(no_stride)([ones(3, 5), ones(4, 2)])
    assert a.image.shape == b.image.shape == (3, 4, 5)


# ---- configuration ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Resize("640"), "target_size"),
        (lambda: Resize([640, 0]), "target_size"),
        (lambda: Resize(640, interp=7), "interp"),
        (lambda: RandomResize([]), "target_size"),
        (lambda: RandomResize(640), "target_size"),
        (lambda: RandomResize([[6, 9], [4, 9]], random_range=True), "target_size"),
        (lambda: RandomFlip(prob=1.5), "prob"),
        (lambda: RandomFlip(direction="sideways"), "direction"),
        (lambda: RandomTranspose(prob=None), "prob"),
        (lambda: RandomDistort(contrast=[0.5, 1.5, 0.5]), "contrast"),
        (lambda: NormalizeImage(mean=[0.5]), "mean"),
        (lambda: NormalizeImage(std=[1, 1, 0]), "std"),
        (lambda: NormalizeImage(norm_type="l2"), "norm_type"),
        (lambda: PadBatch(2.5), "pad_to_stride"),
    ],
)
def test_a_bad_field_is_named(make, field):
    with pytest.raises(ValueError, match=rf"\.{field} is"):
        make()


def test_a_wrong_order_is_explained(sample, rng):
    with pytest.raises(ValueError, match="Decode before"):
        RandomFlip(1.0)(Sample(None, 1, sample.im_shape, sample.scale_factor), rng)
    with pytest.raises(ValueError, match="NormalizeImage after"):
        apply_transforms(sample, [NormalizeImage(), Resize(8)], rng)
    with pytest.raises(ValueError, match="Permute after"):
        apply_transforms(sample, [Permute(), RandomFlip(1.0)], rng)
    with pytest.raises(ValueError, match="Permute before"):
        PadBatch()([sample])


def test_names_lead_to_classes():
    assert TRANSFORMS["RandomFlip"] is RandomFlip and TRANSFORMS["Decode"] is Decode
    assert BATCH_TRANSFORMS == {"PadBatch": PadBatch}
    assert all(name == each.__name__ for name, each in TRANSFORMS.items())
