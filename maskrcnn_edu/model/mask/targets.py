"""MaskAssigner: the annotated shape, drawn inside every foreground RoI on an M x M grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import paddle
import pycocotools.mask as coco_mask

from maskrcnn_edu.model.checks import Checked, Count
from maskrcnn_edu.model.ops.bilinear import bilinear_weights
from maskrcnn_edu.model.ops.empty import to_numpy
from maskrcnn_edu.structures import BitMask, GroundTruth, MaskTargets, Polygons, RoISamples

SHORTEST_SIDE = np.float32(0.1)  # pixels; keeps the scale finite for a box without area


@dataclass(frozen=True)
class MaskAssigner(Checked):
    """Chooses the foreground RoIs and draws what the mask head should predict.

    Args:
        num_classes: C; labels from C on are background.
        mask_resolution: M, side of the targets, in cells.

    Source: Mask R-CNN paper, section 3.1 (training); document, "mask_assigner".
    """

    num_classes: Count = 80
    mask_resolution: Count = 14

    def __call__(self, samples: RoISamples, gt: GroundTruth) -> MaskTargets:
        """The mask targets of one image (samples and objects in the input frame)."""
        return generate_mask_target(samples, gt, self.num_classes, self.mask_resolution)


@paddle.no_grad()
def generate_mask_target(
    samples: RoISamples, gt: GroundTruth, num_classes: int, resolution: int
) -> MaskTargets:
    """Rasterize, for every foreground RoI of one image, its own object within the RoI's box.

    Args:
        samples: R RoIs of the image, input frame.
        gt: its objects, same frame.
        num_classes: C; labels from C on are background.
        resolution: M.

    Returns:
        F masks [M, M]; zero rows if no RoI is foreground.

    Source: document, "mask_assigner" (generate_mask_target).
    """
    # drawing is the host's work: everything it needs in one copy for each image
    labels, boxes, gt_index = to_numpy(samples.target_labels, samples.boxes, samples.gt_index)
    rows = np.flatnonzero((labels >= 0) & (labels < num_classes))
    masks = np.zeros([len(rows), resolution, resolution], np.float32)
    for mask, row in zip(masks, rows):
        mask[:] = rasterize_within_box(gt.segms[gt_index[row]], boxes[row], resolution)
    return MaskTargets(
        index=paddle.to_tensor(rows),
        target_labels=paddle.to_tensor(labels[rows]),
        target_masks=paddle.to_tensor(masks),
    )


def rasterize_within_box(segm: Polygons | BitMask, box: np.ndarray, resolution: int) -> np.ndarray:
    """Either kind of segmentation as an [M, M] uint8 mask over ``box`` (same frame)."""
    if isinstance(segm, BitMask):
        return rasterize_bitmask_within_box(segm, box, resolution)
    return rasterize_polygons_within_box(segm, box, resolution)


def rasterize_polygons_within_box(
    poly: Sequence[np.ndarray], box: np.ndarray, resolution: int
) -> np.ndarray:
    """Draw an object's outline on a grid that covers the box.

    The outline is moved and stretched so that the box becomes an M x M image, then
    filled by pycocotools. The scale is computed in float32, as PaddleDetection does
    with numpy 2 (with numpy 1 it was float64, which moves a cell here and there).

    Args:
        poly: parts of the object, each ``[x1, y1, x2, y2, ...]``; not changed.
        box: [4] float32, same frame as ``poly``.
        resolution: M.

    Returns:
        [M, M] uint8: 1 where the cell belongs to the object.

    Source: document, "mask_assigner" (rasterize_polygons_within_box).
    """
    origin, scale = _grid(box, resolution)
    enclosing = (np.asarray(part, np.float64) for part in poly if len(part) >= 6)
    in_cells = [((part.reshape(-1, 2) - origin) * scale).ravel().tolist() for part in enclosing]
    if not in_cells:  # one or two points enclose nothing
        return np.zeros([resolution, resolution], np.uint8)
    parts = coco_mask.frPyObjects(in_cells, resolution, resolution)
    return coco_mask.decode(coco_mask.merge(parts))


def _grid(box: np.ndarray, resolution: int) -> tuple[np.ndarray, np.ndarray]:
    """Top left corner [2] (x, y) of a box [4], and cells per pixel [2] along x and y; float64."""
    box = np.asarray(box, np.float32)
    sides = np.maximum(box[2:] - box[:2], SHORTEST_SIDE)
    return box[:2].astype(np.float64), (np.float32(resolution) / sides).astype(np.float64)


def rasterize_bitmask_within_box(segm: BitMask, box: np.ndarray, resolution: int) -> np.ndarray:
    """Sample an object's pixels on a grid that covers the box.

    Every cell looks at its centre, between the four pixels around it (bilinear), and
    is set from one half up. Outside the mask's own rectangle there is no object.

    Args:
        segm: the object's pixels and the rectangle they cover.
        box: [4] float32, same frame as ``segm.box``.
        resolution: M.

    Returns:
        [M, M] uint8: 1 where the cell belongs to the object.
    """
    height, width = segm.pixels.shape
    x1, y1, x2, y2 = np.asarray(box, np.float64)
    left, top, right, bottom = np.asarray(segm.box, np.float64)
    centers = (np.arange(resolution) + 0.5) / resolution  # 0 .. 1 along the box
    # cell centres [M] in pixels of the mask, whose own centres are at 0.5, 1.5, ...
    xs = (x1 + centers * (x2 - x1) - left) / (right - left) * width
    ys = (y1 + centers * (y2 - y1) - top) / (bottom - top) * height
    rows = bilinear_weights(ys - 0.5, np.arange(height))  # [M, height]
    columns = bilinear_weights(xs - 0.5, np.arange(width))  # [M, width]
    y, x = rows.any(axis=0), columns.any(axis=0)  # most pixels are between no cell's centres
    pixels = segm.pixels[np.ix_(y, x)]
    return (rows[:, y] @ pixels @ columns[:, x].T >= 0.5).astype(np.uint8)
