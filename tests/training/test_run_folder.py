"""A run's folder: lines of metrics, checkpoints, and that they belong together."""

import json
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import paddle
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from maskrcnn_edu.training.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    CheckpointInterval,
    TrainingProgress,
)
from maskrcnn_edu.training.run_folder import (
    BestWeights,
    CheckpointPolicy,
    History,
    Interrupted,
    RunFolder,
)
from maskrcnn_edu.weights.safetensors_file import read_safetensors, write_safetensors

# ---- lines -----------------------------------------------------------------------

TRAIN_1 = {"kind": "train", "step": 1, "loss": 0.5}
VAL_1 = {"kind": "val", "step": 1, "segm_AP": 0.25}
TRAIN_2 = {"kind": "train", "step": 2, "loss": 0.125}


@pytest.fixture
def lines(tmp_path):
    """A file of three lines, and where each of them ends."""
    path, ends = tmp_path / "metrics.jsonl", []
    history = History(path)
    for line in (TRAIN_1, VAL_1, TRAIN_2):
        history.add(**line)
        ends.append(history.flush())
    return path, ends


def test_lines_are_kept_by_kind_and_written_in_order(lines):
    path, ends = lines
    written = [json.dumps(line) + "\n" for line in (TRAIN_1, VAL_1, TRAIN_2)]
    assert path.read_text() == "".join(written)
    assert ends == np.cumsum([len(line) for line in written]).tolist()


def test_without_a_file_lines_stay_in_memory():
    history = History()
    history.add("train", step=3)
    history.add("val", step=4)
    assert history.steps == [{"kind": "train", "step": 3}]
    assert history.evaluations == [{"kind": "val", "step": 4}]
    assert history.flush() == 0


@pytest.mark.parametrize(
    ("count", "steps", "evaluations"),
    [(0, [], []), (1, [TRAIN_1], []), (2, [TRAIN_1], [VAL_1]), (3, [TRAIN_1, TRAIN_2], [VAL_1])],
)
def test_what_was_written_after_the_checkpoint_is_cut_off(lines, count, steps, evaluations):
    path, ends = lines
    length = [0, *ends][count]
    history = History.resume(path, length)
    assert (history.steps, history.evaluations) == (steps, evaluations)
    assert path.stat().st_size == length
    history.add("val", step=9)  # and it goes on there
    assert json.loads(path.read_text().splitlines()[count]) == {"kind": "val", "step": 9}


def test_a_file_that_is_too_short_is_not_touched(lines):
    path, ends = lines
    with pytest.raises(ValueError, match=f"has {ends[-1]} bytes, but {ends[-1] + 1} when"):
        History.resume(path, ends[-1] + 1)
    assert path.stat().st_size == ends[-1]


def test_no_file_is_an_empty_one(tmp_path):
    history = History.resume(tmp_path / "m.jsonl", 0)
    assert history.path == tmp_path / "m.jsonl" and history.steps == history.evaluations == []
    with pytest.raises(ValueError, match="has 0 bytes, but 7 when"):
        History.resume(tmp_path / "m.jsonl", 7)


# ---- opening ---------------------------------------------------------------------

SETTINGS = {"seed": "0", "length": "8 steps"}


def folder(
    out, resume=False, settings=SETTINGS, keep=3, interval=CheckpointInterval(steps=2),
    overwrite=False,
):  # fmt: skip
    messages = []
    policy = CheckpointPolicy(interval, keep, resume, overwrite)
    run = RunFolder(out, settings, policy, messages.append)
    return run, messages


def checkpoint(step, **more):
    arrays = {"weight.a": np.full([2], step, np.float32)}
    return Checkpoint(TrainingProgress(step=step), arrays, dict(SETTINGS), **more)


def a_run(out, finished):
    CheckpointFolder(out / "checkpoints").save(checkpoint(8, finished=finished))
    (out / "metrics.jsonl").write_text("{}\n")
    (out / "model.safetensors").write_text("weights")


def files(out):
    return {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("finished", [True, False])
def test_a_new_run_removes_what_another_left_when_it_begins(tmp_path, finished):
    a_run(tmp_path, finished)
    before = files(tmp_path)
    run, messages = folder(tmp_path, overwrite=True)
    assert run.open() is None and files(tmp_path) == before and messages == []
    run.begin()
    assert not run.finished and run.history.path == tmp_path / "metrics.jsonl"
    assert files(tmp_path) == {}
    assert messages == [f"the run that was in {tmp_path} is replaced (--overwrite)"]


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("left", ["checkpoint", "damaged checkpoint", "model"])
def test_a_finished_run_is_not_lost_in_silence(tmp_path, left, resume):
    a_run(tmp_path, finished=True)
    if left != "model":
        (tmp_path / "model.safetensors").unlink()
    for path in CheckpointFolder(tmp_path / "checkpoints").files():
        if left == "model":
            path.unlink()  # --checkpoint-every 0
        elif left == "damaged checkpoint":
            path.write_bytes(b"damaged")
    if resume and left != "model":
        return  # it goes on, or says what is wrong with the checkpoint
    before = files(tmp_path)
    run, _ = folder(tmp_path, resume=resume)
    with pytest.raises(ValueError, match=r"holds a finished run: choose another --out, or.*write$"):
        run.open()
    assert files(tmp_path) == before


def test_two_runs_do_not_share_a_folder(tmp_path):
    (first, _), (second, _) = folder(tmp_path), folder(tmp_path)
    with first.in_use(), pytest.raises(BlockingIOError, match="is in use"), second.in_use():
        pass
    with second.in_use():
        pass


def test_at_least_one_checkpoint_stays():
    with pytest.raises(ValueError, match="at least 1 checkpoint must be kept, not 0"):
        CheckpointPolicy(keep=0)


@pytest.mark.parametrize("bad", ["nonsense", "[1]", '{"kind": "other"}', '{"step": 1}', "\xff"])
def test_a_line_that_is_no_line_of_metrics_is_named_and_nothing_cut_off(lines, bad):
    path, ends = lines
    path.write_bytes(f"{json.dumps(TRAIN_1)}\n{bad}\n".encode("latin-1") + b" " * 200)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"metrics.jsonl: line 2 is no line of metrics: b['\"]"):
        History.resume(path, ends[-1])
    assert path.read_bytes() == before


def test_an_unfinished_run_is_only_opened_to_go_on(tmp_path):
    CheckpointFolder(tmp_path / "checkpoints").save(checkpoint(3))
    run, _ = folder(tmp_path)
    with pytest.raises(ValueError, match=r"unfinished run \(3 steps done\): go on with --resume"):
        run.open()
    run, messages = folder(tmp_path, resume=True)
    assert run.open().position.step == 3
    assert messages == ["going on after step 3"] and not run.finished
    before = files(tmp_path)
    run.begin()
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"seed": "1", "length": "8 steps"}, "seed: 1 instead of 0"),
        ({"seed": "0", "length": "9 steps"}, "length: 9 steps instead of 8 steps"),
        ({"seed": "0"}, "length: nothing instead of 8 steps"),
        ({**SETTINGS, "amp": "bf16"}, "amp: bf16 instead of nothing"),
    ],
)
def test_other_settings_are_refused_and_named(tmp_path, settings, line):
    CheckpointFolder(tmp_path / "checkpoints").save(checkpoint(3))
    run, _ = folder(tmp_path, resume=True, settings=settings)
    with pytest.raises(ValueError, match="wants the same options. Different:") as problem:
        run.open()
    _, *different, last = str(problem.value).splitlines()
    assert different == [f"  {line}"] and last.startswith("Give the same options")


def test_processes_leave_a_bad_batch_in_folders_of_their_own(tmp_path, monkeypatch):
    run, _ = folder(tmp_path)
    assert run.dump_folder == tmp_path / "bad_batch"
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    monkeypatch.setenv("PADDLE_TRAINER_ID", "1")
    assert run.dump_folder == tmp_path / "bad_batch_1"


# ---- the best weights ------------------------------------------------------------


def offer(best, ap, step):
    """A look; its weights are its step."""

    def save(place, facts):
        place.mkdir(exist_ok=True)
        write_safetensors(place / "model.safetensors", {"w": np.float32([step])}, facts)

    best.offer(ap, step, save)


def stored(run):
    """The weights and what their header says."""
    arrays, facts = read_safetensors(run / "best" / "model.safetensors")
    return int(arrays["w"][0]), int(facts["step"]), float(facts["segm_AP"])


def test_the_best_look_stays_and_of_equal_ones_the_later(tmp_path):
    best, kept = BestWeights.find(tmp_path), []
    for step, ap in enumerate([0.0, 0.25, 0.125, 0.25, 0.5, 0.4375], start=1):
        offer(best, ap, step)
        kept.append(stored(tmp_path))
    assert [step for step, *_ in kept] == [1, 2, 2, 4, 5, 5]
    assert kept[-1] == (5, 5, 0.5) and (best.step, best.ap) == (5, 0.5)


def test_where_nothing_can_be_measured_nothing_is_the_best(tmp_path):
    offer(BestWeights.find(tmp_path), -1.0, 3)
    assert not (tmp_path / "best").exists()


def test_a_run_that_goes_on_knows_its_best(tmp_path):
    offer(BestWeights.find(tmp_path), 0.1 + 0.2, 7)  # 0.30000000000000004
    run, _ = folder(tmp_path, resume=True)
    assert run.best == BestWeights(tmp_path / "best", 7, 0.1 + 0.2)
    offer(run.best, 0.3, 8)
    assert stored(tmp_path) == (7, 7, 0.1 + 0.2)


@pytest.mark.parametrize("left", [b"damaged", None])
def test_damaged_best_weights_are_none(tmp_path, left):
    offer(BestWeights.find(tmp_path), 0.5, 7)
    place = tmp_path / "best" / "model.safetensors"
    place.write_bytes(left or place.read_bytes().replace(b'"0.5"', b'"0.9"'))
    assert BestWeights.find(tmp_path) == BestWeights(tmp_path / "best", 0, 0.0)


def test_a_new_run_has_no_best_of_an_old_one(tmp_path):
    a_run(tmp_path, finished=True)
    offer(BestWeights.find(tmp_path), 0.9, 7)
    run, _ = folder(tmp_path, overwrite=True)
    run.open()
    assert stored(tmp_path)[0] == 7  # not before it begins
    run.begin()
    assert not (tmp_path / "best" / "model.safetensors").exists()
    offer(run.best, 0.2, 1)
    assert stored(tmp_path) == (1, 1, 0.2)


# ---- saving ----------------------------------------------------------------------


def step(number, progress=0.5):
    """A step of a model with one weight: its number."""
    model = paddle.nn.Linear(1, 1, bias_attr=False)
    model.weight.set_value(np.full([1, 1], number, np.float32))
    optimizer = paddle.optimizer.SGD(0.1, parameters=model.parameters())
    scaler = SimpleNamespace(state_dict=dict)
    return SimpleNamespace(
        model=model, optimizer=optimizer, scaler=scaler, progress=progress, step=number,
        position=TrainingProgress(step=number, seconds=60.0 * number),
    )  # fmt: skip


def saved(run):
    """Steps whose checkpoints are there, oldest first."""
    return [int(path.stem.split("-")[1]) for path in run.checkpoints.files()]


@pytest.mark.parametrize(
    ("interval", "keep", "steps"),
    [
        (CheckpointInterval(steps=2), 1, [8]),
        (CheckpointInterval(steps=2), 2, [6, 8]),
        (CheckpointInterval(steps=3), 9, [3, 6]),
        (CheckpointInterval(minutes=3), 9, [3, 6]),
        (CheckpointInterval(minutes=2.5), 2, [3, 6]),
        (CheckpointInterval(), 3, []),
    ],
)
def test_checkpoints_come_in_intervals_and_the_newest_stay(tmp_path, interval, keep, steps):
    run, _ = folder(tmp_path, interval=interval, keep=keep)
    run.open()
    for number in range(1, 9):
        if run.is_due(step(number)):
            run.save(step(number))
    assert saved(run) == steps
    for number in steps:
        assert run.checkpoints.load(number).arrays["weight.weight"].item() == number


def test_intervals_count_from_the_checkpoint_that_the_run_goes_on_from(tmp_path):
    CheckpointFolder(tmp_path / "checkpoints").save(checkpoint(3))
    run, _ = folder(tmp_path, resume=True, interval=CheckpointInterval(steps=5))
    run.open()
    assert [number for number in range(4, 10) if run.is_due(step(number))] == [8, 9]


def test_a_checkpoint_knows_its_run_and_how_long_the_metrics_were(tmp_path):
    run, _ = folder(tmp_path)
    run.open()
    run.begin()
    run.history.add("val", step=1)
    run.save(step(2, progress=0.99))
    stored = run.checkpoints.load(2)
    assert (stored.run_settings, stored.finished) == (SETTINGS, False)
    assert stored.metrics_bytes == (tmp_path / "metrics.jsonl").stat().st_size > 0


@pytest.mark.parametrize(
    ("interval", "progress", "already", "steps"),
    [
        (CheckpointInterval(steps=100), 1.0, None, [7]),  # the end
        (CheckpointInterval(), 1.0, None, []),  # the end, and nobody wants checkpoints
        (CheckpointInterval(), 0.5, None, [7]),  # stopped: to go on from
        (CheckpointInterval(steps=7), 0.5, 7, []),  # saved already: not again
    ],
)
def test_the_last_step_is_saved_if_somebody_wants_it(tmp_path, interval, progress, already, steps):
    run, _ = folder(tmp_path, interval=interval)
    run.open()
    if already:
        run.save(step(already))
        run.checkpoints.file(already).unlink()
    run.close(step(7, progress))
    assert saved(run) == steps and run.finished == (progress == 1.0)
    if run.finished:
        run.check_finished()
        assert not steps or run.checkpoints.load(7).finished
    else:
        with pytest.raises(Interrupted, match="^stopped after step 7, saved in .*checkpoints$"):
            run.check_finished()


def test_nothing_is_saved_before_the_first_step(tmp_path):
    run, _ = folder(tmp_path)
    run.open()
    with pytest.raises(Interrupted, match="^stopped before the first step, so there is nothing"):
        run.check_finished()


# ---- the header of a file --------------------------------------------------------


def test_the_header_has_the_keys_that_it_always_had(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    path = checkpoints.save(checkpoint(3, metrics_bytes=7, scaler={"scale": [2.0]}))
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert metadata["format"] == "maskrcnn_edu checkpoint 1"
    facts = json.loads(metadata["facts"])
    number = zlib.crc32(struct.pack("<ff", 3.0, 3.0), zlib.crc32(b"weight.a"))
    assert facts == {
        "position": {"step": 3, "seconds": 0.0, "images": 0, "epoch": 0, "batches": 0},
        "recipe": SETTINGS, "metrics_bytes": 7, "scaler": {"scale": [2.0]}, "finished": False,
        "checksum": number,
    }  # fmt: skip


def test_a_file_written_by_the_first_version_can_be_read(tmp_path):
    array = np.array([1.0, -2.0], np.float32)
    facts = {
        "position": {"step": 5, "seconds": 1.5, "images": 40, "epoch": 1, "batches": 2},
        "recipe": {"seed": "3"}, "metrics_bytes": 11, "scaler": {}, "finished": True,
        "checksum": zlib.crc32(array.tobytes(), zlib.crc32(b"weight.w")),
    }  # fmt: skip
    header = {"format": "maskrcnn_edu checkpoint 1", "facts": json.dumps(facts)}
    checkpoints = CheckpointFolder(tmp_path)
    save_file({"weight.w": array}, checkpoints.file(5), header)
    stored, problems = checkpoints.newest()
    assert problems == [] and stored.arrays["weight.w"].tolist() == [1.0, -2.0]
    assert stored.position == TrainingProgress(5, 1.5, 40, 1, 2)
    assert (stored.run_settings, stored.metrics_bytes, stored.finished) == ({"seed": "3"}, 11, True)


def test_of_a_long_line_sixty_characters_are_quoted(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match=r": b'x{60}'\. Put the file back"):
        History.resume(path, 100)
