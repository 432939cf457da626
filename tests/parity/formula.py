"""The weights of the golden models, from a formula instead of a file (numpy only).

Each parameter has a random stream of its own, seeded by the CRC-32 of its state-dict
name, so that the weights depend on neither the order of the layers nor the framework.

running variance   0.8 .. 1.2, uniform
running mean       0.1 z        (z: standard normal)
norm scale         g (1 + 0.1 z); g is 0.2 in ``branch2c``, 0.6 in ``short``, else 1
norm shift         0.1 z
bias               b z; b is 0.2 for the two score layers, else 0.05. The box score of
                   background has 6 added, so that few RoIs seem to be objects.
weight             gain z / sqrt(fan in)
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np

GAINS = {
    "rpn_rois_score": 2.5,
    "rpn_rois_delta": 0.3,
    "bbox_score": 3.5,
    "bbox_delta": 2.0,
    "cot_bbox_score": 3.5,
    "mask_fcn_logits": 4.0,
}
PYRAMID_GAIN = 0.6  # of the layers whose names begin with "fpn_"
OTHER_GAIN = math.sqrt(2.0)
SCORE_LAYERS = ("bbox_score", "rpn_rois_score")
BACKGROUND_BONUS = 6.0
TRANSPOSED = "conv5_mask"  # its weight is [in, out, kh, kw]


def weight(name: str, shape: Sequence[int]) -> np.ndarray:
    """The float32 array of one state-dict entry."""
    stream = np.random.RandomState(zlib.crc32(name.encode("utf-8")))
    if name.endswith("._variance"):
        value = 0.8 + 0.4 * stream.random_sample(shape)
    else:
        value = _from_normal(name, stream.standard_normal(shape))
    return value.astype(np.float32)


def _from_normal(name: str, z: np.ndarray) -> np.ndarray:
    if name.endswith(("._mean", ".norm.bias")):
        return 0.1 * z
    if name.endswith(".norm.weight"):
        scale = 0.2 if "branch2c" in name else 0.6 if ".short." in name else 1.0
        return scale * (1.0 + 0.1 * z)
    layer = name.split(".")[-2]
    if name.endswith(".bias"):
        bias = (0.2 if layer in SCORE_LAYERS else 0.05) * z
        if layer == "bbox_score":
            bias[-1] += BACKGROUND_BONUS
        return bias
    gain = GAINS.get(layer, PYRAMID_GAIN if layer.startswith("fpn_") else OTHER_GAIN)
    return gain * z / math.sqrt(_fan_in(layer, z.shape))


def _fan_in(layer: str, shape: Sequence[int]) -> int:
    if len(shape) == 2 or layer == TRANSPOSED:
        return shape[0]
    return max(1, math.prod(shape[1:]))
