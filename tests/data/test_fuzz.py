"""Thousands of broken datasets: each is used, or refused with one clear line, and quickly.

Every example goes the whole way: `CocoDataset`, the loader with the course's transforms, and
``maskrcnn-edu data check``.
"""

import contextlib
import copy
import io
import json
import signal
import struct
import tracemalloc
import warnings
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from maskrcnn_edu.cli.main import main
from maskrcnn_edu.config.build import build
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.data import rle
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.structures import BitMask

HEIGHT, WIDTH = 16, 24
SECONDS = 10  # for one example; the usual one takes some milliseconds
READER = replace(
    build(load_config("shapes_fpn"), Reader, ("TrainReader",)), batch_size=2, drop_last=False
)


def several(count):
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


class HangsError(BaseException):
    """Not an `Exception`, so that nobody can take it for bad input."""


@pytest.fixture(autouse=True)
def nothing_hangs():
    def stop(*_):
        raise HangsError

    signal.signal(signal.SIGPROF, stop)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)


def square(x, y, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def sound():
    """Two images, two classes, polygons and both kinds of RLE."""
    area = HEIGHT * WIDTH
    segmentations = [
        [square(2, 2, 6)],
        {"size": [HEIGHT, WIDTH], "counts": [20, 5, 11, 5, area - 41]},
        rle.encode(np.pad(np.ones((4, 4)), [(5, HEIGHT - 9), (6, WIDTH - 10)])),
        [square(10, 4, 5), square(1, 1, 3)],
    ]
    boxes = [[2, 2, 6, 6], [1, 4, 2, 5], [6, 5, 4, 4], [1, 1, 14, 8]]  # of these, and their pixels
    areas = [36.0, 10.0, 16.0, 34.0]
    names = ["a.png", "b.jpg"]
    return {
        "info": {"year": 2017},
        "images": [
            {"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH}
            for i, name in enumerate(names, 5)
        ],
        "categories": [{"id": 2, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {"id": i + 1, "image_id": 5 + i % 2, "category_id": (2, 7)[i % 2], "iscrowd": 0}
            | {"bbox": boxes[i], "area": areas[i], "segmentation": segmentation}
            for i, segmentation in enumerate(segmentations)
        ],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("fuzz")
    pixels = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    for name in ("a.png", "b.jpg"):
        Image.fromarray(pixels).save(made / name)
    return made


def go_all_the_way(json_bytes, folder):
    """Read, load, check. Returns what the dataset was: None if it was refused."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    file = folder / "instances.json"
    file.write_bytes(json_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main(["data", "check", str(file), "--images", str(folder), "--limit", "5"])
        try:
            dataset = CocoDataset(file, folder)
        except ValueError as error:
            assert str(error).startswith(f"{file}: ") and str(error).count("\n") == 0
            assert code == 2
            signal.setitimer(signal.ITIMER_PROF, 0)
            return None
        seen: dict = {}  # one picture under two names is an issue, too
        bad = [row for row in range(len(dataset)) if dataset.image_issue(row, seen)]
        none_is_left = len(bad) == len(dataset)
        assert code == (2 if none_is_left else 1 if dataset.issues or bad else 0)
        if none_is_left:
            with pytest.raises(ValueError, match="none of the .* images can be read"):
                list(READER.loader(dataset).epoch(0))
        else:
            for batch in READER.loader(dataset).epoch(0):
                check_batch(batch, {dataset.image_ids[row] for row in bad})
    signal.setitimer(signal.ITIMER_PROF, 0)
    return dataset


def check_batch(batch, unreadable):
    """Everything decoded is finite and inside the image."""
    assert len(batch) > 0 and not unreadable & set(batch.image_id)
    assert np.isfinite(batch.image.numpy()).all()
    for shape, gt in zip(batch.im_shape.numpy(), batch.gt):
        height, width = shape.tolist()
        boxes = gt.boxes.numpy()
        assert np.isfinite(boxes).all() and (boxes >= -1e-3).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (boxes <= np.array([width, height] * 2) + 1e-3).all()
        assert ((gt.labels.numpy() >= 0) & (gt.labels.numpy() < 80)).all()
        for segm in gt.segms:
            if isinstance(segm, BitMask):
                assert segm.pixels.size and set(np.unique(segm.pixels)) <= {0, 1}
                parts = [segm.box]
            else:
                parts = segm
            for part in parts:
                assert np.isfinite(part).all() and np.abs(part).max() <= 3.01 * max(height, width)


def test_the_sound_dataset_is_sound(folder, capsys):
    dataset = go_all_the_way(json.dumps(sound()).encode(), folder)
    assert dataset.issues == []
    assert [len(dataset[i].gt) for i in range(2)] == [2, 2]
    assert "no issues" in capsys.readouterr().out


# ---- mistakes in the structure -------------------------------------------------------

SPECIAL = st.sampled_from(
    [
        None, True, False, 0, -1, 1, 2, 5, 7, 1e-300, 1e308, -1e308, 10**12, 10**15, 10**30,
        10**400, float("nan"), float("inf"), -float("inf"), "", "5", "a.png", "..", "/", "b.jpg",
        "\ud800", "a\x00b", "\n", "名前.png", "x" * 5000, [], {}, [[]], [[[]]], [0] * 8, "P" * 99,
        {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]},
        {"size": [10**9, 10**9], "counts": [10**15, 10**18 - 10**15]},
        {"size": [HEIGHT, WIDTH], "counts": "😀"}, [square(-9, -9, 99)], [square(1e300, 0, 1)],
    ]
)  # fmt: skip
NUMBERS = [0, -1, 1e-300, 1e9, 1e308, 10**400, float("nan")]
VALUES = SPECIAL | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=4), x, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(content):
    """(container, key) of everything in it, at any depth, by kind: all bboxes are one kind."""
    by_kind, waiting = {}, [((), content)]
    while waiting:
        path, here = waiting.pop()
        keys = here.keys() if isinstance(here, dict) else range(len(here))
        for key in keys:
            kind = (*path, key if isinstance(here, dict) else "*")
            by_kind.setdefault(kind, []).append((here, key))
            if isinstance(here[key], (dict, list)):
                waiting.append((kind, here[key]))
    return list(by_kind.values())


def choose_place(draw, content):
    """Any kind is as likely as any other, though a file holds more coordinates than ids."""
    return draw(st.sampled_from(draw(st.sampled_from(places(content)))))


@st.composite
def broken_content(draw):
    content = sound()
    for _ in range(draw(st.integers(1, 4))):
        if not content:
            break
        here, key = choose_place(draw, content)
        kind = draw(st.sampled_from(["replace", "number", "number", "delete", "double", "move"]))
        if kind == "delete":
            del here[key]
        elif kind == "double" and isinstance(here, list):
            here.append(copy.deepcopy(here[key]))
        elif kind == "move":
            there, other = choose_place(draw, content)
            with contextlib.suppress(KeyError, IndexError):
                there[other] = copy.deepcopy(here[key])
        elif kind == "number" and type(here[key]) in (int, float):
            here[key] = draw(st.sampled_from(NUMBERS))
        else:
            here[key] = copy.deepcopy(draw(VALUES))
    return content


@several(1300)
@given(content=broken_content())
def test_broken_structure(folder, content):
    go_all_the_way(json.dumps(content).encode("utf-8"), folder)


# ---- broken bytes --------------------------------------------------------------------


@st.composite
def damaged(draw, whole):
    """Cut off, flipped bits, a hole, a repetition, or nothing left."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        kind = draw(st.sampled_from(["cut", "flip", "flip", "hole", "twice", "zeros"]))
        if kind == "cut":
            del data[at:]
        elif kind == "flip":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "hole":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "twice":
            data[at:at] = data[at : at + 40]
        else:
            data[at : at + 16] = bytes(16)
    return bytes(data)


@several(400)
@given(data=damaged(json.dumps(sound()).encode()))
def test_broken_bytes_of_the_annotation_file(folder, data):
    go_all_the_way(data, folder)


def image_bytes(kind, mode="RGB"):
    pixels = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


IMAGES = [image_bytes("PNG"), image_bytes("JPEG"), image_bytes("PNG", "P"), image_bytes("GIF", "P"),
          image_bytes("BMP"), image_bytes("TIFF"), image_bytes("WEBP"), b"", b"text"]  # fmt: skip


@several(600)
@given(
    first=st.sampled_from(IMAGES).flatmap(lambda p: damaged(p) if p else st.just(p)),
    second=st.sampled_from(IMAGES).flatmap(lambda p: st.just(p) | damaged(p or b"x")),
)
def test_broken_bytes_of_images(tmp_path_factory, first, second):
    folder = tmp_path_factory.getbasetemp() / "images"
    folder.mkdir(exist_ok=True)
    (folder / "a.png").write_bytes(first)  # the ending is wrong more often than not
    (folder / "b.jpg").write_bytes(second)
    dataset = go_all_the_way(json.dumps(sound()).encode(), folder)
    # the file has none; only images are broken, or so little that both are the same picture
    assert {issue.message for issue in dataset.issues} <= {"it is the same picture as a.png"}


# ---- absurd sizes --------------------------------------------------------------------


def png_header(width, height):
    """A PNG file that claims a size, and holds nothing."""
    chunks = b""
    for name, data in ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
                       (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):  # fmt: skip
        chunks += struct.pack(">I", len(data)) + name + data
        chunks += struct.pack(">I", zlib.crc32(name + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    ("header", "words"),
    [((30_000, 30_000), "more than 178 million pixels"), ((12_000, 7_000), "12000 wide")],
)
def test_a_decompression_bomb_takes_no_memory(tmp_path, header, words):
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(png_header(*header))
    (tmp_path / "instances.json").write_text(json.dumps(sound()))
    dataset = CocoDataset(tmp_path / "instances.json", tmp_path)
    tracemalloc.start()
    assert words in dataset.image_issue(0).message
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_absurd_numbers_take_no_memory(tmp_path):
    content = sound()
    content["images"][0] |= {"width": 10**12, "height": 10**12}
    content["annotations"][1]["segmentation"]["counts"] = [10**15, 10**15]
    content["annotations"][3]["segmentation"] = {"size": [10**9] * 2, "counts": [10**18]}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    tracemalloc.start()
    dataset = CocoDataset(tmp_path / "instances.json", tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
    assert len(dataset) == 1 and len(dataset.issues) == 4
