"""A small data set in COCO format, drawn by a program: nothing to download.

Six classes that differ in form only; colours and textures are drawn at random,
so a model has to look at outlines. Each class asks something of a mask model:

rectangle, circle, triangle, star   one outline, with more and more corners
ring                                a hole, which polygons cannot say: RLE
pair                                one object in two parts: two polygons

Objects hide each other and leave the image, a few images are empty, and in some
a crowd of dots is annotated as one region. The annotation is what can be seen:
polygons where nothing hides the object, otherwise RLE, packed or as a list.

A pixel belongs to an object if its centre lies inside the outline. An image is
first laid out, so that every object stays recognizable, and then painted.
"""

from __future__ import annotations

import contextlib
import json
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskrcnn_edu.data import rle
from maskrcnn_edu.data.image_file import read_image
from maskrcnn_edu.data.problems import UnreadableImage
from maskrcnn_edu.system.files import atomic_write

CATEGORIES = {"rectangle": 1, "circle": 2, "triangle": 4, "star": 7, "ring": 8, "pair": 11}
"""Class name -> category id. With gaps, as COCO's ids have them."""

EMPTY_IMAGES = 0.04
CROWD_IMAGES = 0.05
MAX_OBJECTS = 5
DIAMETERS = (20, 64)  # pixels, in an image of side 128
CROWD_DIAMETERS = (50, 70)
MIN_VISIBLE = 0.5  # share of every part of an object
MIN_PIXELS = 40
MIN_CONTRAST = 110  # RGB distance between an object and what surrounds it
NOISE = 4.0  # standard deviation, grey levels

Outline = np.ndarray  # [points, 2] float64, x and y


def write_shapes(
    out_dir: str | Path, train: int = 1200, val: int = 200, seed: int = 0, size: int = 128
) -> None:
    """Write ``{train,val}/*.png`` and ``annotations/instances_{train,val}.json``.

    The same arguments give the same pixels and annotations. The annotation file of
    a split is written last: if it is there, its images are.

    Args:
        out_dir: folder, made if need be.
        train: images to train on.
        val: images to evaluate on, from another random stream.
        seed: 0 or more.
        size: side of the square images in pixels, 64 or more.

    Raises:
        ValueError: an argument is out of range, or the folder holds the images of another
            call, which would be mixed with these.
    """
    if min(train, val, seed) < 0 or size < 64:
        raise ValueError(
            f"train, val and seed must be 0 or more and size 64 or more, "
            f"not {train}, {val}, {seed} and {size}"
        )
    splits = {"train": (train, (seed, 0)), "val": (val, (seed, 1))}
    for split, (count, stream) in splits.items():
        _refuse_others(Path(out_dir), split, count, stream, size)
    for split, (count, stream) in splits.items():
        _write_split(Path(out_dir), split, count, stream, size)


def draw_scene(rng: np.random.Generator, size: int) -> tuple[np.ndarray, list[Layer]]:
    """One image and its objects, from the farthest to the nearest.

    Returns:
        [size, size, 3] uint8, and the layers with what is visible of each.
    """
    layers = layout_scene(rng, size)
    return paint(rng, layers, size), layers


def _refuse_others(
    out_dir: Path, split: str, count: int, stream: tuple[int, int], size: int
) -> None:
    """The first image tells a seed and a size; fewer images are those of an interrupted call."""
    there = sorted(path.name for path in (out_dir / split).glob("*.png"))
    is_whole = (out_dir / "annotations" / f"instances_{split}.json").is_file()
    fits = len(there) == count if is_whole else len(there) <= count
    if fits and there:
        with contextlib.suppress(UnreadableImage):  # a half-written one
            first, _ = draw_scene(np.random.default_rng([*stream, 0]), size)
            fits = np.array_equal(read_image(out_dir / split / there[0]), first)
    if not fits:
        raise ValueError(
            f"{out_dir / split} holds {len(there)} images of another size, seed or number; "
            "choose another --out, or remove the folder"
        )


def _write_split(out_dir: Path, split: str, count: int, stream: tuple[int, int], size: int) -> None:
    images, annotations = [], []
    (out_dir / split).mkdir(parents=True, exist_ok=True)
    for index in range(count):
        # a stream per image: image 7 is the same however many there are
        pixels, layers = draw_scene(np.random.default_rng([*stream, index]), size)
        name = f"{index + 1:06d}.png"
        # noise hardly repeats itself: not looking for repetitions halves the time
        Image.fromarray(pixels).save(out_dir / split / name, compress_type=zlib.Z_HUFFMAN_ONLY)
        images.append({"id": index + 1, "file_name": name, "width": size, "height": size})
        for layer in layers:
            annotations.append(annotate(layer, len(annotations) + 1, index + 1))
    categories = [
        {"id": number, "name": name, "supercategory": "shape"}
        for name, number in CATEGORIES.items()
    ]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    file = out_dir / "annotations" / f"instances_{split}.json"
    file.parent.mkdir(exist_ok=True)
    atomic_write(file, lambda path: path.write_text(text, encoding="utf-8"))


# ---- shapes ------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """One object as outlines; drawn in a circle of radius 1, then placed in an image.

    Attributes:
        category: one of `CATEGORIES`.
        parts: outlines, each of them painted.
        hole: outline of what is not painted, or None.
        is_crowd: many objects, annotated as one region.
    """

    category: str
    parts: list[Outline]
    hole: Outline | None = None
    is_crowd: bool = False

    def placed(self, radius: float, centre: np.ndarray) -> Shape:
        """The shape scaled by ``radius`` and moved to ``centre`` (x, y), in pixels."""

        def place(outline: Outline) -> Outline:
            # two decimals, so that annotation and drawing are the same numbers
            return np.round(outline * radius + centre, 2)

        hole = None if self.hole is None else place(self.hole)
        return replace(self, parts=[place(part) for part in self.parts], hole=hole)


def _turned(radii: np.ndarray | float, angles: np.ndarray) -> Outline:
    """Points at these distances from 0 and these angles."""
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _ellipse(rng: np.random.Generator, flattest: float) -> Outline:
    angles = np.arange(32) * (2 * np.pi / 32)
    across = _turned(1.0, angles) * [1, rng.uniform(flattest, 1)]
    turn = rng.uniform(0, np.pi)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return across @ rotation


def _rectangle(rng: np.random.Generator) -> Shape:
    angle = rng.uniform(0.35, 1.2)  # of the diagonal: from lying to standing
    x, y = np.cos(angle), np.sin(angle)
    return Shape("rectangle", [np.array([[-x, -y], [x, -y], [x, y], [-x, y]])])


def _circle(rng: np.random.Generator) -> Shape:
    return Shape("circle", [_ellipse(rng, flattest=0.6)])


def _triangle(rng: np.random.Generator) -> Shape:
    corners = np.arange(3) * (2 * np.pi / 3) + rng.uniform(-0.35, 0.35, size=3)
    return Shape("triangle", [_turned(1.0, corners + rng.uniform(0, 2 * np.pi))])


def _star(rng: np.random.Generator) -> Shape:
    angles = np.arange(10) * (np.pi / 5) + rng.uniform(0, 2 * np.pi)
    tips_and_dents = np.where(np.arange(10) % 2 == 0, 1.0, rng.uniform(0.4, 0.5))
    return Shape("star", [_turned(tips_and_dents, angles)])


def _ring(rng: np.random.Generator) -> Shape:
    outer = _ellipse(rng, flattest=0.75)
    return Shape("ring", [outer], hole=outer * rng.uniform(0.45, 0.6))


def _pair(rng: np.random.Generator) -> Shape:
    radius = rng.uniform(0.36, 0.44)  # below 0.5: a gap stays between the two
    angle = rng.uniform(0, np.pi)
    offset = _turned(1 - radius, np.array([angle]))
    disc = _ellipse(rng, flattest=1) * radius
    return Shape("pair", [disc - offset, disc + offset])


def _crowd(rng: np.random.Generator) -> Shape:
    """Small circles or triangles on a jittered grid, without its corners."""
    kind = (_circle, _triangle)[rng.integers(2)](rng)
    (dot,) = kind.parts
    rows = np.linspace(-0.9, 0.9, 6)
    places = np.stack(np.meshgrid(rows, rows), axis=-1).reshape(-1, 2)
    places = places[np.linalg.norm(places, axis=1) < 1.1]
    places = places[rng.random(len(places)) < 0.85]
    places = places + rng.uniform(-0.05, 0.05, size=places.shape)
    radii = rng.uniform(0.1, 0.16, size=len(places))
    parts = [dot * radius + place for radius, place in zip(radii, places, strict=True)]
    return Shape(kind.category, parts, is_crowd=True)


SHAPES: tuple[Callable[[np.random.Generator], Shape], ...] = (
    _rectangle, _circle, _triangle, _star, _ring, _pair,
)  # fmt: skip


# ---- layout --------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """A placed shape and the pixels it covers.

    Attributes:
        shape: in pixels of the image.
        whole: [parts, size, size] bool, the pixels if nothing were in front.
        visible: [parts, size, size] bool, the pixels that can be seen.
        needed: [parts] float64, how many pixels of each must be seen.
    """

    shape: Shape
    whole: np.ndarray
    visible: np.ndarray
    needed: np.ndarray

    def occluded_by(self, other: Layer) -> Layer:
        """This layer with ``other`` in front of it."""
        return replace(self, visible=self.visible & ~other.whole.any(axis=0))

    @property
    def mask(self) -> np.ndarray:
        """[size, size] bool, what can be seen of all parts."""
        return self.visible.any(axis=0)

    @property
    def is_hidden(self) -> bool:
        """Whether something in front hides any of it."""
        return bool((self.visible != self.whole).any())

    def is_recognizable(self) -> bool:
        """Whether enough of every part is in the image and not hidden."""
        seen = self.visible.sum(axis=(1, 2))
        return bool(seen.sum() >= MIN_PIXELS and (seen >= self.needed).all())


def layout_scene(rng: np.random.Generator, size: int) -> list[Layer]:
    """Lay out one image: layers from the farthest to the nearest, none of them lost."""
    if rng.random() < EMPTY_IMAGES:
        return []
    layers: list[Layer] = []
    if rng.random() < CROWD_IMAGES:
        layers.append(_layer(_crowd(rng).placed(*_place(rng, size, CROWD_DIAMETERS, 1.0)), size))
    for _ in range(rng.integers(1, MAX_OBJECTS + 1)):
        layers = _with_one_more(rng, layers, size)
    return layers


def _with_one_more(rng: np.random.Generator, layers: list[Layer], size: int) -> list[Layer]:
    """The layers and a new one in front, if a place for it is found in ten tries."""
    shape = SHAPES[rng.integers(len(SHAPES))](rng)
    for _ in range(10):
        new = _layer(shape.placed(*_place(rng, size, DIAMETERS, 0.6)), size)
        tried = [*(layer.occluded_by(new) for layer in layers), new]
        if all(layer.is_recognizable() for layer in tried):
            return tried
    return layers


def _place(
    rng: np.random.Generator, size: int, diameters: tuple[int, int], margin: float
) -> tuple[float, np.ndarray]:
    """A radius, and a centre (x, y) that is ``margin`` radii or more from the border."""
    smallest, largest = np.array(diameters) / 2 * size / 128
    # even in the logarithm: as many from 16 to 32 as from 32 to 64
    radius = float(np.exp(rng.uniform(np.log(smallest), np.log(largest))))
    return radius, rng.uniform(margin * radius, size - margin * radius, size=2)


def _layer(shape: Shape, size: int) -> Layer:
    whole = np.stack([inside(part, size) for part in shape.parts])
    pixels = np.array([area(part) for part in shape.parts])
    if shape.hole is not None:
        whole &= ~inside(shape.hole, size)
        pixels = pixels - area(shape.hole)
    return Layer(shape, whole, whole, MIN_VISIBLE * pixels)


def inside(outline: Outline, size: int) -> np.ndarray:
    """The pixels whose centres lie inside an outline.

    A point is inside if a ray from it to the right crosses the outline an odd
    number of times.

    Returns:
        [size, size] bool.
    """
    mask = np.zeros((size, size), bool)
    low = np.clip(np.floor(outline.min(axis=0)), 0, size).astype(int)
    high = np.clip(np.ceil(outline.max(axis=0)), 0, size).astype(int)
    x = np.arange(low[0], high[0]) + 0.5  # [w]
    y = np.arange(low[1], high[1])[:, None] + 0.5  # [h, 1]
    (x1, y1), (x2, y2) = _edges(outline)
    crosses = (y1 <= y) != (y2 <= y)  # [h, edges]
    slope = (x2 - x1) / np.where(y1 == y2, 1, y2 - y1)  # level edges are never crossed
    x_crossing = x1 + (y - y1) * slope
    right = crosses[:, :, None] & (x_crossing[:, :, None] > x)  # [h, edges, w]
    mask[low[1] : high[1], low[0] : high[0]] = right.sum(axis=1) % 2 == 1
    return mask


def area(outline: Outline) -> float:
    """The area that an outline encloses (shoelace formula), pixels."""
    (x1, y1), (x2, y2) = _edges(outline)
    return float(abs(np.sum(x1 * y2 - x2 * y1)) / 2)


def _edges(outline: Outline) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of each edge, [2, points] each."""
    return outline[np.arange(len(outline)) - 1].T, outline.T  # row -1 closes the outline


# ---- painting ------------------------------------------------------------------------


def paint(rng: np.random.Generator, layers: list[Layer], size: int) -> np.ndarray:
    """A textured background and the layers on it, with some noise: [size, size, 3] uint8."""
    everywhere = np.ones((size, size), bool)
    canvas = _texture(rng, everywhere, _dull_colour(rng), spread=18).reshape(size, size, 3)
    for layer in layers:
        mask = layer.whole.any(axis=0)
        colour = _contrasting_colour(rng, canvas[_rim(mask)])
        canvas[mask] = _texture(rng, mask, colour, spread=16)
    canvas += NOISE * rng.standard_normal(canvas.shape, np.float32)
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> np.ndarray:
    """[3] float32, neither black nor white, so that a texture around it fits into 0 .. 255."""
    return rng.uniform(40, 215, size=3).astype(np.float32)


def _dull_colour(rng: np.random.Generator) -> np.ndarray:
    """[3] float32, close to grey: backgrounds are paler than objects, as they often are."""
    return rng.uniform(70, 185) + rng.uniform(-20, 20, size=3).astype(np.float32)


def _contrasting_colour(rng: np.random.Generator, around: np.ndarray) -> np.ndarray:
    """[3], a colour that stands out from ``around`` [pixels, 3]; the best of ten if none does."""

    def contrast(colour: np.ndarray) -> float:
        distances = np.linalg.norm(around - colour, axis=1)
        return float(np.sort(distances)[len(distances) // 10])  # a tenth may be closer

    best = _colour(rng)
    for _ in range(9):
        if contrast(best) >= MIN_CONTRAST:
            break
        best = max(best, _colour(rng), key=contrast)
    return best


def _rim(mask: np.ndarray, width: int = 2) -> np.ndarray:
    """[size, size] bool, the pixels outside ``mask`` up to ``width`` rows or columns from it."""
    size, shifts = len(mask), range(2 * width + 1)
    grown = np.pad(mask, width)
    grown = np.any([grown[shift : shift + size] for shift in shifts], axis=0)
    grown = np.any([grown[:, shift : shift + size] for shift in shifts], axis=0)
    return grown & ~mask


def _texture(
    rng: np.random.Generator, mask: np.ndarray, colour: np.ndarray, spread: float
) -> np.ndarray:
    """[pixels of mask, 3] float32, a pattern with channels up to ``spread`` from ``colour``."""
    step = rng.uniform(-spread, spread, size=3).astype(np.float32)
    pattern = PATTERNS[rng.integers(len(PATTERNS))](rng, len(mask))
    return colour + np.multiply.outer(pattern[mask], step)


def _wave(rng: np.random.Generator, size: int, shortest: float, longest: float) -> np.ndarray:
    """[size, size] float32 in -1 .. 1: a sine wave in any direction; lengths in pixels of 128."""
    angle, phase = rng.uniform(0, 2 * np.pi, size=2).tolist()
    step = 2 * math.pi / (rng.uniform(shortest, longest) * size / 128)
    x = np.arange(size, dtype=np.float32)
    return np.sin(x * (step * math.cos(angle)) + x[:, None] * (step * math.sin(angle)) + phase)


def _checks(rng: np.random.Generator, size: int) -> np.ndarray:
    side = max(1, int(rng.integers(5, 14) * size / 128))
    cells = np.arange(size) // side
    return np.where((cells + cells[:, None]) % 2 == 0, np.float32(1), np.float32(-1))


def _clouds(rng: np.random.Generator, size: int) -> np.ndarray:
    coarse = Image.fromarray(rng.uniform(-1, 1, size=(7, 7)).astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))


_gradient = partial(_wave, shortest=200, longest=400)
_stripes = partial(_wave, shortest=8, longest=24)
PATTERNS = (_gradient, _stripes, _checks, _clouds)


# ---- annotation ----------------------------------------------------------------------


def annotate(layer: Layer, annotation_id: int, image_id: int) -> dict[str, Any]:
    """A COCO annotation of what can be seen of a layer.

    Polygons unless something hides a part, a hole has to be left out or it is a
    crowd. They keep corners that lie outside the image; the box never does.
    """
    shape, mask = layer.shape, layer.mask
    if layer.is_hidden or shape.hole is not None or shape.is_crowd:
        segmentation, bbox = rle.encode(mask), _xywh(*rle.crop(mask).box)
        if annotation_id % 2:  # both ways of writing counts occur
            segmentation["counts"] = rle.decompress_counts(segmentation["counts"])
    else:
        segmentation = [part.ravel().tolist() for part in shape.parts]
        bbox = _outline_box(np.concatenate(shape.parts), len(mask))
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": CATEGORIES[shape.category],
        "segmentation": segmentation,
        "bbox": bbox,
        "area": int(mask.sum()),
        "iscrowd": int(shape.is_crowd),
    }


def _outline_box(points: np.ndarray, size: int) -> list[float]:
    return _xywh(*np.clip(points.min(axis=0), 0, size), *np.clip(points.max(axis=0), 0, size))


def _xywh(x1: float, y1: float, x2: float, y2: float) -> list[float]:
    return [round(float(value), 2) for value in (x1, y1, x2 - x1, y2 - y1)]
