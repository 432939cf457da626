"""Reading the YAML of a configuration: files, their bases, changed values, places of keys."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from maskrcnn_edu.system.suggest import did_you_mean

SHIPPED = Path(__file__).parent

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
        f"there is no configuration {str(source)!r}: neither a file of that name nor one of "
        f"{', '.join(known)}{did_you_mean(str(source), known)}"
    )


def read_with_bases(path: Path, above: tuple[Path, ...] = ()) -> tuple[dict, dict[Key, str]]:
    """A file's values with those of its ``_BASE_`` files.

    Args:
        path: the file.
        above: the files whose ``_BASE_`` led here.

    Returns:
        The merged values, and where each key was written (see `Config`).

    Raises:
        ConfigError: not YAML, a base that does not exist, or one that leads back here.
    """
    if path in above:
        raise ConfigError(f"{path.name}: _BASE_ leads back to this file; break the circle")
    values, places = parse_yaml(path.read_text(encoding="utf-8"), path.name)
    bases = values.pop("_BASE_", [])
    merged: dict[str, Any] = {}
    merged_places: dict[Key, str] = {}
    for base in [bases] if isinstance(bases, str) else bases:
        base_path = path.parent / base
        if not base_path.is_file():
            raise ConfigError(f"{places[('_BASE_',)]}: _BASE_: there is no file {base!r}")
        base_values, base_places = read_with_bases(base_path, (*above, path))
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


def parse_yaml(text: str, name: str) -> tuple[dict, dict[Key, str]]:
    """The values of a YAML text called ``name``, and where each key was written.

    A tag (``!LinearWarmup``) becomes the key ``name`` of its section.

    Raises:
        ConfigError: not YAML, a key twice, or no sections; the message names the line.
    """
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
