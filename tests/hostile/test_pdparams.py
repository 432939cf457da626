"""Programs in Paddle's weight files that want to run, to hang, or to take all memory.

Each is tried in a process of its own, see `attempt` in ``conftest.py``.
"""

import os
import pickle
import signal
import struct
import time

import numpy as np
import pytest

from maskrcnn_edu.weights import pdparams
from maskrcnn_edu.weights.pdparams import read_pdparams

TWO, FOUR = b"\x80\x02", b"\x80\x04"  # protocols
END = b"."


def text(value):
    """BINUNICODE"""
    return b"X" + struct.pack("<I", len(value)) + value


def name(module, what):
    """GLOBAL"""
    return f"c{module}\n{what}\n".encode()


ENCODE = name("_codecs", "encode")
ORDERED = name("collections", "OrderedDict")
DTYPE = name("numpy", "dtype") + b"(" + text(b"f4") + b"K\x00K\x01tR"
FROM_BUFFER = name("numpy.core.numeric", "_frombuffer")
DOUBLED = (
    b"K\x01q\x000" + b"h\x00h\x00\x86q\x000" * 60 + b"h\x00"
)  # (x, x) of (x, x) of ...: 2**60 leaves

ATTACKS = {
    "a key of 2**60 leaves": (TWO + b"}" + DOUBLED + b"K\x01s" + END, "which is no name"),
    "the same in 127 bytes": (TWO + b"}K\x01" + b"2\x86" * 60 + b"s" + END, "uses DUP"),
    "the same in OrderedDict's pairs": (
        TWO + ORDERED + b"]" + DOUBLED + b"K\x01\x86a\x85R" + END, "which is no name",
    ),
    "the same as a type": (TWO + name("numpy", "dtype") + DOUBLED + b"\x85R" + END, "no weights"),
    "the same as a set": (FOUR + b"\x8f(" + DOUBLED + b"\x90" + END, "uses EMPTY_SET"),
    "the same as a weight": (TWO + b"}" + text(b"w") + DOUBLED + b"s" + END, "is a tuple, not"),
    "a key nested 190,000 deep": (
        TWO + b"})" + b"\x85" * 190_000 + b"K\x01s" + END, "which is no name",
    ),
    "a weight nested 190,000 deep": (
        TWO + b"}" + text(b"w") + b")" + b"\x85" * 190_000 + b"s" + END, "w is a tuple",
    ),
    "lists nested 90,000 deep": (TWO + b"]" * 90_000 + b"a" * 89_999 + END, "holds a list"),
    "a text of 4 GB in 9 bytes": (b"\x8d" + struct.pack("<Q", 1 << 32), "only 0 remain"),
    "bytes of 4 GB": (FOUR + b"\x8e" + struct.pack("<Q", 1 << 32), "only 0 remain"),
    "a bytearray of 1 TB": (b"\x80\x05\x96" + struct.pack("<Q", 1 << 40), "only 0 remain"),
    "a number of 2 GB": (TWO + b"\x8b\xff\xff\xff\x7f", "not enough data"),
    "a number of a million digits": (b"L" + b"9" * 10**6 + b"L\n.", "limit"),
    "a memo of 4 billion": (
        TWO + b"}r\xff\xff\xff\xff" + text(b"w") + b"j\xff\xff\xff\xffs" + END, "w is a dict",
    ),
    "a frame of 1 TB": (FOUR + b"\x95" + struct.pack("<Q", 1 << 40), "exhausted"),
    "2 million instructions": (TWO + b"N0" * 10**6 + END, "more than 200,000 instructions"),
    "BUILD on a function": (
        TWO + ENCODE + b"N}" + text(b"__code__") + b"Ns\x86b" + END, "change something .*_Known",
    ),
    "BUILD on a class": (
        TWO + name("numpy", "dtype") + b"}" + text(b"numpy") + b"Nsb" + END, "change something",
    ),
    "BUILD on a dict": (TWO + b"}}" + text(b"get") + b"Nsb" + END, "change something .*dict"),
    "a text encoded 100,000 times": (
        TWO + text(b"a" * 10**6) + b"q\x00" + ENCODE + b"q\x01]"
        + (b"h\x01h\x00" + text(b"latin1") + b"\x86Ra") * 50_000 + END, "more than the file",
    ),
    "a dict copied 10,000 times": (
        TWO + b"](" + b"".join(text(b"%06d" % i) + b"N\x86" for i in range(20_000)) + b"e\x85q\x00"
        + ORDERED + b"q\x01]" + b"h\x01h\x00Ra" * 10_000 + END, "more than the file",
    ),
    "10 million letters as a tuple": (
        TWO + name("builtins", "tuple") + text(b"a" * 10**7) + b"\x85R" + END, "become a tuple",
    ),
    "an array of 4 TB from 4 bytes": (
        FOUR + FROM_BUFFER + b"(C\x04abcd" + DTYPE + b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
        + b"\x85" + text(b"C") + b"tR" + END, "cannot reshape array of size 1",
    ),
    "an array as the shape of an array": (
        FOUR + FROM_BUFFER + b"(C\x04abcd" + DTYPE + b"]" + text(b"C") + b"tR" + END, "of a shape",
    ),
    "a class called by INST": (b"(ios\ngetcwd\n.", "uses INST"),
    "a class called by OBJ": (TWO + b"(" + name("numpy", "dtype") + b"o.", "uses OBJ"),
    "a class called by NEWOBJ": (TWO + name("numpy", "dtype") + b")\x81.", "uses NEWOBJ"),
    "an extension's name": (TWO + b"\x82\x01.", "uses EXT1"),
    "a persistent name": (b"Pevil\n.", "uses PERSID"),
    "a name made of other things": (FOUR + b"}]\x93.", "names something of type list"),
    "a name of 10 million letters": (name("a" * 10**7, "b") + END, "wants to call aaa"),
    "a list that holds itself": (TWO + b"}" + text(b"w") + b"]q\x00h\x00as" + END, "w is a list"),
    "an array without its content": (
        TWO + b"}" + text(b"w") + name("numpy.core.multiarray", "_reconstruct") + b")Rs" + END,
        "w is a _Array",
    ),
    "more taken off the stack than there is": (TWO + b"00000.", "IndexError"),
    "a mark that is not there": (TWO + b"t.", "IndexError"),
    "a memo that is empty": (TWO + b"h\x05.", "KeyError"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_refused_in_no_time_and_no_memory(tmp_path, attempt, attack):
    content, words = ATTACKS[attack]
    path = tmp_path / "w.pdparams"
    path.write_bytes(content)
    outcome = attempt(read_pdparams, path)
    assert outcome.error == "ValueError", outcome
    assert outcome.matches(f"^{path}: not a weights file that can be trusted: .*{words}")
    assert len(outcome.message) < len(str(path)) + 400
    assert outcome.megabytes < 200 + 5 * len(content) / 1e6
    assert os.listdir(tmp_path) == ["w.pdparams"]


def test_a_refused_file_changes_nothing_for_the_next(tmp_path):
    path = tmp_path / "w.pdparams"
    for content, _ in (ATTACKS[name] for name in ATTACKS if name.startswith("BUILD")):
        path.write_bytes(content)
        with pytest.raises(ValueError):
            read_pdparams(path)
    path.write_bytes(pickle.dumps({"w": np.float32([1, 2])}, protocol=2))
    assert read_pdparams(path)["w"].tolist() == [1, 2]


def test_a_file_larger_than_any_model_is_not_opened(tmp_path):
    path = tmp_path / "w.pdparams"
    with path.open("wb") as file:
        file.truncate(pdparams.MAX_BYTES + 1)  # takes no room on the disk
    with pytest.raises(ValueError, match="0.4 GB are more than any model's weights"):
        read_pdparams(path)


def test_the_keyboard_interrupts(tmp_path, monkeypatch):
    monkeypatch.setattr(pdparams, "MAX_INSTRUCTIONS", 10**9)
    path = tmp_path / "w.pdparams"
    path.write_bytes(TWO + b"N0" * 20_000_000 + END)  # a minute
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        read_pdparams(path)
    assert time.monotonic() - start < 5
