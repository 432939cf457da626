"""Training goes on from other weights: for other classes, in parts, in other batches."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from maskrcnn_edu.cli.main import main
from maskrcnn_edu.config.schema import load_config, parse_config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.training.checkpoint import CheckpointInterval
from maskrcnn_edu.training.loop import Budget
from maskrcnn_edu.training.run import TrainingOptions, train
from maskrcnn_edu.training.run_folder import CheckpointPolicy, Interrupted
from maskrcnn_edu.weights.arrays import read_arrays
from maskrcnn_edu.weights.folder import ClassNames, save_model
from maskrcnn_edu.weights.pretrained import load_pretrained, stored_classes
from maskrcnn_edu.weights.zoo import coco_classes

SMALL = (
    "ResNet.ch_in=8",
    "ResNet.ch_out_list=[8,8,16,16]",
    "ResNet.norm_type=bn",  # statistics that freezing must keep
    "FPN.out_channel=8",
    "TwoFCHead.out_channel=16",
    "MaskFeat.out_channel=8",
    "TrainReader.batch_size=2",
)
CLASS_LAYERS = ("bbox_head.bbox_score", "bbox_head.bbox_delta", "mask_head.mask_fcn_logits")


# ---- classes by name -------------------------------------------------------------


@pytest.fixture
def saved(tiny, build_tiny, tiny_text, tmp_path):
    """A model of the classes cat, dog, emu in a folder, and how to build one for C classes."""
    text = tiny_text["c4" if tiny.neck is None else "fpn"]
    config = parse_config(text)
    save_model(tmp_path / "run", tiny, config, ClassNames(["cat", "dog", "emu"], [1, 5, 9]))
    return tmp_path / "run", lambda c: build_tiny(text.replace("classes: 3", f"classes: {c}"))


def class_layers(model):
    """{layer: rows}: [C + 1, n] scores, [C, n] deltas (4 per class), [C, n] masks."""
    state = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    score, delta, logits = (
        [state[f"{layer}.{kind}"] for kind in ("weight", "bias")] for layer in CLASS_LAYERS
    )
    return {
        "score": np.concatenate([score[0], score[1][None]]).T,
        "delta": np.concatenate([delta[0], delta[1][None]]).T.reshape(len(delta[1]) // 4, -1),
        "mask": np.concatenate([logits[0].reshape(len(logits[1]), -1), logits[1][:, None]], axis=1),
    }


def test_classes_of_the_same_name_keep_what_was_learned(saved, tiny):
    folder, build = saved
    names = ["ant", "emu", "bee", "cat"]
    model = build(4)
    before, old = class_layers(model), class_layers(tiny)
    report = load_pretrained(model, folder, names)
    after = class_layers(model)
    assert report.classes == ["emu", "cat"] and report.shape_mismatch == []
    assert "2 of its classes keep what was learned about them: emu, cat" in str(report)
    for layer in ("score", "delta", "mask"):
        for new, stored in ((1, 2), (3, 0)):
            np.testing.assert_array_equal(after[layer][new], old[layer][stored])
        for new in (0, 2):
            np.testing.assert_array_equal(after[layer][new], before[layer][new])
            assert not np.array_equal(after[layer][new], old[layer][new])
    np.testing.assert_array_equal(after["score"][-1], old["score"][-1])  # the background's


def test_the_same_classes_in_another_order_are_not_mixed_up(saved, tiny):
    folder, build = saved
    model = build(3)
    load_pretrained(model, folder / "model.safetensors", ["emu", "cat", "dog"])
    after, old = class_layers(model), class_layers(tiny)
    for layer in ("score", "delta", "mask"):
        np.testing.assert_array_equal(after[layer][:3], old[layer][[2, 0, 1]])


def test_without_a_common_name_the_shape_decides(saved, tiny):
    folder, build = saved
    other, same_size = build(4), build(3)
    assert len(load_pretrained(other, folder, ["a", "b", "c", "d"]).shape_mismatch) == 6
    report = load_pretrained(same_size, folder, ["a", "b", "c"])
    assert report.shape_mismatch == report.classes == []
    for layer, rows in class_layers(same_size).items():
        np.testing.assert_array_equal(rows, class_layers(tiny)[layer])


def test_boxes_that_are_the_same_for_all_classes_are_taken_whole(build_tiny, tiny_text, tmp_path):
    def text(count):
        made = tiny_text["fpn"].replace("num_classes: 3", f"num_classes: {count}")
        return made.replace("head: TwoFCHead", "head: TwoFCHead\n  cls_agnostic: true")

    old = build_tiny(text(3))
    save_model(tmp_path, old, parse_config(text(3)), ClassNames(["cat", "dog", "emu"], [1, 2, 3]))
    model = build_tiny(text(2))
    report = load_pretrained(model, tmp_path, ["emu", "yak"])
    assert report.shape_mismatch == [] and report.classes == ["emu"]
    assert (model.bbox_head.bbox_delta.weight == old.bbox_head.bbox_delta.weight).all()
    np.testing.assert_array_equal(class_layers(model)["score"][0], class_layers(old)["score"][2])


def test_whose_classes_are_known(saved, tmp_path):
    folder, _ = saved
    assert stored_classes(folder).names == ["cat", "dog", "emu"]
    for name, names in (("mask_rcnn_r50_1x_coco", coco_classes()[0]), ("my_own", None)):
        path = tmp_path / f"{name}.pdparams"
        path.write_bytes(b"")
        known = stored_classes(path)
        assert (known and known.names) == names


# ---- training --------------------------------------------------------------------


def run(shapes, out, steps=3, overrides=SMALL, listeners=None, **options):
    data = (
        CocoDataset(shapes / f"annotations/instances_{split}.json", shapes / split)
        for split in ("train", "val")
    )
    config = load_config("shapes_fpn", overrides)
    options = TrainingOptions(Budget(steps=steps), **options)
    return train(config, *data, out, options, **(listeners or {}))[0]


def test_frozen_parts_come_out_of_training_bit_for_bit(shapes, tmp_path):
    run(shapes, tmp_path / "old")
    messages = []
    run(
        shapes, tmp_path / "new", pretrain=tmp_path / "old",
        frozen=["backbone", "neck", "rpn_head.rpn_feat"],
        listeners={"on_message": messages.append},
    )  # fmt: skip
    old, new = read_arrays(tmp_path / "old"), read_arrays(tmp_path / "new")
    same = {name for name in old if np.array_equal(old[name], new[name])}
    assert same == {n for n in old if n.startswith(("backbone.", "neck.", "rpn_head.rpn_feat."))}
    assert any(name.endswith("_mean") for name in same)
    assert f"frozen: {len(same)} of {len(old)} weights" in messages


def test_a_frozen_run_goes_on_frozen_or_not_at_all(shapes, tmp_path):
    def train_for(seen, checkpoints, stop=lambda: False):
        return run(
            shapes, tmp_path / "run", 6, frozen=["backbone"], checkpoints=checkpoints,
            listeners={"on_step": lambda step: seen.append(step.losses()), "stop": stop},
        )  # fmt: skip

    policy, whole, first, second = CheckpointPolicy(CheckpointInterval(steps=2)), [], [], []
    train_for(whole, policy)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(Interrupted):
        train_for(first, policy, stop=lambda: len(first) == 3)
    with pytest.raises(ValueError, match="frozen"):
        run(shapes, tmp_path / "run", 6, checkpoints=replace(policy, resume=True))
    train_for(second, replace(policy, resume=True))
    assert first + second == whole and len(second) == 3


def test_a_part_that_is_not_there_is_named_before_training(shapes, tmp_path):
    with pytest.raises(ValueError, match=r"begins with backbon; .* backbone, neck, rpn_head"):
        run(shapes, tmp_path, frozen=["backbon"])


def test_training_keeps_classes_by_their_names(shapes, tmp_path):
    old = run(shapes, tmp_path / "old")
    text = (tmp_path / "old/classes.json").read_text()
    (tmp_path / "old/classes.json").write_text(text.replace("circle", "CIRCLE"))
    messages = []
    new = run(
        shapes, tmp_path / "new", 1, [*SMALL, "LearningRate.base_lr=1.0e-12"], seed=5,
        pretrain=tmp_path / "old", listeners={"on_message": messages.append},
    )  # fmt: skip
    assert "learned about them: rectangle, triangle, star, ring, pair" in messages[0]
    before, after = class_layers(old)["mask"], class_layers(new)["mask"]
    is_near = np.isclose(before, after, atol=1e-6).all(axis=1)
    assert is_near.tolist() == [True, False, True, True, True, True]


# ---- the command -----------------------------------------------------------------


def command(shapes, out, *options):
    return main([
        "train", "--config", "shapes_fpn", "--out", str(out), "--steps", "1", "--processes", "1",
        "--train-json", f"{shapes}/annotations/instances_train.json",
        "--train-images", f"{shapes}/train",
        "--val-json", f"{shapes}/annotations/instances_val.json",
        "--val-images", f"{shapes}/val",
        *(word for change in SMALL[:-1] for word in ("--set", change)), *map(str, options),
    ])  # fmt: skip


def first_line(out):
    return json.loads((out / "metrics.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize(
    ("options", "size", "base_lr", "words"),
    [
        ([], 4, 0.003, None),
        (["--batch-size", 4], 4, 0.003, None),
        (["--batch-size", 2], 2, 0.0015, "2 images per step instead of 4: base_lr 0.0015 inst"),
        (["--batch-size", 2, "--accumulate", 4], 2, 0.006, "8 images per step instead of 4"),
        (["--batch-size", 2, "--accumulate", 2], 2, 0.003, None),
        (["--batch-size", 2, "--set", "LearningRate.base_lr=0.001"], 2, 0.001, "as you set it"),
    ],
)
def test_the_learning_rate_follows_the_batch(
    shapes, tmp_path, capsys, options, size, base_lr, words
):
    assert command(shapes, tmp_path, *options) == 0
    printed = capsys.readouterr().out
    assert words in printed if words else "per step" not in printed
    config = load_config(tmp_path / "config.yml").values
    assert config["TrainReader"]["batch_size"] == size
    assert config["LearningRate"]["base_lr"] == pytest.approx(base_lr)
    # the warm-up starts at a tenth, whatever the rate
    assert first_line(tmp_path)["lr"] == pytest.approx(0.1 * base_lr)
    batches = options[3] if "--accumulate" in options else 1
    assert first_line(tmp_path)["images"] == size * batches


def test_impossible_options_are_one_line(shapes, tmp_path, capsys):
    assert command(shapes, tmp_path, "--batch-size", 0) == 2
    assert capsys.readouterr().err == "maskrcnn-edu: --batch-size must be at least 1, got 0\n"
    assert command(shapes, tmp_path, "--freeze", "body") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("maskrcnn-edu: freeze: no weight's name begins with body; the model's")
