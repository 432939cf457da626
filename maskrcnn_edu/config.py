"""The document's YAML becomes constructor calls; what it does not know is an error.

A configuration is PaddleDetection's: one section per class, class names as values
where one part holds another, ``_BASE_`` for a file to start from. Keys are the
constructors' parameters, so the constructors' own docstrings explain them.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from maskrcnn_edu.backbone import Res5Head, ResNet
from maskrcnn_edu.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.bbox.postprocess import BBoxPostProcess, MultiClassNMS, RCNNBox
from maskrcnn_edu.bbox.targets import BBoxAssigner
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.losses import GIoULoss, SmoothL1Loss
from maskrcnn_edu.mask.head import MaskFeat, MaskHead
from maskrcnn_edu.mask.postprocess import MaskPostProcess
from maskrcnn_edu.mask.targets import MaskAssigner
from maskrcnn_edu.mask_rcnn import MaskRCNN
from maskrcnn_edu.neck import FPN
from maskrcnn_edu.optimizer import LearningRate, OptimizerBuilder
from maskrcnn_edu.roi_align import RoIAlign
from maskrcnn_edu.rpn.anchors import AnchorGenerator
from maskrcnn_edu.rpn.head import RPNHead
from maskrcnn_edu.rpn.proposals import ProposalGenerator
from maskrcnn_edu.rpn.targets import RPNTargetAssign

SHIPPED = Path(__file__).parent / "configs"

SECTIONS = {
    c.__name__: c
    for c in (
        MaskRCNN, ResNet, Res5Head, FPN, RPNHead, AnchorGenerator, RPNTargetAssign,
        ProposalGenerator, RoIAlign, BBoxHead, TwoFCHead, BBoxAssigner, BBoxPostProcess, RCNNBox,
        MultiClassNMS, MaskHead, MaskFeat, MaskAssigner, MaskPostProcess, SmoothL1Loss, GIoULoss,
        LearningRate, OptimizerBuilder,
    )
} | {"TrainReader": Reader, "EvalReader": Reader}  # fmt: skip

TOP_LEVEL = {
    "architecture": str,
    "pretrain_weights": str | None,
    "num_classes": int,
    "assign_on_cpu": bool,
    "epoch": int,
}
SHARED = ("num_classes", "assign_on_cpu")
"""Top-level values that every class which has a parameter of that name receives."""

Key = tuple[str | int, ...]


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names key, place and cure."""


@dataclass(frozen=True)
class Config:
    """A read configuration.

    Attributes:
        values: the YAML's content, ``_BASE_`` files and ``--set`` merged in.
        places: for every key path, where it was written ("file.yml, line 7").
    """

    values: dict[str, Any]
    places: dict[Key, str]

    def error(self, key: Key, problem: str) -> ConfigError:
        """The error to raise about a key."""
        return ConfigError(f"{self._place(key)}: {'.'.join(map(str, key))}: {problem}")

    def _place(self, key: Key) -> str:
        while key and key not in self.places:
            key = key[:-1]
        return self.places.get(key, "configuration")

    def to_yaml(self) -> str:
        """The configuration as text that `load_config` reads back."""
        return yaml.safe_dump(self.values, sort_keys=False)


# ---------------------------------------------------------------- reading


def shipped_configs() -> list[str]:
    """Names of the configurations that come with the package."""
    return sorted(p.stem for p in SHIPPED.glob("*.yml"))


def load_config(source: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Read a configuration.

    Args:
        source: the name of a shipped configuration, or a YAML file.
        overrides: ``KEY=VALUE`` texts; dots lead into sections, numbers into lists.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, a wrong type; the message
            names key, line and the nearest valid key.
    """
    values, places = _read_file(_find(source))
    for text in overrides:
        _override(values, places, text)
    config = Config(values, places)
    _check_top_level(config)
    return config


def parse_config(text: str, name: str = "configuration") -> Config:
    """Read a configuration from YAML text (without ``_BASE_``)."""
    config = Config(*_parse(text, name))
    _check_top_level(config)
    return config


def _find(source: str | Path) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    shipped = SHIPPED / f"{source}.yml"
    if shipped.is_file():
        return shipped
    known = shipped_configs()
    raise ConfigError(
        f"there is no configuration {str(source)!r}: neither a file of that name nor one of "
        f"{', '.join(known)}{_nearest(str(source), known)}"
    )


def _read_file(path: Path) -> tuple[dict, dict[Key, str]]:
    values, places = _parse(path.read_text(encoding="utf-8"), path.name)
    bases = values.pop("_BASE_", [])
    merged: dict[str, Any] = {}
    merged_places: dict[Key, str] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        base_path = path.parent / base
        if not base_path.is_file():
            raise ConfigError(f"{places[('_BASE_',)]}: _BASE_: there is no file {base!r}")
        base_values, base_places = _read_file(base_path)
        merged = _merge(merged, base_values)
        merged_places |= base_places
    return _merge(merged, values), merged_places | places


def _merge(base: dict, top: dict) -> dict:
    """Sections are merged key by key; anything else in ``top`` replaces ``base``."""
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged


def _parse(text: str, name: str) -> tuple[dict, dict[Key, str]]:
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML: {error}") from error
    places: dict[Key, str] = {}
    values = _values(root, (), name, places) if root is not None else {}
    if not isinstance(values, dict):
        raise ConfigError(f"{name} must hold sections (`ResNet:` and so on), not a plain value")
    return values, places


def _values(node: yaml.Node, key: Key, name: str, places: dict[Key, str]) -> Any:
    """Plain values of a YAML node, noting where each was written."""
    places[key] = f"{name}, line {node.start_mark.line + 1}"
    if isinstance(node, yaml.SequenceNode):
        return [_values(child, (*key, i), name, places) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return yaml.SafeLoader("").construct_object(node)
    # PaddleDetection also writes a class name as a tag: `- !LinearWarmup`
    tagged = node.tag.startswith("!")
    result: dict[str, Any] = {"name": node.tag[1:]} if tagged else {}
    for key_node, value_node in node.value:
        word = key_node.value
        if word in result:
            line = key_node.start_mark.line + 1
            raise ConfigError(f"{name}, line {line}: {word} is there twice; keep one")
        result[word] = _values(value_node, (*key, word), name, places)
        places[(*key, word)] = f"{name}, line {key_node.start_mark.line + 1}"
    return result


def _override(values: dict, places: dict[Key, str], text: str) -> None:
    """Apply one ``KEY=VALUE``."""
    if "=" not in text:
        raise ConfigError(f"--set {text}: write KEY=VALUE, for example num_classes=3")
    dotted, value = text.split("=", 1)
    key: Key = tuple(int(k) if k.isdigit() else k for k in dotted.split("."))
    holder: Any = values
    for part in key[:-1]:
        if isinstance(holder, dict):
            holder = holder.setdefault(part, {})
        elif isinstance(holder, list) and isinstance(part, int) and part < len(holder):
            holder = holder[part]
        else:
            raise ConfigError(f"--set {text}: there is nothing at {part!r}")
    try:
        holder[key[-1]] = yaml.safe_load(value)
    except (yaml.YAMLError, TypeError, IndexError) as error:
        raise ConfigError(f"--set {text}: {error}") from error
    places[key] = f"--set {text}"


# ---------------------------------------------------------------- checking


def _check_top_level(config: Config) -> None:
    known = [*TOP_LEVEL, *SECTIONS]
    for key, value in config.values.items():
        if key not in known:
            raise config.error((key,), f"unknown key{_nearest(key, known)}")
        if key in SECTIONS:
            _check_section(config, SECTIONS[key], value, (key,))
        elif not _fits(value, TOP_LEVEL[key]):
            raise config.error((key,), f"must be {_name(TOP_LEVEL[key])}, got {value!r}")
    if config.values.get("architecture", "MaskRCNN") != "MaskRCNN":
        raise config.error(("architecture",), "the only architecture here is MaskRCNN")


def _check_section(config: Config, cls: type, values: Any, key: Key) -> None:
    if not isinstance(values, dict):
        raise config.error(key, f"must be a section with keys of {cls.__name__}, got {values!r}")
    hints = _parameters(cls)
    for word, value in values.items():
        here = (*key, word)
        if word == "name" and value == cls.__name__:
            continue
        if word not in hints:
            raise config.error(here, f"unknown key of {cls.__name__}{_nearest(word, hints)}")
        nested = _class_for(config, hints[word], value, here)
        if nested and isinstance(value, dict):
            _check_section(config, nested, value, here)
        elif not nested and not _fits(value, hints[word]):
            raise config.error(here, f"must be {_name(hints[word])}, got {value!r}")


def _class_for(config: Config, hint: Any, value: Any, key: Key) -> type | None:
    """The class that a value stands for, if the parameter takes one of ours."""
    ours = {c.__name__: c for c in _options(hint) if c in SECTIONS.values()}
    if not ours or value is None:
        return None
    name = value.get("name", next(iter(ours))) if isinstance(value, dict) else value
    if name not in ours:
        near = _nearest(str(name), ours)
        raise config.error(key, f"must be {' or '.join(ours)}, got {name!r}{near}")
    return ours[name]


def _parameters(cls: type) -> dict[str, Any]:
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


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.4)
    return f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"


# ---------------------------------------------------------------- building


def make(config: Config, cls: type, key: Key | None = None, **derived) -> Any:
    """Call a constructor with its section's values, shared values, and derived ones.

    Args:
        config: where the values come from.
        cls: the class to build.
        key: the section's path; the class's own name if not given.
        derived: values that follow from other parts (numbers of channels, strides).
            They may be repeated in the configuration, but not contradicted.
    """
    key = key or (cls.__name__,)
    values = _at(config, key)
    hints = _parameters(cls)
    shared = {k: config.values[k] for k in SHARED if k in config.values and k in hints}
    arguments = {}
    for word, value in values.items():
        given = {**shared, **derived}.get(word, value)
        given = list(given) if isinstance(given, tuple) else given
        if not isinstance(value, (dict, str)) and given != value:
            raise config.error((*key, word), f"{value!r} contradicts {given!r}; leave it out")
        if word in hints and word not in derived:
            arguments[word] = _make_value(config, hints[word], value, (*key, word))
    try:
        return cls(**{**shared, **arguments, **derived})
    except ValueError as error:
        raise config.error(_blamed(key, hints, error), str(error)) from error


def _make_value(config: Config, hint: Any, value: Any, key: Key) -> Any:
    """A value as the constructor takes it: a built part, or the value itself."""
    nested = _class_for(config, hint, value, key)
    if nested is None:
        return value
    return make(config, nested, key if isinstance(value, dict) else (nested.__name__,))


def _at(config: Config, key: Key) -> dict[str, Any]:
    """The section at a path; {} (all defaults) if it is not there."""
    found: Any = config.values
    for part in key:
        found = found.get(part, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def _blamed(key: Key, hints: Iterable[str], error: ValueError) -> Key:
    """The path of the parameter that a constructor's error message begins with."""
    word = str(error).split()[0].rstrip(":")
    return (*key, word) if word in hints else key


def build_model(config: Config) -> MaskRCNN:
    """The model that a configuration describes.

    Numbers of channels and strides follow from the backbone and the neck; everything
    else is in the configuration or a default.

    Raises:
        ConfigError: names the key, its place, and what would be valid.
    """
    parts = _at(config, ("MaskRCNN",))
    backbone = make(config, ResNet)
    neck = None
    if parts.get("neck"):
        scales = [1 / s for s in backbone.out_strides]
        neck = make(config, FPN, in_channels=backbone.out_channels, spatial_scales=scales)
    features = neck or backbone
    _check_levels(config, features.out_strides)

    rpn_head = make(config, RPNHead, in_channel=features.out_channels[0])
    bbox_head = _build_bbox_head(config, features)
    mask_head = _build_mask_head(config, features, bbox_head)
    # the boxes must be decoded with the weights that they were encoded with
    decode = make(config, RCNNBox, prior_box_var=bbox_head.bbox_weight)
    return MaskRCNN(
        backbone,
        rpn_head,
        bbox_head,
        mask_head,
        make(config, BBoxPostProcess, decode=decode),
        make(config, MaskPostProcess),
        neck,
    )


def _check_levels(config: Config, strides: Sequence[int]) -> None:
    """Anchors must stand on the feature maps that there are."""
    key = ("RPNHead", "anchor_generator", "strides")
    given = _at(config, key[:-1]).get("strides", [16])
    if list(given) != list(strides):
        raise config.error(key, f"the features have strides {list(strides)}, got {list(given)}")


def _extractor(config: Config, owner: str, features: FPN | ResNet) -> RoIAlign:
    scales = [1 / s for s in features.out_strides]
    return make(config, RoIAlign, (owner, "roi_extractor"), spatial_scale=scales)


def _build_bbox_head(config: Config, features: FPN | ResNet) -> BBoxHead:
    extractor = _extractor(config, "BBoxHead", features)
    channels = features.out_channels[0]
    if _at(config, ("BBoxHead",)).get("head", "TwoFCHead") == "Res5Head":
        head = make(config, Res5Head, in_channel=channels)
    else:
        head = make(config, TwoFCHead, in_channel=channels, resolution=extractor.resolution)
    return make(
        config, BBoxHead, head=head, in_channel=head.out_channel, roi_extractor=extractor
    )


def _build_mask_head(config: Config, features: FPN | ResNet, bbox_head: BBoxHead) -> MaskHead:
    values = _at(config, ("MaskHead",))
    shared = values.get("share_bbox_feat", False)
    if shared and not isinstance(bbox_head.head, Res5Head):
        raise config.error(
            ("MaskHead", "share_bbox_feat"), "only Res5Head has a feature map to share; use false"
        )
    # C4's mask head stands on Res5Head's channels even if it computes them anew
    channels = bbox_head.head.out_channel if shared else features.out_channels[0]
    extractor = _extractor(config, "MaskHead", features)
    mask_head = make(
        config,
        MaskHead,
        head=make(config, MaskFeat, in_channel=channels),
        roi_extractor=extractor,
    )
    _check_mask_size(config, mask_head, extractor.resolution // (2 if shared else 1))
    return mask_head


def _check_mask_size(config: Config, mask_head: MaskHead, feature_side: int) -> None:
    """The targets must have the side of what the head draws: twice its input."""
    drawn, wanted = 2 * feature_side, mask_head.mask_assigner.mask_resolution
    if drawn != wanted:
        raise config.error(
            ("MaskAssigner", "mask_resolution"), f"the mask head draws {drawn} cells, not {wanted}"
        )
