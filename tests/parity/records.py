"""Small steps between a case's arrays and the package's records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
from paddle import Tensor, nn

from maskrcnn_edu.structures import BBoxOutput, Detections, GroundTruth, Proposals, RoISamples

from . import formula


def tensor(array: np.ndarray, grad: bool = False) -> Tensor:
    """A tensor that does, or does not, collect its gradient."""
    made = paddle.to_tensor(np.ascontiguousarray(array))
    made.stop_gradient = not grad
    return made


def tensors(arrays: Sequence[np.ndarray], grad: bool = False) -> list[Tensor]:
    return [tensor(a, grad) for a in arrays]


def arrays(values: Sequence[Tensor]) -> list[np.ndarray]:
    return [v.numpy() for v in values]


def gradient(value: Tensor) -> np.ndarray:
    """The collected gradient; zeros if nothing depended on the tensor."""
    return np.zeros(value.shape, np.float32) if value.grad is None else value.grad.numpy()


def counts(rows: Sequence) -> np.ndarray:
    """How many rows each image has."""
    return np.array([len(r) for r in rows], np.int64)


def ground_truth(
    boxes: np.ndarray,
    labels: np.ndarray | None = None,
    crowd: np.ndarray | None = None,
    polygons: list | None = None,
) -> GroundTruth:
    """The objects of one image; what a case does not give is 0, False or empty."""
    count = len(boxes)
    labels = np.zeros(count) if labels is None else labels.reshape(-1)
    crowd = np.zeros(count) if crowd is None else crowd.reshape(-1)
    segms = [[]] * count if polygons is None else [[np.array(p) for p in o] for o in polygons]
    return GroundTruth(
        tensor(boxes), tensor(labels.astype(np.int64)), segms, tensor(crowd > 0)
    )  # fmt: skip


def ground_truths(inputs: dict, polygons: list | None = None) -> list[GroundTruth]:
    """The objects of every image of a case."""
    images = range(len(inputs["gt_bbox"]))
    parts = [inputs.get(name) for name in ("gt_class", "is_crowd")] + [polygons]
    return [
        ground_truth(inputs["gt_bbox"][i], *(None if p is None else p[i] for p in parts))
        for i in images
    ]


def proposals(boxes: np.ndarray) -> Proposals:
    """RoIs of one image that came from nowhere."""
    rows = tensor(np.zeros(len(boxes), np.int64))
    return Proposals(tensor(boxes), tensor(np.zeros(len(boxes), np.float32)), rows)


def samples(
    boxes: np.ndarray,
    labels: np.ndarray,
    gt_boxes: np.ndarray | None = None,
    gt_index: np.ndarray | None = None,
) -> RoISamples:
    """Sampled RoIs of one image."""
    none = np.zeros(len(boxes), np.int64)
    return RoISamples(
        tensor(boxes),
        tensor(labels.astype(np.int64)),
        tensor(np.zeros_like(boxes) if gt_boxes is None else gt_boxes),
        tensor(none if gt_index is None else gt_index.astype(np.int64)),
        tensor(none),
    )


def bbox_output(scores: Tensor, deltas: Tensor) -> BBoxOutput:
    """The box head's record from scores [R, C + 1] and deltas [R, 4 * C]."""
    return BBoxOutput(scores, deltas.reshape([deltas.shape[0], -1, 4]))


def label_score_box(detections: Sequence[Detections]) -> np.ndarray:
    """The detections of all images as the peer packs them, [sum D, 6]."""
    rows = [
        np.concatenate([d.labels.numpy()[:, None], d.scores.numpy()[:, None], d.boxes.numpy()], 1)
        for d in detections
    ]
    return np.concatenate([np.zeros([0, 6]), *rows]).astype(np.float32)


def to_rows(maps: Sequence, per_anchor: int) -> np.ndarray:
    """L maps [N, K * per_anchor, h, w] -> [N, A, per_anchor]."""
    rows = [m.transpose(0, 2, 3, 1).reshape(len(m), -1, per_anchor) for m in maps]
    return np.concatenate(rows, axis=1)


def to_maps(rows: np.ndarray, sizes: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """[N, A, per_anchor] -> L maps [N, K * per_anchor, h, w]; the reverse of `to_rows`."""
    cells = [h * w for h, w in sizes]
    anchors_per_cell = rows.shape[1] // sum(cells)
    assert anchors_per_cell * sum(cells) == rows.shape[1]
    maps, start = [], 0
    for (h, w), count in zip(sizes, cells):
        level = rows[:, start : start + count * anchors_per_cell]
        maps.append(level.reshape(len(rows), h, w, -1).transpose(0, 3, 1, 2))
        start += count * anchors_per_cell
    return maps


def load(layer: nn.Layer, weights: dict[str, np.ndarray]) -> nn.Layer:
    """Give a layer exactly these weights: no name or shape too many or too few."""
    own = {name: tuple(value.shape) for name, value in layer.state_dict().items()}
    assert own == {name: value.shape for name, value in weights.items()}
    layer.set_state_dict({name: tensor(value) for name, value in weights.items()})
    return layer


def load_formula(layer: nn.Layer, prefix: str = "") -> nn.Layer:
    """Give a layer the weights of the formula; ``prefix`` goes before its names."""
    own = layer.state_dict()
    return load(layer, {k: formula.weight(prefix + k, tuple(v.shape)) for k, v in own.items()})
