"""Weights that are not trained, and weights that a step did not use."""

import numpy as np
import paddle
import pytest
from paddle import nn

from maskrcnn_edu.model.optimizer import OptimizerBuilder
from maskrcnn_edu.training.freezing import fill_gradients, freeze

# ---- gradients of zero -----------------------------------------------------------


def one_weight():
    """y = a * x, with a = 1."""
    model = nn.Linear(1, 1, bias_attr=False)
    model.weight.set_value(np.ones([1, 1], np.float32))
    return model


def test_a_weight_that_a_step_did_not_use_coasts_and_decays():
    model = one_weight()
    optimizer = OptimizerBuilder(regularizer={"type": "L2", "factor": 0.5})(model, 0.1)
    (model(paddle.ones([1, 1])) * 2).sum().backward()
    optimizer.step()  # velocity 2 + 0.5 * 1 = 2.5
    assert model.weight.item() == pytest.approx(0.75, 1e-6)
    optimizer.clear_grad(set_to_zero=False)
    fill_gradients([model.weight])
    assert model.weight.grad.item() == 0
    optimizer.step()  # velocity 0.9 * 2.5 + 0.5 * 0.75 = 2.625
    assert model.weight.item() == pytest.approx(0.75 - 0.2625, 1e-6)


def test_a_gradient_that_is_there_stays():
    model = one_weight()
    (model(paddle.ones([1, 1])) * 3).sum().backward()
    fill_gradients([model.weight])
    assert model.weight.grad.item() == 3


# ---- freezing --------------------------------------------------------------------


def two_parts():
    """``front``, with batch norm, and ``back``."""
    paddle.seed(0)
    front = nn.Sequential(("conv", nn.Conv2D(1, 2, 1)), ("norm", nn.BatchNorm2D(2)))
    return nn.Sequential(("front", front), ("back", nn.Conv2D(2, 1, 1)))


def trained(model, steps=3):
    """The model's weights and statistics before and after a few steps."""
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    optimizer = OptimizerBuilder(regularizer={"type": "L2", "factor": 0.5})(model, 0.1)
    model.train()
    for _ in range(steps):
        model(5 + paddle.randn([4, 1, 3, 3])).sum().backward()
        optimizer.step()
        optimizer.clear_grad()
    return before, {k: v.numpy() for k, v in model.state_dict().items()}


def test_frozen_parts_stay_to_the_last_bit():
    model = two_parts()
    assert freeze(model, ["front"]) == [
        "front.conv.weight", "front.conv.bias", "front.norm.weight", "front.norm.bias",
        "front.norm._mean", "front.norm._variance",
    ]  # fmt: skip
    before, after = trained(model)
    for name, value in after.items():
        assert np.array_equal(value, before[name]) == name.startswith("front."), name
    assert "front.norm._mean" in after
    free, changed = trained(two_parts())
    assert not any(np.array_equal(changed[name], free[name]) for name in free)  # if not frozen


def test_a_part_of_a_part_and_whole_words_only():
    assert freeze(two_parts(), ["front.norm.weight"]) == ["front.norm.weight"]
    assert freeze(two_parts(), ["back.bias", "front.conv."]) == [
        "front.conv.weight", "front.conv.bias", "back.bias",
    ]  # fmt: skip
    assert freeze(two_parts(), []) == []


@pytest.mark.parametrize(
    ("parts", "words"),
    [(["fron"], "begins with fron; the model's parts are front, back.*front.conv"),
     (["front", ""], "begins with ;"),
     (["front", "back"], "front, back leave no weight to train")],
)  # fmt: skip
def test_what_cannot_be_frozen_is_named(parts, words):
    with pytest.raises(ValueError, match=words):
        freeze(two_parts(), parts)
