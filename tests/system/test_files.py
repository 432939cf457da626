"""Files and folders are there whole, or not at all."""

import errno
import os

import pytest

from maskrcnn_edu.system.files import atomic_folder, atomic_write, rename_synced

# ---- a file ----------------------------------------------------------------------


@pytest.mark.parametrize("sync", [True, False])
def test_a_file_gets_its_name_when_it_is_written(tmp_path, sync):
    def write(path):
        path.write_text("new")
        assert path.parent == tmp_path and (tmp_path / "a").read_text() == "old"

    (tmp_path / "a").write_text("old")
    atomic_write(tmp_path / "a", write, sync=sync)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "new"}


def test_atomic_write_keeps_what_was_there(tmp_path):
    (tmp_path / "a").write_text("old")

    def fail(path):
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "a", fail)
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


def test_an_error_without_a_name_gets_that_of_the_file(tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="No space left") as problem:
        atomic_write(tmp_path / "a", full)
    assert problem.value.filename == str(tmp_path / "a") and not list(tmp_path.iterdir())


def test_the_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    (tmp_path / "a.part").write_text("new")
    steps, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: steps.append("sync") or sync(handle))
    monkeypatch.setattr(os, "replace", lambda a, b: steps.append("rename") or replace(a, b))
    rename_synced(tmp_path / "a.part", tmp_path / "a")
    assert steps == (["sync", "rename", "sync"] if os.name == "posix" else ["sync", "rename"])
    assert (tmp_path / "a").read_text() == "new"


# ---- a folder --------------------------------------------------------------------


def test_a_folder_gets_its_name_when_it_is_filled(tmp_path):
    out = tmp_path / "out"
    with atomic_folder(out) as unfinished:
        (unfinished / "a").write_text("1")
        assert not out.exists() and unfinished == tmp_path / "out.part"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert (out / "a").read_text() == "1"


def test_an_empty_folder_may_be_there_and_what_was_killed_goes(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part/half").touch()
    with atomic_folder(out) as unfinished:
        assert list(unfinished.iterdir()) == []
        (unfinished / "a").touch()
    assert [p.name for p in out.iterdir()] == ["a"]


def test_after_an_error_nothing_stays(tmp_path):
    with pytest.raises(KeyError), atomic_folder(tmp_path / "out") as unfinished:
        (unfinished / "a").touch()
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a").write_text("old")
    (tmp_path / "file").write_text("old")
    for name in ("full", "file"):
        words = f"{name} is there already"
        with pytest.raises(ValueError, match=words), atomic_folder(tmp_path / name):
            raise AssertionError("the block must not run")
    assert (tmp_path / "full/a").read_text() == (tmp_path / "file").read_text() == "old"


def test_a_place_to_fill_can_be_chosen(tmp_path):
    with atomic_folder(tmp_path / "out", tmp_path / "work/made") as unfinished:
        assert unfinished == tmp_path / "work/made"
    assert (tmp_path / "out").is_dir() and list((tmp_path / "work").iterdir()) == []
