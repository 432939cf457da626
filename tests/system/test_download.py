"""Downloads from a server on loopback that misbehaves in every way we could think of."""

import base64
import errno
import hashlib
import http.server
import threading

import pytest

from maskrcnn_edu.system import download
from maskrcnn_edu.system.download import DownloadError, fetch
from maskrcnn_edu.system.progress import ProgressLines

CONTENT = bytes(range(256)) * 4096  # 1 MiB


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves ``server.content``; ``server.break_after`` cuts connections off."""

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        if server.status != 200:
            self.send_error(server.status)
            return
        start = 0
        wanted = self.headers.get("Range")
        if wanted and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            if start >= len(server.content):
                self.send_error(416)
                return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if server.etag:
            self.send_header("ETag", server.etag)
        if server.md5:
            self.send_header("Content-MD5", server.md5)
        if server.says is not None:
            self.send_header("Content-Length", server.says or str(len(body)))
        self.end_headers()
        limit = server.break_after.pop(0) if server.break_after else len(body)
        self.wfile.write(body[:limit])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.content, made.etag, made.md5, made.ranges = CONTENT, '"v1"', None, True
    made.status, made.requests, made.break_after, made.says = 200, [], [], ""
    made.url = f"http://127.0.0.1:{made.server_port}/w.pdparams"
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_arrives_whole(server, tmp_path, capsys):
    path = fetch(server.url, tmp_path / "a" / "w.pdparams")
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == ["w.pdparams"]
    assert "w.pdparams" in capsys.readouterr().err  # the progress bar


def test_what_is_there_is_not_fetched(server, tmp_path):
    (tmp_path / "w").write_bytes(b"mine")
    fetch(server.url, tmp_path / "w")
    assert not server.requests and (tmp_path / "w").read_bytes() == b"mine"


def test_a_broken_connection_goes_on_by_itself(server, tmp_path):
    server.break_after = [300_000, 200_000]
    assert fetch(server.url, tmp_path / "w", quiet=True).read_bytes() == CONTENT
    assert [r.get("Range") for r in server.requests] == [None, "bytes=300000-", "bytes=500000-"]
    assert names(tmp_path) == ["w"]


def test_a_later_attempt_goes_on_where_the_last_stopped(server, tmp_path):
    server.break_after = [100_000] + [0] * 10
    with pytest.raises(DownloadError, match=r"connection broke.*100000 bytes are kept.*put it at"):
        fetch(server.url, tmp_path / "w", quiet=True)
    assert not (tmp_path / "w").exists()
    server.break_after = []
    assert fetch(server.url, tmp_path / "w", quiet=True).read_bytes() == CONTENT
    assert server.requests[-1]["Range"] == "bytes=100000-"


@pytest.mark.parametrize(
    "change", ["another version", "another address", "no ranges", "no version"]
)
def test_a_part_that_does_not_fit_is_thrown_away(server, tmp_path, change):
    if change == "no version":
        server.etag = None
    server.break_after = [100_000] + [0] * 10
    with pytest.raises(DownloadError):
        fetch(server.url, tmp_path / "w", quiet=True)
    server.break_after = []
    url = server.url
    if change == "another version":
        server.etag, server.content = '"v2"', CONTENT[::-1]
    elif change == "another address":
        url, server.content = server.url + "2", CONTENT[::-1]
    elif change == "no ranges":
        server.ranges = False
    assert fetch(url, tmp_path / "w", quiet=True).read_bytes() == server.content


def test_a_part_longer_than_the_file(server, tmp_path):
    server.break_after = [100_000] + [0] * 10
    with pytest.raises(DownloadError):
        fetch(server.url, tmp_path / "w", quiet=True)
    server.break_after, server.content = [], CONTENT[:50_000]
    assert fetch(server.url, tmp_path / "w", quiet=True).read_bytes() == server.content


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_checksums(server, tmp_path, kind):
    right = hashlib.new(kind, CONTENT).hexdigest()
    fetch(server.url, tmp_path / "right", f"{kind}:{right}", quiet=True)
    with pytest.raises(DownloadError, match=rf"{kind} {right} instead of 00.*removed"):
        fetch(server.url, tmp_path / "wrong", f"{kind}:00", quiet=True)
    assert names(tmp_path) == ["right"]


def test_the_servers_own_checksum(server, tmp_path):
    server.md5 = base64.b64encode(hashlib.md5(CONTENT).digest()).decode()
    server.break_after = [1000]  # a resumed download is checked as a whole
    fetch(server.url, tmp_path / "right", quiet=True)
    server.md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    with pytest.raises(DownloadError, match="damaged on the way"):
        fetch(server.url, tmp_path / "wrong", quiet=True)
    server.md5 = "no base64 !"
    fetch(server.url, tmp_path / "unchecked", quiet=True)
    assert names(tmp_path) == ["right", "unchecked"]


def test_offline_says_where_to_put_the_file(tmp_path):
    with pytest.raises(DownloadError) as caught:
        fetch("http://127.0.0.1:9/w.pdparams", tmp_path / "w")
    assert "refused" in str(caught.value) and f"put it at {tmp_path / 'w'}" in str(caught.value)
    assert names(tmp_path) == []


def test_an_unknown_host(tmp_path):
    with pytest.raises(DownloadError, match="put it at"):
        fetch("http://there-is-no-such-host.invalid/w", tmp_path / "w")


@pytest.mark.parametrize("status", [403, 404, 500])
def test_the_servers_refusal(server, tmp_path, status):
    server.status = status
    with pytest.raises(DownloadError, match=f"answered {status}"):
        fetch(server.url, tmp_path / "w")
    assert names(tmp_path) == []


def test_a_full_disk(server, tmp_path, monkeypatch):
    class FullAfterTheFirstPiece(ProgressLines):
        def update(self, n=1):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(
        download, "progress", lambda total, visible, **more: FullAfterTheFirstPiece(total, **more)
    )
    with pytest.raises(DownloadError, match="No space left on device; make room"):
        fetch(server.url, tmp_path / "w", quiet=True)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("says", ["", None, "-5", "much"])  # as it is; nothing; nonsense
def test_a_server_that_sends_more_than_is_wanted(server, tmp_path, says):
    server.says = says
    assert (
        fetch(server.url, tmp_path / "w", quiet=True, max_bytes=1 << 20).stat().st_size == 1 << 20
    )
    with pytest.raises(DownloadError, match=r"1\.0 MB or more are not .* at most 1\.0 MB; is the"):
        fetch(server.url, tmp_path / "x", quiet=True, max_bytes=(1 << 20) - 1)
    assert names(tmp_path) == ["w"]


def test_a_server_that_claims_a_terabyte(server, tmp_path):
    server.says = str(10**12)
    with pytest.raises(DownloadError, match=r"1000\.0 GB or more are not what is wanted"):
        fetch(server.url, tmp_path / "x", quiet=True, max_bytes=1 << 20)
    assert names(tmp_path) == []
