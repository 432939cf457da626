"""A COCO annotation file as a sequence of samples.

What the file holds, and what is wrong with it, is the business of `validation`. An entry
that cannot be used (an unknown category, a box without area, an empty mask) is left out
and reported in `CocoDataset.issues`.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import adler32, crc32

import numpy as np

from maskrcnn_edu.data import rle
from maskrcnn_edu.data.coco_export import to_coco_dict
from maskrcnn_edu.data.image_file import read_image, stored_size
from maskrcnn_edu.data.image_names import ImageNames
from maskrcnn_edu.data.object_entry import clip_boxes
from maskrcnn_edu.data.problems import Issue, UnreadableImage, collect_issue, shorten
from maskrcnn_edu.data.validation import Annotations, read_annotations
from maskrcnn_edu.structures import GroundTruth, Polygons, Segmentation


@dataclass(frozen=True)
class Sample:
    """One image on its way from the file to the network.

    Attributes:
        image: None before `Decode`, then [h, w, 3] uint8 RGB, float32 after
            `NormalizeImage`, [3, h, w] after `Permute`.
        image_id: id in the annotation file.
        im_shape: [2] float32, height and width of the current image.
        scale_factor: [2] float32, (y, x): current pixels per pixel of the file.
        gt: numpy ground truth in the frame of the current image, or None.
        path: the image file; None if the image came as an array.
    """

    image: np.ndarray | None
    image_id: int
    im_shape: np.ndarray
    scale_factor: np.ndarray
    gt: GroundTruth | None = None
    path: Path | None = None


def sample_from_array(rgb: np.ndarray, image_id: int = 0) -> Sample:
    """A sample for predicting on an image that is already in memory.

    Args:
        rgb: [h, w, 3] uint8.
        image_id: what `Batch.image_id` will say.

    Raises:
        ValueError: another shape or type.
    """
    rgb = np.asarray(rgb)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"an image is [h, w, 3] uint8 RGB, not {rgb.dtype} {list(rgb.shape)}")
    ones = np.ones(2, np.float32)
    return Sample(rgb, image_id, np.array(rgb.shape[:2], np.float32), ones)


MAX_MASK_BYTES = 1 << 30
"""What the masks of one image may take, cropped to their objects."""
MASK_BYTES_UNSEEN = 1 << 26
"""For more than that the image must be there, and of the size that the masks are for."""


class CocoDataset:
    """Samples of one annotation file, in the order of its ``images``.

    Label l stands for category ``category_ids[l]``, called ``class_names[l]``.
    Images without annotations are kept.

    Attributes:
        json_file: the annotation file.
        image_dir: the folder that ``file_name`` starts from.
        category_ids: C ids, ascending.
        class_names: C names.
        image_ids: one id per sample.
        issues: what was left out of the file, and why.
    """

    def __init__(self, json_file: str | Path, image_dir: str | Path) -> None:
        """Read and check all annotations; images are read later, by `Decode`.

        Raises:
            OSError: the annotation file cannot be opened.
            ValueError: it is no COCO file, or none of its categories or images can be
                used. The message names the file and the fix.
        """
        self.json_file = Path(json_file)
        self.image_dir = Path(image_dir)
        self._names = ImageNames(self.image_dir)
        self._annotations: Annotations = read_annotations(json_file, self._stored_size)
        self.category_ids: list[int] = list(self._annotations.categories)
        self.class_names: list[str] = list(self._annotations.categories.values())
        self.image_ids: list[int] = [image.id for image in self._annotations.images]
        self.issues: list[Issue] = self._annotations.issues

    @property
    def num_classes(self) -> int:
        """C, without background."""
        return len(self.category_ids)

    def __len__(self) -> int:
        return len(self._annotations.images)

    def __getitem__(self, i: int) -> Sample:
        """Sample ``i`` with ground truth in the image frame and the image not yet read.

        Raises:
            UnreadableImage: its masks would take more than `MAX_MASK_BYTES`.
        """
        height, width = self.size(i)
        objects = [each for each in self._annotations.objects[i] if not each.ignore]
        self._check_masks(i)
        boxes = np.array([each.bbox for each in objects], np.float64).reshape(-1, 4)
        gt = GroundTruth(
            boxes=clip_boxes(boxes, height, width),
            labels=np.array([each.label for each in objects], np.int64),
            segms=[_segmentation(each.shape, height) for each in objects],
            is_crowd=np.array([each.is_crowd for each in objects], bool),
        )
        shape = np.array([height, width], np.float32)
        ones = np.ones(2, np.float32)
        return Sample(None, self.image_ids[i], shape, ones, gt, self.image_path(i))

    def file_name(self, i: int) -> str:
        """The name of sample ``i``'s image as the annotation file has it."""
        return self._annotations.images[i].file_name

    def size(self, i: int) -> tuple[int, int]:
        """(height, width) of sample ``i``'s upright image."""
        return self._annotations.images[i].height, self._annotations.images[i].width

    def boxes(self, i: int) -> np.ndarray:
        """[G, 4] float32, the boxes of sample ``i``'s single objects that are trained on."""
        objects = [e.bbox for e in self._annotations.objects[i] if not (e.ignore or e.is_crowd)]
        return clip_boxes(np.array(objects, np.float64).reshape(-1, 4), *self.size(i))

    def image_path(self, i: int) -> Path:
        """Where sample ``i``'s image is: its name may be written in another form."""
        return self.image_dir / self._names.find(self.file_name(i))

    def entry_counts(self) -> dict[str, int]:
        """How many ``images``, ``categories`` and ``annotations`` the file lists."""
        return dict(self._annotations.counts)

    def objects_per_class(self, without: Collection[int] = ()) -> dict[str, int]:
        """How many objects of each class there are to train on, crowds included.

        Args:
            without: samples that do not count.
        """
        rows = [row for i, row in enumerate(self._annotations.objects) if i not in without]
        used = [each.label for row in rows for each in row if not each.ignore]
        counts = np.bincount(np.array(used, np.int64), minlength=self.num_classes)
        return dict(zip(self.class_names, counts.tolist()))

    def to_coco(self) -> dict[str, Any]:
        """The content of a COCO file that has no issues, for pycocotools."""
        return to_coco_dict(self._annotations)

    def image_issue(self, i: int, seen: dict[tuple, str] | None = None) -> Issue | None:
        """Read sample ``i``'s image as `Decode` does; what makes it unusable, or None.

        Args:
            i: which.
            seen: the pictures of other samples; one that is there already is added to
                ``issues``.
        """
        issues: list[Issue] = []
        name, path = self.file_name(i), self.image_path(i)
        with collect_issue(issues, shorten(name)):
            if not os.path.lexists(path) and (near := self._names.near(name)):
                message = f"no such image, but there is {shorten(near)}"
                raise UnreadableImage(path, message, 'write that as "file_name", if it is meant')
            pixels = read_image(path, self.size(i))
            self._check_masks(i)
            if seen is not None:
                first = seen.setdefault((pixels.shape, crc32(pixels), adler32(pixels)), name)
                if first != name:
                    message = f"it is the same picture as {shorten(first)}"
                    fix = "keep one of the two, with all annotations"
                    self.issues.append(Issue(shorten(name), None, message, fix))
        return issues[0] if issues else None

    def _check_masks(self, i: int) -> None:
        """Before masks are decoded: a few kB can stand for gigabytes of an image that is not so."""
        size, path = self.size(i), self.image_path(i)
        shapes = [e.shape for e in self._annotations.objects[i] if not isinstance(e.shape, list)]
        boxes = np.array([rle.to_bbox(runs, size[0]) for runs in shapes]).reshape(-1, 4)
        needed = float(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1, dtype=np.float64).sum())
        if needed > MASK_BYTES_UNSEEN and stored_size(path) not in (size, size[::-1]):
            read_image(path, size)  # says why it cannot be
        if needed > MAX_MASK_BYTES:
            message = f"its {len(shapes)} masks take {needed / 1e9:.1f} GB"
            raise UnreadableImage(path, message, "outline objects by polygons, or cut the image")

    def _stored_size(self, file_name: str) -> tuple[int, int] | None:
        return stored_size(self.image_dir / self._names.find(file_name))


def _segmentation(shape: Polygons | np.ndarray, height: int) -> Segmentation:
    """Fresh arrays for the ground truth: copied polygons, or runs decoded and cropped."""
    if isinstance(shape, list):
        return [part.copy() for part in shape]
    return rle.decode_crop(shape, height)
