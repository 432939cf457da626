"""Exercises of 05_roi_align: one bilinear sample, and the level that fits a box."""

from __future__ import annotations

import numpy as np
import paddle

from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def _true_sample(feature: np.ndarray, x: float, y: float) -> float:
    """RoIAlign of one cell with one sample takes it in the middle of its box."""
    align = RoIAlign(resolution=1, spatial_scale=1.0, sampling_ratio=1, aligned=True)
    box = paddle.to_tensor([[x - 0.5, y - 0.5, x + 0.5, y + 0.5]], dtype="float32")
    return align([paddle.to_tensor(feature[None, None], dtype="float32")], [box]).item()


def _true_level(box: list, canonical_size: float) -> int:
    """RoIAlign tells it if every level's features are its own number."""
    features = [paddle.full([1, 1, 512 >> k, 512 >> k], float(k)) for k in (2, 3, 4, 5)]
    scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32]
    align = RoIAlign(1, scales, sampling_ratio=1, canonical_size=canonical_size, aligned=True)
    return round(align(features, [paddle.to_tensor([box], dtype="float32")]).item())


def _draw_point(random: np.random.Generator) -> tuple:
    return random.integers(0, 12, (5, 6)).astype(float), *random.uniform(1.6, 3.4, 2).round(2)


def _draw_box(random: np.random.Generator) -> tuple:
    canonical_size = int(random.choice([56, 112, 224]))
    # well between two levels: the root of a float32 area need not be exact
    side = canonical_size * 2 ** (random.integers(-3, 1) + random.uniform(0.1, 0.9))
    width = min(side * random.uniform(0.7, 1.4), 500)
    x, y = random.uniform(0, 500 - width), random.uniform(0, max(500 - side * side / width, 0))
    return np.round([x, y, x + width, y + side * side / width], 2).tolist(), canonical_size


_FEATURE = np.array(
    [[0.0, 1, 4, 9, 2], [2, 8, 5, 7, 0], [6, 3, 1, 11, 5], [4, 0, 7, 2, 12], [1, 9, 3, 8, 6]]
)

EXERCISES = (
    Exercise(
        "bilinear",
        "05_roi_align",
        _true_sample,
        cases=[(_FEATURE, 1.75, 2.25), (_FEATURE, 3.1, 1.9), (_FEATURE, 2.5, 1.5)],
        shows="the feature moves smoothly with the box, which is what RoIAlign is for.",
        draw_case=_draw_point,
    ),
    Exercise(
        "pyramid_level",
        "05_roi_align",
        _true_level,
        cases=[
            ([10.0, 10, 234, 234], 224),
            ([10.0, 10, 233, 233], 224),
            ([0.0, 0, 100, 500], 224),
            ([0.0, 0, 480, 460], 224),
            ([0.0, 0, 500, 500], 60),
            ([4.0, 4, 12, 12], 224),
            ([40.0, 40, 140, 140], 112),
            ([10.0, 0, 200, 30], 112),
        ],
        shows="every level sees boxes of about the same number of cells.",
        draw_case=_draw_box,
    ),
)
