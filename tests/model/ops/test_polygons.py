"""Many polygons at once, cell for cell like pycocotools' one by one."""

import numpy as np
import pycocotools.mask as coco_mask
import pytest

from maskrcnn_edu.model.mask.targets import rasterize_within_box, rasterize_within_boxes
from maskrcnn_edu.model.ops.polygons import fill_polygons
from maskrcnn_edu.structures import BitMask

KINDS = {
    "anywhere": lambda random, m, k: random.uniform(-m, 2 * m, [k, 2]),
    "on corners of cells": lambda random, m, k: random.integers(-3, m + 3, [k, 2]) * 1.0,
    "half way between fifths": lambda random, m, k: random.integers(-5, 5 * m, [k, 2]) / 5 + 0.1,
    "huge": lambda random, m, k: random.normal(m / 2, 50 * m, [k, 2]),
    "upright and level": lambda random, m, k: np.repeat(random.uniform(0, m, [k, 2]), 2, 0)[1:, :],
    "scaled like RoIs": lambda random, m, k: (
        (random.uniform(0, 300, [k, 2]) - 100) * np.float64(m / np.float32(random.uniform(5, 200)))
    ),
}


def one_by_one(polygons, resolution):
    """What pycocotools makes of them."""
    drawn = coco_mask.frPyObjects([p.reshape(-1).tolist() for p in polygons], *[resolution] * 2)
    return coco_mask.decode(drawn).transpose(2, 0, 1)


@pytest.mark.parametrize("resolution", [1, 2, 14, 28])
@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_is_that_of_pycocotools(kind, resolution):
    random = np.random.default_rng(resolution)
    corners = random.integers(3, 30, 60)
    polygons = [KINDS[kind](random, resolution, k) for k in corners]
    sizes = np.array([len(p) for p in polygons])
    found = fill_polygons(np.concatenate(polygons), sizes, resolution)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, one_by_one(polygons, resolution))
    assert 0 < found.mean() < 1


def test_the_middle_of_a_cell_decides():
    square = np.array([[0.0, 0], [2.5, 0], [2.5, 1.4], [0, 1.4]])
    assert fill_polygons(square, np.array([4]), 3)[0].tolist() == [[1, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_what_is_covered_twice_is_outside():
    square = np.array([[0.0, 0], [2, 0], [2, 2], [0, 2]])
    assert fill_polygons(np.concatenate([square, square]), np.array([8]), 2).sum() == 0


def test_all_at_once_is_like_one_after_the_other():
    random = np.random.default_rng(0)
    ring = BitMask((random.random([40, 30]) < 0.6).astype(np.uint8), np.float32([5, 5, 35, 45]))
    outline = random.uniform(0, 60, [12])
    segms = [
        [outline, outline[:8] + 9, outline[::-1].copy()],
        [outline[:4], outline],
        ring,
        [],
        [outline.astype(np.float32)],
        [outline[:2]],
    ] * 3
    corners = random.uniform(0, 30, [len(segms), 2])
    boxes = np.concatenate([corners, corners + random.uniform(-1, 40, [len(segms), 2])], axis=1)
    found = rasterize_within_boxes(segms, boxes.astype(np.float32), 14)
    expected = [rasterize_within_box(s, b, 14) for s, b in zip(segms, boxes.astype(np.float32))]
    np.testing.assert_array_equal(found, expected)
    assert found.any(axis=(1, 2)).sum() >= 6


def test_nothing_to_draw():
    assert rasterize_within_boxes([], np.zeros([0, 4], np.float32), 14).shape == (0, 14, 14)
