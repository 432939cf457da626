"""What each key of a configuration changes, in a few words."""

from __future__ import annotations

from typing import Any

from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.system.language import say

MODEL_SECTIONS = (
    "MaskRCNN", "ResNet", "FPN", "RPNHead", "BBoxHead", "Res5Head", "TwoFCHead", "BBoxAssigner",
    "BBoxPostProcess", "MaskHead", "MaskFeat", "MaskAssigner", "MaskPostProcess",
)  # fmt: skip
"""Those of the document's configuration, in its order."""

NOTES = {
    "num_classes": "C: class scores C + 1, mask logits C",
    "mask_resolution": "cells of a mask target",
    "assign_on_cpu": "where overlaps are computed",
    "MaskRCNN.backbone": "image to features",
    "MaskRCNN.neck": "features become a pyramid",
    "MaskRCNN.rpn_head": "features to proposals",
    "MaskRCNN.bbox_head": "proposals to classes and boxes",
    "MaskRCNN.mask_head": "boxes to small masks",
    "MaskRCNN.bbox_post_process": "scores to detections",
    "MaskRCNN.mask_post_process": "small masks to masks of the image",
    "ResNet.depth": "blocks of each stage",
    "ResNet.ch_in": "channels of the first convolution",
    "ResNet.ch_out_list": "channels of each stage",
    "ResNet.norm_type": "bn, sync_bn or gn",
    "ResNet.freeze_norm": "keep stored means and variances",
    "ResNet.freeze_at": "stages up to here do not learn",
    "ResNet.return_idx": "stages whose features are used",
    "ResNet.num_stages": "how many stages there are",
    "ResNet.lr_mult_list": "how fast each stage learns",
    "FPN.norm_type": "normalization of its convolutions",
    "FPN.out_channel": "channels of every level",
    "FPN.extra_stage": "coarser levels, for the RPN alone",
    "FPN.has_extra_convs": "how the coarser levels are made",
    "FPN.spatial_scales": "1 / stride of each level",
    "anchor_generator.aspect_ratios": "height / width of anchors",
    "anchor_generator.anchor_sizes": "side of a square anchor",
    "anchor_generator.strides": "pixels from cell to cell",
    "anchor_generator.offset": "centre of anchors: 0 corner, 0.5 middle",
    "rpn_target_assign.batch_size_per_im": "anchors that train, an image",
    "rpn_target_assign.fg_fraction": "at most so many of them positive",
    "rpn_target_assign.negative_overlap": "below: negative",
    "rpn_target_assign.positive_overlap": "from here: positive",
    "rpn_target_assign.use_random": "which of too many are drawn",
    "min_size": "shorter proposals are dropped",
    "nms_thresh": "proposals that overlap more are dropped",
    "pre_nms_top_n": "anchors of a level that enter NMS",
    "post_nms_top_n": "proposals that are left",
    "topk_after_collect": "best of all levels together",
    "BBoxHead.head": "what a RoI's feature goes through",
    "roi_extractor.resolution": "cells of a RoI's side",
    "roi_extractor.sampling_ratio": "points a cell and axis; 0: by size",
    "roi_extractor.aligned": "points lie where the box is",
    "roi_extractor.canonical_size": "side of a RoI for level P4",
    "BBoxHead.bbox_assigner": "which RoIs train",
    "BBoxHead.with_pool": "mean over the cells before the classes",
    "BBoxHead.cls_agnostic": "one box for all classes, not one each",
    "Res5Head.depth": "its kind of blocks",
    "Res5Head.ch_out": "its channels (4 times from depth 50)",
    "Res5Head.norm_type": "as in ResNet",
    "Res5Head.freeze_norm": "as in ResNet",
    "TwoFCHead.out_channel": "numbers a RoI",
    "BBoxAssigner.batch_size_per_im": "RoIs that train, an image",
    "BBoxAssigner.bg_thresh": "below: background",
    "BBoxAssigner.fg_thresh": "from here: foreground",
    "BBoxAssigner.fg_fraction": "at most so many of them foreground",
    "BBoxAssigner.use_random": "which of too many are drawn",
    "BBoxPostProcess.decode": "deltas to boxes",
    "nms.name": "suppression within each class",
    "nms.keep_top_k": "detections, at most",
    "nms.score_threshold": "less certain ones are dropped",
    "nms.nms_threshold": "that overlap more are dropped",
    "MaskHead.head": "what a RoI's feature goes through",
    "MaskHead.mask_assigner": "masks to learn",
    "MaskHead.share_bbox_feat": "start from the box head's feature",
    "MaskFeat.num_convs": "3 x 3 convolutions before doubling",
    "MaskFeat.out_channel": "their channels",
    "MaskFeat.norm_type": "normalization between them",
    "MaskAssigner.mask_resolution": "cells of a mask target",
    "MaskPostProcess.binary_thresh": "from here a pixel is object",
}
"""The longest end of a key's path that stands here, with its note."""


def explain(config: Config) -> list[tuple[str, str, str]]:
    """The configuration's model, key by key.

    Returns:
        Rows (key, value, what it changes) in the order of the document; a key that is not in
        `NOTES` has an empty note.
    """
    rows = [("num_classes", config.values["num_classes"])] if "num_classes" in config.values else []
    for section in MODEL_SECTIONS:
        rows += _flat(section, config.values.get(section, {}))
    return [(key, str(value), note_of(key)) for key, value in rows]


def note_of(key: str) -> str:
    """The note about a key, such as ``RPNHead.train_proposal.nms_thresh``; "" if none is known."""
    words = key.split(".")
    ends = (".".join(words[start:]) for start in range(len(words)))
    return next((say(NOTES[end]) for end in ends if end in NOTES), "")


def _flat(key: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(key, value)]
    return [row for word, inner in value.items() for row in _flat(f"{key}.{word}", inner)]
