"""The document's YAML becomes constructor calls; what it does not know is an error.

A configuration is PaddleDetection's: one section per class, class names as values
where one part holds another, ``_BASE_`` for a file to start from. Keys are the
constructors' parameters, so the constructors' own docstrings explain them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import paddle

from maskrcnn_edu.config.schema import (
    SHARED,
    class_for,
    parameters_of,
    section_at,
    section_classes,
    switched_class,
)
from maskrcnn_edu.config.yaml_files import Config, Key
from maskrcnn_edu.model.backbone import Res5Head, ResNet
from maskrcnn_edu.model.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.model.bbox.postprocess import BBoxPostProcess
from maskrcnn_edu.model.mask.head import MaskHead
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.neck import FPN
from maskrcnn_edu.model.optimizer import LearningRate, OptimizerBuilder
from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.model.rpn.head import RPNHead

# ---------------------------------------------------------------- building


def build(config: Config, cls: type, key: Key | None = None, **derived) -> Any:
    """Call a constructor with its section's values, shared values, and derived ones.

    Args:
        config: where the values come from.
        cls: the class to build.
        key: the section's path; the class's own name if not given.
        derived: values that follow from other parts (numbers of channels, strides, parts
            that are built already). They may be repeated in the configuration, but not
            contradicted.

    Raises:
        ConfigError: the constructor refuses a value, or a derived value is contradicted.
    """
    key = key or (cls.__name__,)
    hints = parameters_of(cls)
    shared = {k: config.values[k] for k in SHARED if k in config.values and k in hints}
    fixed = {**shared, **derived}
    arguments = dict(fixed)
    for word, value in section_at(config, key).items():
        is_part = bool(section_classes(hints.get(word)))
        if word in fixed and not is_part and _listed(value) != _listed(fixed[word]):
            problem = f"{value!r} contradicts {fixed[word]!r}; leave it out"
            raise config.error((*key, word), problem)
        if word in hints and word not in fixed:
            arguments[word] = build_part(config, key, cls, word) if is_part else value
    for word in _unnamed_parts(config, hints, arguments):
        arguments[word] = build_part(config, key, cls, word)
    try:
        return cls(**arguments)
    except ValueError as error:
        raise config.error(_blame_key(key, hints, error), str(error)) from error


def build_part(config: Config, owner: Key, owner_class: type, word: str, **derived) -> Any:
    """Build the part that a parameter of a section asks for; None for ``null``."""
    cls, key = find_section(config, owner, owner_class, word)
    return None if cls is None else build(config, cls, key, **derived)


def find_section(
    config: Config, owner: Key, owner_class: type, word: str
) -> tuple[type | None, Key]:
    """Class and section of a part.

    A part is written in place (``head: {name: MaskFeat, num_convs: 2}``), or named
    (``head: MaskFeat``) with a section of its own, or not mentioned at all: then it is
    the parameter's first class, with that class's section.
    """
    hint = parameters_of(owner_class)[word]
    section = section_at(config, owner)
    if word in section and section[word] is None:
        return None, (*owner, word)
    value = section.get(word, next(iter(section_classes(hint))))
    cls = class_for(config, hint, value, (*owner, word))
    return cls, (*owner, word) if isinstance(value, dict) else (cls.__name__,)


def _unnamed_parts(config: Config, hints: dict[str, Any], arguments: dict) -> list[str]:
    """Parameters that nobody set, but whose class has a section in the configuration."""
    classes = {word: list(section_classes(hint)) for word, hint in hints.items()}
    only_class = {word: names[0] for word, names in classes.items() if len(names) == 1}
    return [w for w, name in only_class.items() if w not in arguments and name in config.values]


def _listed(value: Any) -> list:
    """A number as a list of one, so that ``16`` and ``[16]`` are equal."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _blame_key(key: Key, hints: Iterable[str], error: ValueError) -> Key:
    """The path of the parameter that a constructor's error message begins with."""
    word = str(error).split()[0].rstrip(":")
    return (*key, word) if word in hints else key


MODEL_KEY: Key = ("MaskRCNN",)


def build_model(config: Config) -> MaskRCNN:
    """The model that a configuration describes.

    Numbers of channels and strides follow from the backbone and the neck; everything
    else is in the configuration or a default.

    Raises:
        ConfigError: names the key, its place, and what would be valid.
    """
    backbone = build_part(config, MODEL_KEY, MaskRCNN, "backbone")
    neck = None
    if section_at(config, MODEL_KEY).get("neck"):
        scales = [1 / s for s in backbone.out_strides]
        channels = backbone.out_channels
        neck = build_part(
            config, MODEL_KEY, MaskRCNN, "neck", in_channels=channels, spatial_scales=scales
        )
    features = neck or backbone
    rpn_head = _build_rpn_head(config, features)
    bbox_head = _build_bbox_head(config, features)
    mask_head = _build_mask_head(config, features, bbox_head)
    post_key = find_section(config, MODEL_KEY, MaskRCNN, "bbox_post_process")[1]
    # the boxes must be decoded with the weights that they were encoded with
    weights = {"prior_box_var": bbox_head.bbox_weight}
    decode = build_part(config, post_key, BBoxPostProcess, "decode", **weights)
    model = MaskRCNN(
        backbone,
        rpn_head,
        bbox_head,
        mask_head,
        build(config, BBoxPostProcess, post_key, decode=decode),
        build_part(config, MODEL_KEY, MaskRCNN, "mask_post_process"),
        neck,
        section_at(config, MODEL_KEY).get("use_extra_data", False),
    )
    _check_num_classes(config, model)
    return model


def _build_rpn_head(config: Config, features: FPN | ResNet) -> RPNHead:
    rpn_head = build_part(
        config, MODEL_KEY, MaskRCNN, "rpn_head", in_channel=features.out_channels[0]
    )
    owner = find_section(config, MODEL_KEY, MaskRCNN, "rpn_head")[1]
    key = find_section(config, owner, RPNHead, "anchor_generator")[1]
    given = list(rpn_head.anchor_generator.strides)
    if given != list(features.out_strides):  # anchors must stand on the maps that there are
        problem = f"the features have strides {features.out_strides}, got {given}"
        raise config.error((*key, "strides"), problem)
    return rpn_head


def _build_bbox_head(config: Config, features: FPN | ResNet) -> BBoxHead:
    key = find_section(config, MODEL_KEY, MaskRCNN, "bbox_head")[1]
    extractor = _build_extractor(config, key, BBoxHead, features)
    channels = {"in_channel": features.out_channels[0]}
    if find_section(config, key, BBoxHead, "head")[0] is TwoFCHead:
        channels["resolution"] = extractor.resolution
    head = build_part(config, key, BBoxHead, "head", **channels)
    derived = {"head": head, "in_channel": head.out_channel, "roi_extractor": extractor}
    return build(config, switched_class(config, BBoxHead, key), key, **derived)


def _build_mask_head(config: Config, features: FPN | ResNet, bbox_head: BBoxHead) -> MaskHead:
    key = find_section(config, MODEL_KEY, MaskRCNN, "mask_head")[1]
    extractor = _build_extractor(config, key, MaskHead, features)
    side, channels = extractor.resolution, features.out_channels[0]
    if section_at(config, key).get("share_bbox_feat", False):
        if not isinstance(bbox_head.head, Res5Head):
            problem = "only Res5Head has a feature map to share; use false"
            raise config.error((*key, "share_bbox_feat"), problem)
        # the mask head stands on Res5Head, which halves the size
        side, channels = -(-bbox_head.roi_extractor.resolution // 2), bbox_head.head.out_channel
    head = build_part(config, key, MaskHead, "head", in_channel=channels)
    mask_head = build(config, MaskHead, key, head=head, roi_extractor=extractor)
    wanted = mask_head.mask_assigner.mask_resolution
    if wanted != 2 * side:
        place = find_section(config, key, MaskHead, "mask_assigner")[1]
        problem = f"the mask head draws {2 * side} cells, not {wanted}"
        raise config.error((*place, "mask_resolution"), problem)
    return mask_head


def _build_extractor(
    config: Config, owner: Key, owner_class: type, features: FPN | ResNet
) -> RoIAlign:
    scales = [1 / s for s in features.out_strides]
    extractor = build_part(config, owner, owner_class, "roi_extractor", spatial_scale=scales)
    if 1 < len(scales) <= extractor.end_level:
        key = find_section(config, owner, owner_class, "roi_extractor")[1]
        problem = f"there are levels 0 .. {len(scales) - 1}, got {extractor.end_level}"
        raise config.error((*key, "end_level"), problem)
    return extractor


def _check_num_classes(config: Config, model: MaskRCNN) -> None:
    """Sections may set their own number of classes; it must be the same one."""
    bbox, mask, post = model.bbox_head, model.mask_head, model.bbox_post_process
    parts = (bbox, bbox.bbox_assigner, mask, mask.mask_assigner, post, post.decode)
    counts = {type(p).__name__: p.num_classes for p in parts}
    if len(set(counts.values())) > 1:
        raise config.error(("num_classes",), f"the parts contradict each other: {counts}")


def build_optimizer(
    config: Config, model: MaskRCNN
) -> tuple[paddle.optimizer.Optimizer, Callable[[int, float], float]]:
    """The optimizer that a configuration describes, and the learning rate of every step.

    Args:
        config: its ``OptimizerBuilder``, ``LearningRate`` and ``epoch`` are used.
        model: freeze parts of it before, not after.

    Returns:
        An optimizer of the model's trainable weights, and a function: (steps done, share of
        the training done, 0 .. 1) -> rate of the next step.

    Raises:
        ConfigError: names the key, its place, and what would be valid.
    """
    schedule, epochs = build(config, LearningRate), config.values.get("epoch", 12)

    def learning_rate(step: int, progress: float) -> float:
        return schedule.at(step, progress, epochs)

    return build(config, OptimizerBuilder)(model, learning_rate(0, 0.0)), learning_rate
