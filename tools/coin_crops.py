"""Cut the photograph of coins into a dataset: three rows to train on, the lowest to validate.

    python tools/coin_crops.py

Reads ``coins.png`` and its outlines from ``data/photographs/annotations.json``, and writes
``data/photographs/coins``: images and two COCO files. Every crop holds whole coins only: two
neighbours of a row, or two by two. No coin is in both files.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

PHOTOGRAPHS = Path(__file__).parents[1] / "data" / "photographs"
ROWS, COLUMNS = 4, 6
MARGIN = 6  # pixels around the outermost coins of a crop

Box = tuple[int, int, int, int]


def coins() -> tuple[Image.Image, np.ndarray, list[np.ndarray]]:
    """The photograph, the boxes [4, 6, 4] (x1, y1, x2, y2) and the outlines of its coins."""
    content = json.loads((PHOTOGRAPHS / "annotations.json").read_text(encoding="utf-8"))
    image = Image.open(PHOTOGRAPHS / content["images"][0]["file_name"])
    own = [a for a in content["annotations"] if a["image_id"] == content["images"][0]["id"]]
    outlines = [np.array(a["segmentation"][0]).reshape(-1, 2) for a in own]
    boxes = np.array([[*points.min(axis=0), *points.max(axis=0)] for points in outlines])
    return image, boxes.reshape(ROWS, COLUMNS, 4), outlines


def crops(boxes: np.ndarray, rows: range, heights: tuple[int, ...], step: int) -> list[Box]:
    """Rectangles around 2 neighbouring columns of ``heights`` rows, as whole pixels.

    Args:
        boxes: [4, 6, 4] of all coins.
        rows: those that may be shown.
        heights: how many rows a crop has.
        step: from one crop's first column to the next one's.
    """
    made = []
    for height in heights:
        for top in rows[: len(rows) - height + 1]:
            for left in range(0, COLUMNS - 1, step):
                group = boxes[top : top + height, left : left + 2].reshape(-1, 4)
                low = np.floor(group[:, :2].min(axis=0)) - MARGIN
                high = np.ceil(group[:, 2:].max(axis=0)) + MARGIN
                made.append((*low.astype(int).tolist(), *high.astype(int).tolist()))
    return made


def write_split(split: str, rectangles: list[Box]) -> None:
    """The images of a split and its COCO file; a coin counts where it is whole."""
    image, _, outlines = coins()
    images, annotations = [], []
    folder = PHOTOGRAPHS / "coins" / split
    folder.mkdir(parents=True, exist_ok=True)
    for number, (x1, y1, x2, y2) in enumerate(rectangles, start=1):
        x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, image.width), min(y2, image.height)
        name = f"{number:02}.png"
        image.crop((x1, y1, x2, y2)).save(folder / name, optimize=True)
        images.append({"id": number, "file_name": name, "width": x2 - x1, "height": y2 - y1})
        for points in outlines:
            own = points - [x1, y1]
            if (own >= 0).all() and (own <= [x2 - x1, y2 - y1]).all():
                annotations.append(annotation(len(annotations) + 1, number, own))
    content = {"images": images, "categories": [{"id": 1, "name": "coin"}]}
    content["annotations"] = annotations
    text = json.dumps(content, indent=1) + "\n"
    (folder.parent / f"instances_{split}.json").write_text(text, encoding="utf-8")
    print(f"{split}: {len(images)} images, {len(annotations)} coins")


def annotation(number: int, image_id: int, points: np.ndarray) -> dict:
    """One outline [n, 2] as COCO has it."""
    low, high = points.min(axis=0), points.max(axis=0)
    x, y = points.T
    area = abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2  # the shoelace formula
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "area": round(float(area), 1),
        "bbox": np.concatenate([low, high - low]).round(1).tolist(),
        "segmentation": [points.round(1).ravel().tolist()],
    }


def main() -> None:
    """Write both splits."""
    _, boxes, _ = coins()
    write_split("train", crops(boxes, range(3), heights=(1, 2), step=1))
    write_split("val", crops(boxes, range(3, 4), heights=(1,), step=2))


if __name__ == "__main__":
    main()
