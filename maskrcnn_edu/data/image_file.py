"""Image files of every kind become 8-bit RGB, upright."""

from __future__ import annotations

import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from maskrcnn_edu.data.problems import UnreadableImage

warnings.filterwarnings("ignore", module="PIL")  # it copes with it; if not, it raises

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What photos and masks come in. Others run programs (EPS), ask servers, or are no pictures."""

MAX_BYTES = 3 << 29
"""1.5 GiB; what decoding may take, the result included."""

STRIP = 1 << 20
"""Pixels (about) that are converted at a time."""

DEPTHS = (8, 10, 12, 14, 16)
"""Bits of cameras; wide numbers have the fewest that hold the brightest pixel."""

ORIENTATION = 0x0112
STORED = {
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
"""EXIF's orientations: a view of the upright image [h, w, ...] as it is stored."""
TURNED = (5, 6, 7, 8)  # by a quarter


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image as 8-bit RGB, whatever its mode, turned upright as its EXIF data say.

    Sixteen bits (or the 10, 12, 14 that are in use of them) become eight, palettes and CMYK
    are converted, transparency is ignored. Floating point images are taken as 0 .. 1 if no
    value is above 1, else as 0 .. 255. Of several frames or pages the first is read.

    Args:
        path: the file.
        size: (height, width) that the annotations were made for. COCO annotates
            the upright image, some tools annotate it as stored: if only the
            stored orientation has this size, it is not turned.

    Returns:
        [h, w, 3] uint8.

    Raises:
        UnreadableImage: the file is missing or no image, would take more memory than
            `MAX_BYTES` or has more pixels than Pillow decodes (about 178 million), or does
            not have ``size``; says why.
    """
    try:
        with open_image(path) as stored:
            if size is not None and stored.size not in (size, size[::-1]):
                raise _wrong_size(path, stored.size[::-1], size)  # before it takes up memory
            stored.load()
            orientation = _orientation(stored)
            fits_as_stored = size == stored.size[::-1] and size != stored.size
            rgb = _to_rgb(stored, 1 if fits_as_stored and orientation in TURNED else orientation)
    except UnreadableImage:
        raise
    except FileNotFoundError:
        raise UnreadableImage(path, "no such image", "put it into the image folder") from None
    except Exception as error:  # broken files make Pillow's decoders raise many kinds
        reason, fix = _reason(error)
        raise UnreadableImage(path, f"cannot be read as an image ({reason})", fix) from error
    if size is not None and rgb.shape[:2] != size:
        raise _wrong_size(path, rgb.shape[:2], size)
    return rgb


def open_image(path: str | Path) -> Image.Image:
    """Pillow's image of a file, of which the head is read; decoding it will not take too much.

    Raises:
        OSError: there is no such file.
        UnreadableImage: decoding it would take more than `MAX_BYTES`.
        Exception: it is no image of `FORMATS` (Pillow raises many kinds).
    """
    _check_file(Path(path))
    Image.init()
    stored = Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN])
    needed = _bytes_to_decode(stored)
    if needed > MAX_BYTES:
        stored.close()
        what = f"{stored.width} x {stored.height} pixels of a {stored.format} image"
        message = f"{what} take {needed / 1e9:.1f} GB, more than {MAX_BYTES / 1e9:.1f}"
        raise UnreadableImage(path, message, "make it smaller, or save it as an ordinary JPEG")
    return stored


def _bytes_to_decode(stored: Image.Image) -> int:
    """About: up to 4 bytes a pixel of Pillow's, 3 of the result, and what the decoder holds."""
    pixels, each = stored.width * stored.height, 8
    if stored.format in ("WEBP", "AVIF"):
        each = 20  # whole canvases
    elif stored.format in ("JPEG", "MPO") and stored.info.get("progressive"):
        each = 12  # two bytes for every coefficient
    elif stored.format == "TIFF":
        tags = stored.tag_v2
        piece = tags[322] * tags[323] if 322 in tags else pixels  # a tile; a strip is no more
        return pixels * each + piece * sum(tags.get(258, (1,))) // 8
    return pixels * each


def _wrong_size(path: str | Path, actual: tuple[int, int], annotated: tuple[int, int]) -> Exception:
    message = (
        f"the file is {actual[0]} high and {actual[1]} wide, the annotation "
        f"file says {annotated[0]} and {annotated[1]}"
    )
    return UnreadableImage(path, message, "scale the annotations, or correct height and width")


def count_frames(path: str | Path) -> int:
    """How many frames (GIF) or pages (TIFF) an image file has, of which `read_image` reads one.

    The second image that phones hide in a JPEG file does not count.
    """
    try:
        with open_image(path) as stored:
            return 1 if stored.format in ("JPEG", "MPO") else getattr(stored, "n_frames", 1)
    except Exception:  # the first frame can be read, a later one is broken
        return 1


def stored_size(path: str | Path) -> tuple[int, int] | None:
    """(height, width) of the upright image, from the head of the file; None if it has none."""
    try:
        with open_image(path) as stored:
            width, height = stored.size
            return (width, height) if _orientation(stored) in TURNED else (height, width)
    except Exception:  # whatever is wrong, `read_image` will say it
        return None


def _check_file(path: Path) -> None:
    """Whether it can be opened; a pipe would wait for ever."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ValueError("it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a file")
    if status.st_size == 0:
        raise ValueError("the file is empty")


def _reason(error: Exception) -> tuple[str, str]:
    """Why an image cannot be read, and what can be done about it."""
    if isinstance(error, UnidentifiedImageError):
        return "not a kind of image that is known here", "save it as PNG or JPEG"
    if isinstance(error, PermissionError):
        return "permission denied", "change the file's permissions"
    if isinstance(error, Image.DecompressionBombError):
        limit = 2 * Image.MAX_IMAGE_PIXELS
        return f"more than {limit // 10**6} million pixels", "make it smaller"
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return reason, "copy it again, or replace it"


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION, 1)
    except Exception:  # a note that is broken says nothing about the orientation
        return 1


def _to_rgb(image: Image.Image, orientation: int) -> np.ndarray:
    """[h, w, 3] uint8, upright; a strip at a time, so that memory for the result is enough."""
    (width, height), white = image.size, _white(image)
    rgb = np.empty((width, height, 3) if orientation in TURNED else (height, width, 3), np.uint8)
    as_stored = STORED[orientation](rgb) if orientation in STORED else rgb
    for top, strip in _strips(image):
        if white is None:
            if strip.mode == "P":  # a palette may hold transparency, which has no place in RGB
                strip = strip.convert("RGBA")
            as_stored[top : top + strip.height] = np.asarray(strip.convert("RGB"))
        else:  # Pillow itself would cut off at 255
            grey = np.clip(_values(strip) * 255 / white, 0, 255).astype(np.uint8)
            as_stored[top : top + strip.height] = grey[:, :, None]
    return rgb


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """(first row, image) of one strip after the other."""
    rows = max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _white(image: Image.Image) -> float | None:
    """The number that stands for white if pixels are wide numbers, else None."""
    if image.mode == "F":
        return 1 if max(_values(strip).max() for _, strip in _strips(image)) <= 1 else 255
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return None
    brightest = max(_values(strip).max() for _, strip in _strips(image))
    return next((2**bits - 1 for bits in DEPTHS if brightest < 2**bits), 65535)


def _values(strip: Image.Image) -> np.ndarray:
    """Wide numbers [h, w] float64; what is no number is 0."""
    return np.nan_to_num(np.asarray(strip).astype(np.float64), posinf=1e39, neginf=-1e39)
