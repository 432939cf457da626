"""The network as a diagram, with the shapes that it really has for one image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import paddle
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import PredictionStages
from maskrcnn_edu.system.language import say
from maskrcnn_edu.viz.style import PALETTE

WIDTH, HEIGHT = 2.05, 1.1  # of a node, inches; the columns and rows are 2.4 and 1.7 apart
COLUMN, ROW = 2.4, 1.7
FONT = 11  # points
LEARNS, COMPUTES, DATA = PALETTE[1], PALETTE[0], "#DDDDDD"


@dataclass(frozen=True)
class Node:
    """One step: where it stands (column, row), what it is, what comes out of it, its colour."""

    place: tuple[float, float]
    title: str
    lines: Sequence[str]
    face: str


def draw_network(model: MaskRCNN, stages: PredictionStages) -> Figure:
    """What passes from which step to which, for one image while predicting.

    Args:
        model: in prediction mode.
        stages: of a batch with one image.

    Returns:
        A figure with kinds ``step`` (blue: learns; orange: computes; grey: data) and ``arrow``.
    """
    nodes, arrows = _first_stage(model, stages)
    more_nodes, more_arrows = _second_stage(model, stages)
    nodes |= more_nodes
    columns = 1 + max(node.place[0] for node in nodes.values())
    rows = 1 + max(node.place[1] for node in nodes.values())
    size = columns * COLUMN, rows * ROW
    figure = Figure(figsize=size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
    axes.set_axis_off()
    for node in nodes.values():
        _draw_node(axes, node)
    for start, end in [*arrows, *more_arrows]:
        _draw_arrow(axes, nodes[start].place, nodes[end].place)
    return figure


def _first_stage(
    model: MaskRCNN, stages: PredictionStages
) -> tuple[dict[str, Node], list[tuple[str, str]]]:
    """Image to proposals, along the first row."""
    backbone, anchors = model.backbone, model.rpn_head.anchor_generator
    names = [backbone.stage_names[i] for i in backbone.return_idx]
    ends = [
        say("{name}: stride {s}").format(name=n, s=s) for n, s in zip(names, backbone.out_strides)
    ]
    maps = [_times(f.shape[1:]) for f in stages.features]
    nodes = {
        "image": Node((0, 0), say("image"), [_times(stages.batch.image.shape[1:])], DATA),
        "backbone": Node((1, 0), "ResNet", ends if len(ends) < 3 else [", ".join(names)], LEARNS),
    }
    if model.neck is not None:
        last = f"P2 .. P{1 + len(maps)}"
        nodes["neck"] = Node((2, 0), type(model.neck).__name__, [last], LEARNS)
    many = [maps[0], f".. {maps[-1]}"] if len(maps) > 1 else maps
    count = say("{n} map(s):").format(n=len(maps))
    nodes["features"] = Node((3, 0), say("features"), [count, *many], DATA)
    lines = [
        say("{n} anchors a cell").format(n=anchors.num_anchors),
        say("{n} in all").format(n=stages.rpn.anchors.shape[0]),
    ]
    nodes["rpn"] = Node((4, 0), say("RPN head"), lines, LEARNS)
    nodes["proposals"] = Node(
        (5, 0), say("proposals"), [_times(stages.proposals[0].boxes.shape)], COMPUTES
    )
    order = list(nodes)
    return nodes, list(pairwise(order))


@paddle.no_grad()
def _second_stage(
    model: MaskRCNN, stages: PredictionStages
) -> tuple[dict[str, Node], list[tuple[str, str]]]:
    """Proposals to detections along the second row, to masks along the third, right to left."""
    box_head, mask_head, found = model.bbox_head, model.mask_head, stages.boxes_only[0].boxes
    cut = box_head.roi_extractor(stages.features, [stages.proposals[0].boxes])
    shared = mask_head.share_bbox_feat
    own = mask_head.roi_extractor(stages.features, [found])
    start = box_head.roi_feature(stages.features, [found]) if shared else own
    logits = mask_head(start)
    names = [type(part).__name__ for part in (box_head.roi_extractor, box_head.head)]
    answers = [_times(stages.bbox.scores.shape), _times(stages.bbox.deltas.shape)]
    made = box_head.head(cut)
    nodes = {
        "cut": Node((5, 1), names[0], [_times(cut.shape)], COMPUTES),
        "head": Node((4, 1), names[1], [_times(made.shape)], LEARNS),
        "bbox": Node((3, 1), say("scores, deltas"), answers, LEARNS),
        "found": Node((2, 1), say("detections"), [_times(found.shape)], COMPUTES),
        "mask_cut": Node((2, 2), names[0], [_times(own.shape)], COMPUTES),
        "mask": Node((1, 2), type(mask_head.head).__name__, [_times(logits.shape)], LEARNS),
        "pasted": Node(
            (0, 2), say("pasted masks"), [_times(stages.detections[0].masks.shape)], COMPUTES
        ),
    }
    if shared:  # the same two layers again, at the boxes that were found
        title = f"{names[0]}, {names[1]}"
        nodes["mask_cut"] = Node(
            (2, 2), title, [say("those of the box head"), _times(start.shape)], LEARNS
        )
    order = ["cut", "head", "bbox", "found", "mask_cut", "mask", "pasted"]
    return nodes, [("proposals", "cut"), ("features", "cut"), *pairwise(order)]


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _draw_node(axes: Axes, node: Node) -> None:
    x, y = _centre(node.place)
    frame = FancyBboxPatch(
        (x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, gid="step", facecolor=node.face,
        boxstyle="round,pad=0,rounding_size=0.12", edgecolor="black",
    )  # fmt: skip
    axes.add_patch(frame)
    text = "\n".join(["", *node.lines])
    axes.text(
        x, y - HEIGHT / 2 + 0.22, node.title, ha="center", va="center", fontsize=FONT, weight="bold"
    )
    axes.text(x, y + 0.02, text, ha="center", va="center", fontsize=FONT)


def _draw_arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From the edge of one node to that of another."""
    (x1, y1), (x2, y2) = _centre(start), _centre(end)
    if start[1] == end[1]:
        side = WIDTH / 2 if x2 > x1 else -WIDTH / 2
        x1, x2 = x1 + side, x2 - side
    else:
        y1, y2 = y1 + HEIGHT / 2, y2 - HEIGHT / 2
    style = {"arrowstyle": "-|>", "color": "black", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x2, y2), (x1, y1), arrowprops=style, gid="arrow")


def _centre(place: tuple[float, float]) -> tuple[float, float]:
    return (place[0] + 0.5) * COLUMN, (place[1] + 0.5) * ROW
