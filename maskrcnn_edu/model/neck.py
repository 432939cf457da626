"""FPN: give every feature level the meaning of the deepest and the sharpness of its own."""

from __future__ import annotations

from collections.abc import Sequence

import paddle.nn.functional as F
from paddle import Tensor, nn
from paddle.nn.initializer import XavierUniform

from maskrcnn_edu.model.backbone import make_conv
from maskrcnn_edu.model.checks import Count, ZeroOrOne, checked


class FPN(nn.Layer):
    """Feature pyramid: deep features are added, enlarged, to the shallower ones.

    Args:
        in_channels: channels of the backbone's features, shallow to deep.
        out_channel: channels of every level of the pyramid.
        norm_type: None, or ``bn``, ``sync_bn``, ``gn`` after every convolution.
        freeze_norm: see `ResNet`.
        spatial_scales: feature pixels per input pixel of the backbone's features.
        extra_stage: 1 adds one more, half as large, level at the top; 0 does not.

    Raises:
        ValueError: ``extra_stage`` is not 0 or 1, or more than four levels come in.

    Source: Lin et al., Feature Pyramid Networks, 2017.
    """

    @checked
    def __init__(
        self,
        in_channels: Sequence[int],
        out_channel: Count = 256,
        spatial_scales: Sequence[float] = (0.25, 0.125, 0.0625, 0.03125),
        extra_stage: ZeroOrOne = 1,
        norm_type: str | None = None,
        freeze_norm: bool = False,
    ):
        super().__init__()
        if not 1 <= len(in_channels) <= 4:
            raise ValueError(f"FPN takes 1 to 4 feature levels, got {len(in_channels)}")
        self.extra_stage = extra_stage
        self.lateral_names, self.output_names = [], []
        first = 6 - len(in_channels)  # the deepest level is res5
        for stage, channels in enumerate(in_channels, start=first):
            # the official weights call the deepest lateral layer by another name
            lateral = f"fpn_inner_res{stage}_sum" + ("" if stage == 5 else "_lateral")
            output = f"fpn_res{stage}_sum"
            init, norm = XavierUniform(fan_out=channels), (norm_type, freeze_norm)
            self.add_sublayer(lateral, make_conv(channels, out_channel, 1, init, *norm))
            init = XavierUniform(fan_out=out_channel * 3 * 3)
            self.add_sublayer(output, make_conv(out_channel, out_channel, 3, init, *norm))
            self.lateral_names.append(lateral)
            self.output_names.append(output)
        levels = len(in_channels) + extra_stage
        strides = [round(1 / scale) for scale in spatial_scales]
        self.out_strides = [*strides, 2 * strides[-1]][:levels]
        self.out_channels = [out_channel] * levels

    def forward(self, feats: list[Tensor]) -> list[Tensor]:
        """Features of rising stride [N, c, h, w] -> L levels [N, out_channel, h, w]."""
        laterals = [getattr(self, name)(f) for name, f in zip(self.lateral_names, feats)]
        for i in range(len(laterals) - 1, 0, -1):  # deep to shallow
            laterals[i - 1] = laterals[i - 1] + upsample_nearest_2x(laterals[i])
        levels = [getattr(self, name)(x) for name, x in zip(self.output_names, laterals)]
        if self.extra_stage:
            # every second pixel of the top level: large anchors need no new features
            levels.append(F.max_pool2d(levels[-1], kernel_size=1, stride=2))
        return levels


def upsample_nearest_2x(x: Tensor) -> Tensor:
    """Every pixel four times: [N, c, h, w] -> [N, c, 2 * h, 2 * w].

    What ``F.interpolate(mode="nearest")`` computes, but two to three times as quick on the
    CPU, and in operators that every exported program can run.
    """
    x = x.unsqueeze([3, 5]).expand([-1, -1, -1, 2, -1, 2])  # [N, c, h, 2, w, 2]
    return x.flatten(4, 5).flatten(2, 3)
