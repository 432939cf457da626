"""What happens to a sample between the file and the network.

Names and fields are those of PaddleDetection's readers, so a list like ::

    sample_transforms:
    - Decode: {}
    - RandomResize: {target_size: [[640, 1333], [800, 1333]], interp: 2}
    - RandomFlip: {prob: 0.5}
    - NormalizeImage: {is_scale: true, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
    - Permute: {}

can be read as it is. Every transform is a frozen dataclass; calling it with a sample
and a random generator returns a new sample, and the given one stays as it was.
Image and ground truth always move together: after each step the boxes and the
segmentations fit the image of that step. After the last, that is the input frame.

Resizing is Pillow's, which averages when it shrinks; PaddleDetection's OpenCV
does not, so pixels differ slightly from its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from maskrcnn_edu.data.coco import Sample
from maskrcnn_edu.data.image_file import read_image
from maskrcnn_edu.structures import BitMask, GroundTruth, Segmentation

Transform = Callable[[Sample, np.random.Generator], Sample]

INTERPOLATION = {
    0: Image.Resampling.NEAREST,
    1: Image.Resampling.BILINEAR,
    2: Image.Resampling.BICUBIC,
}
"""The ``interp`` codes, which are OpenCV's."""


def apply_transforms(
    sample: Sample, transforms: Sequence[Transform], rng: np.random.Generator
) -> Sample:
    """The sample after all transforms, in order."""
    for transform in transforms:
        sample = transform(sample, rng)
    return sample


# ---- geometry of the ground truth ------------------------------------------------


def scale_and_shift(
    gt: GroundTruth | None, scale: Sequence[float], shift: Sequence[float] = (0, 0)
) -> GroundTruth | None:
    """Ground truth with x and y replaced by ``scale * x + shift``; a negative scale mirrors.

    Resizing is a scale, mirroring an image of width w is scale -1 and shift w.

    Args:
        gt: numpy arrays; None stays None.
        scale: (x, y) factors, not 0.
        shift: (x, y) in pixels of the result.
    """
    if gt is None:
        return None
    scale, shift = np.array(scale, np.float64), np.array(shift, np.float64)

    def move_boxes(boxes: np.ndarray) -> np.ndarray:
        corners = boxes.reshape(-1, 2, 2) * scale + shift
        # mirroring makes the left edge the right one
        corners = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
        return corners.reshape(boxes.shape).astype(np.float32)

    def move(segm: Segmentation) -> Segmentation:
        if isinstance(segm, BitMask):
            pixels = segm.pixels[:: -1 if scale[1] < 0 else 1, :: -1 if scale[0] < 0 else 1]
            return BitMask(pixels, move_boxes(segm.box))
        return [(part.reshape(-1, 2) * scale + shift).ravel() for part in segm]

    return replace(gt, boxes=move_boxes(gt.boxes), segms=[move(segm) for segm in gt.segms])


def swap_axes(gt: GroundTruth | None) -> GroundTruth | None:
    """Ground truth with x and y exchanged; None stays None."""
    if gt is None:
        return None

    def swap(segm: Segmentation) -> Segmentation:
        if isinstance(segm, BitMask):
            return BitMask(segm.pixels.T, segm.box[[1, 0, 3, 2]])
        return [part.reshape(-1, 2)[:, ::-1].ravel() for part in segm]

    return replace(gt, boxes=gt.boxes[:, [1, 0, 3, 2]], segms=[swap(segm) for segm in gt.segms])


# ---- sample transforms -----------------------------------------------------------


@dataclass(frozen=True)
class Decode:
    """Read the image of a sample that has only its path; others pass unchanged.

    Raises (when called):
        UnreadableImage: the file cannot be used; the message says why, see `read_image`.
    """

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if sample.image is not None:
            return sample
        height, width = sample.im_shape.astype(int).tolist()
        return replace(sample, image=read_image(sample.path, (height, width)))


@dataclass(frozen=True)
class Resize:
    """Resize to a target size; needs a uint8 image.

    Attributes:
        target_size: one number or a pair. With ``keep_ratio`` (short side, long
            side): the image becomes as large as it can with neither side above
            its limit. Without, (height, width).
        interp: 0 nearest, 1 bilinear, 2 bicubic.
        keep_ratio: see ``target_size``.
    """

    target_size: int | Sequence[int]
    interp: int = 1
    keep_ratio: bool = True

    def __post_init__(self) -> None:
        _check(self, "target_size", _is_size(self.target_size), _A_SIZE)
        _check_interp(self)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        old_h, old_w = _uint8_image(sample, self).shape[:2]
        new_h, new_w = self.new_size(old_h, old_w)
        image = Image.fromarray(sample.image).resize((new_w, new_h), INTERPOLATION[self.interp])
        # what happened to each axis, which rounding makes differ from what was asked for
        ratio_y, ratio_x = new_h / old_h, new_w / old_w
        return replace(
            sample,
            image=np.array(image),
            im_shape=np.array([new_h, new_w], np.float32),
            scale_factor=sample.scale_factor * np.array([ratio_y, ratio_x], np.float32),
            gt=scale_and_shift(sample.gt, (ratio_x, ratio_y)),
        )

    def new_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) that an image of this size is resized to."""
        size = self.target_size
        first, second = (size, size) if isinstance(size, int) else size
        if not self.keep_ratio:
            return first, second
        short, long = min(first, second), max(first, second)
        scale = min(short / min(height, width), long / max(height, width))
        return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


@dataclass(frozen=True)
class RandomResize:
    """`Resize` to a size that is drawn anew for each sample.

    Attributes:
        target_size: a list of sizes to choose from; one size if ``random_size``
            is off; the two ends ``[[short, long], [short, long]]`` if
            ``random_range`` is on.
        interp: see `Resize`.
        keep_ratio: see `Resize`.
        random_range: draw the short side between the ends; the long side is the larger.
        random_size: choose from the list.
    """

    target_size: int | Sequence[int] | Sequence[Sequence[int]]
    interp: int = 1
    keep_ratio: bool = True
    random_range: bool = False
    random_size: bool = True

    def __post_init__(self) -> None:
        sizes = self.target_size
        several = isinstance(sizes, Sequence) and len(sizes) > 0 and all(map(_is_size, sizes))
        if self.random_range:
            ends = several and len(sizes) == 2 and all(isinstance(s, Sequence) for s in sizes)
            ordered = ends and sizes[0][0] <= sizes[1][0]
            _check(self, "target_size", ordered, "[[short, long], [short, long]], rising")
        elif self.random_size:
            _check(self, "target_size", several, "a list of sizes")
        else:
            _check(self, "target_size", _is_size(sizes), _A_SIZE)
        _check_interp(self)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        return Resize(self._sample_size(rng), self.interp, self.keep_ratio)(sample, rng)

    def _sample_size(self, rng: np.random.Generator) -> int | Sequence[int]:
        if self.random_range:
            (low, long_a), (high, long_b) = self.target_size
            return int(rng.integers(low, high + 1)), max(long_a, long_b)
        if self.random_size:
            return self.target_size[rng.integers(len(self.target_size))]
        return self.target_size


@dataclass(frozen=True)
class RandomFlip:
    """Mirror the image and its ground truth.

    Attributes:
        prob: how often, 0 .. 1.
        direction: "horizontal" exchanges left and right, "vertical" top and bottom.
    """

    prob: float = 0.5
    direction: str = "horizontal"

    def __post_init__(self) -> None:
        _check_prob(self)
        known = self.direction in ("horizontal", "vertical")
        _check(self, "direction", known, '"horizontal" or "vertical"')

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        height, width = _image(sample, self).shape[:2]
        if self.direction == "horizontal":
            axis, scale, shift = 1, (-1, 1), (width, 0)
        else:
            axis, scale, shift = 0, (1, -1), (0, height)
        gt = scale_and_shift(sample.gt, scale, shift)
        return replace(sample, image=np.flip(sample.image, axis), gt=gt)


@dataclass(frozen=True)
class RandomTranspose:
    """Exchange x and y; together with both flips this makes all quarter turns.

    Attributes:
        prob: how often, 0 .. 1.
    """

    prob: float = 0.5

    def __post_init__(self) -> None:
        _check_prob(self)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        if rng.random() >= self.prob:
            return sample
        return replace(
            sample,
            image=_image(sample, self).transpose(1, 0, 2),
            im_shape=sample.im_shape[::-1],
            scale_factor=sample.scale_factor[::-1],
            gt=swap_axes(sample.gt),
        )


@dataclass(frozen=True)
class RandomDistort:
    """Change brightness, contrast and saturation, each by a random factor; uint8 stays uint8.

    The factor of a field f is drawn from 1 - f .. 1 + f.

    Attributes:
        brightness: 0 .. 1, a factor on all values.
        contrast: 0 .. 1, a factor on the distance from the image's mean grey.
        saturation: 0 .. 1, a factor on the distance from the pixel's own grey.
        prob: how often each of the three is changed, 0 .. 1.
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2
    prob: float = 0.8

    def __post_init__(self) -> None:
        for field in ("brightness", "contrast", "saturation", "prob"):
            _check(self, field, _is_number(getattr(self, field), 0, 1), _ZERO_TO_ONE)

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        pixels = _uint8_image(sample, self).astype(np.float32)
        pixels = pixels * self._factor(self.brightness, rng)
        mean = _grey(pixels).mean()
        pixels = mean + (pixels - mean) * self._factor(self.contrast, rng)
        grey = _grey(pixels)
        pixels = grey + (pixels - grey) * self._factor(self.saturation, rng)
        return replace(sample, image=np.clip(pixels + 0.5, 0, 255).astype(np.uint8))

    def _factor(self, most: float, rng: np.random.Generator) -> np.float32:
        if rng.random() >= self.prob:
            return np.float32(1)
        return np.float32(rng.uniform(1 - most, 1 + most))


@dataclass(frozen=True)
class NormalizeImage:
    """Make the image float32, and its channels of mean 0 and deviation 1.

    Attributes:
        is_scale: divide by 255 first; ``mean`` and ``std`` are for the result.
        mean: of R, G, B; the default is ImageNet's, as is that of ``std``.
        std: of R, G, B.
        norm_type: "mean_std", or "none" to leave mean and deviation alone.
    """

    is_scale: bool = True
    mean: Sequence[float] = (0.485, 0.456, 0.406)
    std: Sequence[float] = (0.229, 0.224, 0.225)
    norm_type: str = "mean_std"

    def __post_init__(self) -> None:
        _check(self, "mean", _are_three(self.mean, -math.inf), "three numbers")
        _check(self, "std", _are_three(self.std, 1e-9), "three numbers above 0")
        _check(self, "norm_type", self.norm_type in ("mean_std", "none"), '"mean_std" or "none"')

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        # one channel after the other: numpy is slow with rows of three numbers
        channels = _image(sample, self).transpose(2, 0, 1).astype(np.float32, order="C")
        if self.is_scale:
            channels /= np.float32(255)
        if self.norm_type == "mean_std":
            for channel, mean, std in zip(channels, self.mean, self.std):
                channel -= np.float32(mean)
                channel /= np.float32(std)
        return replace(sample, image=channels.transpose(1, 2, 0))


@dataclass(frozen=True)
class Permute:
    """[h, w, 3] -> [3, h, w], the layout that Paddle's convolutions expect."""

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        image = np.ascontiguousarray(_image(sample, self).transpose(2, 0, 1))
        return replace(sample, image=image)


# ---- batch transforms ------------------------------------------------------------


@dataclass(frozen=True)
class PadBatch:
    """Pad the images of a batch with zeros, right and bottom, to one common size.

    The ground truth stays where it is, and ``im_shape`` is the size without padding.

    Attributes:
        pad_to_stride: height and width become multiples of it, so that every
            feature level divides evenly; 0 or -1: no such need.
    """

    pad_to_stride: int = 32

    def __post_init__(self) -> None:
        whole = isinstance(self.pad_to_stride, int) and self.pad_to_stride >= -1
        _check(self, "pad_to_stride", whole, "a whole number, -1 or more")

    def __call__(self, samples: Sequence[Sample]) -> list[Sample]:
        """Samples of [3, h, w] images -> samples of [3, H, W] images.

        Raises:
            ValueError: an image has another layout.
        """
        for sample in samples:
            if sample.image is None or sample.image.ndim != 3 or sample.image.shape[0] != 3:
                raise ValueError("PadBatch needs images [3, h, w]; put Permute before it")
        step = max(self.pad_to_stride, 1)
        height, width = (
            math.ceil(max(sample.image.shape[axis] for sample in samples) / step) * step
            for axis in (1, 2)
        )
        return [replace(s, image=_pad(s.image, height, width)) for s in samples]


def _pad(image: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.pad(image, [(0, 0), (0, height - image.shape[1]), (0, width - image.shape[2])])


TRANSFORMS: dict[str, type] = {
    each.__name__: each
    for each in (
        Decode, Resize, RandomResize, RandomFlip, RandomTranspose, RandomDistort,
        NormalizeImage, Permute,
    )
}  # fmt: skip
"""What a configuration may list under ``sample_transforms``."""

BATCH_TRANSFORMS: dict[str, type] = {"PadBatch": PadBatch}
"""What a configuration may list under ``batch_transforms``."""


# ---- checks ----------------------------------------------------------------------

_A_SIZE = "a whole number above 0, or two of them"
_ZERO_TO_ONE = "a number from 0 to 1"


def _check(transform: Any, field: str, good: bool, need: str) -> None:
    if not good:
        name, value = type(transform).__name__, getattr(transform, field)
        raise ValueError(f"{name}.{field} is {value!r}, but must be {need}")


def _check_interp(transform: Any) -> None:
    known = isinstance(transform.interp, int) and transform.interp in INTERPOLATION
    _check(transform, "interp", known, "0 (nearest), 1 (bilinear) or 2 (bicubic)")


def _check_prob(transform: Any) -> None:
    _check(transform, "prob", _is_number(transform.prob, 0, 1), _ZERO_TO_ONE)


def _is_number(value: Any, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and low <= value <= high


def _are_three(values: Any, low: float) -> bool:
    good = isinstance(values, Sequence) and len(values) == 3
    return good and all(_is_number(value, low, math.inf) for value in values)


def _is_size(size: Any) -> bool:
    sides = (size, size) if isinstance(size, int) else size
    good = isinstance(sides, Sequence) and len(sides) == 2
    return good and all(isinstance(side, int) and side > 0 for side in sides)


def _image(sample: Sample, transform: Any) -> np.ndarray:
    """The image, [h, w, 3]; an error says what is missing in the list of transforms."""
    if sample.image is None or sample.image.shape[2:] != (3,):
        name = type(transform).__name__
        raise ValueError(f"{name} needs an image [h, w, 3]: put Decode before it, Permute after it")
    return sample.image


def _uint8_image(sample: Sample, transform: Any) -> np.ndarray:
    image = _image(sample, transform)
    if image.dtype != np.uint8:
        name = type(transform).__name__
        raise ValueError(f"{name} needs a uint8 image: put NormalizeImage after it")
    return image


def _grey(pixels: np.ndarray) -> np.ndarray:
    """[h, w, 3] -> [h, w, 1], how bright the eye finds each pixel."""
    return pixels @ np.array([[0.299], [0.587], [0.114]], np.float32)
