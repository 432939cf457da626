"""ZIP files that want to write elsewhere, to fill disk or memory, or to hang."""

import io
import os
import struct
import zipfile
import zlib
from dataclasses import replace

import pytest

from maskrcnn_edu.data import public
from maskrcnn_edu.data.public import DATASETS, get_dataset, unpack

DOS = b"\0\0!\0"  # time and date


def archive(files, entries=None, method=zipfile.ZIP_DEFLATED):
    """A ZIP file of (name, content) or (`ZipInfo`, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, content in files:
            made.writestr(name, content)
    return buffer.getvalue()


def link(target):
    info = zipfile.ZipInfo("inside")
    info.external_attr = 0o120777 << 16
    return [(info, target), ("inside/evil", "x")]


def packed(data):
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush()


def entry(name, place, data=b"", size=None, crc=0, method=8):
    """An entry of the table of contents, whatever is at that place."""
    size = len(data) if size is None else size
    return struct.pack(
        "<4s4BHH4sLLLHHHHHLL", b"PK\1\2", 20, 3, 20, 0, 0, method, DOS, crc, len(data), size,
        len(name), 0, 0, 0, 0, 0, place,
    ) + name  # fmt: skip


def local(name, data, size, crc=0, method=8):
    return struct.pack(
        "<4sHHH4sLLLHH", b"PK\3\4", 20, 0, method, DOS, crc, len(data), size, len(name), 0
    ) + name + data  # fmt: skip


def by_hand(body, table, count, length=None):
    length = len(table) if length is None else length
    end = struct.pack("<4sHHHHLLH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, length,
                      len(body), 0)  # fmt: skip
    return body + table + end


def overlapping(count=2000, size=10**6):
    """Every entry is the same packed megabyte."""
    zeros = bytes(size)
    data, crc = packed(zeros), zlib.crc32(zeros)
    table = b"".join(entry(b"%04d" % i, 0, data, size, crc) for i in range(count))
    return by_hand(local(b"0000", data, size, crc), table, count)


def lzma_memory():
    """One byte that wants a dictionary of 4 GB."""
    data = b"\x09\x04\x05\0\x5d\xff\xff\xff\xff" + bytes(20)
    return by_hand(local(b"a", data, 1, method=14), entry(b"a", 0, data, 1, method=14), 1)


def zip64_sizes():
    data = packed(b"x")
    name = b"a"
    extra = struct.pack("<HHQ", 1, 8, 1 << 62)
    head = bytearray(entry(name, 0, data, 0xFFFFFFFF))
    head[30:32] = struct.pack("<H", len(extra))
    return by_hand(local(name, data, 1), bytes(head) + extra, 1)


def directory_of(size):
    table = entry(b"a", 0)
    table += bytes(size - len(table))
    return by_hand(b"", table, 1)


ATTACKS = {
    "up and out": (lambda: archive([("good", "x"), ("../evil", "x")]), "leads out"),
    "up in the middle": (lambda: archive([("a/../../evil", "x")]), "leads out"),
    "from the root": (lambda: archive([("/tmp/evil", "x")]), "leads out"),
    "backslashes": (lambda: archive([("..\\..\\evil", "x")]), "leads out"),
    "a drive": (lambda: archive([("C:/evil", "x")]), "leads out"),
    "another stream of a file": (lambda: archive([("a/b.jpg:evil", "x")]), "leads out"),
    "a link, and a file behind it": (lambda: archive(link("/tmp")), "leads out"),
    "no name": (lambda: by_hand(local(b"", b"", 0), entry(b"", 0), 1), "no name of a file"),
    "the name of the folder itself": (lambda: archive([("./.", "x")]), "no name of a file"),
    "a name of 300 letters": (lambda: archive([("a" * 300, "x")]), "no name of a file"),
    "a file and a folder of one name": (lambda: archive([("a", "x"), ("a/b", "x")]), "as a file"),
    "a name twice": (
        lambda: by_hand(
            local(b"a", packed(b"x"), 1, zlib.crc32(b"x")) * 2,
            2 * entry(b"a", 0, packed(b"x"), 1, zlib.crc32(b"x")), 2,
        ),
        "'a' twice",
    ),
    "20 MB of zeros": (lambda: archive([("a", bytes(20 << 20))]), "would become 20,971,520"),
    "30 files of a MB of zeros": (
        lambda: archive([(str(i), bytes(1 << 20)) for i in range(30)]), "would become 31,457,280",
    ),
    "2000 entries that overlap": (overlapping, "(overlap|would become)"),
    "10 entries that overlap": (lambda: overlapping(10), "overlap"),
    "a size of 4 exabytes": (zip64_sizes, "would become 4,611,686,018,427,387,904"),
    "a dictionary of 4 GB for one byte": (lzma_memory, "not packed the usual way"),
    "packed by bzip2": (
        lambda: archive([("a", bytes(10**6))], method=zipfile.ZIP_BZIP2), "not packed the usual",
    ),
    "a table of contents of 32 MB": (lambda: directory_of(32 << 20), "contents has 33,554,432"),
    "a table of contents of 4 GB": (
        lambda: by_hand(b"", entry(b"a", 0), 1, 0xFFFFFFF0), "Bad|not a zip|contents",
    ),
    "160,000 empty files": (
        lambda: by_hand(b"", b"".join(entry(b"%06d" % i, 0) for i in range(160_000)), 160_000),
        "160,000 files are more",
    ),
    "a wrong checksum": (
        lambda: by_hand(local(b"a", packed(b"x"), 1), entry(b"a", 0, packed(b"x"), 1), 1), "CRC",
    ),
    "more than it says": (
        lambda: by_hand(
            local(b"a", packed(bytes(10**6)), 1), entry(b"a", 0, packed(bytes(10**6)), 1), 1
        ),
        "CRC",
    ),
    "less than it says": (
        lambda: by_hand(local(b"a", packed(b"x"), 9), entry(b"a", 0, packed(b"x"), 9), 1), "",
    ),
    "a secret": (lambda: archive([("a", "x")]).replace(
        b"PK\1\2\x14\x03\x14\0\0", b"PK\1\2\x14\x03\x14\0\1"), "encrypted|password"),
    "no archive": (lambda: b"<html>404</html>", "not a zip"),
    "nothing": (lambda: b"", "not a zip"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_refused_and_removed(tmp_path, attempt, attack):
    make, words = ATTACKS[attack]
    content = make()
    path, folder = tmp_path / "there" / "x.zip", tmp_path / "there" / "in" / "side"
    folder.mkdir(parents=True)
    path.write_bytes(content)
    outcome = attempt(unpack, path, folder)
    assert outcome.error == "ValueError", outcome
    assert outcome.matches(rf"^{path}: the archive is damaged or not to be trusted \(.*{words}")
    assert outcome.message.endswith("it was removed, try again")
    assert len(outcome.message) < 300 + len(str(path))
    assert outcome.megabytes < 400
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")}
    assert left == {"there", "there/in"} and not os.path.exists("/tmp/evil")


def test_what_is_in_an_ordinary_archive_is_taken_out(tmp_path):
    files = {"a/b.jpg": "photo", "a/名.json": "{" + " " * 10**5 + "}", "c": ""}
    (tmp_path / "x.zip").write_bytes(archive(files.items()))
    unpack(tmp_path / "x.zip", tmp_path / "in")
    found = {p for p in (tmp_path / "in").rglob("*") if p.is_file()}
    assert {str(p.relative_to(tmp_path / "in")): p.read_text() for p in found} == files


def test_a_refused_archive_is_asked_for_again(tmp_path, monkeypatch):
    known = DATASETS["balloon"]
    monkeypatch.setitem(
        DATASETS, "balloon", replace(known, convert=lambda raw, made: (made / "x").touch() or [])
    )
    served = [archive([("balloon/a", "evil"), ("balloon/../../../evil", "x")]),
              archive([("balloon/a", "good")])]  # fmt: skip
    limits = []

    def fetch(url, path, checksum, quiet, limit):
        limits.append(limit)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_bytes(served.pop(0))
        return path

    monkeypatch.setattr(public, "fetch", fetch)
    monkeypatch.setattr(public, "require_disk_space", lambda *_: None)
    with pytest.raises(ValueError, match="leads out of the folder"):
        get_dataset("balloon", tmp_path / "b")
    assert get_dataset("balloon", tmp_path / "b") == []
    assert served == [] and limits == [2 * 38_741_381] * 2
    assert sorted(os.listdir(tmp_path)) == ["b"]
