"""Exercises of 08_mask_head: the own class's loss, and a mask pasted into its image."""

from __future__ import annotations

import numpy as np
import paddle

from maskrcnn_edu.model.mask.head import MaskFeat, MaskHead
from maskrcnn_edu.model.mask.postprocess import MaskPostProcess
from maskrcnn_edu.structures import MaskTargets
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def own_mask_loss(
    logits: np.ndarray,
    labels: np.ndarray,
    targets: np.ndarray,
) -> float:
    """Mean binary cross-entropy of every RoI's mask for its own class.

    `logits` are [F, C, M, M], `labels` [F], `targets` [F, M, M] of 0 and 1.
    """
    own = logits[np.arange(len(labels)), labels]
    probs = 1 / (1 + np.exp(-own))
    loss = np.where(targets == 1, -np.log(probs), -np.log(1 - probs))
    return loss.mean()


def _true_loss(logits: np.ndarray, labels: np.ndarray, targets: np.ndarray) -> float:
    state = paddle.get_rng_state()  # the head draws weights that the loss does not use
    head = MaskHead(MaskFeat(1, 1, num_convs=0), num_classes=logits.shape[1])
    paddle.set_rng_state(state)
    labels = paddle.to_tensor(labels, dtype="int64")
    masks = paddle.to_tensor(targets, dtype="float32")
    wanted = MaskTargets(paddle.arange(len(labels)), labels, masks)
    return head.get_loss(paddle.to_tensor(logits, dtype="float32"), [wanted])["loss_mask"].item()


def paste_one(
    mask: np.ndarray,
    box: list,
    height: int,
    width: int,
) -> np.ndarray:
    """A mask [M, M] of probabilities, pasted into an image: [height, width].

    Every pixel looks at its centre (x + 0.5, y + 0.5): where does it lie
    among the centres of the cells that cover `box`? The value there is
    bilinear, 0 outside of the mask; the pixel is 1 from a value of 0.5 up.
    """
    m = len(mask)
    px, py = np.arange(width) + 0.5, np.arange(height) + 0.5
    cx = (px - box[0]) / (box[2] - box[0]) * m - 0.5
    cy = (py - box[1]) / (box[3] - box[1]) * m - 0.5
    # share of every cell in every pixel: 1 at its centre, 0 one cell away
    share_x = np.maximum(0, 1 - np.abs(cx[:, None] - np.arange(m)))
    share_y = np.maximum(0, 1 - np.abs(cy[:, None] - np.arange(m)))
    return (share_y @ mask @ share_x.T >= 0.5).astype(int)


def _true_paste(mask: np.ndarray, box: list, height: int, width: int) -> np.ndarray:
    tensors = [paddle.to_tensor([a], dtype="float32") for a in (mask.tolist(), box)]
    return MaskPostProcess()(*tensors, height, width)[0].numpy()


_RNG = np.random.default_rng(8)
_LOGITS = _RNG.normal(size=(3, 2, 4, 4)).round(1)
_TARGETS = (_RNG.random((3, 4, 4)) > 0.4).astype(float)
_MASK = np.array([[0.1, 0.6, 0.9, 0.3], [0.2, 0.8, 1.0, 0.9], [0.0, 0.3, 0.7, 0.9], [0, 0, 0, 1]])

EXERCISES = (
    Exercise(
        notebook="08_mask_head",
        task="Pick every RoI's mask for its own class, and compute the loss of these masks.",
        answer=own_mask_loss,
        truth=_true_loss,
        cases=[
            (_LOGITS[:1], np.array([1]), _TARGETS[:1]),
            (_LOGITS, np.array([1, 0, 1]), _TARGETS),
        ],
        mistakes={
            "the other classes' masks have no loss: pick the own class": (
                "    own = logits[np.arange(len(labels)), labels]",
                "    own, targets = logits, targets[:, None]",
            ),
            "the first class's mask is taken, not the own class's": (
                "logits[np.arange(len(labels)), labels]",
                "logits[:, 0]",
            ),
            "the classes do not compete: sigmoid, not softmax": (
                "    probs = 1 / (1 + np.exp(-own))",
                "    probs = np.exp(own) / np.exp(logits).sum(axis=1)",
            ),
            "it is the mean of all cells, not their sum": ("loss.mean()", "loss.sum()"),
            "cells outside the object count as well": (
                "-np.log(1 - probs))",
                "0.0)",
            ),
            "0 and 1 are swapped": ("targets == 1", "targets == 0"),
            "the loss is minus the logarithm": ("return loss.mean()", "return -loss.mean()"),
        },
        shows="the box head decides on the class, the mask head only on the shape.",
    ),
    Exercise(
        notebook="08_mask_head",
        task="Paste one mask back into its image.",
        answer=paste_one,
        truth=_true_paste,
        cases=[
            (_MASK, [2.2, 1, 14.1, 9.3], 12, 16),
            (_MASK, [3.3, -2.2, 9.8, 15.1], 14, 12),
        ],
        mistakes={
            "you forgot the half pixel: a pixel's centre is at + 0.5": (
                "np.arange(width) + 0.5, np.arange(height) + 0.5",
                "np.arange(width), np.arange(height)",
            ),
            "you forgot the half cell: the first cell's centre is at 0.5": (
                "* m - 0.5\n    cy = (py - box[1]) / (box[3] - box[1]) * m - 0.5",
                "* m\n    cy = (py - box[1]) / (box[3] - box[1]) * m",
            ),
            "x and y are swapped: a mask is indexed by row, then column": (
                "share_y @ mask @ share_x.T",
                "share_y @ mask.T @ share_x.T",
            ),
            "the mask belongs at its box, not in the image's corner": (
                "(px - box[0]) / (box[2] - box[0]) * m - 0.5\n"
                "    cy = (py - box[1]) / (box[3] - box[1])",
                "px / (box[2] - box[0]) * m - 0.5\n    cy = py / (box[3] - box[1])",
            ),
            "the mask covers its box, not the whole image": (
                "    m = len(mask)",
                "    box = [0, 0, width, height]\n    m = len(mask)",
            ),
            "the result is 0 or 1: compare with 0.5": (
                "(share_y @ mask @ share_x.T >= 0.5).astype(int)",
                "share_y @ mask @ share_x.T",
            ),
            "first enlarge, then compare with 0.5": (
                "    m = len(mask)",
                "    mask = (mask >= 0.5).astype(float)\n    m = len(mask)",
            ),
        },
        shows="the edge of a mask is finer than its cells, because the values between them count.",
    ),
)
