"""The document's YAML becomes constructor calls; what it does not know is an error.

A configuration is PaddleDetection's: one section per class, class names as values
where one part holds another, ``_BASE_`` for a file to start from. Keys are the
constructors' parameters, so the constructors' own docstrings explain them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paddle
from paddle import nn

from maskrcnn_edu.config.schema import (
    SHARED,
    class_for,
    parameters_of,
    section_at,
    section_classes,
    switched_class,
)
from maskrcnn_edu.config.yaml_files import Config, ConfigError, Key, parse_key
from maskrcnn_edu.model.backbone import Res5Head, ResNet
from maskrcnn_edu.model.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.model.mask.head import MaskHead
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.neck import FPN
from maskrcnn_edu.model.optimizer import LearningRate, OptimizerBuilder
from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.model.rpn.head import RPNHead

MODEL_KEY: Key = ("MaskRCNN",)
"""The section that names the parts of the model."""

DEFAULT_PARTS = ("roi_extractor", "bbox_assigner", "mask_assigner", "loss_cot")
"""Parts that a head cannot do without: null means the default one."""


def build(config: Config, cls: type, key: Key | None = None, **derived: Any) -> Any:
    """Call a constructor with its section's values, shared values, and derived ones.

    Args:
        config: where the values come from.
        cls: the class to build.
        key: the section's path; the class's own name if not given.
        derived: see `Section.build`.

    Raises:
        ConfigError: the constructor refuses a value, or a derived value is contradicted.
    """
    return Section(config, cls, key or (cls.__name__,)).build(**derived)


@dataclass(frozen=True)
class Section:
    """One part of the model: its class, and where its values are.

    Attributes:
        config: the whole configuration.
        cls: the class to build.
        key: the path of its section, which need not exist (all defaults).
    """

    config: Config
    cls: type
    key: Key

    @property
    def values(self) -> dict[str, Any]:
        """What the section says."""
        return section_at(self.config, self.key)

    def build(self, **derived: Any) -> Any:
        """Call the constructor.

        Args:
            derived: values that follow from other parts (numbers of channels, strides, parts
                that are built already). They may be repeated in the configuration, but not
                contradicted.

        Raises:
            ConfigError: the constructor refuses a value, or a derived value is contradicted.
        """
        hints = parameters_of(self.cls)
        shared = {k: v for k, v in self.config.values.items() if k in SHARED and k in hints}
        fixed = {**shared, **derived}
        arguments = dict(fixed)
        for word, value in self.values.items():
            is_part = bool(section_classes(hints.get(word)))
            if word in fixed and not is_part and _listed(value) != _listed(fixed[word]):
                raise self.error(word, f"{value!r} contradicts {fixed[word]!r}; leave it out")
            if word in hints and word not in fixed:
                arguments[word] = self.build_part(word) if is_part else value
        for word in self._unnamed_parts(hints, arguments):
            arguments[word] = self.build_part(word)
        try:
            part = self.cls(**arguments)
        except (ValueError, TypeError, ArithmeticError, LookupError, MemoryError) as error:
            words = str(error).split() or [""]
            word = words[0].rstrip(":")  # the parameter that is to blame: `schedulers.0.steps`
            raise self.error(word if word.split(".")[0] in hints else None, str(error)) from error
        self._check_sync_bn(part, arguments)
        return part

    def _check_sync_bn(self, part: Any, arguments: dict[str, Any]) -> None:
        """Synchronized normalization is Paddle's, which has it for GPUs only."""
        layers = part.sublayers() if arguments.get("norm_type") == "sync_bn" else ()
        on_cpu = paddle.device.get_device() == "cpu"
        if on_cpu and any(isinstance(layer, nn.SyncBatchNorm) for layer in layers):
            raise self.error("norm_type", "sync_bn needs a GPU; use bn, which has the same weights")

    def build_part(self, word: str, **derived: Any) -> Any:
        """Build the part that a parameter asks for; None for ``null``."""
        part = self.find_section(word)
        return None if part is None else part.build(**derived)

    def find_section(self, word: str) -> Section | None:
        """The section of the part that a parameter asks for; None for ``null``.

        A part is written in place (``head: {name: MaskFeat, num_convs: 2}``), or named
        (``head: MaskFeat``) with a section of its own, or not mentioned at all: then it is
        the parameter's first class, with that class's section.
        """
        hint = parameters_of(self.cls)[word]
        value = self.values.get(word, next(iter(section_classes(hint))))
        if value is None and word in DEFAULT_PARTS:
            value = next(iter(section_classes(hint)))
        if value is None:
            return None
        here = (*self.key, word)
        cls = class_for(self.config, hint, value, here)
        return Section(self.config, cls, here if isinstance(value, dict) else (cls.__name__,))

    def error(self, word: str | None, problem: str) -> ConfigError:
        """The error to raise about a parameter, or about the whole section."""
        return self.config.error((*self.key, *parse_key(word)) if word else self.key, problem)

    def _unnamed_parts(self, hints: dict[str, Any], arguments: dict[str, Any]) -> list[str]:
        """Parameters that nobody set, but whose only class has a section."""
        classes = {w: list(section_classes(hints[w])) for w in hints if w not in arguments}
        return [w for w, c in classes.items() if len(c) == 1 and c[0] in self.config.values]


def _listed(value: Any) -> list:
    """A number as a list of one, so that ``16`` and ``[16]`` are equal."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


# ---------------------------------------------------------------- the model


def build_model(config: Config) -> MaskRCNN:
    """The model that a configuration describes.

    Numbers of channels and strides follow from the backbone and the neck; everything
    else is in the configuration or a default.

    Raises:
        ConfigError: names the key, its place, and what would be valid.
    """
    section = Section(config, MaskRCNN, MODEL_KEY)
    backbone, neck = section.build_part("backbone"), None
    if section.values.get("neck") is not None:
        scales = [1 / stride for stride in backbone.out_strides]
        channels = backbone.out_channels
        neck = section.build_part("neck", in_channels=channels, spatial_scales=scales)
    features = neck or backbone
    if len(set(features.out_channels)) > 1:
        problem = "without a neck the heads read one feature: name one stage"
        raise section.find_section("backbone").error("return_idx", problem)
    # in this order, as each draws its initial weights from the same random stream
    rpn_head = _build_rpn_head(section.find_section("rpn_head"), features)
    bbox_head = _build_bbox_head(section.find_section("bbox_head"), features)
    mask_head = _build_mask_head(section.find_section("mask_head"), features, bbox_head)
    post_process = section.find_section("bbox_post_process")
    # the boxes must be decoded with the weights that they were encoded with
    decode = post_process.build_part("decode", prior_box_var=bbox_head.bbox_weight)
    model = MaskRCNN(
        backbone=backbone,
        rpn_head=rpn_head,
        bbox_head=bbox_head,
        mask_head=mask_head,
        bbox_post_process=post_process.build(decode=decode),
        mask_post_process=section.build_part("mask_post_process"),
        neck=neck,
        use_extra_data=section.values.get("use_extra_data", False),
    )
    _check_num_classes(config, model)
    return model


def _build_rpn_head(section: Section, features: FPN | ResNet) -> RPNHead:
    rpn_head = section.build(in_channel=features.out_channels[0])
    given = list(rpn_head.anchor_generator.strides)
    if given != list(features.out_strides):  # anchors must stand on the maps that there are
        problem = f"the features have strides {features.out_strides}, got {given}"
        raise section.find_section("anchor_generator").error("strides", problem)
    return rpn_head


def _build_bbox_head(section: Section, features: FPN | ResNet) -> BBoxHead:
    extractor = _build_extractor(section, features)
    derived = {"in_channel": features.out_channels[0]}
    head_section = section.find_section("head")
    if head_section.cls is TwoFCHead:
        derived["resolution"] = extractor.resolution
    head = head_section.build(**derived)
    cls = switched_class(section.config, BBoxHead, section.key)
    return Section(section.config, cls, section.key).build(
        head=head, in_channel=head.out_channel, roi_extractor=extractor
    )


def _build_mask_head(section: Section, features: FPN | ResNet, bbox_head: BBoxHead) -> MaskHead:
    extractor = _build_extractor(section, features)
    side, channels = extractor.resolution, features.out_channels[0]
    if section.values.get("share_bbox_feat", False):
        if not isinstance(bbox_head.head, Res5Head):
            problem = "only Res5Head has a feature map to share; use false"
            raise section.error("share_bbox_feat", problem)
        # the mask head stands on Res5Head, which halves the size
        side, channels = -(-bbox_head.roi_extractor.resolution // 2), bbox_head.head.out_channel
        _check_idle(section, extractor, bbox_head.roi_extractor)
    head = section.build_part("head", in_channel=channels)
    mask_head = section.build(head=head, roi_extractor=extractor)
    wanted = mask_head.mask_assigner.mask_resolution
    if wanted != 2 * side:
        problem = f"the mask head draws {2 * side} cells, not {wanted}"
        raise section.find_section("mask_assigner").error("mask_resolution", problem)
    return mask_head


def _check_idle(section: Section, extractor: RoIAlign, used: RoIAlign) -> None:
    """The shared feature is cut out by the box head: what the mask head says may not differ."""
    idle = section.find_section("roi_extractor")
    for word in idle.values:
        ours, theirs = getattr(extractor, word, None), getattr(used, word, None)
        if "roi_extractor" in section.values and ours != theirs:
            problem = f"{ours} has no effect: with share_bbox_feat BBoxHead.roi_extractor cuts out"
            raise idle.error(word, f"{problem}, with {theirs}; leave it out")


def _build_extractor(section: Section, features: FPN | ResNet) -> RoIAlign:
    scales = [1 / stride for stride in features.out_strides]
    extractor = section.build_part("roi_extractor", spatial_scale=scales)
    if 1 < len(scales) <= extractor.end_level:
        problem = f"there are levels 0 .. {len(scales) - 1}, got {extractor.end_level}"
        raise section.find_section("roi_extractor").error("end_level", problem)
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
