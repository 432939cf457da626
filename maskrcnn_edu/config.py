"""The document's YAML becomes constructor calls; what it does not know is an error.

A configuration is PaddleDetection's: one section per class, class names as values
where one part holds another, ``_BASE_`` for a file to start from. Keys are the
constructors' parameters, so the constructors' own docstrings explain them.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from maskrcnn_edu.backbone import Res5Head, ResNet
from maskrcnn_edu.bbox.cot import COTBBoxHead, COTLoss
from maskrcnn_edu.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.bbox.postprocess import BBoxPostProcess, MultiClassNMS, RCNNBox
from maskrcnn_edu.bbox.targets import BBoxAssigner
from maskrcnn_edu.data.reader import Reader, nearest
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
        f"{', '.join(known)}{nearest(str(source), known)}"
    )


def _read_file(path: Path, above: tuple[Path, ...] = ()) -> tuple[dict, dict[Key, str]]:
    """A file's values with those of its ``_BASE_`` files; ``above`` are the files that need it."""
    if path in above:
        raise ConfigError(f"{path.name}: _BASE_ leads back to this file; break the circle")
    values, places = _parse(path.read_text(encoding="utf-8"), path.name)
    bases = values.pop("_BASE_", [])
    merged: dict[str, Any] = {}
    merged_places: dict[Key, str] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        base_path = path.parent / base
        if not base_path.is_file():
            raise ConfigError(f"{places[('_BASE_',)]}: _BASE_: there is no file {base!r}")
        base_values, base_places = _read_file(base_path, (*above, path))
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
    places: dict[Key, str] = {}
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        values = _values(root, (), name, places) if root is not None else {}
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{name} is not YAML that can be read: {error}") from error
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
        word, line = key_node.value, key_node.start_mark.line + 1
        if not isinstance(word, str):
            raise ConfigError(f"{name}, line {line}: a key must be a word")
        if word in result:
            raise ConfigError(f"{name}, line {line}: {word} is there twice; keep one")
        result[word] = _values(value_node, (*key, word), name, places)
        places[(*key, word)] = f"{name}, line {line}"
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
            raise config.error((key,), f"unknown key{nearest(key, known)}")
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
    hints = _parameters(_switched(config, cls, key))
    if cls in SWITCHES:
        hints[SWITCHES[cls][0]] = bool
    for word, value in values.items():
        here = (*key, word)
        if word == "name" and value == cls.__name__:
            continue
        if word not in hints:
            raise config.error(here, f"unknown key of {cls.__name__}{nearest(word, hints)}")
        nested = _class_for(config, hints[word], value, here)
        if nested and isinstance(value, dict):
            _check_section(config, nested, value, here)
        elif not nested and not _fits(value, hints[word]):
            raise config.error(here, f"must be {_name(hints[word])}, got {value!r}")


def _switched(config: Config, cls: type, key: Key) -> type:
    """The class that a section builds."""
    if cls not in SWITCHES:
        return cls
    word, other = SWITCHES[cls]
    return other if _at(config, key).get(word, config.values.get(word, False)) else cls


def _ours(hint: Any) -> dict[str, type]:
    """The classes with a section that a parameter takes, by name."""
    return {c.__name__: c for c in _options(hint) if c in SECTIONS.values()}


def _class_for(config: Config, hint: Any, value: Any, key: Key) -> type | None:
    """The class that a value stands for, if the parameter takes one of ours."""
    ours = _ours(hint)
    if not ours or value is None:
        return None
    name = value.get("name", next(iter(ours))) if isinstance(value, dict) else value
    if name not in ours:
        near = nearest(str(name), ours)
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


# ---------------------------------------------------------------- building


def make(config: Config, cls: type, key: Key | None = None, **derived) -> Any:
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
    hints = _parameters(cls)
    shared = {k: config.values[k] for k in SHARED if k in config.values and k in hints}
    fixed = {**shared, **derived}
    arguments = dict(fixed)
    for word, value in _at(config, key).items():
        is_part = bool(_ours(hints.get(word)))
        if word in fixed and not is_part and _listed(value) != _listed(fixed[word]):
            problem = f"{value!r} contradicts {fixed[word]!r}; leave it out"
            raise config.error((*key, word), problem)
        if word in hints and word not in fixed:
            arguments[word] = part(config, key, cls, word) if is_part else value
    for word in _unnamed_parts(config, hints, arguments):
        arguments[word] = part(config, key, cls, word)
    try:
        return cls(**arguments)
    except ValueError as error:
        raise config.error(_blamed(key, hints, error), str(error)) from error


def part(config: Config, owner: Key, owner_class: type, word: str, **derived) -> Any:
    """Build the part that a parameter of a section asks for; None for ``null``."""
    cls, key = locate(config, owner, owner_class, word)
    return None if cls is None else make(config, cls, key, **derived)


def locate(config: Config, owner: Key, owner_class: type, word: str) -> tuple[type | None, Key]:
    """Class and section of a part.

    A part is written in place (``head: {name: MaskFeat, num_convs: 2}``), or named
    (``head: MaskFeat``) with a section of its own, or not mentioned at all: then it is
    the parameter's first class, with that class's section.
    """
    hint = _parameters(owner_class)[word]
    section = _at(config, owner)
    if word in section and section[word] is None:
        return None, (*owner, word)
    value = section.get(word, next(iter(_ours(hint))))
    cls = _class_for(config, hint, value, (*owner, word))
    return cls, (*owner, word) if isinstance(value, dict) else (cls.__name__,)


def _unnamed_parts(config: Config, hints: dict[str, Any], arguments: dict) -> list[str]:
    """Parameters that nobody set, but whose class has a section in the configuration."""
    only_class = {w: next(iter(_ours(h))) for w, h in hints.items() if len(_ours(h)) == 1}
    return [w for w, name in only_class.items() if w not in arguments and name in config.values]


def _listed(value: Any) -> list:
    """A number as a list of one, so that ``16`` and ``[16]`` are equal."""
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _at(config: Config, key: Key) -> dict[str, Any]:
    """The section at a path; {} (all defaults) if it is not there."""
    found: Any = config.values
    for word in key:
        found = found.get(word, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}


def _blamed(key: Key, hints: Iterable[str], error: ValueError) -> Key:
    """The path of the parameter that a constructor's error message begins with."""
    word = str(error).split()[0].rstrip(":")
    return (*key, word) if word in hints else key


TOP: Key = ("MaskRCNN",)


def build_model(config: Config) -> MaskRCNN:
    """The model that a configuration describes.

    Numbers of channels and strides follow from the backbone and the neck; everything
    else is in the configuration or a default.

    Raises:
        ConfigError: names the key, its place, and what would be valid.
    """
    backbone = part(config, TOP, MaskRCNN, "backbone")
    neck = None
    if _at(config, TOP).get("neck"):
        scales = [1 / s for s in backbone.out_strides]
        channels = backbone.out_channels
        neck = part(config, TOP, MaskRCNN, "neck", in_channels=channels, spatial_scales=scales)
    features = neck or backbone
    rpn_head = _build_rpn_head(config, features)
    bbox_head = _build_bbox_head(config, features)
    mask_head = _build_mask_head(config, features, bbox_head)
    post_key = locate(config, TOP, MaskRCNN, "bbox_post_process")[1]
    # the boxes must be decoded with the weights that they were encoded with
    weights = {"prior_box_var": bbox_head.bbox_weight}
    decode = part(config, post_key, BBoxPostProcess, "decode", **weights)
    model = MaskRCNN(
        backbone,
        rpn_head,
        bbox_head,
        mask_head,
        make(config, BBoxPostProcess, post_key, decode=decode),
        part(config, TOP, MaskRCNN, "mask_post_process"),
        neck,
        _at(config, TOP).get("use_extra_data", False),
    )
    _check_num_classes(config, model)
    return model


def _build_rpn_head(config: Config, features: FPN | ResNet) -> RPNHead:
    rpn_head = part(config, TOP, MaskRCNN, "rpn_head", in_channel=features.out_channels[0])
    owner = locate(config, TOP, MaskRCNN, "rpn_head")[1]
    key = locate(config, owner, RPNHead, "anchor_generator")[1]
    given = list(rpn_head.anchor_generator.strides)
    if given != list(features.out_strides):  # anchors must stand on the maps that there are
        problem = f"the features have strides {features.out_strides}, got {given}"
        raise config.error((*key, "strides"), problem)
    return rpn_head


def _build_bbox_head(config: Config, features: FPN | ResNet) -> BBoxHead:
    key = locate(config, TOP, MaskRCNN, "bbox_head")[1]
    extractor = _build_extractor(config, key, BBoxHead, features)
    channels = {"in_channel": features.out_channels[0]}
    if locate(config, key, BBoxHead, "head")[0] is TwoFCHead:
        channels["resolution"] = extractor.resolution
    head = part(config, key, BBoxHead, "head", **channels)
    derived = {"head": head, "in_channel": head.out_channel, "roi_extractor": extractor}
    return make(config, _switched(config, BBoxHead, key), key, **derived)


def _build_mask_head(config: Config, features: FPN | ResNet, bbox_head: BBoxHead) -> MaskHead:
    key = locate(config, TOP, MaskRCNN, "mask_head")[1]
    extractor = _build_extractor(config, key, MaskHead, features)
    side, channels = extractor.resolution, features.out_channels[0]
    if _at(config, key).get("share_bbox_feat", False):
        if not isinstance(bbox_head.head, Res5Head):
            problem = "only Res5Head has a feature map to share; use false"
            raise config.error((*key, "share_bbox_feat"), problem)
        # the mask head stands on Res5Head, which halves the size
        side, channels = -(-bbox_head.roi_extractor.resolution // 2), bbox_head.head.out_channel
    head = part(config, key, MaskHead, "head", in_channel=channels)
    mask_head = make(config, MaskHead, key, head=head, roi_extractor=extractor)
    wanted = mask_head.mask_assigner.mask_resolution
    if wanted != 2 * side:
        place = locate(config, key, MaskHead, "mask_assigner")[1]
        problem = f"the mask head draws {2 * side} cells, not {wanted}"
        raise config.error((*place, "mask_resolution"), problem)
    return mask_head


def _build_extractor(
    config: Config, owner: Key, owner_class: type, features: FPN | ResNet
) -> RoIAlign:
    scales = [1 / s for s in features.out_strides]
    extractor = part(config, owner, owner_class, "roi_extractor", spatial_scale=scales)
    if 1 < len(scales) <= extractor.end_level:
        key = locate(config, owner, owner_class, "roi_extractor")[1]
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
