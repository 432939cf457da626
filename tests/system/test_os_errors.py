"""What the system's errors are called."""

import errno

import pytest

from maskrcnn_edu.system.os_errors import in_words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOENT, "No such file", "x.json"),
            "x.json: there is no such file or folder",
        ),
        (OSError(errno.EACCES, "Permission denied", b"x"), "x: no permission"),
        (OSError(errno.ENOSPC, "No space left on device"), "no space left on the disk"),
        (OSError(errno.EMFILE, "Too many open files", "x"), "x: Too many open files"),
        (OSError("x.png: damaged"), "x.png: damaged"),
        (ValueError("--steps is 0"), "--steps is 0"),
    ],
)
def test_errors_of_the_system_are_words(error, words):
    assert in_words(error) == words


def test_a_real_one(tmp_path):
    with pytest.raises(OSError) as caught:
        (tmp_path / "nothing.json").read_bytes()
    assert in_words(caught.value) == f"{tmp_path}/nothing.json: there is no such file or folder"
