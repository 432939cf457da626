"""Image files that want to start programs or take all memory, and how large ones are read."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from maskrcnn_edu.data import image_file
from maskrcnn_edu.data.image_file import count_frames, read_image, stored_size

LONG = "MASKRCNN_EDU_LONG" in os.environ


def tiff(width, height, bits=(8,), data=b"", compression=8, **tags):
    """A TIFF file of one strip (or tile) that claims what it is told to claim."""
    count = len(bits)
    values = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", list(bits)),
        259: ("H", [compression]), 262: ("H", [2 if count >= 3 else 1]), 277: ("H", [count]),
        339: ("H", [tags.pop("sample", 1)] * count),
        **{int(k[1:]): ("I", [v]) for k, v in tags.items()},
    }  # fmt: skip
    tiled = 322 in values
    values |= {324 if tiled else 273: ("I", [0]), 325 if tiled else 279: ("I", [len(data)])}
    if not tiled:
        values.setdefault(278, ("I", [height]))
    extra, entries, start = b"", b"", 8 + 2 + 12 * len(values) + 4
    where = start + 2 * 8  # data follow room for the bits of four samples and their kinds
    values[324 if tiled else 273] = ("I", [where])
    for tag, (kind, numbers) in sorted(values.items()):
        packed = struct.pack(f"<{len(numbers)}{kind}", *numbers)
        if len(packed) > 4:
            packed, extra = struct.pack("<I", start + len(extra)), extra + packed
        entries += struct.pack("<HHI", tag, {"H": 3, "I": 4}[kind], len(numbers))
        entries += packed.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<IH", 8, len(values)) + entries + bytes(4)
    return head + extra.ljust(16, b"\0") + data


def progressive(width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG", progressive=True)
    data = bytearray(buffer.getvalue())
    at = data.index(b"\xff\xc2")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def png(width, height, bits=8, colour=2):
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 10 10
%%EndComments
(MARKER) (w) file closefile
showpage
%%EOF
"""
UNKNOWN = "not a kind of image that is known here"
ATTACKS = {
    "EPS, for which Pillow starts Ghostscript": (EPS, UNKNOWN),
    "the same behind a DOS header": (
        b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIII", 32, len(EPS), 0, 0, 0, 0) + bytes(4) + EPS,
        UNKNOWN,
    ),
    "a PDF": (b"%PDF-1.4\n%%EOF", UNKNOWN),
    "a Windows metafile": (b"\xd7\xcd\xc6\x9a\0\0" + bytes(40), UNKNOWN),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", UNKNOWN),
    "a PNG of 900 million pixels": (png(30_000, 30_000), "more than 178 million pixels"),
    "a TIFF of 170 million colours of 16 bits": (
        tiff(13_000, 13_000, (16,) * 4), "take 2.7 GB, more than 1.6; make it smaller",
    ),
    "a TIFF of 170 million floats": (
        tiff(13_000, 13_000, (32,), sample=3), "13000 x 13000 pixels of a TIFF image take 2.0 GB",
    ),
    "a TIFF of 16 pixels in a tile of 900 million": (
        tiff(16, 16, (8, 8, 8), zlib.compress(bytes(9)), T322=30_000, T323=30_000), "take 2.7 GB",
    ),
    "a progressive JPEG of 160 million pixels": (progressive(16_000, 10_000), "take 1.9 GB"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_refused_in_no_time_and_no_memory(tmp_path, attempt, attack):
    content, words = ATTACKS[attack]
    path, marker = tmp_path / "a.png", tmp_path / "it_ran"
    path.write_bytes(content.replace(b"MARKER", str(marker).encode()))
    outcome = attempt(read_image, path)
    assert outcome.error == "UnreadableImage", outcome
    assert outcome.matches(f"^{path}: .*{words}") and "\n" not in outcome.message
    assert outcome.megabytes < 60
    assert os.listdir(tmp_path) == ["a.png"]
    assert count_frames(path) == 1 and stored_size(path) in (None, (10_000, 16_000))


def test_the_attacks_on_memory_are_refused_for_their_size_alone(tmp_path):
    """That the TIFF files above are sound: smaller ones can be read."""
    path = tmp_path / "a.tif"
    for bits, sample, value in (((8, 8, 8), 1, 255), ((16,), 1, 65535), ((32,), 3, 255.0)):
        kind = np.float32 if sample == 3 else f"<u{bits[0] // 8}"
        data = zlib.compress(np.full((4, 6, len(bits)), value, kind).tobytes())
        path.write_bytes(tiff(6, 4, bits, data, sample=sample))
        assert (read_image(path) == 255).all() and read_image(path).shape == (4, 6, 3)
    data = zlib.compress(np.full((16, 16, 3), 7, np.uint8).tobytes())
    path.write_bytes(tiff(6, 4, (8, 8, 8), data, T322=16, T323=16))
    assert (read_image(path) == 7).all() and read_image(path).shape == (4, 6, 3)


def test_a_strip_that_says_it_has_all_rows(tmp_path):
    data = zlib.compress(bytes([7]) * 24)
    (tmp_path / "a.tif").write_bytes(tiff(6, 4, (8,), data, T278=2**32 - 1))
    assert (read_image(tmp_path / "a.tif") == 7).all()


# ---- a strip at a time -----------------------------------------------------------


def images():
    noise = np.random.default_rng(0).integers(0, 256, (7, 10, 4), np.uint8)
    rgb = Image.fromarray(noise[..., :3])
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=9)
    return {
        "RGB": rgb, "L": rgb.convert("L"), "1": rgb.convert("1"), "P": palette,
        "RGBA": Image.fromarray(noise), "LA": Image.fromarray(noise).convert("LA"),
    }  # fmt: skip


@pytest.mark.parametrize("mode", list(images()))
@pytest.mark.parametrize("orientation", range(1, 9))
def test_strips_make_the_picture_that_pillow_makes_upright(
    tmp_path, monkeypatch, mode, orientation
):
    monkeypatch.setattr(image_file, "STRIP", 20)  # two rows
    image = images()[mode]
    exif = image.getexif()
    exif[image_file.ORIENTATION] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        want = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), want)


def test_one_bright_pixel_in_the_last_strip_decides_for_all(tmp_path, monkeypatch):
    monkeypatch.setattr(image_file, "STRIP", 2)
    values = np.float32([[0.5, 1], [0, 1], [0, 100]])
    Image.fromarray(values).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[..., 0].tolist() == [[0, 1], [0, 1], [0, 100]]
    Image.fromarray(values[:2]).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[..., 0].tolist() == [[127, 255], [0, 255]]


SIDE = 13_300  # 177 million pixels, just what Pillow decodes
LYING = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
LARGE = {
    "RGB": (lambda: Image.new("RGB", (SIDE, SIDE), (9, 8, 7)), "PNG", {"compress_level": 1}),
    "16 bits": (lambda: Image.new("I;16", (SIDE, SIDE), 9), "PNG", {"compress_level": 1}),
    "lying": (lambda: Image.new("RGB", (SIDE, SIDE)), "JPEG", {"exif": LYING}),
    "float": (lambda: Image.new("F", (11_500, 11_500), 9), "TIFF", {}),
}


def save_large(kind, path):
    make, form, options = LARGE[kind]
    make().save(path, form, **options)


@pytest.mark.skipif(not LONG, reason="gigabytes: MASKRCNN_EDU_LONG=1")
@pytest.mark.parametrize("kind", LARGE)
def test_the_largest_images_are_read_within_2_gib(tmp_path, attempt, kind):
    assert attempt(save_large, kind, tmp_path / "a", memory=8 << 30, seconds=200).error == ""
    outcome = attempt(read_image, tmp_path / "a", seconds=200)
    assert outcome.error == "", outcome
    assert outcome.megabytes < 1800
    print(kind, outcome)
