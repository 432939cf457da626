"""Right answers where the peer has none: written apart from the package, mostly in numpy.

Used by `differences`. Nothing here is fast. float64 unless a threshold has to fall as
it does in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import paddle
import paddle.nn.functional as F

LARGEST_LOG = math.log(1000.0 / 16)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[R1, R2] float32."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(x[:, 2] - x[:, 0]) * (x[:, 3] - x[:, 1]) for x in (a, b)]
    union = areas[0][:, None] + areas[1][None] - inner
    return np.divide(inner, union, out=np.zeros_like(inner), where=inner > 0)


def label_box(
    boxes: np.ndarray,
    gt: np.ndarray,
    crowd: np.ndarray,
    positive: float,
    negative: float,
    low_quality: bool,
    ignore: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Matched object and label (1, 0, -1) of every box; ``crowd`` is [G] bool."""
    count = len(boxes)
    if crowd.all():  # also without any object
        return np.zeros(count, np.int64), np.zeros(count, np.int32)
    overlaps = iou(gt, boxes)
    single = overlaps[~crowd]
    best = single.max(axis=0)
    matches = np.flatnonzero(~crowd)[single.argmax(axis=0)]
    usable = np.ones(count, bool)
    if ignore > 0:
        usable = ~(overlaps[crowd] > ignore).any(axis=0)
    labels = np.where(best >= positive, 1, np.where(best < negative, 0, -1))
    if low_quality:
        of_object = np.where(usable, single, -1)
        closest = (of_object > 0) & (of_object == of_object.max(axis=1, keepdims=True))
        labels[closest.any(axis=0)] = 1
    labels[~usable] = -1
    return matches, labels.astype(np.int32)


def first_ones(labels: np.ndarray, number: int, fraction: float) -> np.ndarray:
    """Labels (1, 0, -1) in which only the first foreground and background boxes stay."""
    foreground = np.flatnonzero(labels == 1)[: int(number * fraction)]
    background = np.flatnonzero(labels == 0)[: number - len(foreground)]
    sampled = np.full_like(labels, -1)
    sampled[foreground], sampled[background] = 1, 0
    return sampled


def decode(deltas: np.ndarray, boxes: np.ndarray, weights: Sequence[float] = (1, 1, 1, 1)):
    """Boxes [R, 4] moved by deltas [R, 4]."""
    boxes = boxes.astype(np.float64)
    size = boxes[:, 2:] - boxes[:, :2]
    move = deltas.astype(np.float64) / np.asarray(weights, np.float64)
    center = boxes[:, :2] + size / 2 + move[:, :2] * size
    half = np.exp(np.minimum(move[:, 2:], LARGEST_LOG)) * size / 2
    return np.concatenate([center - half, center + half], axis=1)


def encode(boxes: np.ndarray, targets: np.ndarray, weights: Sequence[float] = (1, 1, 1, 1)):
    """The deltas [R, 4] that move boxes onto targets."""
    boxes, targets = boxes.astype(np.float64), targets.astype(np.float64)
    size, wanted = boxes[:, 2:] - boxes[:, :2], targets[:, 2:] - targets[:, :2]
    shift = (targets[:, :2] + targets[:, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2 / size
    return np.concatenate([shift, np.log(wanted / size)], axis=1) * np.asarray(weights)


def l1(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.abs(pred - target).sum(axis=1)


def smooth_l1(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    error = np.abs(pred - target)
    return np.where(error < 1, error**2 / 2, error - 0.5).sum(axis=1)


def giou(pred: np.ndarray, target: np.ndarray) -> np.ndarray:
    """1 - generalized IoU, [R]."""
    inner = np.minimum(pred[:, 2:], target[:, 2:]) - np.maximum(pred[:, :2], target[:, :2])
    hull = np.maximum(pred[:, 2:], target[:, 2:]) - np.minimum(pred[:, :2], target[:, :2])
    inner = np.clip(inner, 0, None).prod(axis=1)
    union = sum((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (pred, target)) - inner
    return 1 - inner / union + 1 - union / hull.prod(axis=1)


def slope(of: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
    """Gradient [R, k] of a function that maps each row of [R, k] to one number of [R]."""
    step, columns = 1e-6, []
    for column in np.eye(at.shape[1]) * step:
        columns.append((of(at + column) - of(at - column)) / (2 * step))
    return np.stack(columns, axis=1)


ROW_LOSSES = {"SmoothL1Loss": smooth_l1, "GIoULoss": giou}


def rpn_giou(
    deltas: np.ndarray, anchors: np.ndarray, gt: list[np.ndarray], assign: dict
) -> tuple[float, np.ndarray]:
    """GIoU loss of the RPN between *boxes*, and its gradient [N, A, 4]."""
    number = assign.get("batch_size_per_im", 256)
    total, grad = 0.0, np.zeros(deltas.shape)
    for i, objects in enumerate(gt):
        matches, labels = label_box(
            anchors,
            objects,
            np.zeros(len(objects), bool),
            assign.get("positive_overlap", 0.7),
            assign.get("negative_overlap", 0.3),
            True,
            assign.get("ignore_thresh", -1.0),
        )
        rows = first_ones(labels, number, assign.get("fg_fraction", 0.5)) == 1
        target = objects[matches[rows]].astype(np.float64)

        def loss(moves: np.ndarray, rows=rows, target=target) -> np.ndarray:
            return giou(decode(moves, anchors[rows]), target)

        at = deltas[i, rows].astype(np.float64)
        total += loss(at).sum()
        grad[i, rows] = slope(loss, at)
    return total / (number * len(gt)), grad / (number * len(gt))


def bbox_loss(inputs: dict, params: dict) -> dict[str, np.ndarray]:
    """Both box losses and their gradients.

    RoIs labelled -1 count nowhere.
    """
    classes = params["num_classes"]
    labels = np.concatenate(inputs["tgt_labels"])
    used = labels >= 0
    foreground = np.flatnonzero(used & (labels < classes))
    count = max(int(used.sum()), 1)

    scores = inputs["scores"].astype(np.float64)
    probs = np.exp(scores - scores.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    wanted = np.eye(classes + 1)[np.where(used, labels, 0)]
    entropy = -np.log((probs * wanted).sum(axis=1))

    boxes = np.concatenate(inputs["rois"])[foreground]
    gt_boxes = np.concatenate(inputs["tgt_bboxes"])[foreground]
    target = encode(boxes, gt_boxes, params["bbox_weight"])
    row_loss, factor = _row_loss(params, target)
    deltas = inputs["deltas"].reshape(len(labels), -1, 4).astype(np.float64)
    column = 0 if deltas.shape[1] == 1 else labels[foreground]
    own = deltas[foreground, column]
    grad = np.zeros_like(deltas)
    grad[foreground, column] = slope(row_loss, own) * factor / count
    return {
        "loss_bbox_cls": np.float64(entropy[used].sum() / count),
        "loss_bbox_reg": np.float64(row_loss(own).sum() * factor / count),
        "grad_scores": np.where(used[:, None], (probs - wanted) / count, 0),
        "grad_deltas": grad.reshape(inputs["deltas"].shape),
    }


def _row_loss(params: dict, target: np.ndarray) -> tuple[Callable, float]:
    """The regression loss as a function of the own deltas, and its factor."""
    name = params.get("bbox_loss")
    if name is None:
        return lambda deltas: l1(deltas, target), 1
    unit = np.tile([-0.5, -0.5, 0.5, 0.5], (len(target), 1))

    def loss(deltas: np.ndarray) -> np.ndarray:
        weights = params["bbox_weight"]
        return ROW_LOSSES[name](decode(deltas, unit, weights), decode(target, unit, weights))

    return loss, 1 if params.get("loss_normalize_pos") else params["num_classes"]


def cot_loss(inputs: dict, params: dict) -> dict[str, np.ndarray]:
    """Label co-tuning on the foreground RoIs alone; 0 if there are none."""
    scale, factor = params.get("cot_scale", 1.0), params.get("cot_lambda", 1.0)
    labels = np.concatenate(inputs["tgt_labels"])
    rows = np.flatnonzero((labels >= 0) & (labels < params["num_classes"]))
    target = inputs["cot_relation"][labels[rows]].astype(np.float64)
    logits = scale * inputs["scores"][rows, :-1].astype(np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    count = max(len(rows), 1)
    grad = np.zeros(inputs["scores"].shape)
    pull = np.exp(log_probs) * target.sum(axis=1, keepdims=True) - target
    grad[rows, :-1] = factor * scale * pull / count
    loss = factor * -(target * log_probs).sum() / count
    return {"loss_bbox_cls_cot": np.float64(loss), "grad_scores": grad}


def mask_loss(logits: np.ndarray, labels: np.ndarray, targets: np.ndarray, weights: np.ndarray):
    """Mean over the masks of weight 1, and its gradient."""
    rows = np.flatnonzero(weights == 1)
    x, y = logits[rows, labels[rows]].astype(np.float64), targets[rows]
    count = max(y.size, 1)
    grad = np.zeros(logits.shape)
    grad[rows, labels[rows]] = (1 / (1 + np.exp(-x)) - y) / count
    loss = (np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))).sum() / count
    return {"loss_mask": np.float64(loss), "grad_logits": grad}


def roi_align(
    feat: np.ndarray, rois: list[np.ndarray], scale: float, cells: int, ratio: int, aligned: bool
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """RoI features of one level, and the function that carries a cotangent back.

    Sampling and averaging is one matrix along y and one along x. On the way back Paddle's
    operator (3.3.1, CPU) takes a side shorter than one feature cell for one cell, even if
    ``aligned``: its gradient for such RoIs is not that of its own output. The peer and we
    both call it, so the function that is returned does the same.
    """
    image = np.repeat(np.arange(len(rois)), [len(r) for r in rois])
    boxes = np.concatenate(rois).astype(np.float64) * scale - (0.5 if aligned else 0.0)
    size = feat.shape[2:]
    rows, columns = _sampling(boxes, cells, ratio, size, 0.0 if aligned else 1.0)
    out = np.einsum("ryh,rchw,rxw->rcyx", rows, feat[image].astype(np.float64), columns)

    def back(cotangent: np.ndarray) -> np.ndarray:
        rows, columns = _sampling(boxes, cells, ratio, size, 1.0)
        parts = np.einsum("ryh,rcyx,rxw->rchw", rows, cotangent.astype(np.float64), columns)
        grad = np.zeros(feat.shape)
        np.add.at(grad, image, parts)
        return grad

    return out, back


def _sampling(
    boxes: np.ndarray, cells: int, ratio: int, size: tuple[int, int], shortest: float
) -> tuple[np.ndarray, np.ndarray]:
    """The matrices of all boxes along y and x; sides are ``shortest`` at least, unless 0."""
    sides = boxes[:, 2:] - boxes[:, :2]
    stops = boxes[:, :2] + (np.maximum(sides, shortest) if shortest else sides)
    along = [
        np.stack([_samples(a, b, cells, ratio, n) for a, b in zip(boxes[:, d], stops[:, d])])
        for d, n in ((1, size[0]), (0, size[1]))
    ]
    return along[0], along[1]


def _samples(start: float, stop: float, cells: int, ratio: int, size: int) -> np.ndarray:
    """[cells, size]: the share of every feature row in every cell."""
    step = (stop - start) / cells
    count = ratio if ratio > 0 else max(math.ceil(step), 1)
    shares = np.zeros((cells, size))
    for cell in range(cells):
        for sample in range(count):
            place = start + cell * step + (sample + 0.5) * step / count
            if not -1 <= place <= size:
                continue
            place = min(max(place, 0.0), size - 1.0)
            low = min(int(place), size - 1)
            shares[cell, low] += (low + 1 - place) / count
            if place > low:
                shares[cell, low + 1] += (place - low) / count
    return shares


def paste(masks: np.ndarray, boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Masks stretched over boxes by the framework's own sampler; 0 if a box has no area."""
    pasted = np.zeros((len(masks), height, width), np.float32)
    rows = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    if len(rows) == 0:
        return pasted
    x1, y1, x2, y2 = boxes[rows].astype(np.float32).T[:, :, None]
    xs = (np.arange(width, dtype=np.float32) + np.float32(0.5) - x1) / (x2 - x1) * 2 - 1
    ys = (np.arange(height, dtype=np.float32) + np.float32(0.5) - y1) / (y2 - y1) * 2 - 1
    shape = (len(rows), height, width)
    grid = [np.broadcast_to(xs[:, None, :], shape), np.broadcast_to(ys[:, :, None], shape)]
    sampled = F.grid_sample(
        paddle.to_tensor(masks[rows][:, None]),
        paddle.to_tensor(np.stack(grid, axis=3)),
        align_corners=False,
    )
    pasted[rows] = sampled[:, 0].numpy()
    return pasted
