"""Photos of every kind become 8-bit RGB, upright."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a photo as 8-bit RGB, whatever its mode, turned upright as its EXIF data say.

    Sixteen bits become eight, palettes and CMYK are converted, transparency is
    ignored. Floating point images are taken as 0 .. 1 if no value is above 1, else
    as 0 .. 255. Of several frames or pages the first is read.

    Args:
        path: the file.
        size: (height, width) that the annotations were made for. COCO annotates
            the upright photo, some tools annotate it as stored: if only the
            stored orientation has this size, it is not turned.

    Returns:
        [h, w, 3] uint8.

    Raises:
        OSError: the file is missing or no image, or has more pixels than Pillow decodes
            (about 178 million); the message names it and says why.
        ValueError: the photo does not have ``size``; the message names both.
    """
    try:
        _check_file(Path(path))
        with Image.open(path) as stored:
            if size is not None and stored.size not in (size, size[::-1]):
                raise _wrong_size(path, stored.size[::-1], size)  # before it takes up memory
            stored.load()
            upright = _upright(stored)
            as_stored = size not in (None, upright.size[::-1]) and size == stored.size[::-1]
            rgb = _to_rgb(stored if as_stored else upright)
    except _WrongSizeError:
        raise
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such image; check the image folder") from None
    except Exception as error:  # broken files make Pillow's decoders raise many kinds
        raise OSError(f"{path}: cannot be read as an image ({_reason(error)})") from error
    if size is not None and rgb.shape[:2] != size:
        raise _wrong_size(path, rgb.shape[:2], size)
    return rgb


class _WrongSizeError(ValueError):
    """The photo is not the one that was annotated."""


def _wrong_size(path: str | Path, found: tuple[int, int], size: tuple[int, int]) -> ValueError:
    return _WrongSizeError(
        f"{path}: the file is {found[0]} high and {found[1]} wide, the annotation "
        f"file says {size[0]} and {size[1]}; the annotations would not fit"
    )


def count_frames(path: str | Path) -> int:
    """How many frames (GIF) or pages (TIFF) an image file has, of which `read_image` reads one.

    The second picture that phones hide in a JPEG file does not count.
    """
    try:
        with Image.open(path) as stored:
            return 1 if stored.format in ("JPEG", "MPO") else getattr(stored, "n_frames", 1)
    except Exception:  # the first frame can be read, a later one is broken
        return 1


def stored_size(path: str | Path) -> tuple[int, int] | None:
    """(height, width) of the upright photo, from the head of the file; None if it has none."""
    try:
        _check_file(Path(path))
        with Image.open(path) as stored:
            width, height = stored.size
            lies = stored.getexif().get(0x0112) in (5, 6, 7, 8)  # turned by a quarter
            return (width, height) if lies else (height, width)
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
        raise ValueError("the file is empty; copy it again")


def _reason(error: Exception) -> str:
    """Why a photo cannot be read, and what can be done about it."""
    if isinstance(error, UnidentifiedImageError):
        return "not a kind of image that is known here; save it as PNG or JPEG"
    if isinstance(error, PermissionError):
        return "permission denied; change the file's permissions"
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * Image.MAX_IMAGE_PIXELS
        return f"more than {most // 10**6} million pixels; make it smaller"
    if "truncated" in str(error).lower():
        return f"{error}; copy it again"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a note that is broken says nothing about the orientation
        return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = _to_grey(np.asarray(image), image.mode == "F")
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "P":  # a palette may hold transparency, which has no place in RGB
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def _to_grey(values: np.ndarray, floating: bool) -> np.ndarray:
    """Wide numbers [h, w] -> [h, w] uint8; Pillow itself would cut off at 255."""
    values = np.nan_to_num(values.astype(np.float64))
    if not floating:
        values = values / 257  # 65535 -> 255
    elif values.max() <= 1:
        values = values * 255
    return np.clip(values, 0, 255).astype(np.uint8)
