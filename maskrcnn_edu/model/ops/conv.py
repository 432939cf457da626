"""Convolutions with a bias, as `paddle.nn` has them, but quick on the CPU.

Paddle's CPU kernel for ``[N, C, h, w] + [1, C, 1, 1]`` takes longer than the
convolution before it. Two tensors of the same shape are added quickly: so there the bias
is expanded first. Names, shapes and numbers of the weights are those of `paddle.nn`.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn


class Conv2D(nn.Conv2D):
    """`paddle.nn.Conv2D` with stride, padding and bias."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, h, w] -> [N, out, h / stride, w / stride]."""
        return _add(F.conv2d(x, self.weight, stride=self._stride, padding=self._padding), self.bias)


class Conv2DTranspose(nn.Conv2DTranspose):
    """`paddle.nn.Conv2DTranspose` with stride and bias."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, in, h, w] -> [N, out, h * stride, w * stride]."""
        return _add(F.conv2d_transpose(x, self.weight, stride=self._stride), self.bias)


def _add(x: Tensor, bias: Tensor) -> Tensor:
    """[N, out, h, w] plus the bias [out] of every channel."""
    bias = bias.reshape([1, -1, 1, 1])
    # a recorded program is optimized by what runs it, and a GPU broadcasts quickly: simple there
    if not paddle.in_dynamic_mode() or x.place.is_gpu_place():
        return x + bias
    return x.add_(bias.expand(x.shape))  # in place: the largest maps have 100 MB
