"""``.safetensors`` files whose header lies, as weights and as checkpoints; flipped bits."""

import json
import os
import re
import struct
import zlib

import numpy as np
import pytest
from safetensors.numpy import load_file, save, save_file

from maskrcnn_edu.training.checkpoint import Checkpoint, CheckpointFolder, TrainingProgress
from maskrcnn_edu.weights import safetensors_file
from maskrcnn_edu.weights.arrays import read_arrays
from maskrcnn_edu.weights.safetensors_file import read_safetensors, write_safetensors


def packed(header, content=b"abcd", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + content


def entry(dtype="F32", shape=(1,), begin=0, end=4):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


NESTED = b'{"a":' * 50_000 + b"0" + b"}" * 50_000
MANY = json.dumps({f"{i:05d}": entry(shape=[0], end=0) for i in range(100_000)}).encode()
LONG = b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 4]}}'
TWICE = (b'{"a": ' + json.dumps(entry()).encode() + b", " + b'"a": ') + (
    json.dumps(entry()).encode() + b"}"
)

ATTACKS = {
    "nothing": (b"", "header too small"),
    "half a length": (b"\x01\0\0", "header too small"),
    "a header of 16 million TB": (packed({}, length=2**64 - 1), "header too large"),
    "a header one byte too long": (packed({"a": entry()}, b"", 99), "header length"),
    "a header of 8 MB": (packed(b" " * (8 << 20)), "header of 8,388,608 bytes is longer than any"),
    "100,000 arrays": (packed(MANY), "longer than any"),
    "nested 50,000 deep": (packed(NESTED), "recursion limit"),
    "a number of 5000 digits": (packed(LONG), "header.*number out of range"),
    "no text": (packed(b"\xff\xfe\x00"), "invalid UTF-8 in header"),
    "no JSON": (packed(b"{'a': 1}"), "invalid JSON in header"),
    "a list": (packed([entry()]), "invalid type: sequence"),
    "an array that is none": (packed({"a": 5}), "expected struct TensorInfo"),
    "offsets that are three": (packed({"a": entry() | {"data_offsets": [0, 2, 4]}}), "2 elements"),
    "negative offsets": (packed({"a": entry(begin=-4, end=0)}), "`-4`, expected usize"),
    "a negative size": (packed({"a": entry(shape=[-1, -1])}), "`-1`, expected usize"),
    "a size that is a text": (packed({"a": entry(shape=["1"])}), "string .1., expected usize"),
    "a size that is true": (packed({"a": entry(shape=[True])}), "`true`, expected usize"),
    "offsets the wrong way": (packed({"a": entry(begin=4, end=0)}), "offset for tensor `a`"),
    "beyond the end": (packed({"a": entry(shape=[2], end=8)}), "not fully covered"),
    "4 TB of zeros": (packed({"a": entry(shape=[1 << 40], end=1 << 42)}), "not fully covered"),
    "one overlaps the other": (packed({"a": entry(), "b": entry()}), "offset for tensor `[ab]`"),
    "a gap": (packed({"a": entry(begin=4, end=8)}, b"abcdabcd"), "offset for tensor `a`"),
    "something after the end": (packed({"a": entry()}, b"abcdx"), "not fully covered"),
    "a product beyond 64 bits": (
        packed({"a": entry(shape=[1 << 30] * 3)}), "overflow computing",
    ),
    "a shape of 200,000 sides": (packed({"a": entry(shape=[2] * 200_000)}), "overflow computing"),
    "a shape that numpy cannot have": (
        packed({"a": entry(shape=[0] + [1 << 30] * 31, end=0)}, b""), "too (big|large)|dimension",
    ),
    "numbers of an unknown kind": (packed({"a": entry("F128")}), "unknown variant `F128`"),
    "bfloat16": (packed({"a": entry("BF16", end=2)}, b"ab"), "bfloat16.*save its arrays as"),
    "a kind that is a list": (packed({"a": entry(["F32"])}), "expected string"),
    "metadata that is a list": (packed({"__metadata__": [1], "a": entry()}), "expected a map"),
    "metadata of numbers": (packed({"__metadata__": {"a": 1}, "a": entry()}), "expected a string"),
    "a checksum that is none": (
        packed({"__metadata__": {"checksum": "crc32 0"}, "a": entry()}), "checksum is damaged",
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_refused_in_no_time_and_no_memory(tmp_path, attempt, attack):
    content, words = ATTACKS[attack]
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    outcome = attempt(read_arrays, path)
    assert outcome.error == "ValueError", outcome
    assert outcome.matches(f"^{path} is not a whole .safetensors file: .*{words}")
    assert len(outcome.message) < len(str(path)) + 300
    assert outcome.megabytes < 100
    # a checkpoint is such a file, too
    folder = CheckpointFolder(tmp_path)
    path.rename(folder.file(3))
    outcome = attempt(folder.load, 3)
    assert outcome.error == "ValueError" and outcome.matches(f"is no whole checkpoint: .*{words}")


def test_a_file_larger_than_any_model_is_not_read(tmp_path):
    path = tmp_path / "w.safetensors"
    with path.open("wb") as file:
        file.truncate(safetensors_file.MAX_BYTES + 1)  # takes no room on the disk
    with pytest.raises(ValueError, match=r"1.6 GB are more than any model's weights"):
        read_arrays(path)


# ---- whole files -----------------------------------------------------------------

ARRAYS = {
    "a": np.float32([[1, -2], [3, 4.5]]), "scalar": np.array(7, np.int64), "b": np.array([True]),
    "none": np.zeros([0, 3], np.float16),
}  # fmt: skip


def same(got):
    assert set(got) == set(ARRAYS)
    for name, want in ARRAYS.items():
        assert got[name].dtype == want.dtype and got[name].shape == want.shape
        np.testing.assert_array_equal(got[name], want)


def test_what_is_written_is_read_here_and_elsewhere(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, ARRAYS, {"format": "x"})
    arrays, header = read_safetensors(path)
    same(arrays)
    same(load_file(path))
    assert header["format"] == "x"
    # the checksum, computed without the product: zeros where it stands
    data = path.read_bytes()
    digits = re.search(rb"maskrcnn_edu crc32 (\w{8})", data)[1]
    assert int(digits, 16) == zlib.crc32(data.replace(digits, b"00000000"))


def test_files_without_a_checksum_are_read_as_they_are(tmp_path):
    path = tmp_path / "w.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file(ARRAYS, path, metadata)
        arrays, header = read_safetensors(path)
        same(arrays)
        assert header == (metadata or {})


def test_a_name_twice_is_one_array(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(packed(TWICE))
    (array,) = read_arrays(tmp_path / "w.safetensors").values()
    assert array.tobytes() == b"abcd"


STRIDE = 1 if "MASKRCNN_EDU_LONG" in os.environ else 7  # every bit of a byte has its turn


def test_every_single_bit_counts(tmp_path):
    path = tmp_path / "w.safetensors"
    write_safetensors(path, ARRAYS, {"format": "x"})
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), STRIDE):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError):
            read_safetensors(path)


# ---- checkpoints -----------------------------------------------------------------


def checkpoint(**more):
    arrays = {"weight.a": np.float32([1, 2])}
    return Checkpoint(TrainingProgress(step=3), arrays, {"seed": "0"}, **more)


def test_every_single_bit_of_a_checkpoint_counts(tmp_path):
    folder = CheckpointFolder(tmp_path)
    path = folder.save(checkpoint(metrics_bytes=7))
    whole = path.read_bytes()
    for bit in range(0, 8 * len(whole), STRIDE):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"step-000000003.safetensors is no whole checkpoint"):
            folder.load(3)
    path.write_bytes(whole)
    assert folder.load(3).metrics_bytes == 7


POSITION = {"step": 3, "seconds": 1.0, "images": 4, "epoch": 0, "batches": 2}
FACTS = {
    "position": POSITION, "recipe": {"seed": "0"}, "metrics_bytes": 7, "scaler": {},
    "finished": False,
}  # fmt: skip
WRONG = {
    "step as text": ({"position": {**POSITION, "step": "3"}}, "for step"),
    "step -1": ({"position": {**POSITION, "step": -1}}, "for step"),
    "step true": ({"position": {**POSITION, "step": True}}, "for step"),
    "seconds nan": ({"position": {**POSITION, "seconds": float("nan")}}, "for seconds"),
    "a list as position": ({"position": [1]}, "position|mapping"),
    "an unknown count": ({"position": {**POSITION, "steps": 3}}, "unexpected keyword"),
    "an unknown field": ({"evil": 1}, "unexpected keyword"),
    "a list as recipe": ({"recipe": ["seed"]}, "for recipe"),
    "a number in the recipe": ({"recipe": {"seed": 0}}, "for recipe"),
    "metrics_bytes -1": ({"metrics_bytes": -1}, "for metrics_bytes"),
    "scaler without a scale": ({"scaler": {"incr_ratio": 2.0}}, "for scaler"),
    "scaler of texts": ({"scaler": {"scale": "2"}}, "for scaler"),
    "finished as text": ({"finished": "no"}, "for finished"),
    "nested": (b"[" * 50_000, "recursion|nested"),
    "a list": (b"[]", ""),
    "a number": (b"5", ""),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_header_of_another_shape_is_no_checkpoint(tmp_path, wrong):
    array = np.float32([1, 2])
    change, words = WRONG[wrong]
    number = zlib.crc32(array.tobytes(), zlib.crc32(b"weight.a"))
    facts = json.dumps({**FACTS, "checksum": number})
    folder = CheckpointFolder(tmp_path)

    def write(facts):
        metadata = {"format": "maskrcnn_edu checkpoint 1", "facts": facts}
        folder.file(3).write_bytes(save({"weight.a": array}, metadata))

    write(facts)
    assert folder.load(3).position == TrainingProgress(3, 1.0, 4, 0, 2)
    changed = change.decode() if isinstance(change, bytes) else None
    write(changed or json.dumps({**json.loads(facts), **change}))
    with pytest.raises(ValueError, match=f"is no whole checkpoint: .*{words}"):
        folder.load(3)
