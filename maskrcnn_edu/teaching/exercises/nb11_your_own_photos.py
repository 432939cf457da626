"""Exercises of 11_your_own_photos: the size of a resized image, and of a padded batch."""

from __future__ import annotations

import numpy as np

from maskrcnn_edu.data.coco import Sample
from maskrcnn_edu.data.transforms import PadBatch, Resize
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def _true_shape(height: int, width: int, short: int, limit: int) -> list:
    return list(Resize((short, limit)).new_size(height, width))


def _true_padding(shapes: list, stride: int) -> list:
    ones = np.ones(2, np.float32)
    images = [np.zeros([3, h, w], np.float32) for h, w in shapes]
    samples = [Sample(image, 0, ones, ones) for image in images]
    return list(PadBatch(stride)(samples)[0].image.shape[1:])


def _draw_image(random: np.random.Generator) -> tuple:
    height, width = random.integers(200, 1500, 2).tolist()
    # odd limits: no side ends at half a pixel, where rounding is a matter of taste
    return height, width, int(random.choice([127, 401, 799])), int(random.choice([1021, 1327]))


def _draw_batch(random: np.random.Generator) -> tuple:
    shapes = [tuple(shape) for shape in random.integers(10, 150, (3, 2)).tolist()]
    return shapes, int(random.choice([8, 16, 32]))


EXERCISES = (
    Exercise(
        "resized_shape",
        "11_your_own_photos",
        _true_shape,
        cases=[
            (480, 640, 800, 1333),
            (300, 900, 800, 1333),
            (2000, 1500, 640, 1000),
            (427, 640, 128, 160),
            (1800, 1000, 600, 900),
        ],
        shows="with a limit on both sides a panorama does not fill the memory.",
        draw_case=_draw_image,
        gives="size",
        tolerance=1e-9,
    ),
    Exercise(
        "padded_shape",
        "11_your_own_photos",
        _true_padding,
        cases=[
            ([(100, 150), (128, 90)], 32),
            ([(96, 64)], 32),
            ([(40, 100), (90, 20), (30, 30)], 32),
            ([(33, 20), (50, 60), (40, 65)], 16),
        ],
        shows="images of all sizes fit into one array; padded right and bottom, no box moves.",
        draw_case=_draw_batch,
        gives="size",
        tolerance=1e-9,
    ),
)
