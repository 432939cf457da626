"""Training with several processes: each takes its share of every batch.

Paddle's convolutions keep one core busy, hardly two; two processes keep two busy.
The same code serves `python -m paddle.distributed.launch`, which starts the
processes itself.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence

import paddle
import paddle.distributed as dist

IMAGES_PER_PROCESS = 2
"""Fewest images per process: statistics of a single image make a poor batch norm."""


def rank() -> int:
    """Which process this is, 0 .. world_size() - 1. Process 0 writes and prints."""
    return int(os.environ.get("PADDLE_TRAINER_ID", "0"))


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def best_process_count(batch_size: int) -> int:
    """How many processes a batch is worth on this machine (1 if it has a GPU)."""
    if paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0:
        return 1
    most = min(os.cpu_count() or 1, batch_size // IMAGES_PER_PROCESS)
    return max((n for n in range(1, most + 1) if batch_size % n == 0), default=1)


@contextlib.contextmanager
def process_group(count: int, command: Sequence[str]) -> Iterator[None]:
    """Make this process rank 0 of ``count``, and start the others.

    Args:
        count: number of processes; 1 changes nothing.
        command: arguments of ``python -m maskrcnn_edu`` that make another process do
            the same work.

    The others end with this block: when their work is done, or because it failed.
    """
    if count == 1 or world_size() > 1:
        if world_size() > 1:
            dist.init_parallel_env()
        yield
        return
    settings = _group_settings(count)
    others = []
    try:
        for number in range(1, count):
            others.append(
                subprocess.Popen(
                    [sys.executable, "-m", "maskrcnn_edu", *command],
                    env={**os.environ, **_member_settings(settings, number)},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        os.environ.update(_member_settings(settings, 0))
        dist.init_parallel_env()
        yield
    finally:
        for other in others:
            other.terminate()
            other.wait()


def _group_settings(count: int) -> dict[str, str]:
    """What all processes of the group must know (Paddle reads it from the environment)."""
    ports = _free_ports(count + 1)
    endpoints = [f"127.0.0.1:{port}" for port in ports]
    return {
        "PADDLE_TRAINERS_NUM": str(count),
        "PADDLE_TRAINER_ENDPOINTS": ",".join(endpoints[:count]),
        "PADDLE_MASTER": endpoints[count],
        "PADDLE_DISTRI_BACKEND": "gloo",
        "OMP_NUM_THREADS": "1",  # one core each
        "GLOG_minloglevel": "2",
    }


def _member_settings(group: dict[str, str], number: int) -> dict[str, str]:
    endpoint = group["PADDLE_TRAINER_ENDPOINTS"].split(",")[number]
    return {**group, "PADDLE_TRAINER_ID": str(number), "PADDLE_CURRENT_ENDPOINT": endpoint}


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


@paddle.no_grad()
def average_gradients(parameters: Sequence[paddle.Tensor]) -> None:
    """Replace every gradient by its mean over all processes (in place)."""
    if world_size() == 1:
        return
    # one long message instead of a hundred short ones; no gradient counts as zero
    grads = [p.grad if p.grad is not None else paddle.zeros_like(p) for p in parameters]
    flat = paddle.concat([g.flatten() for g in grads])
    dist.all_reduce(flat)
    flat = flat / world_size()
    start = 0
    for parameter, grad in zip(parameters, grads):
        stop = start + grad.size
        mean = flat[start:stop].reshape(grad.shape)
        if parameter.grad is None:
            parameter.grad = mean
        else:
            parameter.grad.set_value(mean)
        start = stop


def same_everywhere(value: float) -> float:
    """Process 0's value, in every process."""
    if world_size() == 1:
        return value
    shared = paddle.to_tensor([value], dtype="float64")
    dist.broadcast(shared, src=0)
    return shared.item()
