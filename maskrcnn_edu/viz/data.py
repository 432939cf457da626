"""What people drew: the annotated objects of one image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from contourpy import FillType, contour_generator
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from maskrcnn_edu.structures import BitMask, GroundTruth, Segmentation
from maskrcnn_edu.system.language import say
from maskrcnn_edu.viz.labels import draw_label
from maskrcnn_edu.viz.style import canvas, colour, draw_box, halo, to_array

FILL_OPACITY = 0.3
HATCH = "///"
LIKE_CONTOURF = {"name": "mpl2014", "corner_mask": True}


def draw_ground_truth(image: np.ndarray, gt: GroundTruth, class_names: Sequence[str]) -> Figure:
    """The outlines, boxes and classes of the annotated objects; crowds are hatched.

    Args:
        image: [h, w, 3] uint8.
        gt: the objects of this image, in the frame of ``image``; arrays or tensors.
        class_names: C names.

    Returns:
        A figure with kinds ``outline`` (one for every part of a polygon and every bit
        mask), ``gt`` or ``crowd`` (one box per object) and ``label`` (for every object that
        has room for one).
    """
    figure, axes = canvas(image)
    add_ground_truth(axes, gt, class_names)
    return figure


def add_ground_truth(axes: Axes, gt: GroundTruth, class_names: Sequence[str]) -> None:
    """The same on the axes of a `canvas` that is there."""
    boxes, labels, crowds = (to_array(v) for v in (gt.boxes, gt.labels, gt.is_crowd))
    for segm, label, crowd in zip(gt.segms, labels, crowds):
        draw_outline(axes, segm, colour(label), hatch=HATCH if crowd else None)
    for box, label, crowd in zip(boxes, labels, crowds):
        line = {"color": colour(label), "linewidth": 1.4, "linestyle": ":" if crowd else "-"}
        draw_box(axes, box, "crowd" if crowd else "gt", line)
    for box, label, crowd in zip(boxes, labels, crowds):  # no line may cross a text
        text = class_names[label] + (say(" (crowd)") if crowd else "")
        draw_label(axes, box, text, colour(label))


def draw_outline(
    axes: Axes, segm: Segmentation, name: str, hatch: str | None = None, filled: bool = True
) -> None:
    """One object's shape in the colour ``name``, marked ``outline``."""
    for path in outline_paths(segm):
        shape = PathPatch(path, facecolor="none", edgecolor=name, linewidth=1.6, gid="outline")
        if hatch:  # neither filled, which would hide it, nor with a halo around its every line
            shape.set_hatch(hatch)
        else:
            shape.set_facecolor((name, FILL_OPACITY) if filled else "none")
            shape.set_path_effects(halo(1.6))
        axes.add_patch(shape)


def outline_paths(segm: Segmentation) -> list[Path]:
    """The parts of an object as closed matplotlib paths, in the frame of ``segm``.

    A bit mask gives one path, holes included, half way between the centres of the
    pixels inside and those outside; none if it has no pixels inside.
    """
    if isinstance(segm, BitMask):
        return _bitmask_paths(segm)
    points = (np.asarray(part, np.float64).reshape(-1, 2) for part in segm)
    return [Path(np.concatenate([p, p[:1]]), closed=True) for p in points]


def _bitmask_paths(segm: BitMask) -> list[Path]:
    if not np.any(segm.pixels):
        return []
    height, width = segm.pixels.shape
    x1, y1, x2, y2 = np.asarray(segm.box, np.float64)
    # a frame of zeros, so that a shape that touches the mask's edge is closed there
    padded = np.pad(np.asarray(segm.pixels, np.float64), 1)
    xs = x1 + (np.arange(width + 2) - 0.5) / width * (x2 - x1)
    ys = y1 + (np.arange(height + 2) - 0.5) / height * (y2 - y1)
    # what matplotlib's contourf asks, too; but that wants axes of its own for every object
    generator = contour_generator(xs, ys, padded, fill_type=FillType.OuterCode, **LIKE_CONTOURF)
    points, codes = generator.filled(0.5, 1.5)
    return [Path(np.concatenate(points), np.concatenate(codes))]
