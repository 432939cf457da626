"""Paddle's weight files: what is in them comes out, and nothing in them runs."""

import operator
import os
import pickle
import pickletools

import numpy as np
import paddle
import pytest

from maskrcnn_edu.weights.pdparams import MEANING, read_pdparams, write_pdparams

STATE = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "norm._mean": np.array([0.5, -1.0], np.float64),
    "steps": np.array([7], np.int64),
    "scalar": np.float32(2.5),
    "columns": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
    "none": np.zeros([0, 4], np.float32),
}


def same(got, want):
    assert list(got) == list(want)
    for name in want:
        assert got[name].dtype == np.asarray(want[name]).dtype
        np.testing.assert_array_equal(got[name], want[name])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol(tmp_path, protocol):
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps(STATE, protocol=protocol))
    same(read_pdparams(path), STATE)


def test_big_endian_arrays(tmp_path):
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps({"a": np.array([1, 2], ">f4")}))
    assert read_pdparams(path)["a"].tolist() == [1, 2]


def test_what_paddle_saves(tmp_path):
    layer = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3), paddle.nn.BatchNorm2D(4))
    want = {k: v.numpy() for k, v in layer.state_dict().items()}
    paddle.save(layer.state_dict(), str(tmp_path / "w.pdparams"))
    same(read_pdparams(tmp_path / "w.pdparams"), want)
    paddle.save(dict(layer.state_dict().items()), str(tmp_path / "x.pdparams"))
    same(read_pdparams(tmp_path / "x.pdparams"), want)


def test_paddle_loads_what_we_write(tmp_path):
    layer, other = paddle.nn.Linear(3, 2), paddle.nn.Linear(3, 2)
    write_pdparams(tmp_path / "w.pdparams", layer.state_dict())
    other.set_state_dict(paddle.load(str(tmp_path / "w.pdparams")))
    np.testing.assert_array_equal(other.weight.numpy(), layer.weight.numpy())


# ---- nothing runs ----------------------------------------------------------------


class Runs:
    """Pickled as a call of a function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(marker):
    write = f"open({str(marker)!r}, 'w').close()"
    return {
        "os.system": Runs(os.system, f"touch {marker}"),
        "eval": Runs(eval, write),
        "exec": Runs(exec, write),
        "attrgetter": Runs(operator.attrgetter, "system"),
        "import": Runs(__import__, "os"),
        "numpy.load": Runs(np.load, str(marker)),
        "paddle.load": Runs(paddle.load, str(marker)),
        "bytearray": Runs(bytearray, 10**12),
    }


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("attack", sorted(attacks("x")))
@pytest.mark.parametrize("place", ["value", "name table", "in a list", "whole"])
def test_a_malicious_file_runs_nothing(tmp_path, attack, protocol, place):
    marker = tmp_path / "it_ran"
    evil = attacks(marker)[attack]
    holders = {
        "value": {"conv.weight": evil},
        "name table": {**STATE, "StructuredToParameterName@@": evil},
        "in a list": {"conv.weight": [STATE["conv.weight"], evil]},
        "whole": evil,
    }
    path = tmp_path / "evil.pdparams"
    path.write_bytes(pickle.dumps(holders[place], protocol=protocol))
    with pytest.raises(ValueError, match=r"evil.pdparams: not a weights file.*wants to call"):
        read_pdparams(path)
    assert not marker.exists()
    if attack == "exec":  # the attack is real: a plain reader would run it
        pickle.loads(path.read_bytes())
        assert marker.exists()


def test_no_meaning_runs_code_of_the_file():
    # each name means a class or function of ours, or a plain container
    for meaning in MEANING.values():
        assert meaning in (dict, tuple) or meaning.__module__ == "maskrcnn_edu.weights.pdparams"


@pytest.mark.parametrize("encoding", ["zlib_codec", "rot13", "utf-8"])
def test_only_the_encoding_of_bytes(tmp_path, encoding):
    path = tmp_path / "w.pdparams"
    opcodes = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX" + bytes([len(encoding), 0, 0, 0])
    path.write_bytes(opcodes + encoding.encode() + b"\x86R.")
    assert "encode" in str(list(pickletools.genops(path.read_bytes())))
    with pytest.raises(ValueError, match="no part of a weights file"):
        read_pdparams(path)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([1, 2], "holds a list"),
        ({1: np.zeros(2)}, "which is no name"),
        ({"a": "text"}, "a is a str"),
        ({"a": np.array(["x"])}, "'U1' are no weights"),
        ({"a": np.array([{}], object)}, "'O8' are no weights"),
    ],
)
def test_things_that_are_no_weights(tmp_path, content, problem):
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=problem):
        read_pdparams(path)


def test_damaged_files(tmp_path):
    whole = pickle.dumps(STATE, protocol=4)
    path = tmp_path / "w.pdparams"
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a weights file"):
            read_pdparams(path)


def test_noise_is_refused(tmp_path):
    path = tmp_path / "w.pdparams"
    whole = bytearray(pickle.dumps(STATE, protocol=2))
    random = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        for at in random.integers(len(whole), size=5):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged)
        try:
            read_pdparams(path)
        except ValueError as error:
            assert "w.pdparams" in str(error)
