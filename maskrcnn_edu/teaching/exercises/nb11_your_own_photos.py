"""Exercises of 11_your_own_photos: the size of a resized image, and of a padded batch."""

from __future__ import annotations

import math

import numpy as np

from maskrcnn_edu.data.coco import Sample
from maskrcnn_edu.data.transforms import PadBatch, Resize
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def resized_shape(height: int, width: int, short: int, limit: int) -> list:
    """[height, width] of an image that keeps its shape.

    The shorter side becomes `short`, unless the longer one would be more than
    `limit`: then the longer one becomes `limit`. Sides are rounded to the
    nearest pixel.
    """
    scale = short / min(height, width)
    scale = min(scale, limit / max(height, width))
    return [int(height * scale + 0.5), int(width * scale + 0.5)]


def _true_shape(height: int, width: int, short: int, limit: int) -> list:
    return list(Resize((short, limit)).new_size(height, width))


def padded_shape(shapes: list, stride: int) -> list:
    """[height, width] that all images of a batch are padded to.

    `shapes` has (height, width) of every image. All must fit, and both sides
    must be multiples of `stride`.
    """
    height = max(h for h, w in shapes)
    width = max(w for h, w in shapes)
    return [math.ceil(side / stride) * stride for side in (height, width)]


def _true_padding(shapes: list, stride: int) -> list:
    ones = np.ones(2, np.float32)
    images = [np.zeros([3, h, w], np.float32) for h, w in shapes]
    samples = [Sample(image, 0, ones, ones) for image in images]
    return list(PadBatch(stride)(samples)[0].image.shape[1:])


EXERCISES = (
    Exercise(
        notebook="11_your_own_photos",
        task="How large is an image when it enters the network? Its short side has a wanted "
        "length, its long side a limit.",
        answer=resized_shape,
        truth=_true_shape,
        cases=[
            (480, 640, 800, 1333),
            (300, 900, 800, 1333),
            (2000, 1500, 640, 1000),
            (427, 640, 128, 160),
        ],
        mistakes={
            "the longer side has a limit": (
                "    scale = min(scale, limit / max(height, width))\n",
                "",
            ),
            "of the two scales take the smaller one": ("scale = min(scale,", "scale = max(scale,"),
            "short is for the shorter side": (
                "short / min(height, width)\n    scale = min(scale, limit / max(height, width))",
                "short / max(height, width)",
            ),
            "an image keeps its shape: both sides have one scale": (
                "[int(height * scale + 0.5), int(width * scale + 0.5)]",
                "[min(int(s * short / min(height, width) + 0.5), limit) for s in (height, width)]",
            ),
            "height goes first, then width": (
                "[int(height * scale + 0.5), int(width * scale + 0.5)]",
                "[int(width * scale + 0.5), int(height * scale + 0.5)]",
            ),
            "sides are rounded to the nearest pixel, not down": (
                "[int(height * scale + 0.5), int(width * scale + 0.5)]",
                "[int(height * scale), int(width * scale)]",
            ),
        },
        shows="with a limit on both sides a panorama does not fill the memory.",
        tolerance=1e-9,
    ),
    Exercise(
        notebook="11_your_own_photos",
        task="Images of different sizes become one batch. To which size are they padded?",
        answer=padded_shape,
        truth=_true_padding,
        cases=[
            ([(100, 150), (128, 90)], 32),
            ([(96, 64)], 32),
            ([(33, 20), (50, 60), (40, 65)], 16),
        ],
        mistakes={
            "round up, or the largest image is cut": ("math.ceil(", "math.floor("),
            "round up, not to the nearest multiple": ("math.ceil(", "round("),
            "a side that is a multiple already stays": (
                "math.ceil(side / stride) * stride",
                "(side // stride + 1) * stride",
            ),
            "the sides are not made multiples of the stride": (
                "math.ceil(side / stride) * stride",
                "side",
            ),
            "all images must fit, not only the first": (
                "    height = max(h for h, w in shapes)\n    width = max(w for h, w in shapes)",
                "    height, width = shapes[0]",
            ),
            "the image need not be square: each side has its own maximum": (
                "for side in (height, width)]",
                "for side in (max(height, width),) * 2]",
            ),
            "the largest height and width may be of different images": (
                "    height = max(h for h, w in shapes)\n    width = max(w for h, w in shapes)",
                "    height, width = max(shapes, key=lambda s: s[0] * s[1])",
            ),
        },
        shows="the feature maps of all strides divide evenly, and the padding is never trained on.",
        tolerance=1e-9,
    ),
)
