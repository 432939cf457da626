"""The training loop, on a handful of shapes."""

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from PIL import Image

from maskrcnn_edu.config.build import build_optimizer
from maskrcnn_edu.config.schema import load_config, parse_config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.inference.evaluate import Evaluation
from maskrcnn_edu.training import run as training
from maskrcnn_edu.training.checkpoint import CheckpointFolder, CheckpointInterval
from maskrcnn_edu.training.loop import Budget, train_steps
from maskrcnn_edu.training.nan_guard import NanGuard
from maskrcnn_edu.training.run import TrainingOptions, train
from maskrcnn_edu.training.run_folder import CheckpointPolicy
from maskrcnn_edu.viz.curves import LOSSES
from maskrcnn_edu.weights.arrays import load_weights
from maskrcnn_edu.weights.folder import ClassNames, load_model, save_model
from maskrcnn_edu.weights.pdparams import write_pdparams

SMALL = ("ResNet.depth=10", "ResNet.ch_out_list=[8,8,16,16]", "FPN.out_channel=8")


def dataset(folder, split):
    return CocoDataset(folder / f"annotations/instances_{split}.json", folder / split)


def run(
    shapes, out, steps, overrides=(), on_step=lambda step: None, on_message=print,
    on_look=lambda *look: None, **options,
):  # fmt: skip
    config = load_config("shapes_fpn", overrides)
    data = dataset(shapes, "train"), dataset(shapes, "val")
    options, calls = TrainingOptions(Budget(steps=steps), **options), {"on_step": on_step}
    return train(config, *data, out, options, on_message=on_message, on_look=on_look, **calls)


def test_same_seed_same_losses_for_fifty_steps(shapes, tmp_path):
    def losses(out, seed):
        seen = []
        run(shapes, tmp_path / out, 50, SMALL, seed=seed, on_step=lambda s: seen.append(s.losses()))
        return seen

    first = losses("a", seed=1)
    assert len(first) == 50
    assert losses("b", seed=1) == first  # to the last bit
    assert losses("c", seed=2)[0] != first[0]


def test_a_run_that_cannot_begin_destroys_nothing(shapes, tmp_path):
    run(shapes, tmp_path, 2, SMALL)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    brave = CheckpointPolicy(overwrite=True)
    for mistake in (
        {"frozen": ["bakbone"], "checkpoints": brave},
        {"weights": tmp_path / "nowhere", "checkpoints": brave},
        {"overrides": [*SMALL, "TrainReader.batch_size=14"], "checkpoints": brave},
        {},  # nobody said that it may be lost
    ):
        with pytest.raises(ValueError):
            run(shapes, tmp_path, 1, **{"overrides": SMALL, **mistake})
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    messages = []
    run(shapes, tmp_path, 1, SMALL, checkpoints=brave, on_message=messages.append)
    assert messages == [f"the run that was in {tmp_path} is replaced (--overwrite)"]
    assert [path.stem for path in tmp_path.rglob("step-*")] == ["step-000000001"]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_is_a_whole_number_of_32_bits(seed):
    with pytest.raises(ValueError, match=f"seed must be from 0 .* got {seed}"):
        TrainingOptions(Budget(steps=1), seed=seed)


def test_losses_fall_on_a_few_images(shapes, tmp_path):
    losses = []
    run(shapes, tmp_path, 60, on_step=lambda step: losses.append(step.losses()["loss"]))
    # means, because single batches differ in difficulty
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])


def test_metrics_are_json_lines_with_five_losses(shapes, tmp_path):
    run(shapes, tmp_path, 20, SMALL)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    train_lines = [line for line in lines if line["kind"] == "train"]
    val_lines = [line for line in lines if line["kind"] == "val"]
    assert [line["step"] for line in train_lines] == [10, 20]
    terms = [v for k, v in train_lines[-1].items() if k.startswith("loss_")]
    assert len(terms) == 5
    assert sum(terms) == pytest.approx(train_lines[-1]["loss"], abs=1e-4)
    assert [line["step"] for line in val_lines] == [7, 14, 20]  # after each third
    assert all("segm_AP" in line for line in val_lines)
    assert [line["images"] for line in val_lines] == [5, 5, 5]  # there are no more


def test_a_saved_model_predicts_the_same(shapes, tmp_path):
    model, _ = run(shapes, tmp_path, 5, SMALL)
    model.eval()
    again, config, classes = load_model(tmp_path)
    image = paddle.to_tensor(np.random.default_rng(0).normal(size=(1, 3, 64, 64)), dtype="float32")
    for ours, theirs in zip(model.features(image), again.features(image)):
        assert (ours == theirs).all()
    assert classes.names == dataset(shapes, "train").class_names
    assert config.values["num_classes"] == len(classes.names)


def test_the_best_weights_are_those_of_the_best_look(shapes, tmp_path, monkeypatch):
    """Of looks with mask AP 0.25, 0.5 and 0.125 the second, which is a whole model's folder."""
    scores, looks, told = iter([0.25, 0.5, 0.125]), [], []

    def weights(model):
        return {name: value.numpy().copy() for name, value in model.state_dict().items()}

    def evaluate_briefly(model, *data):
        looks.append(weights(model))
        return Evaluation({"AP": 0.0}, {"AP": next(scores), "AP50": 0.0}, "", []), 5

    def on_look(step, result, images):
        told.append((step.step, result.segm["AP"], images))

    monkeypatch.setattr(training, "evaluate_briefly", evaluate_briefly)
    run(shapes, tmp_path, 6, SMALL, on_look=on_look)
    assert told == [(2, 0.25, 5), (4, 0.5, 5), (6, 0.125, 5)]
    best, _, classes = load_model(tmp_path / "best")
    assert classes.names == dataset(shapes, "train").class_names
    last, *_ = load_model(tmp_path)
    for model, look in ((best, looks[1]), (last, looks[2])):
        np.testing.assert_equal(weights(model), look)
    assert any((looks[1][name] != looks[2][name]).any() for name in looks[1])


def test_training_starts_from_given_weights(shapes, tmp_path):
    model, _ = run(shapes, tmp_path / "a", 3, SMALL)
    fresh, _ = run(shapes, tmp_path / "b", 1, [*SMALL, "LearningRate.base_lr=1.0e-12"],
                   weights=tmp_path / "a", seed=5)  # fmt: skip
    for ours, theirs in zip(model.parameters(), fresh.parameters()):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)


def test_weights_that_do_not_fit_are_listed_and_change_nothing(shapes, tmp_path):
    config = load_config("shapes_fpn", SMALL)
    model, _ = run(shapes, tmp_path / "a", 1, SMALL)
    other, _ = run(shapes, tmp_path / "b", 1, [*SMALL, "FPN.out_channel=16"])
    before = {k: v.numpy().copy() for k, v in other.state_dict().items()}
    with pytest.raises(ValueError, match=r"shape: neck.*\n.*shape: ") as problem:
        load_weights(other, tmp_path / "a")
    assert "model.safetensors" in str(problem.value)
    for name, value in other.state_dict().items():
        assert (value.numpy() == before[name]).all()
    save_model(tmp_path / "c", model, config, ClassNames(["a"], [1]))
    (tmp_path / "c/model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="not a whole"):
        load_model(tmp_path / "c")


def test_a_loss_that_is_not_finite_stops_with_the_images(shapes, tmp_path):
    with pytest.raises(ValueError, match=r"step \d+: the loss is not finite .*images \["):
        run(shapes, tmp_path, 30, [*SMALL, "LearningRate.base_lr=1.0e+20"])


def test_label_co_tuning_learns_its_relationship_from_the_boxes(shapes, tmp_path):
    overrides = [*SMALL, "use_cot=true", "BBoxHead.cot_classes=9"]
    model, history = run(shapes, tmp_path, 1, overrides)
    relationship = model.bbox_head.cot_relation
    assert relationship.shape == [6, 9]
    np.testing.assert_allclose(relationship.sum(axis=1).numpy(), 1, rtol=1e-5)
    assert history.steps[0]["loss_bbox_cls_cot"] > 0


def test_training_takes_what_fits_of_a_pretrained_file(shapes, tmp_path):
    first, _ = run(shapes, tmp_path / "a", 1, SMALL)
    write_pdparams(tmp_path / "w.pdparams", first.backbone.state_dict())
    messages = []
    run(
        shapes, tmp_path / "b", 1, SMALL, pretrain=tmp_path / "w.pdparams",
        on_message=messages.append,
    )  # fmt: skip
    count = len(first.backbone.state_dict())
    assert f"{count} of {len(first.state_dict())} weights" in messages[0]


def test_the_guides_board_hears_of_every_step_and_look(shapes, tmp_path, monkeypatch):
    """The code of docs/training.md as it stands there, but for a smaller model and 6 steps."""
    guide = (Path(__file__).parents[2] / "docs/training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", guide.split("## Other boards")[1], re.S)
    assert "Budget(steps=1000)" in code and 'load_config("shapes_fpn")' in code
    code = code.replace("steps=1000", "steps=6").replace('"shapes_fpn")', f'"shapes_fpn", {SMALL})')
    heard = []

    class LogWriter:
        def __init__(self, folder):
            assert folder == "runs/board"

        def add_scalar(self, tag, value, step):
            assert np.isfinite(value)
            heard.append((tag, step))

    monkeypatch.setitem(sys.modules, "visualdl", SimpleNamespace(LogWriter=LogWriter))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/shapes").symlink_to(shapes)
    exec(code, {})
    steps = {tag: [step for other, step in heard if other == tag] for tag, _ in heard}
    assert steps.pop("segm_AP") == [2, 4, 6]
    assert set(steps) == {"loss", *LOSSES}
    assert all(of_tag == [1, 2, 3, 4, 5, 6] for of_tag in steps.values())


# ---- losses that go wrong --------------------------------------------------------


def break_at(step, what):
    """A guard that breaks a number at one step, before the real one checks it."""

    class Breaking(NanGuard):
        def __call__(self, number, batches, losses, stages):
            if number == step:
                what(self.model, stages, losses)
            super().__call__(number, batches, losses, stages)

    return Breaking


def nan_loss(model, stages, losses):
    losses[-1]["loss_mask"].set_value(paddle.to_tensor(float("nan")))


def infinite_gradient(model, stages, losses):
    weight = model.mask_head.mask_fcn_logits.weight
    weight.grad = weight.grad / 0.0


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (nan_loss, r"step 4: the loss is not finite \(loss nan, .*loss_mask nan\); images \["),
        (infinite_gradient, r"step 4: a gradient is not finite \(loss \d.*\); images \["),
    ],
)
def test_a_bad_step_stops_and_dumps_its_batch(shapes, tmp_path, monkeypatch, what, words):
    monkeypatch.setattr(training, "NanGuard", break_at(4, what))
    with pytest.raises(ValueError, match=words) as problem:
        run(shapes, tmp_path, 9, SMALL, checkpoints=CheckpointPolicy(CheckpointInterval(steps=1)))
    text, folder = str(problem.value), tmp_path / "bad_batch"
    for name in (
        "features 0",
        "rpn scores",
        "rpn deltas",
        "proposals 0",
        "bbox deltas",
        "mask log",
    ):
        assert f"  {name}" in text
    assert "weights that are not finite: 0" in text  # they were not moved
    count = 0 if what is nan_loss else 1
    assert f"gradients that are not finite: {count}" in text
    assert str(folder) in text and "Lower LearningRate.base_lr" in text
    facts = json.loads((folder / "batch.json").read_text())
    assert f"images {facts['image_id']}" in text
    for number, objects in zip(facts["image_id"], facts["objects"]):
        with Image.open(folder / f"{number}.png") as image:
            assert image.size == (128, 128)
        assert objects and {"box", "label", "is_crowd", "polygons"} == set(objects[0])
    with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
        assert arrays["image"].shape == (4, 3, 128, 128)
        assert len(arrays["gt_boxes_0"]) == len(facts["objects"][0])
    newest, _ = CheckpointFolder(tmp_path / "checkpoints").newest()
    assert newest.position.step == 3  # the last good one, and no model is written
    assert not (tmp_path / "model.safetensors").exists()


def test_weights_that_are_no_numbers_are_not_written(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "NanGuard", lambda *_: SimpleNamespace(finish=lambda: None))
    monkeypatch.setattr(training, "train_steps", broken_weights(training.train_steps))
    with pytest.raises(ValueError, match=r"arrays are not finite and are not saved: .*conv"):
        run(shapes, tmp_path, 2, SMALL, checkpoints=CheckpointPolicy(CheckpointInterval()))
    assert not (tmp_path / "model.safetensors").exists()


def broken_weights(steps):
    """A training loop that spoils one weight after the last step."""

    def broken(model, *arguments, **options):
        yield from steps(model, *arguments, **{**options, "guard": lambda *step: None})
        first = model.parameters()[0]
        first.set_value(first.detach() * float("nan"))

    return broken


# ---- gradients of several batches, and mixed precision ---------------------------


def test_two_batches_are_one_of_twice_the_size(build_tiny, tiny_text, make_batch, make_gt, pick):
    """With equally many RoIs in both images, and equally many foreground ones."""
    config = parse_config(tiny_text["fpn"] + TRAINING)
    gt = [make_gt([[4, 6, 40, 30]], [0]), make_gt([[8, 10, 44, 34]], [1])]
    whole = make_batch(2, gt)
    halves = [pick(whole, [0]), pick(whole, [1])]

    def weights(batches, accumulate):
        model = build_tiny(tiny_text["fpn"])
        loader = SimpleNamespace(epoch=lambda epoch, skip=0: iter(batches[skip:]))
        built = build_optimizer(config, model)
        steps = train_steps(model, loader, Budget(steps=5), *built, accumulate=accumulate)
        counts = []
        for step in steps:
            counts.append(
                [(len(s), len(t)) for s, t in zip(step.stages.samples, step.stages.mask_targets)]
            )
        return step, counts, {k: v.numpy() for k, v in model.state_dict().items()}

    one, counts, expected = weights([whole], 1)
    for first, second in counts:
        assert first == second and first[1] > 0  # else the test would compare other losses
    two, _, averaged = weights(halves, 2)
    assert two.images == one.images == 10 and two.step == 5
    assert two.losses() == pytest.approx(one.losses(), abs=1e-5)
    for name, value in expected.items():
        np.testing.assert_allclose(averaged[name], value, atol=1e-5, rtol=0, err_msg=name)
    _, _, single = weights(halves, 1)
    assert max(abs(single[k] - expected[k]).max() for k in expected) > 1e-4


TRAINING = """
LearningRate: {base_lr: 0.02}
OptimizerBuilder: {optimizer: {type: Momentum, momentum: 0.9}}
"""


def test_a_step_without_objects_still_moves_the_mask_head(
    build_tiny, tiny_text, make_batch, make_gt
):
    """Its gradient is zero, and momentum carries it on; in PaddleDetection, too."""
    model, config = build_tiny(tiny_text["fpn"]), parse_config(tiny_text["fpn"])
    batches = [make_batch(images=1), make_batch(images=1, gt=[make_gt([])])]
    loader = SimpleNamespace(epoch=lambda epoch, skip=0: iter(batches))
    weight, seen = model.mask_head.mask_fcn_logits.weight, []
    for _ in train_steps(model, loader, Budget(steps=2), *build_optimizer(config, model)):
        seen.append(weight.numpy().copy())
        assert all(p.grad is None for p in model.parameters())  # they take no memory
    assert len(seen) == 2 and (seen[0] != seen[1]).any()


def test_the_schedule_counts_steps_not_batches(shapes, tmp_path):
    seen = []
    run(shapes, tmp_path, 4, SMALL, accumulate=3, on_step=seen.append)
    assert [s.step for s in seen] == [1, 2, 3, 4]
    assert [s.images for s in seen] == [12, 24, 36, 48]
    assert [(s.position.epoch, s.position.batches) for s in seen] == [(i, 3) for i in range(4)]
    with pytest.raises(ValueError, match="accumulate must be at least 1 batch, got 0"):
        run(shapes, tmp_path / "b", 1, SMALL, accumulate=0)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_the_cpu_has_no_mixed_precision_and_says_so(shapes, tmp_path, amp):
    with pytest.raises(ValueError, match=f"amp {amp}: mixed precision needs a GPU. On the CPU"):
        run(shapes, tmp_path, 1, SMALL, amp=amp)
    with pytest.raises(ValueError, match=f"amp {amp}: mixed precision needs a GPU"):
        run(shapes, tmp_path, 1, [*SMALL, f"amp={amp}"])
