"""Detections as COCO's results format wants them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from maskrcnn_edu.data.rle import encode
from maskrcnn_edu.structures import Detections


def coco_results(
    image_id: int,
    detections: Detections,
    category_ids: Sequence[int],
    rles: Sequence[dict] | None = None,
) -> list[dict]:
    """Detections (image frame) in COCO's results format, with the file's own ids.

    Args:
        image_id: of all of them.
        detections: with masks, or without if ``rles`` are given.
        category_ids: of the labels.
        rles: the masks, run-length encoded.
    """
    rles = [encode(mask.numpy()) for mask in detections.masks] if rles is None else rles
    boxes = detections.boxes.numpy().astype(np.float64)
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    columns = zip(detections.labels.tolist(), detections.scores.tolist(), sides.tolist(), rles)
    return [
        {
            "image_id": image_id,
            "category_id": category_ids[label],
            "score": score,
            "bbox": box,
            "segmentation": rle,
        }
        for label, score, box, rle in columns
    ]


def split_results(results: list[dict], kind: str) -> list[dict]:
    """Results with boxes (``bbox``) or masks (``segm``) alone.

    From results that have both, pycocotools takes the box's area for the mask's too, and
    then counts a thin object as a large one (APs, APm, APl).
    """
    other = {"bbox": "segmentation", "segm": "bbox"}[kind]
    return [{k: v for k, v in r.items() if k != other} for r in results]
