"""Our weights in torchvision's model; runs in torchvision's environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN

BLOCK_NAMES = "abcdef"
CONVS = (("conv1", "bn1", "branch2a"), ("conv2", "bn2", "branch2b"), ("conv3", "bn3", "branch2c"))
STATISTICS = {"running_mean": "_mean", "running_var": "_variance"}
Change = Callable[[Tensor], Tensor]


class Filler:
    """Puts arrays into layers, and knows which are still left.

    Args:
        arrays: our weights by state-dict name.
        frozen: names of those that are not trained.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], frozen: Iterable[str]):
        self.arrays, self.frozen = arrays, set(frozen)
        self.left = set(arrays)

    def put(self, layer: nn.Module, name: str, change: Change = lambda x: x) -> None:
        """Weight and bias of a layer, and a batch norm's statistics."""
        for field in ("weight", "bias", *STATISTICS):
            own = getattr(layer, field, None)
            source = f"{name}.{STATISTICS.get(field, field)}"
            if own is None or source not in self.arrays:
                continue
            value = change(torch.from_numpy(np.array(self.arrays[source], np.float32)))
            if own.shape != value.shape:
                raise ValueError(f"{source}: {list(value.shape)}, torchvision {list(own.shape)}")
            own.data.copy_(value)
            if isinstance(own, nn.Parameter):
                own.requires_grad_(source not in self.frozen)
            self.left.discard(source)

    def put_stage(self, stage: nn.Sequential, name: str) -> None:
        """A stage's blocks; ``name`` is that of the stage, like ``backbone.res2.res2``."""
        for block, letter in zip(stage, BLOCK_NAMES):
            for conv, norm, branch in CONVS:
                if hasattr(block, conv):
                    self.put(getattr(block, conv), f"{name}{letter}.{branch}.conv")
                    self.put(getattr(block, norm), f"{name}{letter}.{branch}.norm")
            if block.downsample is not None:
                self.put(block.downsample[0], f"{name}{letter}.short.conv")
                self.put(block.downsample[1], f"{name}{letter}.short.norm")

    def put_conv(self, layers: nn.Sequential, name: str) -> None:
        """A convolution, and the normalization behind it if there is one."""
        if f"{name}.conv.weight" in self.arrays:
            self.put(layers[0], f"{name}.conv")
            self.put(layers[1], f"{name}.norm")
        else:
            self.put(layers[0], name)


def fill(model: MaskRCNN, arrays: Mapping[str, np.ndarray], frozen: Iterable[str]) -> None:
    """Give torchvision's model our weights.

    Raises:
        ValueError: a shape differs, or a weight finds no place.
    """
    filler = Filler(arrays, frozen)
    _fill_backbone(model.backbone, filler)
    _fill_rpn(model.rpn, filler)
    _fill_box_head(model.roi_heads, filler)
    _fill_mask_head(model.roi_heads, filler)
    if filler.left:
        raise ValueError(f"{len(filler.left)} weights find no place, first {min(filler.left)}")


def _fill_backbone(backbone: nn.Module, filler: Filler) -> None:
    filler.put(backbone.conv1, "backbone.conv1.conv1.conv")
    filler.put(backbone.bn1, "backbone.conv1.conv1.norm")
    for number, stage in enumerate(backbone.stages, start=2):
        filler.put_stage(stage, f"backbone.res{number}.res{number}")
    if backbone.fpn is None:
        return
    stages = [number + 2 for number in backbone.kept]
    for i, number in enumerate(stages):
        lateral = "" if number == stages[-1] else "_lateral"
        inner = f"neck.fpn_inner_res{number}_sum{lateral}"
        filler.put_conv(backbone.fpn.inner_blocks[i], inner)
        filler.put_conv(backbone.fpn.layer_blocks[i], f"neck.fpn_res{number}_sum")


def _fill_rpn(rpn: nn.Module, filler: Filler) -> None:
    generator = rpn.anchor_generator
    ratios, sizes = len(generator.aspect_ratios[0]), len(generator.sizes[0])

    def ratio_by_ratio(rows: Tensor) -> Tensor:
        """Anchors of a cell: ours come size by size, torchvision's ratio by ratio."""
        by_size = rows.unflatten(0, (sizes, ratios, -1))
        return by_size.transpose(0, 1).flatten(0, 2)

    filler.put_conv(rpn.head.conv[0], "rpn_head.rpn_feat.rpn_conv")
    filler.put(rpn.head.cls_logits, "rpn_head.rpn_rois_score", ratio_by_ratio)
    filler.put(rpn.head.bbox_pred, "rpn_head.rpn_rois_delta", ratio_by_ratio)


def _fill_box_head(heads: nn.Module, filler: Filler) -> None:
    if hasattr(heads.box_head, "fc6"):
        for name in ("fc6", "fc7"):  # Paddle keeps products as [in, out]
            filler.put(getattr(heads.box_head, name), f"bbox_head.head.{name}", _transposed)
    else:
        filler.put_stage(heads.box_head[0], "bbox_head.head.res5.res5")
    classes = heads.box_predictor.cls_score.out_features

    def each_class(rows: Tensor) -> Tensor:
        """Rows of 4 for the background, which torchvision has, and for every class."""
        rows = _transposed(rows)
        if len(rows) == 4:  # one box for all classes
            return torch.cat([rows] * classes)
        return torch.cat([torch.zeros_like(rows[:4]), rows])

    last_to_first = lambda rows: _transposed(rows).roll(1, 0)  # noqa: E731  the background's place
    filler.put(heads.box_predictor.cls_score, "bbox_head.bbox_score", last_to_first)
    filler.put(heads.box_predictor.bbox_pred, "bbox_head.bbox_delta", each_class)


def _fill_mask_head(heads: nn.Module, filler: Filler) -> None:
    if not hasattr(heads.mask_head[0], "conv1"):  # else it is the box head's stage
        for number, layers in enumerate(heads.mask_head, start=1):
            filler.put_conv(layers, f"mask_head.head.upsample.mask_inter_feat_{number}")
    predictor = heads.mask_predictor
    filler.put(predictor.conv5_mask, "mask_head.head.upsample.conv5_mask")

    def with_background(rows: Tensor) -> Tensor:
        return torch.cat([torch.zeros_like(rows[:1]), rows])

    filler.put(predictor.mask_fcn_logits, "mask_head.mask_fcn_logits", with_background)


def _transposed(weight: Tensor) -> Tensor:
    """A product's weight [in, out] as [out, in]; a bias as it is."""
    return weight.T if weight.ndim == 2 else weight
