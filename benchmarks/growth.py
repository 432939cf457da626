"""Growth: does any stage take more time than its algorithm must, as the work grows?"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import paddle

from benchmarks.scene import moved_copies
from benchmarks.stopwatch import NETWORK, STAGES
from benchmarks.table import seconds, table
from benchmarks.work import Case, Work, prepare, read_weights, read_work
from benchmarks.worker import Bench
from maskrcnn_edu.structures import GroundTruth

CONFIG = "shapes_fpn"
FEW_CHANNELS = (
    "ResNet.ch_in=8", "ResNet.ch_out_list=[8,8,8,8]", "FPN.out_channel=8", "FPN.norm_type=null",
    "TwoFCHead.out_channel=16", "MaskFeat.num_convs=0", "MaskFeat.out_channel=8",
    "BBoxHead.roi_extractor.sampling_ratio=0",
)  # fmt: skip
"""The networks shall take no time; everything between them stays as it is."""
REPEAT = 3


@dataclass(frozen=True)
class Point:
    """How much work there is: side of the image, RoIs and objects of an image."""

    size: int = 256
    rois: int = 64
    objects: int = 5


@dataclass(frozen=True)
class Axis:
    """One quantity that grows while the others stay.

    Attributes:
        quantity: field of `Point`.
        name: what a table calls it.
        values: how it grows.
        work: stage -> the power of this quantity with which its algorithm grows; the
            others should not grow at all.
    """

    quantity: str
    name: str
    values: Sequence[int]
    work: dict[str, int]


AXES = (
    Axis("size", "side of the image in pixels", (128, 256, 512, 1024), {
        "data": 2, "proposals": 2, "rpn_target_assign": 2, "roi_align": 2, "mask_post_process": 2,
        "losses": 2,
    }),
    Axis("rois", "RoIs of an image", (64, 128, 256, 512), {
        "proposals": 1, "bbox_assigner": 1, "roi_align": 1, "mask_assigner": 1, "losses": 1,
        "bbox_post_process": 2, "mask_post_process": 1,
    }),
    Axis("objects", "objects of an image", (1, 5, 50, 500), {
        "rpn_target_assign": 1, "bbox_assigner": 1,
    }),
)  # fmt: skip
"""Anchors and pixels grow with the square of the side; suppression compares all pairs."""


@dataclass(frozen=True)
class Grown:
    """Seconds of every stage along an axis.

    Attributes:
        axis: what grew.
        stages: stage -> median seconds for each of the axis's values.
    """

    axis: Axis
    stages: dict[str, list[float]]


def measure_growth(axes: Sequence[Axis], log: Callable[[str], None]) -> list[Grown]:
    """Measure the stages between the networks along all axes."""
    grown = []
    for axis in axes:
        points = []
        for value in axis.values:
            log(f"{axis.name}: {value}")
            points.append(_measure(replace(Point(), **{axis.quantity: value})))
        names = [name for name in STAGES if name not in (*NETWORK, "rest")]
        grown.append(Grown(axis, {n: [p.get(n, 0.0) for p in points] for n in names}))
    return grown


def _measure(point: Point) -> dict[str, float]:
    """Median seconds of every stage, of a training step or (stages of its own) a prediction."""
    medians: dict[str, float] = {}
    for mode in ("predict", "train"):
        case = Case(CONFIG, point.size, 1, mode, (*FEW_CHANNELS, *_rois(point.rois)))
        with tempfile.TemporaryDirectory() as folder:
            prepare(case, Path(folder))
            work = _with_objects(read_work(Path(folder)), point)
            bench = Bench(work, read_weights(Path(folder)))
            with bench.open:  # the images are read again and again
                bench.plain()
                steps = [bench.step()["stages"] for _ in range(REPEAT)]
        medians |= {n: statistics.median(s.get(n, 0.0) for s in steps) for n in steps[0]}
    return medians


def _rois(count: int) -> tuple[str, ...]:
    """Changes of the configuration that give an image so many RoIs."""
    return (
        f"BBoxAssigner.batch_size_per_im={count}",
        f"RPNHead.train_proposal.post_nms_top_n={2 * count}",
        f"RPNHead.test_proposal.post_nms_top_n={count}",
    )


def _with_objects(work: Work, point: Point) -> Work:
    """The same work with so many objects in the image."""
    gt = scattered(point.objects, point.size)
    near = moved_copies(gt.boxes.numpy(), len(work.arrays["near0"]), point.size)
    batch = replace(work.batch, gt=[gt])
    return replace(work, batch=batch, arrays={**work.arrays, "near0": near})


def scattered(count: int, size: int) -> GroundTruth:
    """``count`` twelve-cornered objects, a twentieth to a fifth of the side long, anywhere."""
    rng = np.random.default_rng(count)
    radii = size * rng.uniform(0.025, 0.1, count)
    centers = rng.uniform(radii[:, None], size - radii[:, None], [count, 2])
    angles = np.arange(12) * np.pi / 6
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # [12, 2]
    outlines = centers[:, None] + radii[:, None, None] * circle
    boxes = np.concatenate([outlines.min(axis=1), outlines.max(axis=1)], axis=1)
    return GroundTruth(
        paddle.to_tensor(boxes.astype(np.float32)),
        paddle.zeros([count], dtype="int64"),
        [[outline.ravel()] for outline in outlines],
        paddle.zeros([count], dtype="bool"),
    )


def report(grown: Sequence[Grown]) -> str:
    """A table for every axis: times, how often as long at the end, and how often as much work."""
    return "\n\n".join(map(_one_axis, grown))


def _one_axis(grown: Grown) -> str:
    values = grown.axis.values
    factor = values[-1] / values[0]
    rows = []
    for name, times in grown.stages.items():
        longer = f"{times[-1] / times[0]:.1f}" if times[0] else "-"
        work = factor ** grown.axis.work.get(name, 0)
        rows.append([STAGES[name], *map(seconds, times), longer, f"{work:g}"])
    head = [grown.axis.name, *map(str, values), "times as long", "times the work"]
    return table(head, rows)
