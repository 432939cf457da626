"""PaddleDetection's model zoo: names, addresses, and the classes that the models know."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from maskrcnn_edu.system.download import fetch
from maskrcnn_edu.system.suggest import did_you_mean
from maskrcnn_edu.weights.safetensors_file import MAX_BYTES

ADDRESS = "https://paddledet.bj.bcebos.com/models"


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
    changes: tuple[str, ...] = ()


C4, FPN = "mask_rcnn_r50_1x_coco", "mask_rcnn_r50_fpn_1x_coco"
MODEL_ZOO = {
    "mask_rcnn_r50_1x_coco": ZooEntry(f"{ADDRESS}/mask_rcnn_r50_1x_coco.pdparams", C4),
    "mask_rcnn_r50_2x_coco": ZooEntry(f"{ADDRESS}/mask_rcnn_r50_2x_coco.pdparams", C4),
    "mask_rcnn_r50_fpn_1x_coco": ZooEntry(f"{ADDRESS}/mask_rcnn_r50_fpn_1x_coco.pdparams", FPN),
    "mask_rcnn_r50_fpn_2x_coco": ZooEntry(f"{ADDRESS}/mask_rcnn_r50_fpn_2x_coco.pdparams", FPN),
    "mask_rcnn_r101_fpn_1x_coco": ZooEntry(
        f"{ADDRESS}/mask_rcnn_r101_fpn_1x_coco.pdparams", FPN, ("ResNet.depth=101",)
    ),
    "ResNet50_cos_pretrained": ZooEntry(f"{ADDRESS}/pretrained/ResNet50_cos_pretrained.pdparams"),
    "ResNet101_pretrained": ZooEntry(f"{ADDRESS}/pretrained/ResNet101_pretrained.pdparams"),
}
"""Name -> what is published under it."""


def cache_folder() -> Path:
    """Where downloads are kept: ``$MASKRCNN_EDU_CACHE``, or a folder of the user's cache."""
    named = os.environ.get("MASKRCNN_EDU_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "maskrcnn_edu"


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
        f"there are no weights at {text}: neither a file or folder, nor the name of a published "
        f"file ({', '.join(MODEL_ZOO)}){did_you_mean(text, MODEL_ZOO)}"
    )


COCO_NAMES = (
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant "
    "stop_sign parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe "
    "backpack umbrella handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat "
    "baseball_glove skateboard surfboard tennis_racket bottle wine_glass cup fork knife spoon "
    "bowl banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair couch "
    "potted_plant bed dining_table toilet tv laptop mouse remote keyboard cell_phone microwave "
    "oven toaster sink refrigerator book clock vase scissors teddy_bear hair_drier toothbrush"
)
"""COCO's 80 classes, in the order of their labels."""

COCO_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Ids between 1 and 90 that COCO's annotation files leave out."""


def coco_classes() -> tuple[list[str], list[int]]:
    """Names and category ids of COCO's 80 classes."""
    names = [name.replace("_", " ") for name in COCO_NAMES.split()]
    return names, [i for i in range(1, 91) if i not in COCO_UNUSED_IDS]
