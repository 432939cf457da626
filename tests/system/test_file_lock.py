"""A folder's lock: one at a time, until the end of its process."""

import subprocess
import sys

import pytest

from maskrcnn_edu.system.file_lock import folder_lock

HOLD = """
import sys, time
from pathlib import Path
from maskrcnn_edu.system.file_lock import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""


def test_one_at_a_time(tmp_path):
    taken = pytest.raises(BlockingIOError, match="is in use: a run .* choose another --out")
    with folder_lock(tmp_path), taken, folder_lock(tmp_path):
        pass
    with folder_lock(tmp_path):  # it was given back
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_gives_it_back(tmp_path):
    with pytest.raises(KeyError), folder_lock(tmp_path):
        raise KeyError
    with folder_lock(tmp_path):
        pass


def test_a_lock_dies_with_its_process(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "mine\n"
    with pytest.raises(BlockingIOError), folder_lock(tmp_path):
        pass
    other.kill()
    other.wait()
    with folder_lock(tmp_path):
        pass


def test_a_file_that_is_left_locks_nothing(tmp_path):
    (tmp_path / ".lock").touch()
    with folder_lock(tmp_path):
        pass
