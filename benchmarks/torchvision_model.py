"""torchvision's Mask R-CNN, of the sizes of a configuration and with our weights.

Runs in an environment of its own; nothing of this package is imported. The classes are
torchvision's. What it lacks is put together from its parts: a backbone with few channels (its
`ResNet` has fixed ones), and a fifth stage as the box head. The differences that remain are its
own: RoIAlign without the half pixel, anchors rounded to whole pixels, other losses for boxes
(smooth L1), the shared feature of C4 computed twice for foreground RoIs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

DEPTHS = {
    10: (BasicBlock, (1, 1, 1, 1)), 18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)), 50: (Bottleneck, (3, 4, 6, 3)),
}  # fmt: skip
"""Kind of block, and how many in each stage; as in `maskrcnn_edu.model.backbone`."""
WIDTHS = (64, 128, 256, 512)
Norm = Callable[[int], nn.Module]


def make_norm(section: Mapping[str, Any]) -> Norm:
    """What normalizes ``channels``, as a section of the configuration has it."""
    if section.get("norm_type", "bn") == "gn":
        return lambda channels: nn.GroupNorm(groups_of(channels), channels)
    return FrozenBatchNorm2d if section.get("freeze_norm", True) else nn.BatchNorm2d


def groups_of(channels: int) -> int:
    """As many groups as divide the channels, at most 32."""
    return max(g for g in range(1, 33) if channels % g == 0)


def make_stage(
    kind: type, count: int, entry: int, width: int, stride: int, norm: Norm
) -> nn.Sequential:
    """Residual blocks; the first one has the stride, and always a projection."""
    out = width * kind.expansion
    shortcut = nn.Sequential(nn.Conv2d(entry, out, 1, stride, bias=False), norm(out))
    first = kind(entry, width, stride, shortcut, norm_layer=norm)
    return nn.Sequential(first, *(kind(out, width, norm_layer=norm) for _ in range(count - 1)))


class Backbone(nn.Module):
    """Stem, stages, and a pyramid if the configuration has one; maps ``"0"``, ``"1"``, ..."""

    def __init__(self, config: Mapping[str, Any]):
        super().__init__()
        resnet = config["ResNet"]
        kind, counts = DEPTHS[resnet["depth"]]
        norm, entry = make_norm(resnet), resnet.get("ch_in", 64)
        self.conv1, self.bn1 = nn.Conv2d(3, entry, 7, 2, 3, bias=False), norm(entry)
        self.stages, out = nn.ModuleList(), []
        widths = resnet.get("ch_out_list", WIDTHS)
        for i, (count, width) in enumerate(zip(counts, widths[: resnet.get("num_stages", 4)])):
            self.stages.append(make_stage(kind, count, entry, width, min(i + 1, 2), norm))
            entry = width * kind.expansion
            out.append(entry)
        self.kept = resnet["return_idx"]
        self.out_channels, self.fpn = out[self.kept[-1]], None
        if config["MaskRCNN"].get("neck"):
            self.out_channels = config["FPN"].get("out_channel", 256)
            around = config["FPN"].get("norm_type") and make_norm(config["FPN"])
            self.fpn = FeaturePyramidNetwork(
                [out[i] for i in self.kept], self.out_channels, LastLevelMaxPool(), around
            )

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        x = nn.functional.relu(self.bn1(self.conv1(x)), inplace=True)
        x, maps = nn.functional.max_pool2d(x, 3, 2, 1), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        named = OrderedDict((str(i), maps[k]) for i, k in enumerate(self.kept))
        return self.fpn(named) if self.fpn else named


def build(config: Mapping[str, Any], size: int) -> MaskRCNN:
    """torchvision's model, with the configuration's sizes, numbers and thresholds.

    Args:
        config: plain values by section.
        size: side of the square images, which are already normalized.
    """
    backbone = Backbone(config)
    stage = None if backbone.fpn else make_res5(config, backbone.out_channels)
    return MaskRCNN(
        backbone, min_size=size, max_size=size, _skip_resize=True,
        image_mean=[0.0] * 3, image_std=[1.0] * 3,
        **rpn_arguments(config["RPNHead"], backbone.out_channels),
        **box_arguments(config, backbone, stage), **mask_arguments(config, backbone, stage),
    )  # fmt: skip


def make_res5(config: Mapping[str, Any], entry: int) -> nn.Sequential:
    """The fifth stage, which C4 runs on every RoI."""
    section = config["Res5Head"]
    kind, counts = DEPTHS[section.get("depth", 50)]
    width = section.get("ch_out", WIDTHS[3])
    return make_stage(kind, counts[3], entry, width, 2, make_norm(section))


def stage_channels(stage: nn.Sequential) -> int:
    """How many channels a stage's maps have."""
    return stage[0].downsample[0].out_channels


def rpn_arguments(section: Mapping[str, Any], channels: int) -> dict[str, Any]:
    """`MaskRCNN`'s arguments for anchors and proposals."""
    anchor, assign = section["anchor_generator"], section["rpn_target_assign"]
    train, test = section["train_proposal"], section["test_proposal"]
    sizes = anchor["anchor_sizes"]
    sizes = tuple(map(tuple, sizes if isinstance(sizes[0], list) else [sizes]))
    anchors = AnchorGenerator(sizes, (tuple(anchor["aspect_ratios"]),) * len(sizes))
    return {
        "rpn_anchor_generator": anchors,
        "rpn_head": RPNHead(channels, anchors.num_anchors_per_location()[0]),
        "rpn_pre_nms_top_n_train": train["pre_nms_top_n"],
        "rpn_pre_nms_top_n_test": test["pre_nms_top_n"],
        "rpn_post_nms_top_n_train": train["post_nms_top_n"],
        "rpn_post_nms_top_n_test": test["post_nms_top_n"],
        "rpn_nms_thresh": train["nms_thresh"],
        "rpn_fg_iou_thresh": assign["positive_overlap"],
        "rpn_bg_iou_thresh": assign["negative_overlap"],
        "rpn_batch_size_per_image": assign["batch_size_per_im"],
        "rpn_positive_fraction": assign["fg_fraction"],
    }


def make_pool(section: Mapping[str, Any], backbone: Backbone) -> MultiScaleRoIAlign:
    """RoIAlign over the maps that RoIs use; the RPN alone has the pyramid's last."""
    names, canonical = [str(i) for i in range(len(backbone.kept))], section.get("canonical_size")
    options = {"canonical_scale": canonical} if canonical else {}
    return MultiScaleRoIAlign(
        names, section["resolution"], section.get("sampling_ratio", 0), **options
    )


def box_arguments(
    config: Mapping[str, Any], backbone: Backbone, stage: nn.Sequential | None
) -> dict[str, Any]:
    """`MaskRCNN`'s arguments for the box head, its samples and its detections."""
    pool = make_pool(config["BBoxHead"]["roi_extractor"], backbone)
    if stage is None:
        features = config["TwoFCHead"].get("out_channel", 1024)
        head = TwoMLPHead(backbone.out_channels * pool.output_size[0] ** 2, features)
    else:
        features = stage_channels(stage)
        head = nn.Sequential(stage, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assign, nms = config["BBoxAssigner"], config["BBoxPostProcess"]["nms"]
    return {
        "box_roi_pool": pool, "box_head": head,
        "box_predictor": FastRCNNPredictor(features, config["num_classes"] + 1),
        "box_score_thresh": nms["score_threshold"], "box_nms_thresh": nms["nms_threshold"],
        "box_detections_per_img": nms["keep_top_k"],
        "box_fg_iou_thresh": assign["fg_thresh"], "box_bg_iou_thresh": assign["bg_thresh"],
        "box_batch_size_per_image": assign["batch_size_per_im"],
        "box_positive_fraction": assign["fg_fraction"],
    }  # fmt: skip


def mask_arguments(
    config: Mapping[str, Any], backbone: Backbone, stage: nn.Sequential | None
) -> dict[str, Any]:
    """`MaskRCNN`'s arguments for the mask head; with a fifth stage it begins there, too."""
    section, pool = config["MaskFeat"], make_pool(config["MaskHead"]["roi_extractor"], backbone)
    width = section.get("out_channel", 256)
    if stage is None:
        norm = section.get("norm_type") and make_norm(section)
        head = MaskRCNNHeads(backbone.out_channels, [width] * section["num_convs"], 1, norm)
        predictor = MaskRCNNPredictor(width, width, config["num_classes"] + 1)
    else:
        head = stage
        predictor = MaskRCNNPredictor(stage_channels(stage), width, config["num_classes"] + 1)
    return {"mask_roi_pool": pool, "mask_head": head, "mask_predictor": predictor}
