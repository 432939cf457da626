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


def _draw_step(random: np.random.Generator) -> tuple:
    base_batch, batch = random.choice([1, 2, 4, 8, 16, 32], 2).tolist()
    step, warmup = random.integers([0, 200], [900, 800]).tolist()
    return step, round(random.uniform(0.005, 0.05), 3), base_batch, batch, warmup, 0.1


_LOSSES = ("loss_rpn_cls", "loss_rpn_reg", "loss_bbox_cls", "loss_bbox_reg", "loss_mask")

EXERCISES = (
    Exercise(
        "who_learns",
        "09_train",
        _true_parts,
        cases=[(loss, shares) for shares in (False, True) for loss in _LOSSES],
        shows="one sum trains the features for three tasks, and each head for its own.",
    ),
    Exercise(
        "learning_rate",
        "09_train",
        _true_rate,
        cases=[
            (0, 0.02, 16, 4, 500, 0.1),
            (100, 0.01, 8, 2, 500, 0.001),
            (500, 0.02, 16, 4, 500, 0.1),
            (900, 0.02, 16, 32, 500, 0.1),
        ],
        shows="a rate for eight cards makes one card diverge, and a cold start makes any diverge.",
        draw_case=_draw_step,
        tolerance=1e-9,
    ),
)
