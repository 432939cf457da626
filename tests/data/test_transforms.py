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


class Scripted:
    """A random generator whose numbers are given."""

    def __init__(self, numbers, at=1.0):
        self.numbers, self.at, self.ranges = list(numbers), at, []

    def random(self):
        return self.numbers.pop(0)

    def uniform(self, low, high):
        """Of a range its end (``at`` 1), its start (0), or what lies between."""
        self.ranges.append((low, high))
        return low + self.at * (high - low)

    def integers(self, low, high=None):
        self.ranges.append((low, high))
        return (low if high is None else high) - 1


# ---- flips -----------------------------------------------------------------------


def test_a_horizontal_flip(sample, rng):
    flipped = RandomFlip(prob=1.0)(sample, rng)
    assert numbers(flipped) == [
        [[7, 0, 9, 2], [6, 1, 8, 3]],
        [9, 0, 7, 0, 7, 2],
        [6, 1, 8, 3],
        [[0, 1], [1, 1]],
    ]
    assert (flipped.image == sample.image[:, ::-1]).all()
    assert flipped.im_shape.tolist() == [4, 10] and flipped.scale_factor.tolist() == [1, 1]
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
    assert (flipped.image == sample.image[::-1]).all()


def test_a_transposed_image_has_rows_for_columns(sample, rng):
    turned = RandomTranspose(prob=1.0)(sample, rng)
    assert turned.image.shape == (10, 4, 3)
    for y, x in [(0, 0), (3, 9), (1, 7)]:
        assert turned.image[x, y].tolist() == sample.image[y, x].tolist()
    assert numbers(turned) == [
        [[0, 1, 2, 3], [1, 2, 3, 4]],
        [0, 1, 0, 3, 2, 3],
        [1, 2, 3, 4],
        [[1, 1], [0, 1]],
    ]


def test_a_flip_and_a_transposition_are_a_quarter_turn(sample, rng):
    """Left and right exchanged, then x and y: a quarter turn against the clock."""
    turned = apply_transforms(sample, [RandomFlip(1.0), RandomTranspose(1.0)], rng)
    assert (turned.image == np.rot90(sample.image)).all()
    bits = turned.gt.segms[1]
    assert bits.pixels.tolist() == [[0, 1], [1, 1]] and bits.box.tolist() == [1, 6, 3, 8]


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


@pytest.mark.parametrize("turn", [RandomFlip(prob=0.25), RandomTranspose(prob=0.25)])
def test_a_random_number_below_prob_acts(sample, turn):
    assert turn(sample, Scripted([0.25])) is sample
    assert turn(sample, Scripted([0.24])) is not sample


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


def test_shrinking_turns_nothing_over(sample, rng):
    small = Resize([2, 5])(sample, rng)
    assert numbers(small) == [
        [[0.5, 0, 1.5, 1], [1, 0.5, 2, 1.5]],
        [0.5, 0, 1.5, 0, 1.5, 1],
        [1, 0.5, 2, 1.5],
        [[1, 0], [1, 1]],
    ]


def test_scale_factors_multiply(sample, rng):
    twice = apply_transforms(sample, [Resize([8, 20]), Resize([12, 30])], rng)
    assert twice.scale_factor.tolist() == [3, 3]
    assert twice.gt.boxes[0].tolist() == [3, 0, 9, 6]


def test_nearest_repeats_pixels(sample, rng):
    image = Resize([8, 20], interp=0)(sample, rng).image
    assert (image == sample.image.repeat(2, axis=0).repeat(2, axis=1)).all()


def picture(*rows):
    """Grey values [h, w] as a sample."""
    image = np.array(rows, np.uint8)[:, :, None].repeat(3, axis=2)
    return Sample(image, 1, np.array(image.shape[:2], np.float32), np.ones(2, np.float32))


@pytest.mark.parametrize(
    ("interp", "expected"),
    [
        (0, [100, 100, 200, 200]),
        # pixel centres at 1/4, 3/4, 5/4 and 7/4 of the small image, whose own are at 1/2 and 3/2
        (1, [100, 125, 175, 200]),
        # weights 0.8672 and 0.2266 at distances 1/4 and 3/4, -0.0703 at 5/4, made to sum to 1:
        # (0.8672 * 100 - 0.0703 * 200) / 0.7969 = 91.2
        (2, [91, 121, 179, 209]),
    ],
    ids=["nearest", "bilinear", "bicubic"],
)
def test_enlarging_two_pixels(rng, interp, expected):
    image = Resize([2, 4], interp, keep_ratio=False)(picture([100, 200], [100, 200]), rng).image
    assert image[:, :, 0].tolist() == [expected, expected]
    drawn = RandomResize([[2, 4]], interp, keep_ratio=False)
    assert (drawn(picture([100, 200], [100, 200]), rng).image == image).all()


def test_bilinear_is_the_default_and_works_on_both_axes(rng):
    image = Resize(4)(picture([0, 100], [200, 60]), rng).image
    assert image[:, :, 2].tolist() == [
        [0, 25, 75, 100],
        [50, 60, 80, 90],
        [150, 130, 90, 70],
        [200, 165, 95, 60],
    ]
    assert (RandomResize([4])(picture([0, 100], [200, 60]), rng).image == image).all()


def test_shrinking_averages(rng):
    # weights 3/4, 3/4, 1/4 of the three nearest: (0 + 75 + 50) / 1.75 and (25 + 150 + 45) / 1.75
    row = [0, 100, 200, 60]
    image = Resize([2, 2], keep_ratio=False)(picture(row, row), rng).image
    assert image[:, :, 0].tolist() == [[71, 126]] * 2


def test_a_size_of_one_pixel_and_equal_ends_are_allowed(sample, rng):
    assert Resize(1)(sample, rng).image.shape == (1, 1, 3)
    assert RandomResize([[4, 9], [4, 9]], random_range=True)(sample, rng).image.shape[0] == 4


def test_random_resize_draws_every_size_of_its_list(sample, rng):
    heights = {RandomResize([[4, 99], [6, 99], 20])(sample, rng).image.shape[0] for _ in range(40)}
    assert heights == {4, 6, 8}
    drawn = Scripted([])
    assert RandomResize([8, 12], keep_ratio=False)(sample, drawn).image.shape == (12, 12, 3)
    assert drawn.ranges == [(2, None)]


def test_random_range_draws_between_the_ends(sample, rng):
    resize = RandomResize([[4, 90], [6, 99]], random_range=True)
    assert {resize(sample, rng).image.shape[0] for _ in range(40)} == {4, 5, 6}
    # the larger long side counts, whichever end has it: 25 is less than 2.5 times 11
    for ends in ([[4, 20], [11, 25]], [[4, 25], [11, 20]]):
        high = RandomResize(ends, random_range=True)(sample, Scripted([]))
        assert high.image.shape == (10, 25, 3)


def test_without_random_size_there_is_one_size(sample, rng):
    assert RandomResize([8, 99], random_size=False)(sample, rng).image.shape == (8, 20, 3)


# ---- values ----------------------------------------------------------------------


def test_one_pixel_normalized_by_hand(rng):
    pixel = Sample(np.array([[[255, 0, 51]]], np.uint8), 1, np.ones(2), np.ones(2))
    normalize = NormalizeImage(mean=[0.5, 0.0, 0.25], std=[0.25, 1.0, 0.125])
    # (1 - 0.5) / 0.25, (0 - 0) / 1, (0.2 - 0.25) / 0.125
    assert normalize(pixel, rng).image[0, 0] == pytest.approx([2, 0, -0.4], abs=1e-6)
    plain = NormalizeImage(is_scale=False, mean=[55, 10, 1], std=[100, 2, 25])
    assert plain(pixel, rng).image[0, 0] == pytest.approx([2, -5, 2])
    scaled = NormalizeImage(norm_type="none")(pixel, rng).image
    assert scaled[0, 0] == pytest.approx([1, 0, 0.2])


def test_without_options_the_mean_of_imagenet_becomes_zero(rng):
    mean = Sample(np.array([[[124, 116, 104]]], np.uint8), 1, np.ones(2), np.ones(2))
    made = NormalizeImage()(mean, rng).image[0, 0]
    # 124 / 255 = 0.48627, minus 0.485, by 0.229; and so on
    assert made == pytest.approx([0.00557, -0.00490, 0.00819], abs=1e-5)


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


ALWAYS = [0.0, 0.0, 0.0]  # below every prob


def distorted(image, numbers=ALWAYS, at=1.0, **amounts):
    """(pixels after a distortion with these random numbers, ranges that were drawn from)."""
    fields = {"brightness": 0, "contrast": 0, "saturation": 0} | amounts
    drawn = Scripted(numbers, at)
    return RandomDistort(**fields)(image, drawn).image, drawn.ranges


def test_brightness_is_a_factor_on_all_values():
    made, ranges = distorted(picture([100, 200]), brightness=0.5)
    assert made[0, :, 0].tolist() == [150, 255] and ranges[0] == (0.5, 1.5)
    assert distorted(picture([100, 200]), at=0.0, brightness=0.5)[0][0, :, 1].tolist() == [50, 100]
    assert distorted(picture([100, 99]), at=0.0, brightness=0.25)[0][0, :, 2].tolist() == [75, 74]


def test_contrast_is_a_factor_on_the_distance_from_the_mean_grey():
    made, ranges = distorted(picture([50, 150]), at=0.0, contrast=0.5)
    assert made[0, :, 0].tolist() == [75, 125] and ranges[1] == (0.5, 1.5)
    assert distorted(picture([50, 150]), contrast=1.0)[0][0, :, 0].tolist() == [0, 200]


def test_saturation_is_a_factor_on_the_distance_from_the_pixels_grey():
    pixel = Sample(np.array([[[200, 100, 50]]], np.uint8), 1, np.ones(2), np.ones(2))
    # its grey: 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2
    assert distorted(pixel, at=0.0, saturation=1.0)[0][0, 0].tolist() == [124] * 3
    made, ranges = distorted(pixel, at=0.0, saturation=0.5)
    assert made[0, 0].tolist() == [162, 112, 87] and ranges[2] == (0.5, 1.5)


def test_each_of_the_three_is_distorted_by_a_chance_of_its_own():
    pixel = Sample(np.array([[[200, 100, 50]]], np.uint8), 1, np.ones(2), np.ones(2))
    amounts = {"brightness": 0.1, "contrast": 0.2, "saturation": 0.3, "prob": 0.5}
    for i, bounds in enumerate([(0.9, 1.1), (0.8, 1.2), (0.7, 1.3)]):
        numbers = [0.5, 0.5, 0.5]  # not below prob
        numbers[i] = 0.49
        assert distorted(pixel, numbers, **amounts)[1] == [bounds]
    made, ranges = distorted(pixel, [0.5, 0.5, 0.5], **amounts)
    assert made.tolist() == pixel.image.tolist() and ranges == []
    assert RandomDistort() == RandomDistort(0.2, 0.2, 0.2, 0.8)


def test_values_are_cut_off_once_at_the_end():
    # 200 is 300 for a moment; its distance from the mean, 225, is then halved
    made, _ = distorted(picture([100, 200]), brightness=0.5, contrast=0.0)
    assert made[0, :, 0].tolist() == [150, 255]
    half = Half([0.0, 0.0, 1.0])
    made = RandomDistort(0.5, 0.5, 0.0)(picture([100, 200]), half).image
    assert made[0, :, 0].tolist() == [188, 255]  # 150 -> 187.5, 300 -> 262.5


class Half(Scripted):
    """The first range's end, then the second one's start."""

    def uniform(self, low, high):
        self.at = 1.0 if not self.ranges else 0.0
        return super().uniform(low, high)


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


def test_padding_by_default_is_to_multiples_of_32():
    small, large = PadBatch()([ones(32, 5), ones(4, 33)])
    assert small.image.shape == large.image.shape == (3, 32, 64)
    (exact,) = PadBatch()([ones(64, 32)])
    assert exact.image.shape == (3, 64, 32) and exact.image.all()
    assert PadBatch(1)([ones(3, 5)])[0].image.shape == (3, 3, 5)


def test_padding_keeps_values_and_what_belongs_to_them(sample, rng):
    steps = [NormalizeImage(is_scale=False, norm_type="none"), Permute()]
    made = apply_transforms(sample, steps, rng)
    (padded,) = PadBatch(8)([made])
    assert padded.image.shape == (3, 8, 16) and padded.image.dtype == np.float32
    assert (padded.image[:, :4, :10] == sample.image.transpose(2, 0, 1)).all()
    assert padded.image.sum() == sample.image.sum(dtype=np.float64)
    assert numbers(padded) == numbers(sample) and padded.scale_factor.tolist() == [1, 1]


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
        (lambda: RandomFlip(prob=-0.1), "prob"),
        (lambda: RandomTranspose(prob=None), "prob"),
        (lambda: RandomTranspose(prob=1.1), "prob"),
        (lambda: RandomResize(640, random_size=False, interp=3), "interp"),
        (lambda: RandomResize([[4, 9]], random_range=True), "target_size"),
        (lambda: RandomResize([[4, 9]], random_size=False), "target_size"),
        (lambda: Resize([6, 4, 0]), "target_size"),
        (lambda: RandomDistort(prob=2), "prob"),
        (lambda: RandomDistort(saturation=-1), "saturation"),
        (lambda: PadBatch(-2), "pad_to_stride"),
        (lambda: NormalizeImage(std=[1, 1]), "std"),
        (lambda: NormalizeImage(mean=["a", 0, 0]), "mean"),
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
