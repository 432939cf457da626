"""Several processes: how many, who they are, and how they end."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from maskrcnn_edu.system import processes
from maskrcnn_edu.system.processes import (
    Workers,
    all_gather_object,
    best_process_count,
    broadcast_from_rank0,
    should_launch,
)

# ---- how many --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "batch_size", "count"),
    [(4, 8, 4), (4, 4, 2), (4, 6, 3), (3, 8, 2), (8, 10, 5), (1, 16, 1), (8, 3, 1), (8, 1, 1)],
)
def test_a_process_for_every_core_and_two_images_for_every_process(
    monkeypatch, cores, batch_size, count
):
    monkeypatch.setattr(processes, "num_cores", lambda: cores)
    monkeypatch.setattr(processes, "on_gpu", lambda: False)
    assert best_process_count(batch_size) == count
    monkeypatch.setattr(processes, "on_gpu", lambda: True)
    assert best_process_count(batch_size) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_one_allowed_core_means_one_process():
    """``taskset`` counts, not what the machine has."""
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "from maskrcnn_edu.system.cpu import num_cores\n"
        "from maskrcnn_edu.system.processes import best_process_count\n"
        "print(num_cores(), best_process_count(16))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


def test_only_a_process_of_its_own_launches_others(monkeypatch):
    monkeypatch.delenv("PADDLE_TRAINERS_NUM", raising=False)
    assert [should_launch(n) for n in (1, 2)] == [False, True]
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")  # it is one of two already
    assert not should_launch(2)


@pytest.mark.parametrize("count", [0, -1])
def test_there_is_at_least_one_process(count):
    with pytest.raises(ValueError, match=f"--processes must be at least 1, got {count}"):
        should_launch(count)


def test_without_gloo_one_process_works_alone(monkeypatch):
    """The macOS and Windows wheels of Paddle have no such class."""
    monkeypatch.delattr(processes.core, "ProcessGroupGloo")
    monkeypatch.setattr(processes, "num_cores", lambda: 8)
    monkeypatch.delenv("PADDLE_TRAINERS_NUM", raising=False)
    assert best_process_count(8) == 1 and not should_launch(1)
    with pytest.raises(ValueError, match="--processes 2: Paddle for .* has no gloo.* 1$"):
        should_launch(2)
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")  # `paddle.distributed.launch` started it
    with pytest.raises(ValueError, match="^2 processes: .* has no gloo"), processes.distributed():
        pass


# ---- one process alone -----------------------------------------------------------


def test_one_process_agrees_with_itself():
    assert broadcast_from_rank0(0.1) == 0.1


def test_one_process_gathers_its_own():
    assert all_gather_object([{"score": 0.1}]) == [[{"score": 0.1}]]


# ---- launching and ending --------------------------------------------------------


def test_workers_know_their_ranks_and_each_other(monkeypatch):
    monkeypatch.setattr(processes, "on_gpu", lambda: False)
    first, second = processes._worker_environments(2)
    assert (first["PADDLE_TRAINER_ID"], second["PADDLE_TRAINER_ID"]) == ("0", "1")
    assert first["PADDLE_TRAINERS_NUM"] == second["PADDLE_TRAINERS_NUM"] == "2"
    assert first["OMP_NUM_THREADS"] == "1"  # one core each
    endpoints = [first["PADDLE_CURRENT_ENDPOINT"], second["PADDLE_CURRENT_ENDPOINT"]]
    assert first["PADDLE_TRAINER_ENDPOINTS"].split(",") == endpoints
    assert len({*endpoints, first["PADDLE_MASTER"]}) == 3
    assert first["PADDLE_MASTER"] == second["PADDLE_MASTER"]


def test_each_process_on_a_gpu_has_one_of_its_own(monkeypatch):
    monkeypatch.setattr(processes, "on_gpu", lambda: True)
    monkeypatch.setattr(processes, "gpu_count", lambda: 2)
    settings = processes._worker_environments(2)
    assert [s["FLAGS_selected_gpus"] for s in settings] == ["0", "1"]
    assert all("OMP_NUM_THREADS" not in s for s in settings)
    monkeypatch.delenv("PADDLE_TRAINERS_NUM", raising=False)
    with pytest.raises(ValueError, match="--processes 3: each needs a GPU, and there are 2"):
        should_launch(3)


def sleeping(seconds=60):
    return subprocess.Popen([sys.executable, "-S", "-c", f"import time; time.sleep({seconds})"])


def ended_with(code):
    process = subprocess.Popen([sys.executable, "-S", "-c", f"raise SystemExit({code})"])
    process.wait()
    return process


@pytest.fixture
def workers():
    started = Workers()
    yield started
    started.stop()


def test_a_failed_process_is_named_with_its_last_lines(workers):
    workers.processes.append(ended_with(0))
    workers.start({}, ["predict", "--weights", "nowhere", "--out", "x", "no.png"])
    workers.processes[1].wait(60)
    message = workers.failure(1)
    assert message.startswith("process 1 of 2 failed (exit code 2); all end:\n  ")
    assert "maskrcnn-edu: no.png: " in message


def test_what_process_0_printed_is_not_printed_again(workers):
    workers.processes += [ended_with(2), ended_with(2)]
    assert workers.wait() == 2


def test_a_stop_that_was_asked_for_is_no_failure(workers):
    workers.processes += [ended_with(130), ended_with(1)]
    workers.asked_to_stop = True
    assert workers.wait() == 130


def test_a_failure_that_process_0_has_not_seen_is_reported(workers):
    workers.processes += [ended_with(0), ended_with(3)]
    workers.stderr_file(1).write_text("I0101 Paddle is well\nmaskrcnn-edu: no such image\n")
    with pytest.raises(ChildProcessError, match=r"1 of 2 failed \(exit code 3\).*\n  maskrcnn-edu"):
        workers.wait()


def test_process_0_is_named_if_it_is_killed(workers):
    workers.processes += [sleeping(), sleeping()]
    workers.processes[0].kill()
    workers.processes[0].wait()
    with pytest.raises(
        ChildProcessError, match=r"^process 0 of 2 failed \(signal SIGKILL, .*memory"
    ):
        workers.wait()


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="nobody can ask")
def test_a_process_that_stands_still_ends_all(workers, monkeypatch):
    monkeypatch.setattr(processes, "STOPPED_PERIOD", 0.3)
    workers.processes += [sleeping(), sleeping()]
    workers.processes[1].send_signal(signal.SIGSTOP)
    with pytest.raises(ChildProcessError, match="^process 1 of 2 has been stopped for 0 s"):
        workers.wait()


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="nobody can ask")
def test_a_process_that_goes_on_in_time_ends_nothing(workers, monkeypatch):
    monkeypatch.setattr(processes, "STOPPED_PERIOD", 5.0)
    workers.processes += [sleeping(0.8)]
    workers.processes[0].send_signal(signal.SIGSTOP)
    threading.Timer(0.4, workers.processes[0].send_signal, [signal.SIGCONT]).start()
    assert workers.wait() == 0


# ---- two that talk ---------------------------------------------------------------

TALK = """
import time
from maskrcnn_edu.system.device import choose_device
from maskrcnn_edu.system.processes import *
from maskrcnn_edu.system.processes import pause_others
choose_device(quiet=True)
with distributed():
    first = broadcast_from_rank0(1.0 + rank())
    pause_others()
    if rank() == 0:
        time.sleep(float({slow}))
    second = broadcast_from_rank0(5.0 + rank())
    if rank() == 1:
        time.sleep(float({slow}))
    print(first, second, all_gather_object([rank()]), flush=True)
"""


def talk(slow):
    """What both of two processes print that wait ``slow`` seconds for each other."""
    code = TALK.format(slow=slow)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, **own, "MASKRCNN_EDU_DEVICE": "cpu"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for own in processes._worker_environments(2)
    ]  # fmt: skip
    return [process.communicate(timeout=200)[0].strip() for process in started]


@pytest.mark.skipif(not processes.has_gloo(), reason="no gloo")
def test_process_0_says_that_it_takes_its_time():
    assert talk(slow=1) == ["1.0 5.0 [[0], [1]]"] * 2


def test_a_second_signal_stops_at_once(monkeypatch):
    monkeypatch.setattr(processes, "GRACE_PERIOD", 0.2)
    deaf = (
        "import signal, time; signal.signal(2, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    workers = Workers()
    worker = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE)
    worker.stdout.readline()
    workers.processes.append(worker)
    workers.pass_on(signal.SIGINT, None)
    assert workers.asked_to_stop and worker.poll() is None
    with pytest.raises(KeyboardInterrupt):
        workers.pass_on(signal.SIGINT, None)
    workers.stop()
    assert worker.poll() is not None
    worker.stdout.close()


ALONE = """
import os, signal, subprocess, sys, time
worker = [sys.executable, "-c", (
    "from maskrcnn_edu.system import processes\\n"
    "print('here', flush=True)\\n"
    "with processes.distributed(): pass"
)]
ports = [f"127.0.0.1:{port}" for port in (9, 10)]  # where nobody listens
who = {"PADDLE_TRAINERS_NUM": "2", "PADDLE_TRAINER_ID": "1", "PADDLE_MASTER": ports[0]}
who |= {"PADDLE_TRAINER_ENDPOINTS": ",".join(ports), "PADDLE_CURRENT_ENDPOINT": ports[1]}
who["MASKRCNN_EDU_PARENT"] = str(os.getpid())
pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
started = subprocess.Popen(worker, env={**os.environ, **who}, **pipes)
started.stdout.readline()
time.sleep(1)
print(started.pid, started.poll(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux" or not processes.has_gloo(), reason="Linux, with gloo")
def test_who_waits_for_another_process_ends_with_its_parent():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    worker, code = done.stdout.split()
    assert code == "None"  # it was waiting
    for _ in range(100):
        stat = Path(f"/proc/{worker}/stat")
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.1)
    os.kill(int(worker), signal.SIGKILL)
    pytest.fail("it still waits")
