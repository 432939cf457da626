"""PaddleDetection's model zoo, as ``zoo.yml`` lists it: names, addresses, COCO's classes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from maskrcnn_edu.system.download import fetch
from maskrcnn_edu.system.files import cache_folder
from maskrcnn_edu.system.suggest import did_you_mean
from maskrcnn_edu.weights.safetensors_file import MAX_BYTES


@dataclass(frozen=True)
class ZooEntry:
    """One published file.

    Attributes:
        url: where it is.
        config: the configuration of the whole model; None for a backbone alone.
        changes: what differs from that configuration, as ``KEY=VALUE``.
    """

    url: str
    config: str | None = None
    changes: Sequence[str] = ()


_PUBLISHED = yaml.safe_load((Path(__file__).parent / "zoo.yml").read_text(encoding="utf-8"))
MODEL_ZOO = {name: ZooEntry(**entry) for name, entry in _PUBLISHED["models"].items()}
"""Name -> what is published under it."""


def zoo_entry(source: str | Path) -> ZooEntry | None:
    """The published file that a name or a file's name stands for; None if there is none."""
    return MODEL_ZOO.get(Path(source).name.removesuffix(".pdparams"))


def _cache_name(url: str) -> str:
    """The name that a download is kept under: its own, and what tells its address from others.

    A published file has its own name alone.
    """
    path = Path(urlsplit(url).path)
    if any(url == entry.url for entry in MODEL_ZOO.values()):
        return path.name
    stem = re.sub(r"[^\w.-]", "_", path.stem)[:60] or "weights"
    suffix = path.suffix if path.suffix == ".pdparams" else ".safetensors"
    return f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:16]}{suffix}"


def find_weights(source: str | Path) -> Path:
    """The file or folder of weights that is meant; published ones are fetched first.

    Args:
        source: a file or folder, the name of a published file (with or without
            ``.pdparams``), or an ``http(s)://`` address.

    Raises:
        ValueError: there is no such file, and no published one of that name.
        DownloadError: it could not be fetched; the message says where to put it.
    """
    text = str(source)
    if Path(source).exists():
        return Path(source)
    entry = MODEL_ZOO.get(text.removesuffix(".pdparams"))
    url = text if text.startswith(("http://", "https://")) else entry and entry.url
    if url:
        return fetch(url, cache_folder() / _cache_name(url), max_bytes=MAX_BYTES)
    raise ValueError(
        f"there are no weights at {text}: neither a file or folder, nor a published file of that "
        f"name{did_you_mean(text, MODEL_ZOO)}"
    )


def coco_classes() -> tuple[list[str], list[int]]:
    """Names and category ids of COCO's 80 classes."""
    classes: dict[int, str] = _PUBLISHED["coco_classes"]
    return list(classes.values()), list(classes)
