"""The loop by hand: one weight, two losses, and batches that are numbers."""

import dataclasses
import math
from types import SimpleNamespace

import paddle
import pytest
from paddle import nn

from maskrcnn_edu.config.build import build_optimizer
from maskrcnn_edu.config.schema import parse_config
from maskrcnn_edu.training.amp import grad_scaler
from maskrcnn_edu.training.checkpoint import TrainingProgress, snapshot, step_seed
from maskrcnn_edu.training.loop import Budget, train_steps


@dataclasses.dataclass(frozen=True)
class Slope:
    """A batch of two images."""

    slope: float

    def __len__(self):
        return 2


class OneWeight(nn.Layer):
    """A weight w, at first 1; losses w * slope and w * slope / 2, so its gradient is 1.5 slopes."""

    def __init__(self, on_batch=lambda: None):
        super().__init__()
        self.w = self.create_parameter([], default_initializer=nn.initializer.Constant(1.0))
        self.on_batch = on_batch
        self.drawn = []

    def forward(self, batch):
        self.on_batch()
        self.drawn.append(paddle.rand([1]).item())
        losses = {"loss_a": self.w * batch.slope, "loss_b": self.w * batch.slope / 2}
        return SimpleNamespace(batch=batch, losses=losses, loss=sum(losses.values()))


@dataclasses.dataclass
class Loader:
    """The same slopes in every epoch; remembers which epochs were begun, and how far in."""

    slopes: tuple
    begun: list = dataclasses.field(default_factory=list)

    def epoch(self, epoch, skip=0):
        self.begun.append((epoch, skip))
        return map(Slope, self.slopes[skip:])


def a_tenth(step, progress):
    return 0.1


def training(budget, slopes=(2.0,), model=None, learning_rate=a_tenth, **options):
    """(model, loader, steps) of plain gradient descent."""
    model, loader = model or OneWeight(), Loader(slopes)
    optimizer = paddle.optimizer.SGD(999.0, parameters=model.parameters())  # a rate nobody uses
    return model, loader, train_steps(model, loader, budget, optimizer, learning_rate, **options)


# ---- a step ----------------------------------------------------------------------


def test_a_step_goes_down_the_slope():
    model, _, steps = training(Budget(steps=2))
    first = next(steps)
    assert first.losses() == {"loss": 3.0, "loss_a": 2.0, "loss_b": 1.0}
    assert model.w.item() == pytest.approx(1 - 0.1 * 3)
    assert model.w.grad is None  # its memory is free
    second = next(steps)
    assert second.losses() == pytest.approx({"loss": 2.1, "loss_a": 1.4, "loss_b": 0.7})
    assert model.w.item() == pytest.approx(1 - 0.1 * 6)
    assert (second.step, second.images, second.learning_rate) == (2, 4, 0.1)
    assert list(steps) == []


def test_gradients_and_losses_of_several_batches_are_averaged():
    model, _, steps = training(Budget(steps=2), slopes=(2.0, 4.0), accumulate=2)
    step = next(steps)
    assert step.losses() == pytest.approx({"loss": 4.5, "loss_a": 3.0, "loss_b": 1.5})
    assert model.w.item() == pytest.approx(1 - 0.1 * 4.5)  # not 9, their sum
    assert step.stages.batch.slope == 4.0  # the last one's
    assert (step.step, step.images) == (1, 4)
    assert next(steps).mean_losses["loss_a"].item() == pytest.approx(0.55 * 3)


def test_images_of_all_processes_count(monkeypatch):
    monkeypatch.setattr("maskrcnn_edu.training.loop.world_size", lambda: 3)
    _, _, steps = training(Budget(steps=2), accumulate=2)
    assert [step.images for step in steps] == [12, 24]


def test_the_guard_sees_gradients_before_they_move_the_weights():
    seen = []

    def guard(number, batches, losses, stages):
        terms = [{name: value.item() for name, value in each.items()} for each in losses]
        slopes = [batch.slope for batch in batches]
        weight = model.w.item(), model.w.grad.item()
        seen.append((number, slopes, terms, stages.batch.slope, *weight))
        if number == 2:
            raise ValueError("stop")

    model, _, steps = training(Budget(steps=3), (2.0, 4.0), guard=guard, accumulate=2)
    with pytest.raises(ValueError, match="stop"):
        list(steps)
    first = [{"loss_a": 2.0, "loss_b": 1.0}, {"loss_a": 4.0, "loss_b": 2.0}]
    assert seen[0] == (1, [2.0, 4.0], first, 4.0, 1.0, 4.5)
    assert [call[0] for call in seen] == [1, 2]
    assert model.w.item() == pytest.approx(0.55)  # the second step did not move it


def test_the_model_is_put_into_training_mode():
    model = OneWeight()
    model.eval()
    _, _, steps = training(Budget(steps=1), model=model)
    list(steps)
    assert model.training


# ---- when it is over -------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "step", "seconds", "progress"),
    [
        (Budget(steps=10), 0, 1e9, 0.0),
        (Budget(steps=10), 5, 1e9, 0.5),
        (Budget(steps=10), 10, 0.0, 1.0),
        (Budget(steps=10), 20, 0.0, 1.0),
        (Budget(minutes=2), 10**6, 0.0, 0.0),
        (Budget(minutes=2), 10**6, 30.0, 0.25),
        (Budget(minutes=0.5), 0, 15.0, 0.5),
        (Budget(minutes=2), 0, 120.0, 1.0),
        (Budget(minutes=2), 0, 500.0, 1.0),
    ],
)
def test_progress_is_the_share_of_the_budget(budget, step, seconds, progress):
    assert budget.progress(step, seconds) == progress


@pytest.mark.parametrize("wrong", [{}, {"steps": 1, "minutes": 1}])
def test_a_budget_is_steps_or_minutes(wrong):
    with pytest.raises(ValueError, match="^give either steps or minutes$"):
        Budget(**wrong)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": -1}, {"minutes": 0.0},
                                   {"minutes": -0.1}, {"minutes": math.nan}])  # fmt: skip
def test_a_budget_is_positive(wrong):
    (amount,) = wrong.values()
    with pytest.raises(ValueError, match=f"^steps or minutes must be positive, got {amount}$"):
        Budget(**wrong)


@pytest.fixture
def clock(monkeypatch):
    """The loop's clock; stands still unless somebody moves it on."""
    moving = SimpleNamespace(seconds=1000.0, perf_counter=lambda: moving.seconds)
    monkeypatch.setattr("maskrcnn_edu.training.loop.time", moving)
    return moving


def test_minutes_are_minutes_of_training_alone(clock):
    def thirty_seconds():
        clock.seconds += 30.0

    _, _, steps = training(Budget(minutes=2), model=OneWeight(thirty_seconds))
    reports = []
    for step in steps:
        reports.append((step.step, step.seconds, step.progress))
        clock.seconds += 500.0  # an evaluation, for instance
    assert reports == [(1, 30.0, 0.25), (2, 60.0, 0.5), (3, 90.0, 0.75), (4, 120.0, 1.0)]


def test_a_stop_ends_it_before_the_next_step():
    asked = []
    _, _, steps = training(Budget(steps=9), stop=lambda: asked.append(1) or len(asked) == 3)
    assert [(step.step, step.progress) for step in steps] == [(1, 1 / 9), (2, 2 / 9)]
    assert len(asked) == 3


# ---- the learning rate -----------------------------------------------------------


def test_the_rate_is_asked_for_by_steps_and_progress_before_the_step():
    asked = []

    def learning_rate(step, progress):
        asked.append((step, progress))
        return [0.1, 0.2, 0.0, 0.4][step]

    model, _, steps = training(Budget(steps=4), learning_rate=learning_rate)
    assert [step.learning_rate for step in steps] == [0.1, 0.2, 0.0, 0.4]
    assert asked == [(0, 0.0), (1, 0.25), (2, 0.5), (3, 0.75)]
    assert model.w.item() == pytest.approx(1 - 3 * 0.7)


def test_progress_comes_from_the_minutes(clock):
    def seconds(amounts=iter([6.0, 12.0, 42.0])):
        clock.seconds += next(amounts)

    asked = []
    _, _, steps = training(
        Budget(minutes=1), model=OneWeight(seconds),
        learning_rate=lambda *at: asked.append(at) or 0.1,
    )  # fmt: skip
    list(steps)
    assert asked == [(0, 0.0), (1, 0.1), (2, 0.3)]


SCHEDULE = """
epoch: 10
LearningRate:
  base_lr: 0.8
  schedulers:
    - {name: LinearWarmup, steps: 4, start_factor: 0.5}
    - {name: PiecewiseDecay, milestones: [6, 9], gamma: 0.1}
OptimizerBuilder: {optimizer: {type: Momentum, momentum: 0.5}, regularizer: null}
"""


def test_warm_up_counts_steps_and_milestones_count_epochs_of_the_configuration(tiny_text):
    """Ten epochs in ten steps: the sixth is over after six, the ninth after nine."""
    model = OneWeight()
    config = parse_config(tiny_text["fpn"] + SCHEDULE)
    optimizer, learning_rate = build_optimizer(config, model)
    assert optimizer.get_lr() == pytest.approx(0.4)  # 0.8 * 0.5
    steps = train_steps(model, Loader((0.0,)), Budget(steps=10), optimizer, learning_rate)
    # 0.8 * (0.5, 0.625, 0.75, 0.875, 1, 1), a tenth, a tenth, a tenth, a hundredth
    expected = [0.4, 0.5, 0.6, 0.7, 0.8, 0.8, 0.08, 0.08, 0.08, 0.008]
    assert [step.learning_rate for step in steps] == pytest.approx(expected)


def test_the_rate_reaches_the_optimizer(tiny_text):
    model = OneWeight()
    built = build_optimizer(parse_config(tiny_text["fpn"] + SCHEDULE), model)
    steps = train_steps(model, Loader((2.0,)), Budget(steps=2), *built)
    next(steps)
    assert model.w.item() == pytest.approx(1 - 0.4 * 3)  # velocity 3
    next(steps)
    # half way: warm-up 0.625; velocity 0.5 * 3 + 3
    assert model.w.item() == pytest.approx(1 - 0.4 * 3 - 0.5 * 4.5)


def test_without_a_schedule_twelve_epochs_are_meant(tiny_text):
    schedule = SCHEDULE.replace("epoch: 10\n", "")
    _, learning_rate = build_optimizer(parse_config(tiny_text["fpn"] + schedule), OneWeight())
    assert learning_rate(99, 0.49) == pytest.approx(0.8)
    assert learning_rate(99, 0.51) == pytest.approx(0.08)  # epoch 6 of 12
    assert learning_rate(99, 0.76) == pytest.approx(0.008)  # epoch 9 of 12


# ---- random numbers --------------------------------------------------------------


def test_the_seed_of_a_step_is_this_one():
    """Another function would make every run go on differently after an interruption."""
    assert step_seed(0, 0) == step_seed(0, 0, 0) == 2968811710
    assert [step_seed(0, 1), step_seed(1, 0), step_seed(0, 0, 1)] == [
        3964924996, 1835504127, 3831201730,
    ]  # fmt: skip
    assert step_seed(7, 20, 3) == 3258885218


def drawn(seed):
    """The first number after a seed."""
    paddle.seed(seed)
    return paddle.rand([1]).item()


@pytest.mark.parametrize("rank", [0, 1])
def test_every_step_of_every_process_has_random_numbers_of_its_own(monkeypatch, rank):
    monkeypatch.setenv("PADDLE_TRAINER_ID", str(rank))
    model, _, steps = training(Budget(steps=3), seed=5)
    for _ in steps:
        paddle.rand([7])  # whoever draws between the steps changes nothing
    assert model.drawn == [drawn(step_seed(5, step, rank)) for step in range(3)]


def test_all_batches_of_a_step_draw_from_its_seed():
    model, _, steps = training(Budget(steps=1), seed=5, accumulate=2)
    list(steps)
    paddle.seed(step_seed(5, 0, 0))
    assert model.drawn == [paddle.rand([1]).item(), paddle.rand([1]).item()]


def test_without_a_seed_paddles_own_generator_goes_on():
    model, _, steps = training(Budget(steps=2))
    paddle.seed(3)
    list(steps)
    paddle.seed(3)
    assert model.drawn == [paddle.rand([1]).item(), paddle.rand([1]).item()]


# ---- which batches ---------------------------------------------------------------


def test_epochs_follow_each_other_and_positions_say_what_was_used():
    _, loader, steps = training(Budget(steps=4), (1.0, 2.0, 3.0), accumulate=2)
    reports = [(s.position.epoch, s.position.batches, s.stages.batch.slope) for s in steps]
    # batches 1 2 | 3 1 | 2 3 | 1 2
    assert reports == [(0, 2, 2.0), (1, 1, 1.0), (1, 3, 3.0), (2, 2, 2.0)]
    assert loader.begun[:3] == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("done", [1, 2, 3, 4])
def test_a_run_goes_on_with_the_batch_it_would_have_had(accumulate, done):
    def slopes(steps):
        return [(s.step, s.images, s.stages.batch.slope, s.position) for s in steps]

    options = {"slopes": (1.0, 2.0, 3.0), "accumulate": accumulate}
    model, _, steps = training(Budget(steps=6), **options)
    whole = [(*row[:3], dataclasses.replace(row[3], seconds=0.0)) for row in slopes(steps)]
    model, _, steps = training(Budget(steps=6), **options)
    last = [next(steps) for _ in range(done)][-1]
    start = snapshot(model, last.optimizer, last.scaler, last.position)
    again, loader, rest = training(Budget(steps=6), start=start, **options)
    rest = slopes(rest)
    assert [(*row[:3], dataclasses.replace(row[3], seconds=0.0)) for row in rest] == whole[done:]
    assert loader.begun[0] == (last.position.epoch, last.position.batches)
    assert rest[0][3].seconds > last.seconds  # the clock goes on, too
    for _ in steps:
        pass
    assert again.w.item() == model.w.item()


def test_where_training_stands_after_a_step():
    at = TrainingProgress(step=3, seconds=1.5, images=24, epoch=0, batches=7)
    assert at.after(seconds=0.25, images=8, epoch=1, batches=1) == TrainingProgress(
        step=4, seconds=1.75, images=32, epoch=1, batches=1
    )


# ---- fp16 ------------------------------------------------------------------------


@pytest.mark.skipif(
    not paddle.device.is_compiled_with_cuda(), reason="a CPU build scales no losses"
)
@pytest.mark.skipif(
    paddle.__version__.startswith("2.") and not paddle.device.cuda.device_count(),
    reason="2.6 scales no losses on a CPU",
)
def test_only_fp16_scales_the_loss():
    assert grad_scaler("fp16").state_dict()["scale"].item() == 65536


def test_others_scale_nothing():
    for amp in (None, "bf16"):
        loss = paddle.to_tensor(2.0)
        assert grad_scaler(amp).scale(loss) is loss and grad_scaler(amp).state_dict() == {}
