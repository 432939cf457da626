"""The training loop, on a handful of shapes."""

import json

import numpy as np
import paddle
import pytest

from maskrcnn_edu.config import load_config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.pdparams import write_pdparams
from maskrcnn_edu.train import Budget, train
from maskrcnn_edu.weights import Classes, load_model, load_weights, save_model

SMALL = ("ResNet.depth=10", "ResNet.ch_out_list=[8,8,16,16]", "FPN.out_channel=8")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    write_shapes(folder, train=12, val=4)
    return folder


def dataset(folder, split):
    return CocoDataset(folder / f"annotations/instances_{split}.json", folder / split)


def run(shapes, out, steps, overrides=(), **options):
    config = load_config("shapes_fpn", overrides)
    data = dataset(shapes, "train"), dataset(shapes, "val")
    return train(config, *data, out, Budget(steps=steps), **options)


def test_same_seed_same_losses_for_fifty_steps(shapes, tmp_path):
    def losses(out, seed):
        seen = []
        run(shapes, tmp_path / out, 50, SMALL, seed=seed, on_step=lambda s: seen.append(s.losses()))
        return seen

    first = losses("a", seed=1)
    assert len(first) == 50
    assert losses("b", seed=1) == first  # to the last bit
    assert losses("c", seed=2)[0] != first[0]


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
    assert [line["step"] for line in val_lines] == [7, 14]  # after one and two thirds
    assert all("segm_AP" in line for line in val_lines)


def test_a_saved_model_predicts_the_same(shapes, tmp_path):
    model, _ = run(shapes, tmp_path, 5, SMALL)
    model.eval()
    again, config, classes = load_model(tmp_path)
    image = paddle.to_tensor(np.random.default_rng(0).normal(size=(1, 3, 64, 64)), dtype="float32")
    for ours, theirs in zip(model.features(image), again.features(image)):
        assert (ours == theirs).all()
    assert classes.names == dataset(shapes, "train").class_names
    assert config.values["num_classes"] == len(classes.names)


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
    save_model(tmp_path / "c", model, config, Classes(["a"], [1]))
    (tmp_path / "c/model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="not a whole"):
        load_model(tmp_path / "c")


def test_a_loss_that_is_not_finite_stops_with_the_images(shapes, tmp_path):
    with pytest.raises(ValueError, match=r"step \d+: the loss is not finite .*images \["):
        run(shapes, tmp_path, 30, [*SMALL, "LearningRate.base_lr=1.0e+20"])


def test_a_budget_is_steps_or_minutes():
    assert Budget(steps=10).progress(5, seconds=1000) == 0.5
    assert Budget(minutes=2).progress(5, seconds=30) == 0.25
    assert Budget(steps=10).progress(20, 0) == 1.0
    for wrong in ({}, {"steps": 1, "minutes": 1}, {"steps": -1}):
        with pytest.raises(ValueError, match="steps or minutes"):
            Budget(**wrong)


def test_label_co_tuning_learns_its_relation_from_the_boxes(shapes, tmp_path):
    overrides = [*SMALL, "use_cot=true", "BBoxHead.cot_classes=9"]
    model, history = run(shapes, tmp_path, 1, overrides)
    relationship = model.bbox_head.cot_relation
    assert relationship.shape == [6, 9]
    np.testing.assert_allclose(relationship.sum(axis=1).numpy(), 1, rtol=1e-5)
    assert history.steps[0]["loss_bbox_cls_cot"] > 0


def test_training_takes_what_fits_of_a_pretrained_file(shapes, tmp_path):
    first, _ = run(shapes, tmp_path / "a", 1, SMALL)
    write_pdparams(tmp_path / "w.pdparams", first.backbone.state_dict())
    reports = []
    run(
        shapes, tmp_path / "b", 1, SMALL, pretrain=tmp_path / "w.pdparams",
        on_pretrained=reports.append,
    )  # fmt: skip
    assert len(reports[0].used) == len(first.backbone.state_dict()) and reports[0].missing
