"""Checkpoints: a run that was interrupted is the run that was not."""

import errno
import importlib.util
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.training.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    CheckpointInterval,
    TrainingProgress,
    check_finite,
    diff_settings,
    fingerprint,
    snapshot,
    step_seed,
)
from maskrcnn_edu.training.loop import Budget
from maskrcnn_edu.training.run import TrainingOptions, train
from maskrcnn_edu.training.run_folder import CheckpointPolicy, History, Interrupted

KILL = Path(__file__).parents[2] / "tools" / "kill.py"
spec = importlib.util.spec_from_file_location("kill", KILL)
kill = sys.modules["kill"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kill)
command, outcome, torture = kill.command, kill.outcome, kill.torture

SMALL = (
    "ResNet.ch_in=8",
    "ResNet.ch_out_list=[8,8,16,16]",
    "ResNet.norm_type=bn",  # stored statistics are part of the state
    "FPN.out_channel=8",
    "TwoFCHead.out_channel=16",
    "TrainReader.batch_size=2",
)
MOMENTUM = ("OptimizerBuilder.optimizer={type: Momentum, momentum: 0.9}",)
EVERY_STEP = CheckpointInterval(steps=1)


def dataset(folder, split):
    return CocoDataset(folder / f"annotations/instances_{split}.json", folder / split)


def run(
    folder, out, steps=8, until=None, resume=False, overrides=(), interval=EVERY_STEP,
    on_message=print, **options,
):  # fmt: skip
    """Train; ``until`` asks to stop after that step. The losses of the steps it made."""
    seen, data = {}, (dataset(folder, "train"), dataset(folder, "val"))
    config = load_config("shapes_fpn", [*SMALL, *overrides])
    options.setdefault("checkpoints", CheckpointPolicy(interval, resume=resume))
    options.setdefault("budget", Budget(steps=steps))
    train(
        config, *data, out, TrainingOptions(**options), on_message=on_message,
        on_step=lambda step: seen.update({step.step: step.losses()}),
        stop=lambda: until is not None and max(seen, default=0) >= until,
    )  # fmt: skip
    return seen


def interrupted(folder, out, until, **more):
    seen = {}
    with pytest.raises(Interrupted, match=f"stopped after step {until}, saved in"):
        seen = run(folder, out, until=until, **more)
    return seen


# ---- the same to the last bit ----------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"overrides": MOMENTUM}, {"accumulate": 2}])
def test_an_interrupted_run_is_the_run_that_was_not(shapes, tmp_path, more):
    calm = run(shapes, tmp_path / "calm", **more)
    assert list(calm) == list(range(1, 9))
    paddle.seed(77)  # what was drawn before must not matter
    interrupted(shapes, tmp_path / "out", 2, **more)
    interrupted(shapes, tmp_path / "out", 7, resume=True, **more)  # after two of three looks
    rest = run(shapes, tmp_path / "out", resume=True, **more)
    assert rest == {8: calm[8]}
    assert outcome(tmp_path / "out") == outcome(tmp_path / "calm")
    lines, _ = outcome(tmp_path / "out")
    assert [line["kind"] for line in lines] == ["val", "val", "train", "val"]


def test_one_forgotten_number_would_be_noticed(shapes, tmp_path):
    """That the comparison above can fail: one of the optimizer's tensors set to zero."""
    run(shapes, tmp_path / "calm")
    interrupted(shapes, tmp_path / "out", 4)
    folder = CheckpointFolder(tmp_path / "out/checkpoints")
    newest, _ = folder.newest()
    moments = [k for k in newest.arrays if k.startswith("optimizer.moment1.")]
    assert len(moments) > 50
    newest.arrays[moments[0]][...] = 0
    folder.save(newest)
    run(shapes, tmp_path / "out", resume=True)
    assert outcome(tmp_path / "out") != outcome(tmp_path / "calm")


def test_lines_written_after_the_checkpoint_are_cut_off(shapes, tmp_path):
    run(shapes, tmp_path / "calm")
    interrupted(shapes, tmp_path / "out", 5)
    with (tmp_path / "out/metrics.jsonl").open("a") as file:
        file.write('{"kind": "val", "step": 6}\n{"kind": "va')  # killed while writing
    run(shapes, tmp_path / "out", resume=True)
    assert outcome(tmp_path / "out") == outcome(tmp_path / "calm")


def test_the_checkpoint_knows_the_models_names_and_the_seconds(shapes, tmp_path):
    interrupted(shapes, tmp_path, 7)  # an epoch has 13 images: six batches of two
    newest, _ = CheckpointFolder(tmp_path / "checkpoints").newest()
    assert newest.position.step == 7 and newest.position.images == 14
    assert (newest.position.epoch, newest.position.batches) == (1, 1)
    assert newest.position.seconds > 0 and not newest.finished
    assert "weight.backbone.conv1.conv1.conv.weight" in newest.arrays or any(
        k.startswith("weight.backbone.") for k in newest.arrays
    )
    slots = {k.split(".")[1] for k in newest.arrays if k.startswith("optimizer.")}
    assert slots == {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"}


def test_the_seed_of_a_step():
    seeds = {step_seed(s, t, r) for s in range(3) for t in range(50) for r in range(2)}
    assert len(seeds) == 300
    assert step_seed(1, 2, 3) == step_seed(1, 2, 3)
    paddle.seed(step_seed(2**40, 10**9, 100))  # Paddle takes it


def test_the_state_of_the_loss_scaling_comes_back(build_tiny, tiny_text):
    model = build_tiny(tiny_text["fpn"])
    optimizer = paddle.optimizer.Momentum(0.1, parameters=model.parameters())
    given = {"scale": np.array([1024.0], np.float32), "incr_count": 7}
    scaler = SimpleNamespace(state_dict=lambda: given)
    checkpoint = snapshot(model, optimizer, scaler, TrainingProgress(step=3))
    assert checkpoint.scaler == {"scale": [1024.0], "incr_count": 7}
    loaded = []
    position = checkpoint.restore(model, optimizer, SimpleNamespace(load_state_dict=loaded.append))
    assert position == TrainingProgress(step=3)
    assert loaded[0]["incr_count"] == 7
    assert loaded[0]["scale"].dtype == np.float32 and loaded[0]["scale"].tolist() == [1024.0]


# ---- begin, go on, refuse --------------------------------------------------------


def test_an_empty_folder_starts_from_the_beginning_and_says_so(shapes, tmp_path):
    messages = []
    seen = run(shapes, tmp_path, steps=2, resume=True, on_message=messages.append)
    assert list(seen) == [1, 2]
    assert messages == [
        f"there is no checkpoint in {tmp_path / 'checkpoints'}: starting from the beginning"
    ]


def test_neither_an_unfinished_nor_a_finished_run_is_overwritten(shapes, tmp_path):
    interrupted(shapes, tmp_path, 2)
    before = (tmp_path / "metrics.jsonl").exists()
    with pytest.raises(ValueError, match=r"unfinished run \(2 steps done\): go on with --resume"):
        run(shapes, tmp_path)
    assert (tmp_path / "metrics.jsonl").exists() == before
    run(shapes, tmp_path, resume=True)
    finished = outcome(tmp_path)
    with pytest.raises(ValueError, match="holds a finished run: choose another --out"):
        run(shapes, tmp_path, steps=3)
    assert outcome(tmp_path) == finished


def test_a_finished_run_has_nothing_left_to_do(shapes, tmp_path):
    run(shapes, tmp_path)
    before, messages = outcome(tmp_path), []
    assert run(shapes, tmp_path, resume=True, on_message=messages.append) == {}
    assert messages == ["going on after step 8, where it was finished"]
    assert outcome(tmp_path) == before


def test_stopped_before_the_first_step(shapes, tmp_path):
    with pytest.raises(Interrupted, match="nothing to save"):
        run(shapes, tmp_path, until=0)
    assert not (tmp_path / "checkpoints").exists()


def test_another_run_is_refused_and_the_difference_named(shapes, tmp_path):
    interrupted(shapes, tmp_path, 2)
    for more, words in (
        ({"seed": 3}, "seed: 3 instead of 0"),
        ({"steps": 9}, "length: 9 steps instead of 8 steps"),
        ({"accumulate": 2}, "accumulate: 2 instead of 1"),
        ({"overrides": ["LearningRate.base_lr=0.5"]},
         "configuration: base_lr: 0.5 instead of base_lr: 0.003"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=re.escape(words)) as problem:
            run(shapes, tmp_path, resume=True, **more)
        lines = str(problem.value).splitlines()
        assert len(lines) == 3 and "holds another run" in lines[0], lines
        assert "Give the same options" in lines[-1]


def test_other_data_is_refused(shapes, tmp_path):
    write_shapes(tmp_path / "data", train=7, val=2)
    interrupted(tmp_path / "data", tmp_path / "out", 1)
    file = tmp_path / "data/annotations/instances_val.json"
    content = json.loads(file.read_text())
    content["annotations"].pop()
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="\n  validation data: 2 images, instances_val.json") as p:
        run(tmp_path / "data", tmp_path / "out", resume=True)
    assert "training data" not in str(p.value)


def test_a_shortened_metrics_file_is_an_error(tmp_path):
    (tmp_path / "m.jsonl").write_text('{"kind": "train", "step": 1}\n')
    with pytest.raises(ValueError, match=r"m\.jsonl has 29 bytes, but 40 when"):
        History.resume(tmp_path / "m.jsonl", 40)
    assert History.resume(tmp_path / "m.jsonl", 29).steps == [{"kind": "train", "step": 1}]


def test_differences_by_hand():
    assert diff_settings({"a": "1", "b": "x\ny"}, {"a": "1", "b": "x\ny"}) == []
    assert diff_settings({"a": "1", "b": "x\ny"}, {"a": "2", "b": "x\nz"}) == [
        "a: 2 instead of 1",
        "b: z instead of y",
    ]


def test_the_fingerprint_is_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert fingerprint(tmp_path / "a") == "ba7816bf8f01cfea"  # SHA-256 of "abc"


# ---- damaged files, full disks ---------------------------------------------------


def small_checkpoint(step, **more):
    arrays = {"weight.a": np.arange(3000, dtype=np.float32) + step}
    return Checkpoint(TrainingProgress(step=step), arrays, {"seed": "0"}, **more)


def test_the_last_three_are_kept(tmp_path):
    folder = CheckpointFolder(tmp_path / "c", keep=3)
    for step in (1, 2, 9, 10, 200):
        folder.save(small_checkpoint(step))
    assert [f.name[5:14] for f in folder.files()] == ["000000009", "000000010", "000000200"]
    newest, problems = folder.newest()
    assert newest.position == TrainingProgress(step=200) and not problems
    assert (newest.arrays["weight.a"] == small_checkpoint(200).arrays["weight.a"]).all()
    with pytest.raises(ValueError, match="at least 1 checkpoint"):
        CheckpointFolder(tmp_path, keep=0)


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[-5] ^= 4
    elif how == "zeros":
        content = bytearray(len(content))
    elif how == "stranger":
        save_file({"a": np.zeros(3, np.float32)}, path)
        return
    else:
        content = content[: {"empty": 0, "header": 40, "truncated": len(content) - 100}[how]]
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["empty", "header", "truncated", "flipped", "zeros", "stranger"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, how):
    folder = CheckpointFolder(tmp_path)
    for step in (1, 2, 3):
        folder.save(small_checkpoint(step))
    (tmp_path / "step-000000004.safetensors.part").write_bytes(b"half")
    damage(folder.file(3), how)
    newest, (problem,) = folder.newest()
    assert newest.position.step == 2
    assert str(folder.file(3)) in problem and "no whole checkpoint" in problem
    assert [p.name for p in sorted(tmp_path.iterdir())] == [
        folder.file(1).name,
        folder.file(2).name,
    ]


def test_a_run_goes_on_from_the_one_before_a_truncated_one(shapes, tmp_path):
    run(shapes, tmp_path / "calm")
    interrupted(shapes, tmp_path / "out", 5)
    damage(CheckpointFolder(tmp_path / "out/checkpoints").file(5), "truncated")
    messages = []
    seen = run(shapes, tmp_path / "out", resume=True, on_message=messages.append)
    assert list(seen) == [5, 6, 7, 8]
    assert "is no whole checkpoint" in messages[0] and messages[0].endswith(
        "The one before it is used"
    )
    assert messages[1] == "going on after step 4"
    assert outcome(tmp_path / "out") == outcome(tmp_path / "calm")


def test_only_damaged_checkpoints_are_an_error(tmp_path):
    folder = CheckpointFolder(tmp_path)
    for step in (1, 2):
        folder.save(small_checkpoint(step))
        damage(folder.file(step), "truncated")
    with pytest.raises(ValueError, match="no checkpoint in .* can be read; delete the folder"):
        folder.newest()
    assert len(folder.files()) == 2  # nothing is thrown away


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path, monkeypatch):
    folder = CheckpointFolder(tmp_path)
    folder.save(small_checkpoint(1))

    def no_space(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left on device. Make room. step-000000001") as p:
        folder.save(small_checkpoint(2))
    assert "--resume" in str(p.value)
    assert folder.files() == list(tmp_path.iterdir()) == [folder.file(1)]
    assert folder.newest()[0].position.step == 1


def test_a_disk_that_fills_up_while_training(shapes, tmp_path):
    """The limit is the system's own: no file may grow beyond so many bytes."""
    interrupted(shapes, tmp_path, 3)
    size = CheckpointFolder(tmp_path / "checkpoints").file(3).stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, hard))
    try:
        with pytest.raises(OSError, match="the checkpoint .* cannot be written: File too large"):
            run(shapes, tmp_path, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "checkpoints").glob("*.part"))
    assert list(run(shapes, tmp_path, resume=True)) == [4, 5, 6, 7, 8]


def test_numbers_that_are_none_are_not_saved():
    check_finite({"a": np.ones(3)})
    with pytest.raises(ValueError, match="1 of 2 arrays are not finite and are not saved: b"):
        check_finite({"a": np.ones(3), "b": np.array([1, np.inf])})
    for count, names in ((6, "a, b, c, d, e, f. Lower"), (7, r"a, b, c, d, e, f \.\.\.\. Lower")):
        with pytest.raises(ValueError, match=f"{count} of {count} arrays .*: {names}"):
            check_finite({name: np.array([np.nan]) for name in "abcdefg"[:count]})


# ---- when ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("200", CheckpointInterval(steps=200)),
        (" 1 ", CheckpointInterval(steps=1)),
        ("2m", CheckpointInterval(minutes=2)),
        ("0.5m", CheckpointInterval(minutes=0.5)),
        ("0", CheckpointInterval()),
        ("0m", CheckpointInterval()),
        ("0.0m", CheckpointInterval()),
    ],
)
def test_an_interval_is_steps_minutes_or_none(text, interval):
    assert CheckpointInterval.parse(text) == interval
    assert interval.is_on == (text.strip() not in ("0", "0m", "0.0m"))


@pytest.mark.parametrize("text", ["", "m", "-1", "2.5", "2h", "nan", "1e3", "2 m", "m2", "2mm"])
def test_text_that_is_no_interval_is_quoted(text):
    words = f"{text!r} is neither steps (200), nor minutes (2m), nor 0 for none"
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        CheckpointInterval.parse(text)


@pytest.mark.parametrize("wrong", [{"steps": 1, "minutes": 1}, {"steps": 0}, {"minutes": -0.5}])
def test_an_interval_is_one_positive_number(wrong):
    with pytest.raises(ValueError, match="every so many steps or minutes, got CheckpointInterval"):
        CheckpointInterval(**wrong)


def test_when_a_checkpoint_is_due():
    every_5, every_minute = CheckpointInterval(steps=5), CheckpointInterval(minutes=1)
    saved = TrainingProgress(step=2, seconds=5.0)
    for progress, by_steps, by_minutes in (
        (TrainingProgress(step=6, seconds=64.99), False, False),
        (TrainingProgress(step=7, seconds=64.99), True, False),
        (TrainingProgress(step=6, seconds=65.0), False, True),
        (TrainingProgress(step=70, seconds=650.0), True, True),
    ):
        assert every_5.is_due(saved, progress) is by_steps
        assert every_minute.is_due(saved, progress) is by_minutes
        assert CheckpointInterval().is_due(saved, progress) is False


def test_without_an_interval_only_a_stop_saves(shapes, tmp_path):
    run(shapes, tmp_path / "a", steps=2, interval=CheckpointInterval())
    assert not (tmp_path / "a/checkpoints").exists()
    interrupted(shapes, tmp_path / "b", 2, interval=CheckpointInterval())
    assert len(list((tmp_path / "b/checkpoints").iterdir())) == 1


# ---- signals ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code", "processes"), [(signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)]
)
def test_the_command_stops_says_how_to_go_on_and_does(shapes, tmp_path, number, code, processes):
    def words(out):
        return command(shapes, out, 15, processes)

    out = tmp_path / "a folder"
    started = subprocess.Popen(
        words(out), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
    )
    while started.poll() is None and not list(out.glob("checkpoints/step-*")):
        time.sleep(0.02)
    os.killpg(started.pid, number) if number == signal.SIGINT else started.send_signal(number)
    printed, errors = started.communicate(timeout=60)
    assert started.returncode == code, errors
    assert "Traceback" not in errors
    (line,) = (x for x in printed.splitlines() if x.startswith("stopped after step "))
    again = shlex.split(line.partition("Go on with: ")[2])
    assert again[:2] == ["maskrcnn-edu", "train"] and again[-1] == "--resume"
    assert not (out / "model.safetensors").exists()
    resumed = [sys.executable, "-m", "maskrcnn_edu", *again[1:]]
    done = subprocess.run(resumed, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if processes == 1:
        run(shapes, tmp_path / "calm", steps=15)
    else:
        subprocess.run(words(tmp_path / "calm"), check=True, capture_output=True)
    assert outcome(out) == outcome(tmp_path / "calm")


def test_ended_three_times():
    tally = torture(times=3, steps=30, processes=1, seed=1)
    assert sum(tally.kills.values()) == 3 and tally.runs >= 1
    assert tally.lost == tally.different == tally.left_over == 0, tally.table()
