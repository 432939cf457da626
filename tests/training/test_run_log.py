"""What a run must have in common with the one it goes on from, and what it writes down."""

import dataclasses
import json
import re
from functools import partial
from types import SimpleNamespace

import pytest

from maskrcnn_edu.config.schema import parse_config
from maskrcnn_edu.inference.evaluate import Evaluation
from maskrcnn_edu.training import run as training
from maskrcnn_edu.training.checkpoint import (
    CheckpointInterval,
    TrainingProgress,
    diff_settings,
    fingerprint,
)
from maskrcnn_edu.training.loop import Budget
from maskrcnn_edu.training.run import EVAL_AT, EVAL_IMAGES, TrainingOptions, run_settings
from maskrcnn_edu.training.run_folder import BestWeights, CheckpointPolicy, History

# ---- settings --------------------------------------------------------------------


class Data(list):
    """As much of a dataset as the settings want."""

    def __init__(self, count, json_file):
        super().__init__(range(count))
        self.json_file = json_file


@pytest.fixture
def settings(tmp_path, tiny_text):
    """Settings of a run, with changes."""

    def make(*, text="", train="{}", val="{}", train_images=6, amp=None, **options):
        data = []
        for split, content, count in (("train", train, train_images), ("val", val, 2)):
            (tmp_path / f"{split}.json").write_text(content)
            data.append(Data(count, tmp_path / f"{split}.json"))
        config = parse_config(tiny_text["fpn"] + text)
        options = TrainingOptions(**{"budget": Budget(steps=8), **options})
        return run_settings(config, *data, options, amp)

    return make


def test_the_settings_of_a_run(settings, tmp_path):
    made = settings()
    assert "ResNet:" in made.pop("configuration")
    digest = fingerprint(tmp_path / "train.json")
    assert made == {
        "training data": f"6 images, train.json {digest}",
        "validation data": f"2 images, val.json {digest}",
        "length": "8 steps",
        "processes": "1",
        "seed": "0",
        "amp": "None",
        "accumulate": "1",
        "weights": "None",
        "frozen": "",
    }


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"text": "\nepoch: 7\n"}, "configuration: epoch: 7 instead of other lines"),
        ({"train": "[]"}, "training data: 6 images, train.json .* instead of 6 images, train.json"),
        ({"train_images": 5}, "training data: 5 images, train.json .* instead of 6 images"),
        ({"val": "[]"}, "validation data: 2 images, val.json .* instead of 2 images, val.json"),
        ({"budget": Budget(steps=9)}, "length: 9 steps instead of 8 steps"),
        ({"budget": Budget(minutes=1.5)}, "length: 1.5 minutes instead of 8 steps"),
        ({"seed": 3}, "seed: 3 instead of 0"),
        ({"amp": "fp16"}, "amp: fp16 instead of None"),
        ({"accumulate": 2}, "accumulate: 2 instead of 1"),
        ({"weights": "a/folder"}, "weights: a/folder instead of None"),
        ({"pretrain": "a.pdparams"}, "weights: a.pdparams instead of None"),
        ({"frozen": ["backbone", "neck"]}, "frozen: backbone, neck instead of "),
    ],
)
def test_each_setting_alone_makes_another_run(settings, changes, line):
    (difference,) = diff_settings(settings(), settings(**changes))
    assert re.match(line, difference)


def test_the_number_of_processes_makes_another_run(settings, monkeypatch):
    before = settings()
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    assert diff_settings(before, settings()) == ["processes: 2 instead of 1"]


def test_when_checkpoints_come_is_nobodys_business(settings):
    policy = CheckpointPolicy(CheckpointInterval(steps=1), keep=1, resume=True)
    assert diff_settings(settings(), settings(checkpoints=policy)) == []


def test_of_long_texts_three_lines_are_named():
    before = {"configuration": "a: 1\n  b: 2\nc: 3\nd: 4\ne: 5"}
    after = {"configuration": "a: 1\n  b: 20\nc: 30\nd: 40\ne: 50"}
    assert diff_settings(before, after) == [
        "configuration: b: 20; c: 30; d: 40 ... instead of b: 2; c: 3; d: 4 ..."
    ]


def test_options_accumulate_at_least_one_batch():
    with pytest.raises(ValueError, match="^accumulate must be at least 1 batch, got 0$"):
        TrainingOptions(Budget(steps=1), accumulate=0)


# ---- what is written down --------------------------------------------------------


@dataclasses.dataclass
class Report:
    """As much of a `Step` as is written down: 4 images and half a second each."""

    step: int
    progress: float
    learning_rate: float = 0.25

    @property
    def position(self):
        return TrainingProgress(self.step, self.seconds)

    @property
    def seconds(self):
        return self.step / 2

    @property
    def images(self):
        return 4 * self.step

    def losses(self):
        return {"loss": 1 / self.step, "loss_mask": 1 / 3}


class Folder:
    """A `RunFolder` that only notes what it is asked to save."""

    def __init__(self, history, due=()):
        self.history, self.due, self.calls = history, due, []
        self.best = BestWeights("best")

    def is_due(self, step):
        return step.step in self.due

    def save(self, step):
        self.calls.append(f"save {step.step}")

    def close(self, step):
        self.calls.append(f"close {step.step}")


def observe(folder, count, first=1, total=None):
    """Run steps; the numbers of those after which the model was evaluated."""
    looks = []
    steps = (Report(n, n / (total or count)) for n in range(first, count + 1))

    def evaluate_now():
        return Evaluation({"AP": 0.5}, {"AP": 0.25, "AP50": 0.75}, "", []), 37

    def on_look(step, result, images):
        assert (result.segm["AP"], images) == (0.25, 37)
        assert folder.history.evaluations[-1]["step"] == step.step  # it is written down
        looks.append(step.step)

    def save(place, facts):
        folder.calls.append(f"best {facts['step']} {place}")

    guard = SimpleNamespace(finish=lambda: folder.calls.append("finish"))
    look = partial(training._look, folder, evaluate_now, save, on_look)
    training._run_steps(steps, folder, guard, look, lambda step: None)
    return looks


def test_losses_are_logged_every_ten_steps_and_at_the_end():
    history = History()
    observe(Folder(history), 23)
    assert [line["step"] for line in history.steps] == [10, 20, 23]
    assert history.steps[1] == {
        "kind": "train", "step": 20, "seconds": 10.0, "images": 80, "lr": 0.25, "loss": 0.05,
        "loss_mask": 0.333333,
    }  # fmt: skip


def test_a_stopped_run_does_not_log_its_last_step():
    history = History()
    observe(Folder(history), 15, total=30)
    assert [line["step"] for line in history.steps] == [10]


@pytest.mark.parametrize(
    ("count", "steps"), [(9, [3, 6, 9]), (10, [4, 7, 10]), (2, [1, 2]), (1, [1])]
)
def test_the_model_is_evaluated_after_each_third(count, steps):
    history = History()
    assert EVAL_AT == (1 / 3, 2 / 3, 1)
    assert observe(Folder(history), count) == steps
    assert history.evaluations[0] == {
        "kind": "val", "step": steps[0], "seconds": steps[0] / 2, "images": 37,
        "bbox_AP": 0.5, "segm_AP": 0.25, "segm_AP50": 0.75,
    }  # fmt: skip


def test_an_evaluation_that_was_made_is_not_made_again():
    history = History(evaluations=[{"kind": "val", "step": 3}])
    assert observe(Folder(history), 9, first=4) == [6, 9]
    history = History(evaluations=[{}, {}, {}])
    assert observe(Folder(history), 9, first=7) == []


def test_a_step_is_checked_before_it_is_saved():
    folder = Folder(History(evaluations=[{}, {}, {}]), due=(2, 4))
    observe(folder, 5)
    assert folder.calls == ["finish", "save 2", "finish", "save 4", "finish", "close 5"]


def test_a_step_is_checked_before_its_weights_are_the_best_and_these_come_before_a_checkpoint():
    folder = Folder(History(), due=(1, 2))
    observe(folder, 2, total=6)
    look = ["finish", "best 2 best", "finish", "save 2"]
    assert folder.calls == ["finish", "save 1", *look, "finish", "close 2"]


def test_without_a_step_there_is_nothing_to_close():
    folder = Folder(History())
    observe(folder, 0, total=1)
    assert folder.calls == ["finish"]


def test_other_processes_only_report(monkeypatch):
    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    folder = Folder(History(), due=(1, 2, 3))
    assert observe(folder, 30) == []
    assert folder.calls == folder.history.steps == []


def test_an_evaluation_counts_the_images_that_could_be_read(monkeypatch):
    """Three batches of 8, and two of these images cannot be read."""
    limits = []

    def evaluate(model, dataset, reader, category_ids, limit, on_batch):
        limits.append(limit)
        assert category_ids == [4]
        for _ in range(3):
            on_batch(8)
        return Evaluation({}, {}, "", [], left_out=[4, 9])

    monkeypatch.setattr(training, "evaluate", evaluate)
    monkeypatch.setattr(training, "match_dataset", lambda names, dataset, source: [4])
    data = SimpleNamespace(class_names=["cat"], json_file="train.json")
    _, images = training.evaluate_briefly(None, None, None, data)
    assert images == 22 and limits == [EVAL_IMAGES] == [40]


def test_the_lines_are_json(tmp_path):
    history = History(tmp_path / "metrics.jsonl")
    observe(Folder(history), 3)
    kinds = [json.loads(line)["kind"] for line in history.path.read_text().splitlines()]
    assert kinds == ["val", "val", "train", "val"]


def test_another_process_than_the_first_takes_every_step_and_writes_nothing(monkeypatch):
    monkeypatch.setattr(training, "rank", lambda: 1)
    folder, seen = Folder(History()), []
    steps = (Report(n, n / 20) for n in range(1, 21))
    training._run_steps(steps, folder, None, None, lambda step: seen.append(step.step))
    assert seen == list(range(1, 21)) and not folder.calls and not folder.history.steps
