"""What can be used of a dataset, in COCO's format with every field filled in, for pycocotools."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pycocotools import mask as coco_mask

from maskrcnn_edu.data.object_entry import ObjectEntry
from maskrcnn_edu.data.validation import Annotations


def to_coco_dict(usable: Annotations) -> dict[str, Any]:
    """The content of a COCO file that has no issues.

    pycocotools, which checks nothing, can read it whatever the original was like.
    Annotations are numbered 1, 2, ...; ids of images and categories stay.
    """
    annotations: list[dict[str, Any]] = []
    ids = list(usable.categories)
    for image, objects in zip(usable.images, usable.objects, strict=True):
        for each in objects:
            numbers = {"id": len(annotations) + 1, "image_id": image.id}
            numbers["category_id"] = ids[each.label]
            annotations.append(numbers | _fields(each, image.height, image.width))
    categories = [{"id": number, "name": name} for number, name in usable.categories.items()]
    images = [asdict(image) for image in usable.images]
    return {"images": images, "annotations": annotations, "categories": categories}


def _fields(each: ObjectEntry, height: int, width: int) -> dict[str, Any]:
    """An annotation without its ids."""
    if isinstance(each.shape, list):
        segmentation = [part.tolist() for part in each.shape]
    else:
        segmentation = {"size": [height, width], "counts": each.shape.tolist()}
    area = each.area
    if area is None:
        runs = coco_mask.frPyObjects(segmentation, height, width)  # one for each polygon
        area = float(coco_mask.area(coco_mask.merge(runs) if isinstance(runs, list) else runs))
    fields = {"bbox": list(each.bbox), "segmentation": segmentation, "area": area}
    return fields | {"iscrowd": int(each.is_crowd)}
