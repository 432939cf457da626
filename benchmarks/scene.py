"""What is measured: drawn images and their objects, in files as a dataset has them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
from PIL import Image

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.shapes import Layer, annotate, layout_scene, paint

FEWEST_OBJECTS = 3


def write_scenes(folder: Path, size: int, count: int, classes: int) -> CocoDataset:
    """Draw images into a folder, with annotations.

    Every object is one that polygons can say, because PaddleDetection's mask targets know
    no other kind: no rings, no crowds, nothing hidden.

    Args:
        folder: is made.
        size: side of the square images, in pixels.
        count: how many.
        classes: classes that the annotations tell apart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for index in range(count):
        pixels, layers = _scene(size, index)
        name = f"{index}.png"
        Image.fromarray(pixels).save(folder / name)
        images.append({"id": index, "file_name": name, "width": size, "height": size})
        for layer in layers:
            entry = annotate(layer, len(annotations) + 1, index)
            # the drawn classes in turn, however many the configuration has
            annotations.append({**entry, "category_id": len(annotations) % classes + 1})
    categories = [{"id": c + 1, "name": f"class {c + 1}"} for c in range(classes)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    file = folder / "annotations.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return CocoDataset(file, folder)


def _scene(size: int, index: int) -> tuple[np.ndarray, list[Layer]]:
    """The first drawn scene of this number that has objects enough, all of them polygons."""
    for attempt in itertools.count():
        rng = np.random.default_rng([index, attempt])
        layers = layout_scene(rng, size)
        if len(layers) >= FEWEST_OBJECTS and not any(map(_needs_pixels, layers)):
            return paint(rng, layers, size), layers
    raise AssertionError("itertools.count() has no end")


def _needs_pixels(layer: Layer) -> bool:
    return layer.is_hidden or layer.shape.hole is not None or layer.shape.is_crowd


def moved_copies(boxes: np.ndarray, count: int, size: int, seed: int = 0) -> np.ndarray:
    """``count`` boxes near the given ones [G, 4]: each edge is moved by up to 8 % of the side.

    Each still overlaps its object with an IoU of at least 0.7.
    """
    rng = np.random.default_rng(seed)
    chosen = boxes[np.arange(count) % len(boxes)]
    sides = np.tile(chosen[:, 2:] - chosen[:, :2], 2)
    moved = chosen + rng.uniform(-0.08, 0.08, chosen.shape) * sides
    return moved.clip(0, size).astype(np.float32)
