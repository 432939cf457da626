"""What an interrupted prediction leaves behind, so that the same call goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.system.files import atomic_write
from maskrcnn_edu.system.text_files import read_json
from maskrcnn_edu.weights.folder import ClassNames

MARK = "unfinished.json"
"""Is in the folder as long as the work there is not finished, with all that it depends on."""

Done = dict[tuple[str, str], tuple[dict, list[dict]]]
"""(path, overlay) -> the image's part of ``photos.json`` and of ``results.json``."""


def made_by(model: MaskRCNN, config: Config, classes: ClassNames, *drawn: object) -> str:
    """What overlays and results depend on, beside the images, as one number."""
    options = [config.values, classes.names, classes.category_ids, drawn]
    made = hashlib.sha256(json.dumps(options, default=str).encode())
    for name, value in sorted(model.state_dict().items()):
        made.update(name.encode() + value.numpy().tobytes())
    return made.hexdigest()


def leave_mark(out_dir: Path, key: Callable[[], str], records: Sequence[dict]) -> None:
    """Say that the work ended early, and which files it has seen.

    Args:
        out_dir: where ``photos.json`` and ``results.json`` are.
        key: gives what `made_by` does; called here only, since it reads all weights.
        records: those of ``photos.json``.
    """
    done = [record["path"] for record in records if record["problem"] is None]
    text = json.dumps({"made_by": key(), "files": {path: _state(path) for path in done}})
    atomic_write(out_dir / MARK, lambda place: place.write_text(text, encoding="utf-8"))


def take_over(out_dir: Path, key: Callable[[], str]) -> Done:
    """What the same call has done before it was interrupted; nothing if something has changed."""
    try:
        mark, photos, results = (
            read_json(out_dir / name) for name in (MARK, "photos.json", "results.json")
        )
        done = [r for r in photos if mark["files"].get(r["path"]) == _state(r["path"])]
        if mark["made_by"] != key():
            return {}
        return {
            (record["path"], record["overlay"]): (
                record, [each for each in results if each["image_id"] == record["image_id"]],
            )
            for record in done
            if (out_dir / record["overlay"]).is_file()
        }  # fmt: skip
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # not these files
        return {}
    finally:
        (out_dir / MARK).unlink(missing_ok=True)


def _state(path: str) -> list[int] | None:
    """Size and time of the last change; None if the file is gone."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]
