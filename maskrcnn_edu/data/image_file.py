"""Image files of every kind become 8-bit RGB, upright."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from maskrcnn_edu.data.problems import UnreadableImage


def read_image(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read an image as 8-bit RGB, whatever its mode, turned upright as its EXIF data say.

    Sixteen bits become eight, palettes and CMYK are converted, transparency is
    ignored. Floating point images are taken as 0 .. 1 if no value is above 1, else
    as 0 .. 255. Of several frames or pages the first is read.

    Args:
        path: the file.
        size: (height, width) that the annotations were made for. COCO annotates
            the upright image, some tools annotate it as stored: if only the
            stored orientation has this size, it is not turned.

    Returns:
        [h, w, 3] uint8.

    Raises:
        UnreadableImage: the file is missing or no image, has more pixels than Pillow
            decodes (about 178 million), or does not have ``size``; says why.
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
        with Image.open(path) as stored:
            return 1 if stored.format in ("JPEG", "MPO") else getattr(stored, "n_frames", 1)
    except Exception:  # the first frame can be read, a later one is broken
        return 1


def stored_size(path: str | Path) -> tuple[int, int] | None:
    """(height, width) of the upright image, from the head of the file; None if it has none."""
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


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a note that is broken says nothing about the orientation
        return image


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = _to_grey(np.asarray(image), image.mode)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.mode == "P":  # a palette may hold transparency, which has no place in RGB
        image = image.convert("RGBA")
    return np.array(image.convert("RGB"))


def _to_grey(values: np.ndarray, mode: str) -> np.ndarray:
    """Wide numbers [h, w] -> [h, w] uint8; Pillow itself would cut off at 255."""
    values = np.nan_to_num(values.astype(np.float64))
    if mode != "F":
        values = values / 257  # 65535 -> 255
    elif values.max() <= 1:
        values = values * 255
    return np.clip(values, 0, 255).astype(np.uint8)
