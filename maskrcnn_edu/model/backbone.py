"""ResNet, and its last stage used as a head (Res5Head).

Layer names (``res2a``, ``branch2b``, ``short``) are those of the official weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import paddle.nn.functional as F
from paddle import ParamAttr, Tensor, nn
from paddle.nn.initializer import Initializer

from maskrcnn_edu.model.checks import Count, Range, checked
from maskrcnn_edu.model.ops.conv import Conv2D
from maskrcnn_edu.model.ops.empty import apply_nonempty

# blocks in stages res2, res3, res4, res5
STAGE_BLOCKS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
Depth = Annotated[int, Range(f"one of {list(STAGE_BLOCKS)}", lambda depth: depth in STAGE_BLOCKS)]
Stages = Annotated[int, Range("1 .. 4", lambda stages: 1 <= stages <= 4)]
GROUP_SIZE_LIMIT = 32


def make_norm(norm_type: str, channels: int, freeze_norm: bool = False) -> nn.Layer:
    """A normalization layer over [N, channels, h, w].

    Args:
        norm_type: ``bn`` (over the batch), ``sync_bn`` (over the batches of all
            devices) or ``gn`` (over groups of channels, whatever the batch).
        channels: number of channels.
        freeze_norm: use the stored mean and variance and train nothing. With the
            few images that fit on a device, the statistics of the pretraining are
            better than those of the batch.

    Raises:
        ValueError: unknown ``norm_type``.
    """
    attr = ParamAttr(trainable=not freeze_norm)
    if norm_type == "gn":
        groups = max(g for g in range(1, GROUP_SIZE_LIMIT + 1) if channels % g == 0)
        return nn.GroupNorm(groups, channels, weight_attr=attr, bias_attr=attr)
    if norm_type == "bn" or (norm_type == "sync_bn" and freeze_norm):
        stored = True if freeze_norm else None
        return nn.BatchNorm2D(channels, weight_attr=attr, bias_attr=attr, use_global_stats=stored)
    if norm_type == "sync_bn":
        return nn.SyncBatchNorm(channels, weight_attr=attr, bias_attr=attr)
    raise ValueError(f"norm_type must be one of bn, sync_bn, gn; got {norm_type!r}")


class ConvNormLayer(nn.Layer):
    """Convolution without bias, normalization, and (if asked for) ReLU."""

    def __init__(
        self,
        ch_in: int,
        ch_out: int,
        filter_size: int,
        stride: int = 1,
        relu: bool = False,
        norm_type: str = "bn",
        freeze_norm: bool = True,
        weight_attr: ParamAttr | None = None,
    ):
        super().__init__()
        self.conv = nn.Conv2D(
            ch_in,
            ch_out,
            filter_size,
            stride,
            padding=(filter_size - 1) // 2,
            weight_attr=weight_attr,
            bias_attr=False,  # the normalization that follows has one
        )
        self.norm = make_norm(norm_type, ch_out, freeze_norm)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """[N, ch_in, h, w] -> [N, ch_out, h / stride, w / stride]."""
        x = self.norm(self.conv(x))
        return F.relu(x) if self.relu else x


def make_conv(
    ch_in: int,
    ch_out: int,
    size: int,
    initializer: Initializer,
    norm_type: str | None,
    freeze_norm: bool = False,
) -> nn.Layer:
    """A convolution with a bias, or one with a normalization if there is a ``norm_type``."""
    attr = ParamAttr(initializer=initializer)
    if norm_type is None:
        return Conv2D(ch_in, ch_out, size, padding=size // 2, weight_attr=attr)
    norm = {"norm_type": norm_type, "freeze_norm": freeze_norm}
    return ConvNormLayer(ch_in, ch_out, size, weight_attr=attr, **norm)


class BasicBlock(nn.Layer):
    """Two 3x3 convolutions and a shortcut (ResNet-18 and 34)."""

    expansion = 1

    def __init__(self, ch_in: int, ch_out: int, stride: int, shortcut: bool, **norm):
        super().__init__()
        self.branch2a = ConvNormLayer(ch_in, ch_out, 3, stride, relu=True, **norm)
        self.branch2b = ConvNormLayer(ch_out, ch_out, 3, **norm)
        self.short = nn.Identity() if shortcut else ConvNormLayer(ch_in, ch_out, 1, stride, **norm)

    def forward(self, x: Tensor) -> Tensor:
        """[N, ch_in, h, w] -> [N, ch_out, h / stride, w / stride]."""
        return F.relu(self.branch2b(self.branch2a(x)) + self.short(x))


class BottleNeck(nn.Layer):
    """1x1 to fewer channels, 3x3, 1x1 to four times as many, and a shortcut (ResNet-50 up)."""

    expansion = 4

    def __init__(self, ch_in: int, ch_out: int, stride: int, shortcut: bool, **norm):
        super().__init__()
        wide = ch_out * self.expansion
        self.branch2a = ConvNormLayer(ch_in, ch_out, 1, relu=True, **norm)
        self.branch2b = ConvNormLayer(ch_out, ch_out, 3, stride, relu=True, **norm)
        self.branch2c = ConvNormLayer(ch_out, wide, 1, **norm)
        self.short = nn.Identity() if shortcut else ConvNormLayer(ch_in, wide, 1, stride, **norm)

    def forward(self, x: Tensor) -> Tensor:
        """[N, ch_in, h, w] -> [N, 4 * ch_out, h / stride, w / stride]."""
        return F.relu(self.branch2c(self.branch2b(self.branch2a(x))) + self.short(x))


def block_name(stage: int, index: int, count: int) -> str:
    """Name of a block in the official weights: res4a, res4b, ... or res4b1, res4b2, ..."""
    if stage == 4 and count > 10 and index > 0:
        return f"res{stage}b{index}"
    return f"res{stage}{chr(ord('a') + index)}"


class Blocks(nn.Sequential):
    """One stage of a ResNet: blocks in a row; the first one may halve the size."""

    def __init__(
        self, depth: int, ch_in: int, ch_out: int, count: int, stage: int, stride: int, **norm
    ):
        block = BottleNeck if depth >= 50 else BasicBlock
        wide = ch_out * block.expansion
        first = block(ch_in, ch_out, stride, shortcut=False, **norm)
        rest = [block(wide, ch_out, 1, shortcut=True, **norm) for _ in range(count - 1)]
        named = [(block_name(stage, i, count), b) for i, b in enumerate([first, *rest])]
        super().__init__(*named)
        self.out_channel = wide


class ResNet(nn.Layer):
    """Residual network: an image becomes feature maps of stride 4, 8, 16 and 32.

    Args:
        depth: 10 (one block per stage), 18, 34, 50, 101 or 152.
        ch_in: channels after the first convolution.
        ch_out_list: channels of stages res2 .. res5 (times 4 from depth 50 on).
        norm_type: ``bn``, ``sync_bn`` or ``gn``.
        freeze_norm: train no normalization, use the stored statistics.
        freeze_at: freeze the first convolution and stages up to this index
            (0 is res2); -1 freezes nothing.
        return_idx: stages whose features are returned (0 is res2, 2 is res4).
        num_stages: how many stages there are, 1 .. 4.

    Raises:
        ValueError: an impossible value; the message names the argument.

    Source: He et al., Deep Residual Learning, 2015; document, configuration.
    """

    @checked
    def __init__(
        self,
        depth: Depth = 50,
        ch_in: Count = 64,
        ch_out_list: Sequence[Count] = (64, 128, 256, 512),
        norm_type: str = "bn",
        freeze_norm: bool = True,
        freeze_at: int = 0,
        return_idx: Sequence[int] = (0, 1, 2, 3),
        num_stages: Stages = 4,
    ):
        super().__init__()
        _check_stages(num_stages, ch_out_list, freeze_at, return_idx)
        norm = {"norm_type": norm_type, "freeze_norm": freeze_norm}
        self.return_idx = list(return_idx)
        self.conv1 = nn.Sequential(("conv1", ConvNormLayer(3, ch_in, 7, 2, relu=True, **norm)))
        self.stage_names = [f"res{i + 2}" for i in range(num_stages)]
        channels = []
        for i, name in enumerate(self.stage_names):
            stride = 1 if i == 0 else 2  # the pooling before res2 has halved the size already
            stage = Blocks(
                depth, ch_in, ch_out_list[i], STAGE_BLOCKS[depth][i], i + 2, stride, **norm
            )
            self.add_sublayer(name, stage)
            ch_in = stage.out_channel
            channels.append(ch_in)
        self.out_channels = [channels[i] for i in self.return_idx]
        self.out_strides = [4 * 2**i for i in self.return_idx]
        self._freeze(freeze_at)

    def _freeze(self, freeze_at: int) -> None:
        """Edges and colours are the same everywhere: the early layers need no retraining."""
        if freeze_at < 0:
            return
        frozen = [self.conv1, *(getattr(self, n) for n in self.stage_names[: freeze_at + 1])]
        for parameter in (p for layer in frozen for p in layer.parameters()):
            parameter.stop_gradient = True

    def forward(self, image: Tensor) -> list[Tensor]:
        """[N, 3, H, W] -> features [N, c, H / stride, W / stride], one per ``return_idx``."""
        x = self.conv1(image)
        x = F.max_pool2d(x, kernel_size=3, stride=2, padding=1)
        feats = []
        for name in self.stage_names:
            x = getattr(self, name)(x)
            feats.append(x)
        return [feats[i] for i in self.return_idx]


def _check_stages(num_stages, ch_out_list, freeze_at, return_idx) -> None:
    rising = list(return_idx) == sorted(set(return_idx))
    if not return_idx or not rising or not 0 <= return_idx[0] <= return_idx[-1] < num_stages:
        last = f"{num_stages - 1} (num_stages - 1)"
        raise ValueError(f"return_idx must name stages 0 .. {last}, rising, got {return_idx}")
    if not -1 <= freeze_at < num_stages:
        raise ValueError(f"freeze_at must be -1 (nothing) .. {num_stages - 1}, got {freeze_at}")
    if len(ch_out_list) < num_stages:
        raise ValueError(f"ch_out_list needs {num_stages} numbers (num_stages), got {ch_out_list}")


class Res5Head(nn.Layer):
    """The fifth stage of a ResNet, applied to every RoI on its own (C4 models).

    Args:
        depth: below 50 the stage is made of `BasicBlock`, else of `BottleNeck`.
        in_channel: channels of the RoI features.
        ch_out: channels of the stage (times 4 from depth 50 on).
        norm_type, freeze_norm: as in `ResNet`.

    Source: Mask R-CNN paper, figure 4 left; document, "bbox head" (Res5Head).
    """

    @checked
    def __init__(
        self,
        depth: Depth = 50,
        in_channel: int = 1024,
        ch_out: Count = 512,
        norm_type: str = "bn",
        freeze_norm: bool = True,
    ):
        super().__init__()
        norm = {"norm_type": norm_type, "freeze_norm": freeze_norm}
        self.res5 = Blocks(depth, in_channel, ch_out, count=3, stage=5, stride=2, **norm)
        self.out_channel = self.res5.out_channel

    def forward(self, roi_feat: Tensor) -> Tensor:
        """[R, in_channel, r, r] -> [R, out_channel, r / 2, r / 2]."""
        return apply_nonempty(self.res5, roi_feat)
