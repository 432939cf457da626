"""Several processes do what one does: the same weights, the same detections, one end."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import paddle
import pytest
from safetensors.numpy import load_file

from maskrcnn_edu.cli.main import main
from maskrcnn_edu.system import processes
from maskrcnn_edu.training.distributed import (
    average_gradients,
    balanced_loss,
    loss_counts,
    loss_weights,
)
from maskrcnn_edu.training.freezing import fill_gradients

SMALL = [
    "ResNet.depth=10",
    "ResNet.ch_in=8",
    "ResNet.ch_out_list=[8,8,16,16]",
    "FPN.out_channel=8",
    "TwoFCHead.out_channel=16",
    # each process has a random stream of its own: draw the first anchors and RoIs instead
    "RPNHead.rpn_target_assign.use_random=false",
    "BBoxAssigner.use_random=false",
    # the document's optimizer; AdamW's first steps are signs, which rounding can turn over
    "OptimizerBuilder.optimizer={type: Momentum, momentum: 0.9}",
]
STEPS = 20
PYTHON = [sys.executable, "-m"]


def training(shapes, out, *options):
    files = [
        *("--train-json", f"{shapes}/annotations/instances_train.json"),
        *("--train-images", f"{shapes}/train"),
        *("--val-json", f"{shapes}/annotations/instances_val.json"),
        *("--val-images", f"{shapes}/val"),
    ]
    changes = [word for change in SMALL for word in ("--set", change)]
    fixed = ["train", "--config", "shapes_fpn", "--steps", str(STEPS), "--out", str(out)]
    return [*fixed, *files, *changes, *options]


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def one(shapes, tmp_path_factory):
    """What a single process makes of whole batches."""
    out = tmp_path_factory.mktemp("one")
    assert main(training(shapes, out, "--processes", "1")) == 0
    return out


def furthest(one, other):
    ours, theirs = (load_file(out / "model.safetensors") for out in (one, other))
    return max(float(np.abs(ours[name] - theirs[name]).max()) for name in ours)


# ---------------------------------------------------------------- two processes are one


def test_two_processes_give_the_weights_of_one(shapes, one, tmp_path):
    run(*PYTHON, "maskrcnn_edu", *training(shapes, tmp_path, "--processes", "2"))
    assert furthest(one, tmp_path) < 1e-5


def test_launch_gives_the_weights_of_one(shapes, one, tmp_path):
    command = shutil.which("maskrcnn-edu", path=Path(sys.executable).parent)
    launch = ["paddle.distributed.launch", "--nproc_per_node", "2", "--log_dir", tmp_path / "log"]
    run(*PYTHON, *launch, command, *training(shapes, tmp_path))
    assert furthest(one, tmp_path) < 1e-5


def test_two_processes_find_what_one_finds(shapes, one, tmp_path):
    val = ["--json", f"{shapes}/annotations/instances_val.json", "--images", f"{shapes}/val"]
    for count in (1, 2):
        # batches of two, so that five images are three batches: two for one, one for the other
        source = tmp_path / f"model{count}"
        shutil.copytree(one, source)
        config = (source / "config.yml").read_text()
        head, tail = config.split("EvalReader:")
        assert "batch_size: 8" in tail
        tail = tail.replace("batch_size: 8", "batch_size: 2")
        (source / "config.yml").write_text(f"{head}EvalReader:{tail}")
        options = ["--weights", str(source), *val, "--out", str(tmp_path / str(count))]
        assert main(["eval", *options, "--processes", str(count)]) == 0
    for name in ("bbox.json", "segm.json", "ap.json", "ap.txt"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert len({r["image_id"] for r in json.loads((tmp_path / "2/bbox.json").read_text())}) == 5


# ---------------------------------------------------------------- what is balanced


@pytest.fixture
def pair(monkeypatch):
    """This process believes that it is one of two; all_reduce adds what the other has."""
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")

    def other_has(values):
        def add(tensor):
            paddle.assign(tensor + paddle.to_tensor(values, dtype=tensor.dtype), tensor)

        monkeypatch.setattr(processes.dist, "all_reduce", add)

    return other_has


def test_whoever_has_more_rois_counts_more(pair):
    pair([1, 6, 0])
    weights = loss_weights({"a": 3, "b": 2, "c": 0})
    assert {name: weight.item() for name, weight in weights.items()} == {"a": 1.5, "b": 0.5, "c": 0}


def test_losses_of_the_parts_add_up_by_their_counts(tiny, make_batch, pick):
    """What `loss_counts` says is what each loss is divided by."""
    tiny.train()
    batch = make_batch(images=2)
    parts = [tiny(pick(batch, [i])) for i in range(2)]
    counts = [loss_counts(part) for part in parts]
    assert counts[0]["loss_mask"] != counts[1]["loss_mask"]  # else a plain mean would do
    whole = tiny(batch)
    for name, expected in whole.losses.items():
        total = sum(float(p.losses[name]) * c[name] for p, c in zip(parts, counts))
        assert total / sum(c[name] for c in counts) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("normalize", [False, True])
def test_boxes_are_counted_as_the_head_divides_them(tiny_fpn, make_batch, normalize):
    tiny_fpn.bbox_head.loss_normalize_pos = normalize
    tiny_fpn.train()
    stages = tiny_fpn(make_batch(images=2))
    assert loss_counts(stages)["loss_bbox_reg"] == sum(map(len, stages.samples))


def test_the_loss_of_one_process_is_the_sum(tiny_fpn, make_batch):
    tiny_fpn.train()
    stages = tiny_fpn(make_batch(images=1))
    assert balanced_loss(stages).item() == stages.loss.item()


def test_gradients_are_averaged_and_none_counts_as_zero(pair):
    with_gradient, without = paddle.create_parameter([2], "float32"), paddle.ones([1, 2])
    without.stop_gradient = False
    (with_gradient * paddle.to_tensor([2.0, 4.0])).sum().backward()
    pair([4.0, 0.0, 6.0, 8.0])
    fill_gradients([with_gradient, without])
    average_gradients([with_gradient, without])
    assert with_gradient.grad.tolist() == [3.0, 2.0]
    assert without.grad.tolist() == [[3.0, 4.0]]


# ---------------------------------------------------------------- starting and ending


def test_nobody_waits_for_a_process_that_is_gone(shapes, tmp_path):
    """Process 0 waits, deep inside Paddle, for one that was killed before they met."""
    command = [*PYTHON, "maskrcnn_edu", *training(shapes, tmp_path, "--processes", "2")]
    group = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{group.pid}/task/{group.pid}/children")
    while len(children.read_text().split()) < 2:
        time.sleep(0.05)
    os.kill(int(children.read_text().split()[1]), signal.SIGKILL)
    _, errors = group.communicate(timeout=60)
    assert group.returncode == 2
    assert "maskrcnn-edu: process 1 of 2 failed (signal SIGKILL" in errors
    assert "; all end:" in errors
    assert "Traceback" not in errors
    assert not children.exists()
