"""Thousands of broken weight files, checkpoints, class files, archives and images.

Each is read, or refused in one line that names it: within 10 seconds and 2 GiB, in a process
of its own for each kind. ``MASKRCNN_EDU_LONG=1`` tries 1500 of every kind.
"""

import io
import json
import os
import pickle
import shutil
import signal
import struct
import zipfile

import numpy as np
import pytest
from PIL import Image

from maskrcnn_edu.data.image_file import read_image
from maskrcnn_edu.data.problems import UnreadableImage
from maskrcnn_edu.data.public import unpack
from maskrcnn_edu.training.checkpoint import Checkpoint, CheckpointFolder, TrainingProgress
from maskrcnn_edu.weights.arrays import read_arrays
from maskrcnn_edu.weights.folder import read_classes
from maskrcnn_edu.weights.safetensors_file import write_safetensors

COUNT = 1500 if "MASKRCNN_EDU_LONG" in os.environ else 60
ARRAYS = {"a": np.float32([[1, 2], [3, 4]]), "b.c": np.array([5]), "d": np.float16([])}

FRAGMENTS = [
    *(c.encode() for c in "().0N}]aestdlbRu"), b"\x85", b"\x86", b"\x87", b"\x88", b"\x89", b"\x93",
    b"\x94", b"K\x01", b"K\xff", b"J\xff\xff\xff\xff", b"M\xff\xff", b"\x8a\x01\x05", b"I01\n",
    b"X\x02\x00\x00\x00f4", b"X\x06\x00\x00\x00latin1", b"\x8c\x01a", b"C\x04abcd", b"C\x00",
    b"U\x01<", b"G?\xf0\0\0\0\0\0\0", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n",
    b"ccollections\nOrderedDict\n", b"c_codecs\nencode\n", b"cbuiltins\ntuple\n",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n",
    b"cnumpy._core.numeric\n_frombuffer\n", b"cos\nsystem\n", b"q\x00", b"h\x00", b"q\x01",
    b"h\x01", b"r\xff\xff\xff\xff", b"2", b"\x81", b"\x8f", b"o", b"\x95\xff\0\0\0\0\0\0\0",
    b"cnumpy\ndtype\nX\x02\x00\x00\x00f4K\x00K\x01\x87R",
]  # fmt: skip


def damaged(random, whole):
    """Cut off, flipped bits, a hole, a repetition, zeros, or large numbers."""
    data = bytearray(whole)
    for _ in range(random.integers(1, 4)):
        at = int(random.integers(len(data))) if data else 0
        kind = random.integers(6)
        if kind == 0:
            del data[at:]
        elif kind == 1 and data:
            data[at] ^= 1 << int(random.integers(8))
        elif kind == 2:
            del data[at : at + int(random.integers(1, 30))]
        elif kind == 3:
            data[at:at] = data[at : at + 40]
        else:
            data[at : at + 4] = [bytes(4), b"\xff" * 4, b"\xff\xff\xff\x7f"][random.integers(3)]
    return bytes(data)


def value(random, depth=0):
    """Anything that JSON can say."""
    simple = [None, True, 0, -1, 1, 2**31, 2**63, 10**30, 1.5, 1e308, float("nan"), "", "a", "F32",
              "x" * 300, [], {}, [0, 4], [0, 8], [2, 2], [[[]]]]  # fmt: skip
    kind = random.integers(8)
    if kind == 0 and depth < 4:
        return [value(random, depth + 1) for _ in range(random.integers(4))]
    if kind == 1 and depth < 4:
        names = ["dtype", "shape", "data_offsets", "id", "name", "step", "a"]
        return {str(random.choice(names)): value(random, depth + 1) for _ in range(3)}
    return simple[random.integers(len(simple))]


def changed(random, content):
    """Some places of something that is JSON have other values."""
    content = json.loads(json.dumps(content))
    for _ in range(random.integers(1, 3)):
        here = content
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = keys[random.integers(len(keys))]
            if not isinstance(here[key], (dict, list)) or random.integers(2):
                if random.integers(4):
                    here[key] = value(random)
                else:
                    del here[key]
                break
            here = here[key]
    return content


# ---- (random, folder) -> what is made of it; ValueError if it is refused --------------


def a_program(random, folder):
    some = [FRAGMENTS[i] for i in random.integers(len(FRAGMENTS), size=random.integers(1, 60))]
    (folder / "w.pdparams").write_bytes(b"\x80\x04" + b"".join(some) + b".")
    read_arrays(folder / "w.pdparams")


def a_damaged_pdparams(random, folder):
    whole = pickle.dumps(ARRAYS, protocol=int(random.integers(6)))
    (folder / "w.pdparams").write_bytes(damaged(random, whole))
    read_arrays(folder / "w.pdparams")


def a_damaged_safetensors(random, folder):
    write_safetensors(folder / "w.safetensors", ARRAYS)
    whole = (folder / "w.safetensors").read_bytes()
    data = damaged(random, whole)
    (folder / "w.safetensors").write_bytes(data)
    read_arrays(folder / "w.safetensors")
    assert data == whole, "damage was not noticed"


HEADER = {
    "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "b": {"dtype": "I64", "shape": [1], "data_offsets": [16, 24]},
    "__metadata__": {"format": "pt"},
}


def a_changed_header(random, folder):
    text = json.dumps(changed(random, HEADER)).encode()
    data = struct.pack("<Q", len(text)) + text + bytes(24)
    (folder / "w.safetensors").write_bytes(data)
    for array in read_arrays(folder / "w.safetensors").values():
        assert array.nbytes <= 24


def a_changed_checkpoint(random, folder):
    saved = CheckpointFolder(folder)
    facts = {
        "position": {"step": 1, "seconds": 1.0, "images": 1, "epoch": 0, "batches": 1},
        "recipe": {"seed": "0"}, "metrics_bytes": 1, "scaler": {"scale": [2.0]}, "finished": False,
        "checksum": 0,
    }  # fmt: skip
    header = {"format": "maskrcnn_edu checkpoint 1", "facts": json.dumps(changed(random, facts))}
    write_safetensors(saved.file(1), {}, header)  # no arrays: their checksum is 0
    made = saved.load(1)
    assert isinstance(made.position.step, int) and isinstance(made.run_settings, dict)


def a_damaged_checkpoint(random, folder):
    saved = CheckpointFolder(folder)
    saved.save(Checkpoint(TrainingProgress(1), dict(ARRAYS), {"seed": "0"}))
    whole = saved.file(1).read_bytes()
    data = damaged(random, whole)
    saved.file(1).write_bytes(data)
    saved.load(1)
    assert data == whole, "damage was not noticed"


def a_changed_class_file(random, folder):
    ours = {"names": ["a", "b"], "category_ids": [1, 2]}
    coco = {"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]}
    content = changed(random, ours if random.integers(2) else coco)
    (folder / "classes.json").write_text(json.dumps(content))
    made = read_classes(folder / "classes.json")
    assert len(made.names) == len(set(made.category_ids)) == len(made.category_ids)
    assert all(isinstance(name, str) and name for name in made.names)


def a_damaged_archive(random, folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name in ("a/b", "a/c", "../up"[int(random.integers(1, 4)) :]):
            made.writestr(name, name * 20)
    (folder / "x.zip").write_bytes(damaged(random, buffer.getvalue()))
    unpack(folder / "x.zip", folder / "in" / "side")


def a_damaged_image(random, folder):
    pixels = np.random.default_rng(1).integers(0, 255, (16, 24, 3), np.uint8)
    form = ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"][random.integers(7)]
    buffer = io.BytesIO()
    image = Image.fromarray(pixels).convert("P" if form == "GIF" else "RGB")
    image.save(buffer, form, **({"compression": "tiff_lzw"} if form == "TIFF" else {}))
    (folder / "a.png").write_bytes(damaged(random, buffer.getvalue()))
    try:
        assert read_image(folder / "a.png").dtype == np.uint8
    except UnreadableImage as error:
        raise ValueError(str(error)) from error


KINDS = {
    function.__name__: function
    for function in (
        a_program, a_damaged_pdparams, a_damaged_safetensors, a_changed_header,
        a_changed_checkpoint, a_damaged_checkpoint, a_changed_class_file, a_damaged_archive,
        a_damaged_image,
    )
}  # fmt: skip


class HangsError(BaseException):
    """Not an `Exception`, so that nobody can take it for bad input."""


def try_many(kind, folder, count):
    """Raises for the first input that is neither read nor refused in a line with its name."""

    def stop(*_):
        raise HangsError

    signal.signal(signal.SIGALRM, stop)
    refused = 0
    for seed in range(count):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        signal.alarm(10)
        try:
            KINDS[kind](np.random.default_rng(seed), folder)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(str(folder)), f"{seed}: {error}"
            assert len(str(error)) < 500 and "\n" not in str(error), f"{seed}: {error}"
        except BaseException as error:
            raise AssertionError(f"{seed}: {type(error).__name__} {error}") from error
        finally:
            signal.alarm(0)
        assert [p.name for p in folder.parent.iterdir()] == [folder.name], f"{seed}: outside"
    assert 0.2 * count < refused <= count, f"{refused} of {count} refused: is anything tried?"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_each_is_read_or_refused_in_a_line(tmp_path, attempt, kind):
    outcome = attempt(try_many, kind, tmp_path / "f", COUNT, seconds=max(60, COUNT))
    assert outcome.error == "", outcome
    assert outcome.megabytes < 300
