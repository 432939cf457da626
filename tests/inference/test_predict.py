"""Photos of every kind, whole and broken, through a tiny model."""

import errno
import io
import json
import math
import os
import struct
import tempfile
import warnings
import zlib
from pathlib import Path

import numpy as np
import paddle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from pycocotools import mask as rle

from maskrcnn_edu.cli.main import main
from maskrcnn_edu.config.schema import parse_config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.image_file import count_frames, read_image
from maskrcnn_edu.inference import predict
from maskrcnn_edu.inference.overlay import Overlay, OverlayStyle
from maskrcnn_edu.inference.predict import (
    find_images,
    overlay_names,
    predict_image,
    predict_images,
)
from maskrcnn_edu.model.mask import postprocess
from maskrcnn_edu.model.mask.postprocess import MaskPostProcess
from maskrcnn_edu.structures import BitMask, Detections, GroundTruth
from maskrcnn_edu.viz.figure_facts import figure_boxes
from maskrcnn_edu.weights.folder import ClassNames, save_model

READER = """
EvalReader:
  sample_transforms:
  - Decode: {}
  - Resize: {target_size: 64, keep_ratio: true}
  - NormalizeImage: {}
  - Permute: {}
  batch_transforms:
  - PadBatch: {pad_to_stride: 32}
"""
THREE = ClassNames(["cat", "dog", "emu"], [1, 5, 9])


@pytest.fixture(scope="module")
def tiny(build_tiny, tiny_text):
    """A model in prediction mode and its configuration."""
    model = build_tiny(tiny_text["fpn"])
    model.eval()
    return model, parse_config(tiny_text["fpn"] + READER)


@pytest.fixture
def folder(tiny, tmp_path):
    """The same as a folder, for the command."""
    save_model(tmp_path / "run", *tiny, THREE)
    return tmp_path / "run"


def noise(height=30, width=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path, height=30, width=40, seed=0):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(noise(height, width, seed)).save(path)
    return path


def read(folder, name):
    return json.loads((folder / name).read_text(encoding="utf-8"))


# ---- one photo -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fpn", "c4"])
@pytest.mark.parametrize(
    ("height", "width"), [(30, 40), (1, 1), (1, 300), (300, 1), (2, 12000), (200, 150)]
)
def test_masks_pasted_one_by_one_are_the_same(build_tiny, tiny_text, kind, height, width):
    model, image = build_tiny(tiny_text[kind]), noise(height, width)
    model.eval()
    config = parse_config(tiny_text[kind] + READER)
    stages = predict_image(model, config, image)
    together, size = stages.detections[0], stages.image_size[0]
    assert size == (height, width) and together.masks.shape == [len(together), *size]
    (alone,) = model.detect(stages.batch).detections
    assert alone.masks is None
    for name in ("boxes", "labels", "scores", "roi_index"):
        np.testing.assert_array_equal(getattr(alone, name).numpy(), getattr(together, name).numpy())
    paste = model.mask_post_process.paste_in_boxes
    parts = list(paste(stages.mask_probs[0], alone.boxes, *size))
    assert len(parts) == len(together)
    for whole, part in zip(together.masks.numpy(), parts):
        np.testing.assert_array_equal(in_whole_image(part, height, width), whole)


def in_whole_image(part, height, width):
    whole = np.zeros([height, width], np.uint8)
    x1, y1, x2, y2 = part.box.astype(int)
    whole[y1:y2, x1:x2] = part.pixels
    return whole


def test_a_photo_takes_the_memory_of_its_objects(tiny, tmp_path, monkeypatch):
    model, config = tiny
    parts, paste = [], postprocess.paste_mask

    def spy(*args):
        parts.append(paste(*args))
        return parts[-1]

    def too_large(*_):
        raise AssertionError("a mask as large as the photo")

    monkeypatch.setattr(postprocess, "paste_mask", spy)
    monkeypatch.setattr(MaskPostProcess, "__call__", too_large)
    results = predict_images(model, config, THREE, [save(tmp_path / "a.png", 300, 200)], tmp_path)
    assert len(results) == len(parts) > 1
    assert min(part.pixels.size for part in parts) < 300 * 200 / 2


def one_detection(box, score=0.9):
    values = np.float32([box]), np.int64([0]), np.float32([score]), np.int64([0])
    return Detections(*map(paddle.to_tensor, values))


def test_an_overlay_shows_a_huge_photo_small_and_its_masks_where_they_were():
    overlay = Overlay(noise(4000, 100))
    # a ring whose hole is at the left
    pixels = np.ones([2000, 40], np.uint8)
    pixels[500:1000, :20] = 0
    mask = BitMask(pixels, np.float32([20, 1000, 60, 3000]))
    overlay.add(one_detection([20, 1000, 60, 3000]), 0, mask)
    expected = np.zeros((2000, 50), bool)
    expected[500:1500, 10:30] = True
    expected[750:1000, 10:20] = False
    assert overlay.image.shape == (2000, 50, 3)
    np.testing.assert_array_equal(overlay.shown[0].masks[0], expected)
    np.testing.assert_allclose(overlay.shown[0].boxes, [[10, 500, 30, 1500]])


def test_an_overlay_leaves_small_photos_and_uncertain_objects_alone():
    image = noise()
    mask = BitMask(np.ones([30, 40], np.uint8), np.float32([0, 0, 40, 30]))
    overlay = Overlay(image, OverlayStyle(min_score=0.5))
    assert overlay.image is image
    for score in (0.4, 0.5, 0.6):
        overlay.add(one_detection([0, 0, 40, 30], score), 0, mask)
    assert [each.scores.item() for each in overlay.shown] == pytest.approx([0.5, 0.6])
    texts = [text.get_text() for text in overlay.draw(["cat"]).axes[0].texts]
    assert texts == ["cat 0.60", "cat 0.50"]  # the surest chooses its place
    assert not Overlay(image).draw(["cat"]).axes[0].texts


@pytest.mark.parametrize(
    ("size", "saved"),
    [(None, (1200, 600)), (400, (400, 200)), (64, (64, 32)), (math.inf, (100, 50))],
)
def test_the_size_of_an_overlay(tmp_path, size, saved):
    # 5 by 10 inches, 120 pixels each if no size is asked for
    Overlay(noise(50, 100), OverlayStyle(size=size)).save(tmp_path / "x.png", ["cat"])
    with Image.open(tmp_path / "x.png") as image:
        assert image.size == saved


def test_annotated_objects_shrink_with_the_image():
    gt = GroundTruth(
        np.float32([[0, 1000, 40, 3000], [0, 0, 8, 8]]),
        np.int64([0, 1]),
        [[np.array([0, 1000, 40, 1000, 40, 3000.0])],
         BitMask(np.ones([8, 8], np.uint8), np.float32([0, 0, 8, 8]))],
        np.array([False, True]),
    )  # fmt: skip
    overlay = Overlay(noise(4000, 100), gt=gt, gt_names=["dog", "cow"])
    left, right = overlay.draw(["cat"]).axes
    assert [t.get_text() for t in left.texts] == ["dog", "cow (crowd)"]
    assert figure_boxes(left.figure, "gt") == [[0, 500, 20, 1500]]
    assert figure_boxes(left.figure, "crowd") == [[0, 0, 4, 4]]
    assert left.get_xlim() == right.get_xlim() == (0, 50)
    outline = next(a for a in left.patches if a.get_gid() == "outline")
    assert outline.get_path().vertices.tolist() == [[0, 500], [20, 500], [20, 1500], [0, 500]]


def test_annotations_are_decoded_when_their_image_is_drawn(tiny, tmp_path, monkeypatch):
    """Masks of a whole dataset at once would take all memory."""
    photos = [save(tmp_path / f"{i}.png") for i in range(3)]
    images = [{"id": i, "file_name": f"{i}.png", "height": 30, "width": 40} for i in range(3)]
    content = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": []}
    (tmp_path / "a.json").write_text(json.dumps(content))
    truth, read_rows, seen = CocoDataset(tmp_path / "a.json", tmp_path), [], []
    own = CocoDataset.__getitem__
    monkeypatch.setattr(CocoDataset, "__getitem__", lambda d, i: read_rows.append(i) or own(d, i))
    predict_images(
        *tiny, THREE, photos, tmp_path / "out", truth=truth,
        on_image=lambda photo, found: seen.append(list(read_rows)),
    )  # fmt: skip
    assert seen == [[0], [0, 1], [0, 1, 2]]


def test_annotations_of_other_images_are_refused(tiny, tmp_path):
    photo = save(tmp_path / "mine.png")
    content = {
        "images": [{"id": 1, "file_name": "b/other.png", "height": 30, "width": 40}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    truth = CocoDataset(tmp_path / "a.json", tmp_path)
    with pytest.raises(ValueError, match=r"a.json annotates none of these 1 images"):
        predict_images(*tiny, THREE, [photo], tmp_path / "out", truth=truth)


# ---- kinds of files --------------------------------------------------------------


def sixteen_bit_rgb(path, values):
    """A PNG of [h, w, 3] uint16, which Pillow reads but cannot write."""

    def chunk(name, content):
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_sixteen_bit_colours_keep_their_upper_byte(tmp_path):
    eight = noise(3, 2)
    sixteen_bit_rgb(tmp_path / "deep.png", eight.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), eight)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.5, 1.0], [0, 127, 255]), ([0.0, 1.5, 300.0], [0, 1, 255]),
     ([np.nan, np.inf, 7.0], [0, 255, 7]), ([-1.0, 0.0, 0.2], [0, 0, 51])],
)  # fmt: skip
def test_floating_point_is_0_to_1_or_0_to_255(tmp_path, values, expected):
    Image.fromarray(np.float32([values])).save(tmp_path / "float.tif")
    assert read_image(tmp_path / "float.tif")[0, :, 0].tolist() == expected


def test_the_first_frame_counts(tmp_path):
    first, *others = (Image.fromarray(noise(seed=i)) for i in range(3))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=others)
    first.convert("L").save(tmp_path / "a.gif", save_all=True, append_images=others)
    first.save(tmp_path / "a.jpg")
    assert [count_frames(tmp_path / n) for n in ("pages.tif", "a.gif", "a.jpg")] == [3, 3, 1]
    np.testing.assert_array_equal(read_image(tmp_path / "pages.tif"), noise())


def test_a_broken_note_about_the_orientation_says_nothing(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.jpg", exif=b"Exif\0\0broken")
    assert read_image(tmp_path / "a.jpg").shape == (30, 40, 3)


def broken_photos(folder):
    """Writes files that are no photos -> {name: what is said about it}."""
    png = save(folder / "whole.png").read_bytes()
    (folder / "half.png").write_bytes(png[: len(png) // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no image")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "nowhere.jpg").symlink_to("gone.jpg")
    head = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
    bomb = b"\0\0\0\x0dIHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    (folder / "bomb.png").write_bytes(png[:8] + bomb + png[33:])
    return {
        "half.png": "truncated", "empty.jpg": "empty", "text.jpg": "not a kind of image",
        "folder.jpg": "it is a folder", "pipe.jpg": "it is not a file",
        "loop.jpg": "symbolic links", "nowhere.jpg": "no such image",
        "bomb.png": "178 million pixels",
    }  # fmt: skip


def test_every_file_that_is_no_photo_is_told_in_one_line(tmp_path):
    for name, words in broken_photos(tmp_path / "photos").items():
        with pytest.raises(OSError) as problem:
            read_image(tmp_path / "photos" / name)
        text = str(problem.value)
        assert text.startswith(str(tmp_path / "photos" / name)) and words in text
        assert "\n" not in text


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    photo = save(tmp_path / "secret.png")
    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(OSError, match="secret.png: cannot be read.*permission denied"):
        read_image(photo)


# ---- many photos -----------------------------------------------------------------


def test_photos_are_found_by_ending(tmp_path):
    for name in ("b.JPG", "a.png", "c.gif"):
        save(tmp_path / name)
    for name in (".hidden.png", "notes.txt"):
        (tmp_path / name).write_text("no photo")
    assert [p.name for p in find_images([tmp_path])] == ["a.png", "b.JPG", "c.gif"]
    assert find_images([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]  # as you wish
    (tmp_path / "none").mkdir()
    for wrong in ("none", "gone.png"):
        with pytest.raises(ValueError, match=wrong):
            find_images([tmp_path / wrong])


def test_no_overlay_overwrites_another_or_a_photo():
    def names(*photos, out="out"):
        return overlay_names([Path(p) for p in photos], Path(out))

    assert names("a/x.jpg", "b/x.jpg", "x.png", "X.tif", "x_2.jpg") == [
        "x_found.png", "x_2_found.png", "x_3_found.png", "X_4_found.png", "x_2_2_found.png",
    ]  # fmt: skip
    assert names("a/x.jpg", "a/x_found.png", out="a") == ["x_2_found.png", "x_found_found.png"]
    long = names(f"{'é' * 120}.jpg", f"{'é' * 120}.png")
    assert len(set(long)) == 2 and max(len(os.fsencode(n)) for n in long) < 256


def test_the_rest_of_the_folder_goes_on(tiny, tmp_path):
    model, config = tiny
    broken = broken_photos(tmp_path / "photos")
    save(tmp_path / "photos/zebra é 斑马.png", 20, 50)
    problems = {}
    photos = find_images([tmp_path / "photos"])
    results = predict_images(
        model, config, THREE, photos, tmp_path / "out",
        on_problem=lambda photo, problem: problems.update({photo.name: str(problem)}),
    )  # fmt: skip
    assert set(problems) == set(broken)
    records = {r["file_name"]: r for r in read(tmp_path / "out", "photos.json")}
    assert [r["image_id"] for r in records.values()] == list(range(len(photos)))
    assert all(records[name]["problem"] == problems[name] for name in broken)
    whole, zebra = records["whole.png"], records["zebra é 斑马.png"]
    assert (whole["height"], whole["width"], whole["problem"]) == (30, 40, None)
    assert (zebra["height"], zebra["width"]) == (20, 50)
    assert whole["found"] + zebra["found"] == len(results) > 0
    assert read(tmp_path / "out", "results.json") == results
    assert {r["image_id"] for r in results} == {whole["image_id"], zebra["image_id"]}
    for record in (whole, zebra):
        with Image.open(tmp_path / "out" / record["overlay"]) as overlay:
            assert min(overlay.size) == 600


def test_in_a_notebook_a_problem_is_a_warning(tiny, tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.warns(UserWarning, match="text.jpg: cannot be read as an image"):
        assert predict_images(*tiny, THREE, [tmp_path / "text.jpg"], tmp_path) == []


def test_an_interruption_loses_nothing_that_was_found(tiny, tmp_path):
    photos = [save(tmp_path / f"{i}.png", seed=i) for i in range(3)]

    def stop(photo, found):
        if photo.name == "1.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_images(*tiny, THREE, photos, tmp_path / "out", on_image=stop)
    whole = predict_images(*tiny, THREE, photos[:2], tmp_path / "whole")
    assert read(tmp_path / "out", "results.json") == whole
    assert read(tmp_path / "out", "photos.json")[:2] == read(tmp_path / "whole", "photos.json")
    assert "ended before" in read(tmp_path / "out", "photos.json")[2]["problem"]


def test_an_interrupted_call_goes_on_where_it_stopped(tiny, tmp_path, monkeypatch):
    photos = [save(tmp_path / f"{i}.png", seed=i) for i in range(4)]
    seen = []

    def stop(photo, found):
        if photo.name == "2.png":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_images(*tiny, THREE, photos, tmp_path / "out", on_image=stop)
    save(photos[1], seed=9)  # another image now
    photos = [save(tmp_path / "new.png", seed=7), *photos]

    def note(photo, found):
        seen.append((photo.name, found is not None))

    found = predict_images(*tiny, THREE, photos, tmp_path / "out", on_image=note)
    again = [("0.png", False), ("1.png", True), ("2.png", False), ("3.png", True)]
    assert seen == [("new.png", True), *again]
    assert found == predict_images(*tiny, THREE, photos, tmp_path / "whole") and len(found) > 0
    for name in ("results.json", "photos.json"):
        assert read(tmp_path / "out", name) == read(tmp_path / "whole", name)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        p.name for p in (tmp_path / "whole").iterdir()
    }


@pytest.mark.parametrize("changed", ["score", "classes", "weights", "overlay", "mark"])
def test_what_other_options_have_done_is_done_again(tiny, build_tiny, tiny_text, tmp_path, changed):
    photos = [save(tmp_path / f"{i}.png", seed=i) for i in range(2)]
    out, seen = tmp_path / "out", []

    def stop(photo, found):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_images(*tiny, THREE, photos, out, on_image=stop)
    model, classes = tiny[0], THREE
    if changed == "classes":
        classes = ClassNames(["ape", "bee", "cod"], [1, 5, 9])
    elif changed == "weights":
        model = build_tiny(tiny_text["fpn"])
        model.eval()
        model.parameters()[0].set_value(model.parameters()[0] + 1)
    elif changed == "overlay":
        (out / "0_found.png").unlink()
    elif changed == "mark":
        (out / "unfinished.json").write_text("[1, 2")
    style = OverlayStyle(min_score=0.4 if changed == "score" else 0.5)
    predict_images(
        model, tiny[1], classes, photos, out, style, on_image=lambda photo, d: seen.append(d)
    )
    assert len(seen) == 2 and None not in seen


def test_a_full_disk_names_the_file_and_loses_nothing(tiny, tmp_path, monkeypatch):
    photos = [save(tmp_path / f"{i}.png", seed=i) for i in range(2)]
    real = Figure.savefig

    def full(figure, path, **options):
        if path.name.startswith("1_found.png"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OSError, match=r"No space left on device: .*1_found.png"):
        predict_images(*tiny, THREE, photos, tmp_path / "out")
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {"0_found.png", "results.json", "photos.json", "unfinished.json"}
    assert {r["image_id"] for r in read(tmp_path / "out", "results.json")} == {0}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"min_score": 1.5}, "min_score must be"), ({"min_score": float("nan")}, "min_score must be"),
     ({"size": 63}, "size must be at least 64"), ({"size": float("nan")}, "size must be")],
)  # fmt: skip
def test_a_style_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        OverlayStyle(**options)


def test_too_few_class_names_are_refused_before_any_work(tiny, tmp_path):
    with pytest.raises(ValueError, match="knows 3 classes, but 1 are named: cat"):
        predict_images(*tiny, ClassNames(["cat"], [1]), [], tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- the command -----------------------------------------------------------------


def command(folder, *photos):
    out = folder.parent / "out"
    return main(["predict", "--weights", str(folder), "--out", str(out), *map(str, photos)])


def test_the_exit_code_tells_whether_photos_were_bad(folder, tmp_path, capsys):
    good, bad = save(tmp_path / "good.png"), tmp_path / "bad.jpg"
    bad.write_text("no image")
    assert command(folder, good) == 0
    assert "could not be read" not in capsys.readouterr().err
    assert command(folder, good, bad) == 1
    error = capsys.readouterr().err
    assert "bad.jpg: cannot be read as an image" in error
    assert error.endswith("1 of 2 images could not be read: bad.jpg\n")
    assert command(folder, bad) == 2
    assert "1 of 1 images could not be read: bad.jpg" in capsys.readouterr().err
    assert read(tmp_path / "out", "results.json") == []


def test_the_command_says_which_frame_it_used(folder, tmp_path, capsys):
    frames = [Image.fromarray(noise(seed=i)) for i in range(2)]
    frames[0].save(tmp_path / "two.tif", save_all=True, append_images=frames[1:])
    assert command(folder, tmp_path / "two.tif") == 0
    assert "two.tif: has 2 frames or pages; the first one was used" in capsys.readouterr().err


def test_an_interrupted_command_says_how_far_it_came(folder, tmp_path, capsys, monkeypatch):
    photos = [save(tmp_path / f"{i}.png", seed=i) for i in range(3)]
    real = predict.read_image

    def stop_at_the_third(path):
        if path == photos[2]:
            raise KeyboardInterrupt
        return real(path)

    monkeypatch.setattr(predict, "read_image", stop_at_the_third)
    assert command(folder, *photos) == 130
    error = capsys.readouterr().err
    assert "interrupted after 2 of 3 images" in error and "results.json" in error
    assert {r["image_id"] for r in read(tmp_path / "out", "results.json")} == {0, 1}


# ---- anything --------------------------------------------------------------------

MODES = {
    "1": "png", "L": "png", "LA": "png", "P": "gif", "RGB": "jpg", "RGBA": "webp",
    "CMYK": "tiff", "I;16": "png", "I": "tiff", "F": "tiff",
}  # fmt: skip


@st.composite
def files(draw):
    """The bytes and the ending of an image of some mode and size, perhaps damaged."""
    mode = draw(st.sampled_from(sorted(MODES)))
    sides = st.one_of(st.integers(1, 5), st.integers(1, 90), st.just(700))
    height, width = draw(sides), draw(sides)
    pixels = noise(height, width, draw(st.integers(0, 9)))
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        image = Image.fromarray(pixels[:, :, 0].astype(kind) * kind(200))
    else:
        image = Image.fromarray(pixels).convert(mode)
    file = io.BytesIO()
    image.save(file, MODES[mode].replace("jpg", "jpeg"))
    content = bytearray(file.getvalue())
    damage = draw(st.sampled_from(["none", "none", "cut", "flip", "head", "tail"]))
    at = draw(st.integers(0, len(content) - 1))
    if damage == "cut":
        del content[at:]
    elif damage in ("flip", "head"):
        for _ in range(draw(st.integers(1, 8))):
            at = draw(st.integers(0, len(content) - 1 if damage == "flip" else 40))
            content[min(at, len(content) - 1)] ^= draw(st.integers(1, 255))
    elif damage == "tail":
        content += draw(st.binary(max_size=20))
    ending = draw(st.sampled_from([MODES[mode], "jpg", "png", "tiff"]))
    return bytes(content), f"photo.{ending}"


@given(file=files())
@settings(
    max_examples=300, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
def test_any_file_is_predicted_or_refused_in_one_line(tiny, file):
    content, name = file
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", module="PIL")  # as image_file.py does
        photo = Path(folder) / name
        photo.write_bytes(content)
        problems = []
        results = predict_images(
            *tiny, THREE, [photo], Path(folder) / "out",
            on_problem=lambda photo, problem: problems.append(str(problem)),
        )  # fmt: skip
        (record,) = read(Path(folder) / "out", "photos.json")
    if problems:
        assert problems == [record["problem"]] and results == []
        assert problems[0].startswith(str(photo)) and "\n" not in problems[0]
        return
    assert record["found"] == len(results) and record["problem"] is None
    height, width = record["height"], record["width"]
    for result in results:
        assert np.isfinite(result["bbox"]).all() and 0 <= result["score"] <= 1
        x, y, w, h = result["bbox"]
        assert min(x, y, w, h) >= 0 and x + w <= width * 1.0001 and y + h <= height * 1.0001
        assert rle.decode(result["segmentation"]).shape == (height, width)


def test_overlays_beside_their_images_are_no_images(tmp_path):
    names = ["a.png", "a_found.png", "a_2_found.png", "a.jpg", "b_found.png", ".a.png", "a.txt"]
    for name in names:
        (tmp_path / name).touch()
    found = [path.name for path in find_images([tmp_path])]
    assert found == ["a.jpg", "a.png", "b_found.png"]  # there is no b
    assert find_images([tmp_path / "a_found.png"]) == [tmp_path / "a_found.png"]  # asked for
