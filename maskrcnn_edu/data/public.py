"""Public datasets: fetched, unpacked, and brought into COCO's format."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from maskrcnn_edu.data.importers.index_masks import read_masks
from maskrcnn_edu.data.importers.via import read_via
from maskrcnn_edu.data.importers.write_coco import split, write_dataset
from maskrcnn_edu.data.problems import Issue
from maskrcnn_edu.system.download import fetch, require_disk_space
from maskrcnn_edu.system.files import atomic_folder, atomic_write
from maskrcnn_edu.system.suggest import did_you_mean
from maskrcnn_edu.system.text_files import read_json

VAL_SHARE = 0.2
MARGIN = 2  # an archive may have grown since its size was written down

MAX_DIRECTORY = 16 << 20
"""Bytes of an archive's table of contents; that of COCO's 118,287 images takes 12 million."""

MAX_FILES = 150_000

MAX_RATIO = 50
"""What is in an archive may be so many times its size; annotations in JSON are ten times."""

SMALL = 10 << 20
"""Bytes that any archive may hold."""

MAX_NAME = 200  # bytes; disks take 255, and ".part" comes behind

DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, UnicodeError,
    struct.error, OverflowError,
)  # fmt: skip
"""What `zipfile` raises for files that are no archives."""

ROOM = "make room and try again, it goes on where it stopped"


@dataclass(frozen=True)
class Archive:
    """A ZIP file that is published somewhere.

    Attributes:
        url: where.
        size: bytes.
        checksum: as `fetch` takes it; None if nobody published one.
        unpacked: bytes of what is taken out of it, about.
    """

    url: str
    size: int
    checksum: str | None = None
    unpacked: int = 0

    @property
    def name(self) -> str:
        """The name of the file."""
        return PurePosixPath(self.url).name


@dataclass(frozen=True)
class Splits:
    """The four paths that ``maskrcnn-edu train`` asks for, from the dataset's folder."""

    train_json: str = "annotations/instances_train.json"
    train_images: str = "train"
    val_json: str = "annotations/instances_val.json"
    val_images: str = "val"


@dataclass(frozen=True)
class PublicDataset:
    """What there is to fetch, and what to do with it.

    Attributes:
        archives: ZIP files.
        wanted: prefixes of what is taken out of them.
        convert: (folder with everything unpacked, folder to fill) -> what was left out.
        splits: where annotation files and images are afterwards.
        config: the configuration to begin with.
    """

    archives: tuple[Archive, ...]
    wanted: Sequence[str]
    convert: Callable[[Path, Path], list[Issue]]
    splits: Splits
    config: str


def get_dataset(
    name: str, out_dir: str | Path, mirror: str | None = None, *, quiet: bool = False
) -> list[Issue]:
    """Make a public dataset ready to train on; what is there already is not made again.

    Everything grows in ``OUT.part`` and gets its name when it is whole. A run that was
    interrupted, even killed, goes on where it stopped.

    Args:
        name: one of `DATASETS`.
        out_dir: the folder that it becomes.
        mirror: ``http(s)://`` address of a folder with the same archives, of a classroom's
            own server for example.
        quiet: show no progress bars.

    Returns:
        What was left out of it.

    Raises:
        ValueError: no such dataset, something else is at ``out_dir``, too little disk
            space, a damaged archive.
        DownloadError: an archive could not be fetched.
    """
    if name not in DATASETS:
        raise ValueError(f"there is no dataset {name}{did_you_mean(name, DATASETS)}")
    dataset, out_dir = DATASETS[name], Path(out_dir)
    work = out_dir.with_name(out_dir.name + ".part")
    if (out_dir / dataset.splits.val_json).is_file():  # it has its name: it is whole
        shutil.rmtree(work, ignore_errors=True)
        return []
    archives, raw = work / "archives", work / "raw"
    _check_room(dataset, work)
    with atomic_folder(out_dir, work / "made") as made:
        for archive in dataset.archives:
            url = f"{mirror.rstrip('/')}/{archive.name}" if mirror else archive.url
            room = MARGIN * archive.size
            path = fetch(url, archives / archive.name, archive.checksum, quiet, room)
            unpack(path, raw, dataset.wanted)
        try:
            issues = dataset.convert(raw, made)
        except OSError as error:
            raise ValueError(f"{made}: {error.strerror or error}; {ROOM}") from error
    shutil.rmtree(work)
    return issues


def _check_room(dataset: PublicDataset, work: Path) -> None:
    """What is there of an earlier run need not be written again."""
    total = sum(2 * each.size + each.unpacked for each in dataset.archives)
    there = sum(p.stat().st_size for p in work.rglob("*") if p.is_file())
    require_disk_space(work.parent, max(total - there, 0), "the archives and what is in them")


class _Archive(io.FileIO):
    """A ZIP file that `zipfile` cannot be made to read at once."""

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY:
            raise zipfile.BadZipFile(f"its table of contents has {size:,} bytes")
        return super().read(size)


def unpack(archive: Path, folder: Path, wanted: Sequence[str] = ("",)) -> None:
    """Take files out of a ZIP file; those that are there already, whole, stay.

    Args:
        archive: the ZIP file.
        folder: is made if need be. Nothing is written outside of it.
        wanted: prefixes of the names in the archive that are taken.

    Raises:
        ValueError: damaged, made to harm, or too little disk space. An archive that is not
            to be used is removed with all that was taken out, so that it is fetched again.
    """
    try:
        with _Archive(archive) as file, zipfile.ZipFile(file) as packed:
            files = [each for each in packed.infolist() if not each.filename.endswith("/")]
            members = [member for member in files if member.filename.startswith(tuple(wanted))]
            _refuse_bombs(files, archive.stat().st_size)
            _refuse_names(members)
            missing = [m for m in members if not _is_whole(folder / m.filename, m.file_size)]
            require_disk_space(folder.parent, sum(m.file_size for m in missing), archive.name)
            for member in missing:
                _take_out(packed, member, folder / member.filename)
    except DAMAGE as error:
        archive.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        raise ValueError(
            f"{archive}: the archive is damaged or not to be trusted ({str(error)[:200]}); "
            "it was removed, try again"
        ) from error


def _refuse_bombs(files: list[zipfile.ZipInfo], size: int) -> None:
    """Few bytes that become many: packed over and over, overlapping, or for a large memory."""
    if len(files) > MAX_FILES:
        raise zipfile.BadZipFile(f"{len(files):,} files are more than any dataset's here")
    for member in files:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise zipfile.BadZipFile(f"{member.filename[:60]!r} is not packed the usual way")
    if sum(member.compress_size for member in files) > size:
        raise zipfile.BadZipFile("its files overlap")
    total = sum(member.file_size for member in files)
    if total > max(SMALL, MAX_RATIO * size):
        raise zipfile.BadZipFile(f"{size:,} bytes would become {total:,}")


def _refuse_names(members: list[zipfile.ZipInfo]) -> None:
    """`zipfile` would write some of them inside the folder, under other names, silently."""
    seen: set[str] = set()
    for member in members:
        name = member.filename.replace("\\", "/")
        parts = [part for part in name.split("/") if part not in ("", ".")]
        path, shown = "/".join(parts), f"it holds {member.filename[:60]!r}"
        is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
        if name.startswith("/") or ".." in parts or ":" in name or is_link:
            raise zipfile.BadZipFile(f"{shown}, which leads out of the folder")
        if not parts or max(len(part.encode()) for part in parts) > MAX_NAME:
            raise zipfile.BadZipFile(f"{shown}, which is no name of a file")
        if path in seen:
            raise zipfile.BadZipFile(f"{shown} twice")
        seen.add(path)
    folders = {PurePosixPath(path.rpartition("/")[0]) for path in seen}
    folders |= {parent for folder in folders for parent in folder.parents}
    if both := seen & {str(folder) for folder in folders}:
        raise zipfile.BadZipFile(f"it holds {min(both)[:60]!r} as a file and as a folder")


def _is_whole(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _take_out(packed: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    def write(unfinished: Path) -> None:
        with packed.open(member) as source, unfinished.open("wb") as target:
            shutil.copyfileobj(source, target)  # compares the checksum at the end

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, write, sync=False)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}; {ROOM}") from error


# ---- what to do with each of them ------------------------------------------------------


def _convert_coco(raw: Path, made: Path) -> list[Issue]:
    """It is in COCO's format; only the layout of folders is ours."""
    for folder in sorted(raw.iterdir()):
        os.replace(folder, made / folder.name)
    return []


def _convert_coco_val(raw: Path, made: Path) -> list[Issue]:
    """The validation images alone, split once more, so that there is something to train on."""
    _convert_coco(raw, made)
    folder = made / "annotations"
    content = read_json(folder / "instances_val2017.json")
    images = content["images"]
    last = -round(VAL_SHARE * len(images))
    for part, rows in {"train": images[:last], "val": images[last:]}.items():
        ids = {image["id"] for image in rows}
        own = [each for each in content["annotations"] if each["image_id"] in ids]
        text = json.dumps(content | {"images": rows, "annotations": own})
        (folder / f"instances_{part}.json").write_text(text, encoding="utf-8")
    return []


def _convert_penn_fudan(raw: Path, made: Path) -> list[Issue]:
    labeled, issues = read_masks(raw / "PennFudanPed", class_name="person")
    return issues + write_dataset(split(labeled, VAL_SHARE, seed=0), made, ["person"])


def _convert_balloon(raw: Path, made: Path) -> list[Issue]:
    splits, issues = {}, []
    for part in ("train", "val"):
        splits[part], left_out = read_via(raw / "balloon" / part, class_name="balloon")
        issues += left_out
    return issues + write_dataset(splits, made, ["balloon"])


CONVERTERS = {
    "coco": _convert_coco,
    "coco_val": _convert_coco_val,
    "penn_fudan": _convert_penn_fudan,
    "balloon": _convert_balloon,
}
_PUBLISHED = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))


DATASETS = {
    name: PublicDataset(
        tuple(Archive(**_PUBLISHED["archives"][each]) for each in entry["archives"]),
        entry["wanted"],
        CONVERTERS[entry["convert"]],
        Splits(**entry.get("splits", {})),
        entry["config"],
    )
    for name, entry in _PUBLISHED["datasets"].items()
}
"""Name -> what is published under it; see ``public.yml``."""
