"""Reading the YAML of a configuration: files, their bases, changed values, places of keys."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from maskrcnn_edu.system.suggest import did_you_mean
from maskrcnn_edu.system.text_files import describe_value, read_text

SHIPPED = Path(__file__).parent

PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq", "!")
"""What a section or a list may be: nothing special, or ``!Name``."""

MAX_BYTES, MAX_VALUES, MAX_DEPTH = 32_000, 10_000, 40
"""What a configuration may take: bytes of a file, values, sections within sections. The
largest shipped one has 3,000, 200 and 5; aliases can make a billion values of 300 bytes."""

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


def find_config(source: str | Path) -> Path:
    """The file of a configuration: a path, or the name of a shipped one.

    Raises:
        ConfigError: there is neither; the message names the nearest shipped one.
    """
    path = Path(source)
    if path.is_file():
        return path
    shipped = SHIPPED / f"{source}.yml"
    if shipped.is_file():
        return shipped
    known = shipped_configs()
    raise ConfigError(
        f"there is no configuration {str(source)!r}: neither a file nor a shipped one has that "
        f"name{did_you_mean(str(source), known)}"
    )


def read_with_bases(
    path: Path,
    above: tuple[Path, ...] = (),
    done: dict[Path, tuple[dict, dict[Key, str]]] | None = None,
) -> tuple[dict, dict[Key, str]]:
    """A file's values with those of its ``_BASE_`` files.

    Args:
        path: the file.
        above: the files whose ``_BASE_`` led here.
        done: the answers for files that were read already.

    Returns:
        The merged values, and where each key was written (see `Config`).

    Raises:
        ConfigError: not YAML, a base that does not exist, or one that leads back here.
    """
    here, done = path.resolve(), {} if done is None else done
    if here in done:
        return done[here]
    if here in above:
        raise ConfigError(f"{path.name}: _BASE_ leads back to this file; break the circle")
    if len(above) >= MAX_DEPTH:
        raise ConfigError(f"{path.name}: _BASE_ leads through more than {MAX_DEPTH} files")
    try:
        text = read_text(path, MAX_BYTES)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    values, places = parse_yaml(text, path.name)
    merged: dict[str, Any] = {}
    merged_places: dict[Key, str] = {}
    for base_path in _bases(values.pop("_BASE_", []), path, places):
        base_values, base_places = read_with_bases(base_path, (*above, here), done)
        merged = _merge(merged, base_values)
        merged_places |= base_places
    done[here] = _merge(merged, values), merged_places | places
    return done[here]


def _bases(names: Any, path: Path, places: dict[Key, str]) -> list[Path]:
    """The files that ``_BASE_`` names: one, or a list of them."""
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        problem = f"must be a file or a list of files, got {describe_value(names)}"
        raise ConfigError(f"{places[('_BASE_',)]}: _BASE_: {problem}")
    for name in listed:
        if not (path.parent / name).is_file():
            raise ConfigError(f"{places[('_BASE_',)]}: _BASE_: there is no file {name!r}")
        if listed.count(name) > 1:
            raise ConfigError(f"{places[('_BASE_',)]}: _BASE_: {name!r} is there twice")
    return [path.parent / name for name in listed]


def _merge(base: dict, top: dict) -> dict:
    """Sections are merged key by key; anything else in ``top`` replaces ``base``."""
    merged = dict(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both else value
    return merged


class _Loader(yaml.SafeLoader):
    """Plain values only; ``1e-3`` is a number (YAML 1.1 wants ``1.0e-3``)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+\Z"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, name: str) -> tuple[dict, dict[Key, str]]:
    """The values of a YAML text called ``name``, and where each key was written.

    A tag (``!LinearWarmup``) becomes the key ``name`` of its section.

    Raises:
        ConfigError: not YAML, a key twice, or no sections; the message names the line.
    """
    values, places = _parse(text, name)
    if values is None:
        return {}, places
    if not isinstance(values, dict):
        raise ConfigError(f"{name} must hold sections (`ResNet:` and so on), not a plain value")
    return values, places


def _parse(text: str, name: str) -> tuple[Any, dict[Key, str]]:
    """`parse_yaml` of any value; None for an empty text."""
    places: dict[Key, str] = {}
    try:
        _check_brackets(text)
        root = yaml.compose(text, _Loader)
        return (None if root is None else _values(root, (), name, places)), places
    except ConfigError:
        raise
    except RecursionError:
        problem = f"more than {MAX_DEPTH} sections and lists within each other"
        raise ConfigError(f"{name}: {problem}; write it flat") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        reason = str(error).partition(";")[0]
        raise ConfigError(f"{name} is not YAML that can be read: {reason}") from error


def _check_brackets(text: str) -> None:
    """Raises RecursionError for what would take PyYAML seconds to refuse."""
    depth = 0
    for bracket in re.findall(r"[][{}]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise RecursionError


def _values(node: yaml.Node, key: Key, name: str, places: dict[Key, str]) -> Any:
    """Plain values of a YAML node, noting where each was written."""
    line = node.start_mark.line + 1
    if len(key) > MAX_DEPTH:
        raise ConfigError(f"{name}, line {line}: an alias that holds itself, or too many levels")
    if len(places) > MAX_VALUES:
        raise ConfigError(f"{name}, line {line}: more than {MAX_VALUES} values, aliases repeated")
    places[key] = f"{name}, line {line}"
    if not isinstance(node, yaml.ScalarNode) and not node.tag.startswith(PLAIN_TAGS):
        raise ConfigError(f"{name}, line {line}: unknown tag {node.tag}; leave it out")
    if isinstance(node, yaml.SequenceNode):
        return [_values(child, (*key, i), name, places) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode):
        return _Loader("").construct_object(node)
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


def apply_override(values: dict, places: dict[Key, str], text: str) -> None:
    """Apply one ``KEY=VALUE`` of ``--set``; dots lead into sections, numbers into lists.

    Args:
        values: changed in place.
        places: changed in place.
        text: the setting.

    Raises:
        ConfigError: no ``=``, nothing at that place, or a value that is no YAML.
    """
    if "=" not in text:
        raise ConfigError(f"--set {text}: write KEY=VALUE, for example num_classes=3")
    dotted, value = text.split("=", 1)
    key = parse_key(dotted)
    new, new_places = _parse(value, f"--set {text}")
    holder: Any = values
    for part in key[:-1]:
        if isinstance(holder, dict):
            holder = holder.setdefault(part, {})
        elif isinstance(holder, list) and isinstance(part, int) and part < len(holder):
            holder = holder[part]
        else:
            raise ConfigError(f"--set {text}: there is nothing at {part!r}")
    try:
        holder[key[-1]] = new
    except (TypeError, IndexError) as error:
        raise ConfigError(f"--set {text}: there is nothing at {key[-1]!r}") from error
    places.update({(*key, *inside): f"--set {text}" for inside in new_places})
    places[key] = f"--set {text}"


def parse_key(dotted: str) -> Key:
    """``schedulers.0.steps`` as a path: numbers lead into lists."""
    parts: Iterable[str] = dotted.split(".")
    return tuple(int(part) if part.isascii() and part.isdigit() else part for part in parts)
