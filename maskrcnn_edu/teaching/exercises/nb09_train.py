"""Exercises of 09_train: who learns from which loss, and the learning rate of a step."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import paddle
from paddle import Tensor

from maskrcnn_edu.config.build import build_model
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.optimizer import LearningRate
from maskrcnn_edu.structures import Batch, GroundTruth
from maskrcnn_edu.teaching.exercises.exercise import Exercise


def who_learns(loss: str, shares_feature: bool) -> list:
    """The parts of the model that get a gradient from a loss.

    `loss` is loss_rpn_cls, loss_rpn_reg, loss_bbox_cls, loss_bbox_reg or
    loss_mask. The parts are "features" (backbone and neck), "rpn_head",
    "bbox_head" and "mask_head", in this order. With `shares_feature` (C4) the
    mask head starts from what the box head's own layers made of the RoIs.
    """
    learns = [loss.split("_")[1] + "_head"]
    if loss == "loss_mask" and shares_feature:
        learns = ["bbox_head", *learns]
    # proposals are numbers, not functions: no loss reaches the RPN by them
    return ["features", *learns]


@lru_cache(maxsize=2)
def _gradients(config: str) -> dict[str, list[str]]:
    """Loss -> parts with a gradient, from one training step of a real model."""
    state = paddle.get_rng_state()  # the notebook's own random numbers stay what they were
    paddle.seed(9)
    model = build_model(load_config(config))
    model.train()
    losses = model(_scene()).losses
    reached = {name: _reached(model, loss) for name, loss in losses.items()}
    paddle.set_rng_state(state)
    return reached


def _reached(model: MaskRCNN, loss: Tensor) -> list[str]:
    model.clear_gradients()
    loss.backward(retain_graph=True)
    parts = {
        "features": [model.backbone, *([model.neck] if model.neck else [])],
        "rpn_head": [model.rpn_head],
        "bbox_head": [model.bbox_head],
        "mask_head": [model.mask_head],
    }
    return [name for name, layers in parts.items() if any(map(_has_gradient, layers))]


def _has_gradient(layer: paddle.nn.Layer) -> bool:
    gradients = [p.grad for p in layer.parameters() if p.grad is not None]
    return any(float(g.abs().sum()) > 0 for g in gradients)


def _scene() -> Batch:
    """One image of noise with one square object."""
    noise = np.random.default_rng(9).normal(size=(1, 3, 64, 64))
    gt = GroundTruth(
        paddle.to_tensor([[16.0, 16.0, 48.0, 48.0]]),
        paddle.zeros([1], dtype="int64"),
        [[np.array([16.0, 16, 48, 16, 48, 48, 16, 48])]],
        paddle.zeros([1], dtype="bool"),
    )
    image = paddle.to_tensor(noise, dtype="float32")
    return Batch(image, paddle.full([1, 2], 64.0), paddle.ones([1, 2]), [0], [gt])


def _true_parts(loss: str, shares_feature: bool) -> list[str]:
    return _gradients("shapes_c4" if shares_feature else "shapes_fpn")[loss]


def learning_rate(
    step: int,
    base_lr: float,
    base_batch: int,
    batch: int,
    warmup: int,
    start_factor: float,
) -> float:
    """The learning rate of a step (the first is step 0).

    `base_lr` was made for `base_batch` images a step; it grows in proportion
    to the images. Over the first `warmup` steps a factor grows in a straight
    line from `start_factor` to 1, and stays there.
    """
    rate = base_lr * batch / base_batch
    factor = start_factor + (1 - start_factor) * step / warmup
    return rate * min(factor, 1.0)


def _true_rate(
    step: int,
    base_lr: float,
    base_batch: int,
    batch: int,
    warmup: int,
    start_factor: float,
) -> float:
    warm = {"name": "LinearWarmup", "steps": warmup, "start_factor": start_factor}
    return LearningRate(base_lr / base_batch * batch, [warm]).at(step, 0.0)


_LOSSES = ("loss_rpn_cls", "loss_rpn_reg", "loss_bbox_cls", "loss_bbox_reg", "loss_mask")

EXERCISES = (
    Exercise(
        notebook="09_train",
        task="Five losses are added up. Which parts of the model learn from which of them?",
        answer=who_learns,
        truth=_true_parts,
        cases=[(loss, shares) for shares in (False, True) for loss in _LOSSES],
        mistakes={
            "proposals carry no gradient: the RPN learns from its own losses only": (
                '["features", *learns]',
                'list(dict.fromkeys(["features", "rpn_head", *learns]))',
            ),
            "the features learn from every loss": ('["features", *learns]', "learns"),
            "with a shared feature the mask loss trains the box head's layers too": (
                'loss == "loss_mask" and shares_feature',
                "False",
            ),
            "without a shared feature the mask loss does not reach the box head": (
                'loss == "loss_mask" and shares_feature',
                'loss == "loss_mask"',
            ),
            "a loss trains only the heads that it was computed with": (
                '["features", *learns]',
                '["features", "rpn_head", "bbox_head", "mask_head"]',
            ),
        },
        shows="one sum trains the features for three tasks, and each head for its own.",
    ),
    Exercise(
        notebook="09_train",
        task="A published learning rate is for a published batch size. Compute the rate of a "
        "step for your own batch size, with a linear warm-up.",
        answer=learning_rate,
        truth=_true_rate,
        cases=[
            (0, 0.02, 16, 4, 500, 0.1),
            (100, 0.01, 8, 2, 500, 0.001),
            (500, 0.02, 16, 4, 500, 0.1),
            (900, 0.02, 16, 32, 500, 0.1),
        ],
        mistakes={
            "fewer images need a smaller rate: the ratio is upside down": (
                "batch / base_batch",
                "base_batch / batch",
            ),
            "the rate is not scaled to the batch": (" * batch / base_batch", ""),
            "the scale is linear, not its root": (
                "* batch / base_batch",
                "* math.sqrt(batch / base_batch)",
            ),
            "the warm-up begins at start_factor, not at 0": (
                "start_factor + (1 - start_factor) * step / warmup",
                "step / warmup",
            ),
            "the warm-up ends at 1, not at 1 + start_factor": (
                "(1 - start_factor) * step / warmup\n    return rate * min(factor, 1.0)",
                "min(step / warmup, 1)\n    return rate * factor",
            ),
            "the warm-up is over after its steps: the factor stays 1": (
                "min(factor, 1.0)",
                "factor",
            ),
            "the warm-up is missing": ("rate * min(factor, 1.0)", "rate"),
        },
        shows="a rate for eight cards makes one card diverge, and a cold start makes any diverge.",
        tolerance=1e-9,
    ),
)
