"""Public datasets from a server on loopback: tiny archives of the same structure."""

import errno
import http.server
import io
import json
import shutil
import threading
import zipfile
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from maskrcnn_edu.cli.main import main
from maskrcnn_edu.data import public as datasets
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.public import DATASETS, get_dataset, unpack
from maskrcnn_edu.system import download
from maskrcnn_edu.system.download import DownloadError

SIDE = 16


def image_bytes(kind):
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(noise).save(buffer, kind)
    return buffer.getvalue()


def packed(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def coco_json(count):
    return json.dumps(
        {
            "info": {},
            "images": [
                {"id": i, "file_name": f"{i:012d}.jpg", "width": SIDE, "height": SIDE}
                for i in range(count)
            ],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [
                {"id": i, "image_id": i, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81}
                | {"segmentation": [[1, 1, 10, 1, 10, 10, 1, 10]], "iscrowd": 0}
                for i in range(count)
            ],
        }
    )


def mask():
    values = np.zeros((SIDE, SIDE), np.uint8)
    values[2:8, 2:6], values[9:14, 8:14] = 1, 2
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def balloons(names):
    polygon = {"name": "polygon", "all_points_x": [1, 9, 9, 1], "all_points_y": [1, 1, 9, 9]}
    regions = {"0": {"shape_attributes": polygon, "region_attributes": {}}}
    return json.dumps({f"{n}1": {"filename": n, "size": 1, "regions": regions} for n in names})


ARCHIVES = {
    "annotations_trainval2017.zip": packed(
        {
            "annotations/captions_val2017.json": "{}",
            "annotations/instances_val2017.json": coco_json(5),
            "annotations/instances_train2017.json": coco_json(7),
        }
    ),
    "val2017.zip": packed({f"val2017/{i:012d}.jpg": image_bytes("JPEG") for i in range(5)}),
    "train2017.zip": packed({f"train2017/{i:012d}.jpg": image_bytes("JPEG") for i in range(7)}),
    "PennFudanPed.zip": packed(
        {f"PennFudanPed/PNGImages/FudanPed{i}.png": image_bytes("PNG") for i in range(5)}
        | {f"PennFudanPed/PedMasks/FudanPed{i}_mask.png": mask() for i in range(5)}
        | {"PennFudanPed/readme.txt": "hello"}
    ),
    "balloon_dataset.zip": packed(
        {
            f"balloon/{part}/{i}.jpg": image_bytes("JPEG")
            for part in ("train", "val")
            for i in range(2)
        }
        | {"balloon/train/via_region_data.json": balloons(["0.jpg", "1.jpg"])}
        | {"balloon/val/via_region_data.json": balloons(["0.jpg", "1.jpg"])}
        | {"__MACOSX/balloon/._x": "junk"}
    ),
}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.archives``; ``server.break_after`` cuts connections off."""

    def do_GET(self):
        name = self.path.rsplit("/", 1)[1]
        self.server.requests.append((name, self.headers.get("Range")))
        body = self.server.archives[name]
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("ETag", '"v1"')
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        limit = self.server.break_after.pop(0) if self.server.break_after else len(body)
        self.wfile.write(body[start : start + limit])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.archives, made.requests, made.break_after = dict(ARCHIVES), [], []
    made.url = f"http://127.0.0.1:{made.server_port}/archives/"
    threading.Thread(target=made.serve_forever, daemon=True).start()
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def no_checksums(monkeypatch):
    """The tiny archives are not those whose checksums are known."""
    for name, known in DATASETS.items():
        archives = tuple(replace(a, checksum=None, size=50_000) for a in known.archives)
        monkeypatch.setitem(DATASETS, name, replace(known, archives=archives))


def names(folder):
    return sorted(p.name for p in folder.iterdir())


SIZES = {"coco-val": (4, 1), "coco-train": (7, 5), "penn-fudan": (4, 1), "balloon": (2, 2)}


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_dataset_arrives_and_the_command_it_names_can_read_it(
    server, no_checksums, tmp_path, monkeypatch, capsys, name
):
    monkeypatch.setenv("MASKRCNN_EDU_MIRROR", server.url)
    out = tmp_path / name
    assert main(["data", "get", name, "--out", str(out)]) == 0
    assert names(tmp_path) == [name]
    words = capsys.readouterr().out.split("Train on it:")[1].replace("\\\n", "").split()
    given = dict(zip(words[2::2], words[3::2]))
    sets = [
        CocoDataset(given[f"--{part}-json"], given[f"--{part}-images"]) for part in ("train", "val")
    ]
    assert tuple(map(len, sets)) == SIZES[name]
    for data in sets:
        assert data.issues == [] and sum(data.objects_per_class().values()) >= len(data)
        assert [data.image_issue(i) for i in range(len(data))] == [None] * len(data)
    assert not any("captions" in str(p) or "readme" in str(p) for p in out.rglob("*"))


def test_what_is_there_is_not_made_again(server, no_checksums, tmp_path):
    get_dataset("balloon", tmp_path / "b", server.url, quiet=True)
    count = len(server.requests)
    assert get_dataset("balloon", tmp_path / "b", server.url, quiet=True) == []
    assert len(server.requests) == count
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("x")
    with pytest.raises(ValueError, match="is there already; choose another --out"):
        get_dataset("balloon", tmp_path / "mine", server.url)


def test_a_broken_connection_goes_on(server, no_checksums, tmp_path):
    server.break_after = [100, 50]
    get_dataset("balloon", tmp_path / "b", server.url, quiet=True)
    ranges = [wanted for _, wanted in server.requests]
    assert ranges == [None, "bytes=100-", "bytes=150-"]


def test_after_a_kill_the_next_run_goes_on_where_it_stopped(
    server, no_checksums, tmp_path, monkeypatch
):
    taken = []
    copy = shutil.copyfileobj

    def killed(source, target):
        taken.append(source.name)
        target.write(source.read(100))
        if len(taken) == 3:
            raise SystemExit  # in the middle of a file
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfileobj", killed)
    with pytest.raises(SystemExit):
        get_dataset("balloon", tmp_path / "b", server.url, quiet=True)
    assert names(tmp_path) == ["b.part"]
    get_dataset("balloon", tmp_path / "b", server.url, quiet=True)
    assert len(server.requests) == 1  # the archive was there
    assert len(taken) == len(set(taken)) + 1  # only the file that was interrupted, again
    assert names(tmp_path) == ["b"]


def test_a_wrong_checksum(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MASKRCNN_EDU_MIRROR", server.url)
    monkeypatch.setattr(datasets, "require_disk_space", lambda *a: None)
    assert main(["data", "get", "coco-val", "--out", str(tmp_path / "c")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "instead of f4bbac642086de4f52a3fdda2de5fa2c" in error and "try again" in error
    assert not (tmp_path / "c").exists()


def test_a_damaged_archive_is_removed_and_fetched_again(server, no_checksums, tmp_path):
    whole = ARCHIVES["balloon_dataset.zip"]
    spoiled = bytearray(whole)
    at = whole.index(b"\xff\xd8\xff")  # in the middle of an image
    spoiled[at + 200] ^= 0xFF
    for content in (bytes(spoiled), whole[: len(whole) // 2], b"<html>404</html>"):
        server.archives["balloon_dataset.zip"] = content
        with pytest.raises(ValueError, match=r"archive is damaged or .*it was removed, try again"):
            get_dataset("balloon", tmp_path / "b", server.url, quiet=True)
    server.archives["balloon_dataset.zip"] = whole
    assert get_dataset("balloon", tmp_path / "b", server.url, quiet=True) == []


@pytest.mark.parametrize("where", ["unpacking", "converting"])
def test_a_full_disk(server, no_checksums, tmp_path, monkeypatch, where):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        target = "copyfileobj" if where == "unpacking" else "copyfile"
        patch.setattr(shutil, target, full)
        with pytest.raises(ValueError, match="No space left on device; make room and try again"):
            get_dataset("balloon", tmp_path / "b", server.url, quiet=True)
    assert not (tmp_path / "b").exists()
    assert get_dataset("balloon", tmp_path / "b", server.url, quiet=True) == []
    assert len(server.requests) == 1


def test_too_little_room_is_said_before_anything_is_fetched(server, tmp_path, monkeypatch):
    usage = namedtuple("Usage", "total used free")(100, 0, 5 * 10**9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match=r"needs 41\.1 GB, but only 5\.0 GB are free"):
        get_dataset("coco-train", tmp_path / "c", server.url)
    assert server.requests == [] and names(tmp_path) == []


def test_offline(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MASKRCNN_EDU_MIRROR", "http://127.0.0.1:9")
    assert main(["data", "get", "penn-fudan", "--out", str(tmp_path / "p")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "refused" in error
    assert f"put it at {tmp_path / 'p.part' / 'archives' / 'PennFudanPed.zip'}" in error


def test_an_unknown_name(tmp_path):
    with pytest.raises(ValueError, match="did you mean penn-fudan"):
        get_dataset("pennfudan", tmp_path / "x")


# ---- unpacking -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:/evil.txt"]
)
def test_nothing_leaves_the_folder(tmp_path, name):
    archive = tmp_path / "x.zip"
    archive.write_bytes(packed({"good.txt": "x", name: "evil"}))
    with pytest.raises(ValueError, match="leads out of the folder.*removed, try again"):
        unpack(archive, tmp_path / "in" / "side")
    assert names(tmp_path) == []


def test_links_are_refused(tmp_path):
    archive = tmp_path / "x.zip"
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr(link, "/etc")
    with pytest.raises(ValueError, match="leads out of the folder"):
        unpack(archive, tmp_path / "inside")


def test_an_archive_that_claims_too_much_is_not_unpacked(tmp_path, monkeypatch):
    archive = tmp_path / "x.zip"
    archive.write_bytes(packed({"big": b"0" * 10**6}))
    usage = namedtuple("Usage", "total used free")(100, 0, 10**5)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DownloadError, match=r"x\.zip needs 1\.0 MB, but only 0\.1 MB are free"):
        unpack(archive, tmp_path / "inside")
