"""What can be used of a dataset, in COCO's format with every field filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycocotools import mask as coco_mask

from maskrcnn_edu.data.validation import Annotations, Object


def to_coco_dict(found: Annotations, rows: Sequence[int] | None = None) -> dict[str, Any]:
    """The content of a COCO file that has no issues.

    pycocotools, which checks nothing, can read it whatever the original was like.

    Args:
        found: what can be used.
        rows: which photos; all if None.
    """
    images, annotations = [], []
    ids = list(found.categories)
    for row in range(len(found.photos)) if rows is None else rows:
        photo = found.photos[row]
        size = {"height": photo.height, "width": photo.width}
        images.append({"id": photo.id, "file_name": photo.file_name, **size})
        for each in found.objects[row]:
            numbers = {"id": len(annotations) + 1, "image_id": photo.id}
            numbers["category_id"] = ids[each.label]
            annotations.append(numbers | _fields(each, photo.height, photo.width))
    categories = [{"id": number, "name": name} for number, name in found.categories.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def _fields(each: Object, height: int, width: int) -> dict[str, Any]:
    """An annotation without its ids."""
    if isinstance(each.shape, list):
        segmentation = [part.tolist() for part in each.shape]
    else:
        segmentation = {"size": [height, width], "counts": each.shape.tolist()}
    area = each.area
    if area is None:
        runs = coco_mask.frPyObjects(segmentation, height, width)  # one for each polygon
        area = float(coco_mask.area(coco_mask.merge(runs) if isinstance(runs, list) else runs))
    made = {"bbox": list(each.bbox), "segmentation": segmentation, "area": area}
    return made | {"iscrowd": int(each.is_crowd)}
