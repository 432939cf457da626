"""Training and measuring with several processes: each takes its share of every batch.

Two ways in, one code path. ``--processes N`` starts the processes here: on the CPU they
talk through gloo (Paddle's convolutions keep one core busy, hardly two), with GPUs each
has one and they talk through NCCL. `python -m paddle.distributed.launch` starts them
itself, on one machine or several. Both say who is who in the same variables.

What is not shared: trained batch norm sees its own process's images only (the
configurations use group norm or frozen batch norm, which do not mind).
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import platform
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import paddle
import paddle.distributed as dist
from paddle.base import core

from maskrcnn_edu.system.cpu import num_cores
from maskrcnn_edu.system.device import gpu_count
from maskrcnn_edu.system.interrupt import handle_signals

IMAGES_PER_PROCESS = 2
"""Fewest images per process: statistics of a single image make a poor batch norm."""

PARENT = "MASKRCNN_EDU_PARENT"
"""The process that launched a worker; the worker ends with it."""

PR_SET_PDEATHSIG = 1  # Linux's number for: a signal when the parent ends

LAST_LINES = 5
PADDLE_LOG = re.compile(r"=+( |$)|FLAGS\(|[IW]\d{4} ")
"""Lines that Paddle logs when all is well."""

GRACE_PERIOD = 5.0
"""Seconds that a worker gets to notice by itself that another one has ended."""

STOPPED_PERIOD = 20.0
"""Seconds that a worker may stand still (SIGSTOP) before all end; gloo waits for 30."""

MET = "maskrcnn_edu/met"


def rank() -> int:
    """Which process this is, 0 .. world_size() - 1. Process 0 writes and prints."""
    return int(os.environ.get("PADDLE_TRAINER_ID", "0"))


def world_size() -> int:
    """How many processes work together."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def on_gpu() -> bool:
    """Whether this process computes on a GPU."""
    return paddle.get_device().startswith("gpu")


def has_gloo() -> bool:
    """Whether processes on the CPU can talk: Paddle's wheels for macOS and Windows have no gloo."""
    return hasattr(core, "ProcessGroupGloo")


def best_process_count(batch_size: int) -> int:
    """How many processes a batch is worth on this machine (1 if it has a GPU, or no gloo)."""
    if on_gpu() or not has_gloo():
        return 1
    most = min(num_cores(), batch_size // IMAGES_PER_PROCESS)
    return max((n for n in range(1, most + 1) if batch_size % n == 0), default=1)


# ---------------------------------------------------------------- starting and ending


def should_launch(count: int) -> bool:
    """Whether this process should launch ``count`` workers, and leave the work to them.

    Raises:
        ValueError: there cannot be so many.
    """
    if count < 1:
        raise ValueError(f"--processes must be at least 1, got {count}")
    if count == 1 or world_size() > 1:
        return False
    if on_gpu() and count > gpu_count():
        raise ValueError(f"--processes {count}: each needs a GPU, and there are {gpu_count()}")
    _check_gloo(f"--processes {count}")
    return True


def _check_gloo(what: str) -> None:
    if not on_gpu() and not has_gloo():
        raise ValueError(
            f"{what}: Paddle for {platform.system()} has no gloo, by which processes on the CPU "
            "talk; one process works: --processes 1"
        )


def launch(count: int, command: Sequence[str]) -> int:
    """Run a command in ``count`` processes, and wait for them.

    This process only looks after them: while a worker waits for another one's numbers
    it cannot notice that the other one is gone. Worker 0 prints for all. Ctrl-C and
    SIGTERM are passed on, so that all can stop politely; if one worker fails, all end.

    Args:
        count: number of processes.
        command: arguments of ``python -m maskrcnn_edu``.

    Returns:
        The exit code of worker 0.

    Raises:
        ChildProcessError: a worker failed; the message names it and quotes its last lines.
    """
    environments = _worker_environments(count)
    workers = Workers()
    try:
        with handle_signals(workers.pass_on):
            for environment in environments:
                workers.start(environment, command)
            return workers.wait()
    finally:
        workers.stop()


@contextlib.contextmanager
def distributed() -> Iterator[None]:
    """Within the block this process works with the others, if it is one of many."""
    if world_size() == 1:
        yield
        return
    _end_with_parent()
    _check_gloo(f"{world_size()} processes")
    if not on_gpu():
        os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"
    dist.init_parallel_env()
    try:
        yield
    except (ValueError, OSError):
        raise  # an error of its own
    except Exception:
        if PARENT in os.environ:
            time.sleep(2 * GRACE_PERIOD)  # probably another one is gone: the parent reports it
        raise


class Workers:
    """The processes that `launch` starts, in order of rank, as their parent sees them.

    Attributes:
        processes: those that were started.
        asked_to_stop: whether Ctrl-C or SIGTERM came.
    """

    def __init__(self):
        self.processes: list[subprocess.Popen] = []
        self.asked_to_stop = False
        self._folder = tempfile.TemporaryDirectory()  # stderr of ranks 1, 2, ...
        self._stopped_since: dict[int, float] = {}

    def start(self, environment: dict[str, str], command: Sequence[str]) -> None:
        """Start one more. Worker 0 may print; what the others write to stderr is kept.

        Args:
            environment: what the worker's environment has besides this one's.
            command: arguments of ``python -m maskrcnn_edu``.
        """
        number = len(self.processes)
        with self.stderr_file(number).open("wb") as stderr:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "maskrcnn_edu", *command],
                    env={**os.environ, **environment, PARENT: str(os.getpid())},
                    stdout=None if number == 0 else subprocess.DEVNULL,
                    stderr=None if number == 0 else stderr,
                    start_new_session=True,  # Ctrl-C comes by way of the parent, and once
                )
            )

    def stderr_file(self, number: int) -> Path:
        """Where a worker's stderr is kept."""
        return Path(self._folder.name) / f"{number}.txt"

    def pass_on(self, number: int, frame: object) -> None:
        """Pass a signal on to all; a second one stops at once, whoever waits for whom."""
        if self.asked_to_stop:
            raise KeyboardInterrupt
        self.asked_to_stop = True
        for process in self.processes:
            process.send_signal(number)

    def wait(self) -> int:
        """Wait for all; the exit code of worker 0.

        Raises:
            ChildProcessError: a worker was killed or stands still; or it failed, and worker 0
                has not failed in the same way.
        """
        while self._failed() is None and None in [p.poll() for p in self.processes]:
            self._check_stopped()
            time.sleep(0.1)
        failed = self._failed()
        if failed == 0 and self.processes[0].returncode < 0 and not self.asked_to_stop:
            raise ChildProcessError(self.failure(0))
        with contextlib.suppress(subprocess.TimeoutExpired):
            # worker 0 may fail in the same way, and its own message is the best
            self.processes[0].wait(None if self.asked_to_stop else GRACE_PERIOD)
        code = self.processes[0].poll()
        if failed and not self.asked_to_stop and code != self.processes[failed].returncode:
            raise ChildProcessError(self.failure(failed))
        return code if code >= 0 else 128 - code

    def _check_stopped(self) -> None:
        """ChildProcessError if a worker has been standing still for long: the others wait."""
        for number, process in enumerate(self.processes):
            if not _is_stopped(process.pid):
                self._stopped_since.pop(number, None)
                continue
            since = self._stopped_since.setdefault(number, time.monotonic())
            if time.monotonic() - since > STOPPED_PERIOD:
                count = len(self.processes)
                raise ChildProcessError(
                    f"process {number} of {count} has been stopped for {STOPPED_PERIOD:.0f} s "
                    "(SIGSTOP), and the others wait for it; all end"
                )

    def _failed(self) -> int | None:
        """The rank of a worker that ended with an error."""
        return next((rank for rank, p in enumerate(self.processes) if p.poll()), None)

    def failure(self, number: int) -> str:
        """How a worker ended, and the last lines of its stderr."""
        code = self.processes[number].returncode
        how = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
        if code == -9:  # and whoever is killed prints nothing
            how += ", as the system does it when memory runs out: fewer processes need less"
        file = self.stderr_file(number)
        text = file.read_text(encoding="utf-8", errors="replace") if file.exists() else ""
        lines = [line for line in text.splitlines() if line and not PADDLE_LOG.match(line)]
        last = "\n  ".join(lines[-LAST_LINES:]) or ("it printed nothing" if number else "see above")
        return f"process {number} of {len(self.processes)} failed ({how}); all end:\n  {last}"

    def stop(self) -> None:
        """End what still runs, politely first."""
        running = [process for process in self.processes if process.poll() is None]
        for process in running:
            process.terminate()
        until = time.monotonic() + GRACE_PERIOD
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
            process.kill()
            process.wait()
        self._folder.cleanup()


def _is_stopped(pid: int) -> bool:
    """Whether a child process was stopped and has not gone on (where that can be asked)."""
    if not hasattr(os, "waitid"):
        return False
    with contextlib.suppress(ChildProcessError):
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    return False


def _end_with_parent() -> None:
    """A worker whose parent is gone would wait for it forever: end it as well."""
    parent = os.environ.get(PARENT)
    if parent is None:  # `paddle.distributed.launch` looks after its processes itself
        return

    if platform.system() == "Linux":  # it kills even who waits within Paddle, for a store
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # gone before that
        os._exit(2)

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(1.0)
        os._exit(2)

    threading.Thread(target=watch, daemon=True).start()


def _worker_environments(count: int) -> list[dict[str, str]]:
    """What each worker must know (Paddle reads it from the environment)."""
    ports = _free_ports(count + 1)
    endpoints = [f"127.0.0.1:{port}" for port in ports]
    common = {
        "PADDLE_TRAINERS_NUM": str(count),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints[:count]),
        "PADDLE_MASTER": endpoints[count],
        "GLOG_minloglevel": "2",
    }
    if not on_gpu():
        common["OMP_NUM_THREADS"] = "1"  # one core each
    workers = []
    for number in range(count):
        own = {"PADDLE_TRAINER_ID": str(number), "PADDLE_CURRENT_ENDPOINT": endpoints[number]}
        gpu = {"FLAGS_selected_gpus": str(number)} if on_gpu() else {}
        workers.append({**common, **own, **gpu})
    return workers


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


# ---------------------------------------------------------------- talking


def meet() -> None:
    """Wait for all processes, however long they take. (Within gloo they give up after 30 s.)

    All count up one number in Paddle's store; who comes n-th waits until all have come as
    often. Some 0.1 s even if nobody is late, so it is for rare occasions.
    """
    if world_size() == 1 or on_gpu():  # NCCL waits for half an hour
        return
    turn = math.ceil(_count(1) / world_size())
    while _count(0) < turn * world_size():
        time.sleep(0.05)


def _count(more: int) -> int:
    """Add to the number of arrivals. Paddle's store fails if a signal interrupts it: they wait."""
    store, waiting = core.create_or_get_global_tcp_store(), {signal.SIGINT, signal.SIGTERM}
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return store.add(MET, more)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
    try:
        return store.add(MET, more)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Rank0:
    """What process 0 says to all, one number at a time.

    It may take its time between two numbers if it says so before: NaN sends the others to
    `meet`, which has no time-out.
    """

    def __init__(self):
        self._paused = False

    def pause(self) -> None:
        """In process 0: what it does until the next `broadcast` may take long."""
        if rank() == 0 and world_size() > 1 and not on_gpu() and not self._paused:
            _broadcast(math.nan)
            self._paused = True

    def broadcast(self, value: float) -> float:
        """Process 0's value (never NaN), in every process."""
        if world_size() == 1:
            return value
        if self._paused:
            meet()
            self._paused = False
        shared = _broadcast(value)
        while math.isnan(shared):
            meet()
            shared = _broadcast(value)
        return shared


_rank0 = Rank0()
pause_others, broadcast_from_rank0 = _rank0.pause, _rank0.broadcast


def _broadcast(value: float) -> float:
    shared = paddle.to_tensor([value], dtype="float64")
    dist.broadcast(shared, src=0)
    return shared.item()


def all_gather_object(items: list) -> list[list]:
    """Every process's list, in order of rank, in every process.

    Args:
        items: plain values (numbers come back to the last bit).
    """
    if world_size() == 1:
        return [items]
    meet()  # their shares may take very different times
    shares: list[list] = []
    dist.all_gather_object(shares, items)
    return shares
