"""Exercises of 08_mask_head: the own class's loss, and a mask pasted into its image."""

from __future__ import annotations

import numpy as np
import paddle

from maskrcnn_edu.model.mask.head import MaskFeat, MaskHead
from maskrcnn_edu.model.mask.postprocess import MaskPostProcess
from maskrcnn_edu.structures import MaskTargets
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def _true_loss(logits: np.ndarray, labels: np.ndarray, targets: np.ndarray) -> float:
    state = paddle.get_rng_state()  # the head draws weights that the loss does not use
    head = MaskHead(MaskFeat(1, 1, num_convs=0), num_classes=logits.shape[1])
    paddle.set_rng_state(state)
    labels = paddle.to_tensor(labels, dtype="int64")
    masks = paddle.to_tensor(targets, dtype="float32")
    wanted = MaskTargets(paddle.arange(len(labels)), labels, masks)
    return head.get_loss(paddle.to_tensor(logits, dtype="float32"), [wanted])["loss_mask"].item()


def _true_paste(mask: np.ndarray, box: list, height: int, width: int) -> np.ndarray:
    tensors = [paddle.to_tensor([a], dtype="float32") for a in (mask.tolist(), box)]
    return MaskPostProcess()(*tensors, height, width)[0].numpy()


def _draw_logits(random: np.random.Generator, masks: int = 2) -> tuple:
    labels = random.integers(0, 3, masks) if masks < 3 else np.array([2, 0, 1])
    logits = random.normal(size=(masks, 3, 4, 4)).round(1)
    return logits, labels, (random.random((masks, 4, 4)) > 0.4).astype(float)


def _draw_mask(random: np.random.Generator) -> tuple:
    box = random.uniform([-3, -3, 8, 8], [4, 4, 18, 18]).round(2)
    return random.random((4, 4)).round(2), box.tolist(), *random.integers(8, 16, 2).tolist()


_MASK = np.array([[0.1, 0.6, 0.9, 0.3], [0.2, 0.8, 1.0, 0.9], [0.0, 0.3, 0.7, 0.9], [0, 0, 0, 1]])
# half is enough: every pixel of this box is a cell
_HALVES = np.array([[0.25, 0.5, 0, 0.75], [0.5, 0, 1, 0], [0, 0.75, 0.5, 0], [1, 0.25, 0, 0.5]])

EXERCISES = (
    Exercise(
        "own_mask_loss",
        "08_mask_head",
        _true_loss,
        cases=[
            _draw_logits(np.random.default_rng(8), masks=1),
            _draw_logits(np.random.default_rng(9), masks=3),
        ],
        shows="the box head decides on the class, the mask head only on the shape.",
        draw_case=_draw_logits,
    ),
    Exercise(
        "paste_one",
        "08_mask_head",
        _true_paste,
        cases=[
            (_MASK, [2.2, 1, 14.1, 9.3], 12, 16),
            (_MASK, [3.3, -2.2, 9.8, 15.1], 14, 12),
            (_HALVES, [2.0, 1, 6, 5], 6, 9),
        ],
        shows="the edge of a mask is finer than its cells, because the values between them count.",
        draw_case=_draw_mask,
        gives="mask",
    ),
)
