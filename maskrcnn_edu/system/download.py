"""Fetching a file over HTTP: with a progress bar, going on where it stopped, checked.

A download grows in ``NAME.part`` beside its place and gets its name only when it is whole
and its checksum is right. An interrupted one goes on from there the next time.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

from maskrcnn_edu.system.files import rename_synced
from maskrcnn_edu.system.progress import progress

CHUNK = 1 << 18  # bytes
TIMEOUT = 30  # seconds without a byte
ATTEMPTS = 5


class DownloadError(ValueError):
    """A file could not be fetched; the message says why, and what to do."""


def fetch(
    url: str,
    path: str | Path,
    checksum: str | None = None,
    quiet: bool = False,
    max_bytes: int | None = None,
) -> Path:
    """Fetch a file, unless it is there already.

    Args:
        url: ``http://`` or ``https://`` address.
        path: where it goes.
        checksum: ``"sha256:..."`` or ``"md5:..."`` in hexadecimal; without one, the MD5
            that the server sends along is used, if it sends one.
        quiet: show no progress bar.
        max_bytes: a server that sends more is not listened to.

    Returns:
        ``path``.

    Raises:
        DownloadError: offline, no such file, broken connection, wrong checksum, full
            disk, too large; what has arrived is kept for the next attempt where that makes sense.
    """
    path = Path(path)
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(path, url)
    for attempt in range(ATTEMPTS):
        try:
            _transfer(url, part, quiet, max_bytes)
            break
        except urllib.error.HTTPError as error:
            raise _failed(url, path, f"the server answered {error.code} {error.reason}") from error
        except (http.client.HTTPException, OSError) as error:
            if _is_about_the_disk(error):
                raise DownloadError(f"{path}: {error.strerror}; make room and try again") from error
            if attempt == ATTEMPTS - 1 or part.size == 0:
                raise _failed(url, path, _reason(error), part) from error
            time.sleep(attempt)
    _check(part, checksum or part.notes.get("checksum"), url)
    part.finish(path)
    return path


def require_disk_space(folder: str | Path, size: int, what: str) -> None:
    """Refuse early what the disk cannot hold.

    Args:
        folder: where it is to be written; it need not exist yet.
        size: bytes.
        what: what needs them, for the message.

    Raises:
        DownloadError: fewer bytes are free.
    """
    folder = Path(folder).absolute()
    there = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(there).free
    if size > free:
        raise DownloadError(
            f"{folder}: {what} needs {_readable(size)}, but only {_readable(free)} are free; "
            f"make room, or choose a folder on another disk"
        )


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 10**8 else f"{size / 1e6:.1f} MB"


class _Part:
    """What has arrived of a file, and the version and checksum that the server sent along."""

    def __init__(self, path: Path, url: str):
        self.content = path.with_name(path.name + ".part")
        self.notes_path = path.with_name(path.name + ".part.json")
        self.url = url

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.content.name.removesuffix(".part")

    @property
    def size(self) -> int:
        return self.content.stat().st_size if self.content.exists() else 0

    @property
    def notes(self) -> dict:
        """``version`` and ``checksum`` of the whole file; {} if there is no part to go on with."""
        try:
            notes = json.loads(self.notes_path.read_text(encoding="utf-8"))
            return notes if notes["url"] == self.url and self.size else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def start(self, version: str | None, checksum: str | None) -> None:
        """Throw away what is there; ``version`` tells later whether the rest still fits."""
        self.content.write_bytes(b"")
        notes = {"url": self.url, "version": version, "checksum": checksum}
        self.notes_path.write_text(json.dumps(notes), encoding="utf-8")

    def remove(self) -> None:
        self.content.unlink(missing_ok=True)
        self.notes_path.unlink(missing_ok=True)

    def finish(self, path: Path) -> None:
        rename_synced(self.content, path)
        self.notes_path.unlink(missing_ok=True)


def _transfer(url: str, part: _Part, quiet: bool, max_bytes: int | None) -> None:
    """Add what is missing to the part."""
    with _request(url, part) as response:
        if response.status != 206:  # from the beginning
            part.start(_version(response), _promised_md5(response))
        coming = response.length or 0
        total = part.size + coming
        _refuse_more(part, total, max_bytes)
        require_disk_space(part.content.parent, coming, part.name)
        with (
            progress(
                total or None, not quiet, initial=part.size, unit="B", unit_scale=True,
                desc=part.name,
            ) as bar,
            part.content.open("ab") as file,
        ):  # fmt: skip
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
                if max_bytes is not None and file.tell() > max_bytes:
                    break
        _refuse_more(part, part.size, max_bytes)  # it may not have said how much is coming
        if total > part.size:
            raise http.client.IncompleteRead(b"", total - part.size)


def _refuse_more(part: _Part, size: int, max_bytes: int | None) -> None:
    if max_bytes is not None and size > max_bytes:
        part.remove()
        raise DownloadError(
            f"{part.url}: {_readable(size)} or more are not what is wanted, which has at most "
            f"{_readable(max_bytes)}; is the address right?"
        )


def _request(url: str, part: _Part) -> http.client.HTTPResponse:
    """Ask for what is missing; for everything if the part is not the beginning of this file."""
    headers = {"User-Agent": "maskrcnn_edu", "Accept-Encoding": "identity"}
    version = part.notes.get("version")
    rest = {"Range": f"bytes={part.size}-", "If-Range": version} if version else {}
    request = urllib.request.Request(url, headers=headers | rest)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        part.remove()
        return _request(url, part)


def _version(response: http.client.HTTPResponse) -> str | None:
    etag = response.headers.get("ETag", "")
    strong = etag and not etag.startswith("W/")  # weak ones cannot be used with If-Range
    return etag if strong else response.headers.get("Last-Modified")


def _promised_md5(response: http.client.HTTPResponse) -> str | None:
    """The Content-MD5 header (base64) as ``md5:...``."""
    encoded = response.headers.get("Content-MD5")
    if not encoded:
        return None
    try:
        return "md5:" + base64.b64decode(encoded.strip('"'), validate=True).hex()
    except ValueError:  # no base64
        return None


def _check(part: _Part, checksum: str | None, url: str) -> None:
    if checksum is None:
        return
    kind, wanted = checksum.split(":", 1)
    digest = hashlib.new(kind)
    with part.content.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    actual = digest.hexdigest()
    if actual != wanted.lower():
        part.remove()
        raise DownloadError(
            f"{url}: the file has arrived with {kind} {actual} instead of {wanted}: damaged on "
            f"the way, or changed. It was removed; try again"
        )


def _is_about_the_disk(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (
        errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS,
    )  # fmt: skip


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    if isinstance(error, http.client.IncompleteRead):
        return "the connection broke"
    return f"{type(reason).__name__}: {reason}"


def _failed(url: str, path: Path, reason: str, part: _Part | None = None) -> DownloadError:
    kept = f"; {part.size} bytes are kept, the next attempt goes on there" if part else ""
    return DownloadError(
        f"{url} could not be fetched ({reason}){kept if part and part.size else ''}. "
        f"Without a connection: fetch it elsewhere and put it at {path}"
    )
