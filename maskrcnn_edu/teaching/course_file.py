"""The small YAML file that names a course's configuration, weights, data and steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from maskrcnn_edu.config.yaml_files import Config, ConfigError, parse_yaml
from maskrcnn_edu.system.os_errors import in_words
from maskrcnn_edu.system.suggest import did_you_mean
from maskrcnn_edu.system.text_files import describe_value, read_text

COURSES = Path(__file__).parent / "courses"
MAX_BYTES = 32_000


def read_course_file(source: str) -> tuple[Path, Config]:
    """A course file, and what it says of each of `KEYS`.

    Args:
        source: a file, or the name of a shipped one.

    Raises:
        ConfigError: see `maskrcnn_edu.teaching.course.load_course`.
    """
    file = _find(source)
    try:
        values, places = parse_yaml(read_text(file, MAX_BYTES), file.name)
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {in_words(error)}") from error
    read = Config({**DEFAULTS, **values}, places)
    _check(read, file.name)
    return file, read


def _check(read: Config, name: str) -> None:
    for key in read.values:
        if key not in KEYS:
            raise read.error((key,), f"there is no such key{did_you_mean(key, KEYS)}")
    for key, (is_right, cure) in KEYS.items():
        if key not in read.values:
            raise ConfigError(f"{name}: {key} is missing; {cure}")
        if not is_right(read.values[key]):
            raise read.error((key,), f"{describe_value(read.values[key])}; {cure}")


def _find(source: str) -> Path:
    for file in (Path(source).expanduser(), COURSES / f"{source}.yml"):
        if file.is_file():
            return file
    known = sorted(file.stem for file in COURSES.glob("*.yml"))
    raise ConfigError(
        f"there is no course {source!r}: neither a file nor a shipped one has that name"
        f"{did_you_mean(source, known)}"
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_section(value: Any, keys: set[str], is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and set(value) == keys and all(map(is_right, value.values()))


def _is_dataset(value: Any) -> bool:
    return value == "shapes" or _is_section(
        value, {"train", "val"}, lambda split: _is_section(split, {"json", "images"}, _is_text)
    )


DEFAULTS: dict[str, Any] = {"changes": [], "weights": None, "steps": 40, "rows": [0]}
KEYS = {
    "config": (_is_text, "write the name of a shipped configuration or a YAML file"),
    "changes": (
        lambda value: isinstance(value, list) and all(map(_is_text, value)),
        'write a list of changes to the configuration, such as ["TrainReader.batch_size=1"]',
    ),
    "weights": (
        lambda value: value is None or _is_text(value),
        "write a model's folder or file, a published name, or null for random weights",
    ),
    "dataset": (_is_dataset, "write shapes, or train and val with json (a file) and images each"),
    "steps": (_is_count, "write how many steps a cell trains, 1 or more"),
    "rows": (
        lambda value: (
            isinstance(value, list) and bool(value) and all(_is_count(row, 0) for row in value)
        ),
        "write a list of images of val, such as [0, 1, 2]",
    ),
}
"""Key of a course file -> whether a value of it is right, and what to write."""
