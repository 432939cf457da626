"""What a configuration may say: sections, keys and types, taken from the constructors."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from maskrcnn_edu.config.yaml_files import (
    Config,
    Key,
    apply_override,
    find_config,
    parse_yaml,
    read_with_bases,
)
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.model.backbone import Res5Head, ResNet
from maskrcnn_edu.model.bbox.cotuning import COTBBoxHead, COTLoss
from maskrcnn_edu.model.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.model.bbox.postprocess import BBoxPostProcess, MultiClassNMS, RCNNBox
from maskrcnn_edu.model.bbox.targets import BBoxAssigner
from maskrcnn_edu.model.losses import GIoULoss, SmoothL1Loss
from maskrcnn_edu.model.mask.head import MaskFeat, MaskHead
from maskrcnn_edu.model.mask.postprocess import MaskPostProcess
from maskrcnn_edu.model.mask.targets import MaskAssigner
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.neck import FPN
from maskrcnn_edu.model.optimizer import LearningRate, OptimizerBuilder
from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.model.rpn.head import RPNHead
from maskrcnn_edu.model.rpn.proposals import ProposalGenerator
from maskrcnn_edu.model.rpn.targets import RPNTargetAssign
from maskrcnn_edu.system.suggest import did_you_mean

SECTIONS = {
    c.__name__: c
    for c in (
        MaskRCNN, ResNet, Res5Head, FPN, RPNHead, AnchorGenerator, RPNTargetAssign,
        ProposalGenerator, RoIAlign, BBoxHead, TwoFCHead, BBoxAssigner, BBoxPostProcess, RCNNBox,
        MultiClassNMS, MaskHead, MaskFeat, MaskAssigner, MaskPostProcess, SmoothL1Loss, GIoULoss,
        COTLoss, LearningRate, OptimizerBuilder,
    )
} | {"TrainReader": Reader, "EvalReader": Reader}  # fmt: skip

TOP_LEVEL = {
    "architecture": str,
    "pretrain_weights": str | None,
    "num_classes": int,
    "assign_on_cpu": bool,
    "mask_resolution": int,
    "use_cot": bool,
    "export_onnx": bool,
    "epoch": int,
    "amp": bool | str,
}
SHARED = ("num_classes", "assign_on_cpu", "mask_resolution")
"""Top-level values that every class which has a parameter of that name receives."""

SWITCHES = {BBoxHead: ("use_cot", COTBBoxHead)}
"""A key (of the section or the top level) that puts another class in a class's place."""


def load_config(source: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a configuration.

    Args:
        source: the name of a shipped configuration, or a YAML file.
        overrides: ``KEY=VALUE`` texts; dots lead into sections, numbers into lists.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, a wrong type; the message
            names key, line and the nearest valid key.
    """
    values, places = read_with_bases(find_config(source))
    for text in overrides:
        apply_override(values, places, text)
    config = Config(values, places)
    _check_top_level(config)
    return config


def parse_config(text: str, name: str = "configuration") -> Config:
    """Read a configuration from YAML text (without ``_BASE_``)."""
    config = Config(*parse_yaml(text, name))
    _check_top_level(config)
    return config


# ---------------------------------------------------------------- checking


def _check_top_level(config: Config) -> None:
    known = [*TOP_LEVEL, *SECTIONS]
    for key, value in config.values.items():
        if key not in known:
            raise config.error((key,), f"unknown key{did_you_mean(key, known)}")
        if key in SECTIONS:
            _check_section(config, SECTIONS[key], value, (key,))
        elif not _fits(value, TOP_LEVEL[key]):
            raise config.error((key,), f"must be {_name(TOP_LEVEL[key])}, got {value!r}")
        elif TOP_LEVEL[key] is int and value < 1:
            raise config.error((key,), f"must be at least 1, got {value}")
    if config.values.get("architecture", "MaskRCNN") != "MaskRCNN":
        raise config.error(("architecture",), "the only architecture here is MaskRCNN")


def _check_section(config: Config, cls: type, values: Any, key: Key) -> None:
    if not isinstance(values, dict):
        raise config.error(key, f"must be a section with keys of {cls.__name__}, got {values!r}")
    hints = parameters_of(switched_class(config, cls, key))
    if cls in SWITCHES:
        hints[SWITCHES[cls][0]] = bool
    for word, value in values.items():
        here = (*key, word)
        if word == "name" and value == cls.__name__:
            continue
        if word not in hints:
            raise config.error(here, f"unknown key of {cls.__name__}{did_you_mean(word, hints)}")
        nested = class_for(config, hints[word], value, here)
        if nested and isinstance(value, dict):
            _check_section(config, nested, value, here)
        elif not nested and not _fits(value, hints[word]):
            raise config.error(here, f"must be {_name(hints[word])}, got {value!r}")


def switched_class(config: Config, cls: type, key: Key) -> type:
    """The class that a section builds: its own, or the one that a key switches to."""
    if cls not in SWITCHES:
        return cls
    word, other = SWITCHES[cls]
    return other if section_at(config, key).get(word, config.values.get(word, False)) else cls


def section_classes(hint: Any) -> dict[str, type]:
    """The classes with a section that a parameter takes, by name."""
    return {c.__name__: c for c in _options(hint) if c in SECTIONS.values()}


def class_for(config: Config, hint: Any, value: Any, key: Key) -> type | None:
    """The class that a value stands for; None if the parameter takes no part, or the value is.

    Args:
        config: for the error's place.
        hint: the parameter's type.
        value: a class name, a section (with its ``name``, or of the first class), or None.
        key: of the value.

    Raises:
        ConfigError: a name that the parameter does not take.
    """
    known = section_classes(hint)
    if not known or value is None:
        return None
    name = value.get("name", next(iter(known))) if isinstance(value, dict) else value
    if name not in known:
        near = did_you_mean(str(name), known)
        raise config.error(key, f"must be {' or '.join(known)}, got {name!r}{near}")
    return known[name]


def parameters_of(cls: type) -> dict[str, Any]:
    """Names and types of a constructor's parameters."""
    hints = typing.get_type_hints(cls if is_dataclass(cls) else cls.__init__)
    return {name: hints[name] for name in inspect.signature(cls).parameters}


def _options(hint: Any) -> tuple:
    """The members of a union, or the type itself."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if is_union else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a YAML value is of a type."""
    return any(_fits_one(value, option) for option in _options(hint))


def _fits_one(value: Any, option: Any) -> bool:
    if option is Any:
        return True
    if typing.get_origin(option) is not None:  # Sequence[...], list[...], dict[...]
        if typing.get_origin(option) is dict:
            return isinstance(value, dict)
        return isinstance(value, list) and all(_fits(v, typing.get_args(option)[0]) for v in value)
    if option is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, option)


def _name(hint: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    words[type(None)] = "null"
    return " or ".join(
        words.get(option, "a list" if typing.get_origin(option) else str(option))
        for option in _options(hint)
    )


def section_at(config: Config, key: Key) -> dict[str, Any]:
    """The section at a path; {} (all defaults) if it is not there."""
    section: Any = config.values
    for word in key:
        section = section.get(word, {}) if isinstance(section, dict) else {}
    return section if isinstance(section, dict) else {}
