"""What a configuration may say: sections, keys and types, taken from the constructors."""

from __future__ import annotations

import copy
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from maskrcnn_edu.config.yaml_files import (
    SHIPPED,
    Config,
    Key,
    apply_override,
    find_config,
    parse_yaml,
    read_with_bases,
)
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.transforms import BATCH_TRANSFORMS, TRANSFORMS
from maskrcnn_edu.model.backbone import Res5Head, ResNet
from maskrcnn_edu.model.bbox.cotuning import COTBBoxHead, COTLoss
from maskrcnn_edu.model.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.model.bbox.postprocess import BBoxPostProcess, MultiClassNMS, RCNNBox
from maskrcnn_edu.model.bbox.targets import BBoxAssigner
from maskrcnn_edu.model.losses import GIoULoss, SIoULoss, SmoothL1Loss
from maskrcnn_edu.model.mask.head import MaskFeat, MaskHead
from maskrcnn_edu.model.mask.postprocess import MaskPostProcess
from maskrcnn_edu.model.mask.targets import MaskAssigner
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.neck import FPN
from maskrcnn_edu.model.optimizer import (
    OPTIMIZERS,
    REGULARIZERS,
    SCHEDULES,
    LearningRate,
    OptimizerBuilder,
)
from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.model.rpn.head import RPNHead
from maskrcnn_edu.model.rpn.proposals import ProposalGenerator
from maskrcnn_edu.model.rpn.targets import RPNTargetAssign
from maskrcnn_edu.system.suggest import did_you_mean
from maskrcnn_edu.system.text_files import describe_value, finite_number, whole_number

SECTIONS = {
    c.__name__: c
    for c in (
        MaskRCNN, ResNet, Res5Head, FPN, RPNHead, AnchorGenerator, RPNTargetAssign,
        ProposalGenerator, RoIAlign, BBoxHead, TwoFCHead, BBoxAssigner, BBoxPostProcess, RCNNBox,
        MultiClassNMS, MaskHead, MaskFeat, MaskAssigner, MaskPostProcess, SmoothL1Loss, GIoULoss,
        SIoULoss, COTLoss, LearningRate, OptimizerBuilder,
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

OPTIONS: dict[tuple[type, str], tuple[str, dict[str, Callable]]] = {
    (LearningRate, "schedulers"): ("name", SCHEDULES),
    (OptimizerBuilder, "optimizer"): ("type", OPTIMIZERS),
    (OptimizerBuilder, "regularizer"): ("type", REGULARIZERS),
    (Reader, "sample_transforms"): ("", TRANSFORMS),
    (Reader, "batch_transforms"): ("", BATCH_TRANSFORMS),
}
"""Parameters that take ``{name: NAME, option: value}`` or, without a word for the name,
``{NAME: {option: value}}``; and the functions or classes whose options these are."""

LARGEST = dict.fromkeys(("ch_in", "ch_out", "ch_out_list", "in_channel", "out_channel"), 2048)
LARGEST |= {"num_classes": 10_000, "num_convs": 32, "resolution": 256, "mask_resolution": 512}
LARGEST |= {"sampling_ratio": 64, "target_size": 10_000, "pad_to_stride": 1024, "batch_size": 1000}
LARGEST_NUMBER = 1_000_000
"""What keys may be set to at most; the second is for all others."""

BY_DEFAULT = "mask_rcnn_r50_1x_coco"
DEFAULT_SECTIONS = ("LearningRate", "OptimizerBuilder", "TrainReader", "EvalReader")
"""Sections that a configuration without them takes from a shipped one: the document's
configuration describes a model, not how it is trained."""

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
    return _checked(*read_with_bases(find_config(source)), overrides)


@functools.cache
def _default_sections() -> dict[str, Any]:
    values, _ = read_with_bases(SHIPPED / f"{BY_DEFAULT}.yml")
    return {name: values[name] for name in DEFAULT_SECTIONS}


def _add_default_sections(values: dict[str, Any], places: dict[Key, str]) -> None:
    """See `DEFAULT_SECTIONS`; a reader may also say all but what happens to its images."""
    for name, default in copy.deepcopy(_default_sections()).items():
        section = values.setdefault(name, {})
        if section == {}:
            values[name] = default
            places.setdefault((name,), f"{BY_DEFAULT} (default)")
        elif name.endswith("Reader") and isinstance(section, dict):
            steps = {word: default[word] for word in ("sample_transforms", "batch_transforms")}
            values[name] = {**({} if "sample_transforms" in section else steps), **section}


def parse_config(text: str, name: str = "configuration") -> Config:
    """Read a configuration from YAML text (without ``_BASE_``)."""
    return _checked(*parse_yaml(text, name))


def _checked(values: dict[str, Any], places: dict[Key, str], changes: Iterable[str] = ()) -> Config:
    """With the default sections and the changes, if all of it can be used."""
    _add_default_sections(values, places)
    for text in changes:
        apply_override(values, places, text)
    config = Config(values, places)
    _check_top_level(config)
    _refuse_giants(config, config.values, ())
    return config


# ---------------------------------------------------------------- checking


def _check_top_level(config: Config) -> None:
    known = [*TOP_LEVEL, *SECTIONS]
    for key, value in config.values.items():
        if key not in known:
            raise config.error((key,), f"unknown key{did_you_mean(key, known)}")
        if key in SECTIONS:
            _check_section(config, SECTIONS[key], value, (key,))
            continue
        config.values[key] = value = _typed(config, TOP_LEVEL[key], value, (key,))
        if TOP_LEVEL[key] is int and value < 1:
            raise config.error((key,), f"must be at least 1, got {value}")
    if config.values.get("architecture", "MaskRCNN") != "MaskRCNN":
        raise config.error(("architecture",), "the only architecture here is MaskRCNN")


def _refuse_giants(config: Config, value: Any, key: Key) -> None:
    """Sizes that no machine could hold, before anything is made of them."""
    if isinstance(value, dict | list):
        for word, each in value.items() if isinstance(value, dict) else enumerate(value):
            _refuse_giants(config, each, (*key, word))
    elif type(value) is int:
        word = next(word for word in reversed(key) if isinstance(word, str))
        if value > (most := LARGEST.get(word, LARGEST_NUMBER)):
            raise config.error(key, f"must be at most {most:,}, got {value:,}")


def _check_section(config: Config, cls: type, values: Any, key: Key) -> None:
    """Every value of a section, at every depth; 2.0 becomes 2 where a whole number is meant."""
    if not isinstance(values, dict):
        got = describe_value(values)
        raise config.error(key, f"must be a section with keys of {cls.__name__}, got {got}")
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
        elif not nested:
            values[word] = _typed(config, hints[word], value, here)
            _check_options(config, OPTIONS.get((cls, word)), values[word], here)


def _check_options(config: Config, known: tuple | None, value: Any, key: Key) -> None:
    """The names and options of a value as in `OPTIONS`: of one, or of each of a list."""
    if known is None or value is None:
        return
    if isinstance(value, list):
        for i, one in enumerate(value):
            _check_options(config, known, one, (*key, i))
        return
    word, functions = known
    if not word and len(value) != 1:
        raise config.error(key, f"must hold one name with its options, got {describe_value(value)}")
    name, options = (value.get(word), value) if word else next(iter(value.items()))
    if not isinstance(name, str) or name not in functions:
        near = did_you_mean(str(name), functions)
        raise config.error(
            key, f"must be one of {', '.join(functions)}, got {describe_value(name)}{near}"
        )
    key = key if word else (*key, name)
    if not isinstance(options, dict | None):
        raise config.error(key, f"must hold options of {name}, got {describe_value(options)}")
    hints = parameters_of(functions[name])
    for option in set(options or ()) - {word}:
        here = (*key, option)
        if option not in hints:
            raise config.error(here, f"unknown option of {name}{did_you_mean(option, hints)}")
        options[option] = _typed(config, hints[option], options[option], here)


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
    if not isinstance(name, str) or name not in known:
        near = did_you_mean(str(name), known)
        raise config.error(key, f"must be {' or '.join(known)}, got {describe_value(name)}{near}")
    return known[name]


def parameters_of(cls: Callable) -> dict[str, Any]:
    """Names and types of a constructor's parameters (those that it passes on as ``**others``
    to the class it extends, too), or of a function's options.
    """
    if not isinstance(cls, type):
        hints = typing.get_type_hints(cls)
        options = inspect.signature(cls).parameters.values()
        return {p.name: hints[p.name] for p in options if p.kind is p.KEYWORD_ONLY}
    hints = typing.get_type_hints(cls if is_dataclass(cls) else cls.__init__)
    parameters = inspect.signature(cls).parameters.values()
    passed_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    inherited = parameters_of(cls.__base__) if passed_on else {}
    return inherited | {p.name: hints[p.name] for p in parameters if p.name in hints}


def _options(hint: Any) -> tuple:
    """The members of a union, or the type itself; several types stay as they are."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return hint if isinstance(hint, tuple) else typing.get_args(hint) if is_union else (hint,)


def _typed(config: Config, hint: Any, value: Any, key: Key) -> Any:
    """The value as its type, or one of several types, wants it.

    Raises:
        ConfigError: it is of another type; of a list's values the first such one is named.
    """
    answer = _as(hint, value)
    if answer is not _NO:
        return answer
    items = tuple(typing.get_args(o)[0] for o in _options(hint) if _is_list(o))
    if items and isinstance(value, list):
        for i, item in enumerate(value):
            _typed(config, items, item, (*key, i))
    raise config.error(key, f"must be {_name(hint)}, got {describe_value(value)}{_cure(value)}")


_NO = object()  # the answer for a value of another type


def _as(hint: Any, value: Any) -> Any:
    """A value as the first type that fits has it; `_NO` if none does."""
    answers = (_as_one(option, value) for option in _options(hint))
    return next((answer for answer in answers if answer is not _NO), _NO)


def _as_one(option: Any, value: Any) -> Any:
    if option is Any:
        return value
    if option is int:
        number = whole_number(value)
        return _NO if number is None else number
    if option is float:
        return _NO if finite_number(value) is None else value
    if _is_list(option):
        items = value if isinstance(value, list) else [_NO]
        answers = [_as(typing.get_args(option)[0], item) for item in items]
        return _NO if _NO in answers else answers
    return value if isinstance(value, typing.get_origin(option) or option) else _NO


def _is_list(option: Any) -> bool:
    return typing.get_origin(option) is Sequence


def _cure(value: Any) -> str:
    """How to write a text that looks like a number."""
    try:
        return f"; write {float(value)!r} without quotes" if isinstance(value, str) else ""
    except ValueError:
        return ""


def _name(hint: Any) -> str:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    words |= {type(None): "null", dict: "options in braces"}
    names = ["a list" if _is_list(o) else words.get(o, o.__name__) for o in _options(hint)]
    return " or ".join(dict.fromkeys(names))


def section_at(config: Config, key: Key) -> dict[str, Any]:
    """The section at a path; {} (all defaults) if it is not there."""
    section: Any = config.values
    for word in key:
        section = section.get(word, {}) if isinstance(section, dict) else {}
    return section if isinstance(section, dict) else {}
