"""Learning rates at single steps, and one step of each optimizer."""

import math

import numpy as np
import paddle
import pytest
from paddle import nn

from maskrcnn_edu.model.optimizer import LearningRate, OptimizerBuilder

WARMUP = {"name": "LinearWarmup", "start_factor": 0.1, "steps": 10}
PIECES = {"name": "PiecewiseDecay", "gamma": 0.1, "milestones": [8, 11]}


def test_without_schedulers_the_rate_stays():
    rate = LearningRate(0.02)
    assert rate.at(0, 0.0) == rate.at(999, 1.0) == 0.02


@pytest.mark.parametrize(("step", "factor"), [(0, 0.1), (5, 0.55), (10, 1), (50, 1)])
def test_warmup_rises_in_steps(step, factor):
    assert LearningRate(2.0, [WARMUP]).at(step, 0.9) == pytest.approx(2 * factor)


def test_a_warmup_of_no_steps_is_over_after_the_first():
    rate = LearningRate(2.0, [{**WARMUP, "steps": 0}])
    assert rate.at(0, 0.0) == pytest.approx(0.2) and rate.at(1, 0.0) == 2.0


@pytest.mark.parametrize(
    ("epoch", "factor"), [(0, 1), (7.99, 1), (8, 0.1), (10.9, 0.1), (11, 0.01), (12, 0.01)]
)
def test_every_milestone_divides_by_ten(epoch, factor):
    rate = LearningRate(2.0, [PIECES])
    assert rate.at(10**6, epoch / 12, epochs=12) == pytest.approx(2 * factor)
    assert rate.at(10**6, epoch / 24, epochs=24) == pytest.approx(2 * factor)


@pytest.mark.parametrize(
    ("progress", "factor"), [(0, 1), (1 / 3, 0.75), (0.5, 0.5), (2 / 3, 0.25), (1, 0), (1.5, 0)]
)
def test_cosine_falls_over_the_whole_training(progress, factor):
    rate = LearningRate(2.0, [{"name": "CosineDecay"}])
    assert rate.at(7, progress) == pytest.approx(2 * factor, abs=1e-12)
    ending = LearningRate(2.0, [{"name": "CosineDecay", "end_factor": 0.2}])
    assert ending.at(7, progress) == pytest.approx(2 * (0.2 + 0.8 * factor))


def test_schedulers_multiply():
    assert LearningRate(2.0, [WARMUP, PIECES]).at(5, 0.7) == pytest.approx(2 * 0.55 * 0.1)


@pytest.mark.parametrize(
    ("step", "epoch", "rate"),
    [
        (0, 0.0, 0.0000025),  # 0.0025 * 0.001
        (250, 0.1, 0.00125125),  # half of the way from 0.001 to 1: 0.0025 * 0.5005
        (499, 0.2, 0.002495005),  # 0.0025 * (0.001 + 0.999 * 0.998)
        (500, 0.3, 0.0025),
        (40_000, 7.999, 0.0025),
        (40_001, 8.0, 0.00025),
        (55_000, 10.999, 0.00025),
        (55_001, 11.0, 0.000025),
        (60_000, 12.0, 0.000025),
    ],
)
def test_a_whole_training_of_twelve_epochs(step, epoch, rate):
    schedulers = [
        {"name": "LinearWarmup", "start_factor": 0.001, "steps": 500},
        {"name": "PiecewiseDecay", "gamma": 0.1, "milestones": [8, 11]},
    ]
    learning_rate = LearningRate(0.0025, schedulers)
    assert learning_rate.at(step, epoch / 12) == pytest.approx(rate, rel=1e-9)
    # of 16 epochs the eighth is the middle
    assert learning_rate.at(500, 0.5, epochs=16) == pytest.approx(0.00025)
    assert learning_rate.at(500, 0.49, epochs=16) == pytest.approx(0.0025)


def test_the_default_of_a_scheduler():
    assert LearningRate(1.0, [{"name": "LinearWarmup"}]).at(0, 0.0) == pytest.approx(0.1)
    assert LearningRate(1.0, [{"name": "LinearWarmup"}]).at(250, 0.0) == pytest.approx(0.55)
    assert LearningRate(1.0, [{"name": "LinearWarmup"}]).at(500, 0.0) == 1
    decay = {"name": "PiecewiseDecay", "milestones": [6]}
    assert LearningRate(1.0, [decay]).at(0, 0.5) == pytest.approx(0.1)  # of 12 epochs
    assert LearningRate().base_lr == 0.01 and LearningRate().at(7, 0.5) == 0.01


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base_lr": 0.0}, "base_lr"),
        ({"base_lr": -1.0}, "base_lr"),
        ({"schedulers": [{"name": "StepDecay"}]}, "LinearWarmup, PiecewiseDecay.*StepDecay"),
        ({"schedulers": [{"steps": 3}]}, "schedulers"),
    ],
)
def test_an_impossible_rate_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        LearningRate(**options)


@pytest.mark.parametrize(
    "scheduler",
    [
        {"name": "LinearWarmup", "stepz": 10},
        {"name": "PiecewiseDecay", "gamma": 0.1},  # without milestones
        {"name": "CosineDecay", "gamma": 0.1},
    ],
)
def test_an_option_that_a_scheduler_does_not_have_is_a_value_error(scheduler):
    with pytest.raises(ValueError, match="schedulers"):
        LearningRate(1.0, [scheduler])


@pytest.mark.parametrize(("new", "base", "rate"), [(8, 4, 0.04), (1, 4, 0.005), (4, 4, 0.02)])
def test_a_batch_twice_as_large_takes_steps_twice_as_long(new, base, rate):
    learning_rate = LearningRate(0.02, [WARMUP])
    assert learning_rate.scaled_for_batch_size(new=new, base=base) == pytest.approx(rate)


# ---- optimizers ------------------------------------------------------------------


def two_weights():
    """y = a * x + b, with a = 1 and b frozen at 0."""
    model = nn.Linear(1, 1)
    model.weight.set_value(np.ones([1, 1], np.float32))
    model.bias.set_value(np.zeros([1], np.float32))
    model.bias.stop_gradient = True
    return model


def step(model, optimizer, slope):
    (model(paddle.ones([1, 1])) * slope).sum().backward()
    optimizer.step()
    optimizer.clear_grad()
    return model.weight.item()


def test_momentum_and_weight_decay_by_hand():
    model = two_weights()
    optimizer = OptimizerBuilder(regularizer={"type": "L2", "factor": 0.5})(model, 0.1)
    # velocity 2 + 0.5 * 1 = 2.5
    assert step(model, optimizer, 2.0) == pytest.approx(0.75, 1e-6)
    # velocity 0.9 * 2.5 + 2 + 0.5 * 0.75 = 4.625
    assert step(model, optimizer, 2.0) == pytest.approx(0.75 - 0.4625, 1e-6)
    assert model.bias.item() == 0


def test_without_a_regularizer_nothing_decays():
    model = two_weights()
    assert step(model, OptimizerBuilder(regularizer=None)(model, 0.1), 0.0) == 1


def test_adamw_by_hand():
    model = two_weights()
    builder = OptimizerBuilder({"type": "AdamW"}, {"type": "L2", "factor": 0.5})
    # the first step has length 1, whatever the gradient; the decay comes on top
    assert step(model, builder(model, 0.1), 2.0) == pytest.approx(1 * (1 - 0.1 * 0.5) - 0.1, 1e-5)


def test_the_limit_is_on_all_gradients_together():
    model = nn.Linear(1, 2)
    before = model.weight.numpy().copy()
    builder = OptimizerBuilder(regularizer=None, clip_grad_by_norm=1.0)
    optimizer = builder(model, 1.0)
    (model(paddle.ones([1, 1])) * paddle.to_tensor([[3.0, 4.0]])).sum().backward()
    optimizer.step()
    # gradients 3, 4 of the weight and 3, 4 of the bias: length sqrt(50)
    expected = before - np.array([[3, 4]]) / math.sqrt(50)
    np.testing.assert_allclose(model.weight.numpy(), expected, atol=1e-5)


def test_frozen_weights_are_not_the_optimizers():
    optimizer = OptimizerBuilder()(two_weights(), 0.1)
    assert len(optimizer._parameter_list) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": {"type": "SGD"}}, "optimizer.*Momentum, AdamW.*SGD"),
        ({"optimizer": {"momentum": 0.9}}, "optimizer"),
        ({"regularizer": {"type": "L1", "factor": 1.0}}, "regularizer.*L2.*L1"),
    ],
)
def test_an_impossible_optimizer_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        OptimizerBuilder(**options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"optimizer": {"type": "Momentum", "momentun": 0.9}}, "optimizer.*momentun"),
        ({"regularizer": {"type": "L2"}}, "regularizer.*factor"),
    ],
)
def test_an_option_that_an_optimizer_does_not_have_is_a_value_error(options, words):
    with pytest.raises(ValueError, match=words):
        OptimizerBuilder(**options)
