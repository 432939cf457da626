"""The machine that measures, and what its processes take of it."""

from __future__ import annotations

import importlib
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import paddle

from maskrcnn_edu.system.cpu import (
    MKL_SWITCH,
    THREADS,
    malloc_settings,
    num_cores,
    num_threads,
    started_with,
)  # fmt: skip

ROOT = Path(__file__).parents[1]
"""The repository: the benchmarks are not installed."""

SET_BY_US = (MKL_SWITCH, THREADS)
"""Variables that `maskrcnn_edu.system.cpu.setup`, or Paddle, sets for its own process."""


def describe() -> dict[str, Any]:
    """Processor, cores, threads, device and versions."""
    return {
        "processor": _processor(),
        "cores": num_cores(),
        "threads": num_threads(),
        "device": paddle.get_device(),
        "system": platform.system(),
        "python": platform.python_version(),
        "paddle": paddle.__version__,
    }


def _processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peak_memory() -> dict[str, int | None]:
    """The most memory that this process has had so far, in bytes: the host's, and the GPU's."""
    on_gpu = paddle.get_device() != "cpu"
    return {
        "peak_memory": _peak_host_memory(),
        "peak_gpu_memory": paddle.device.cuda.max_memory_allocated() if on_gpu else None,
    }


def _peak_host_memory(status: Path = Path("/proc/self/status")) -> int | None:
    try:  # Linux; the number of `getrusage` there begins with that of the starting process
        kilobytes = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE)
    except OSError:
        kilobytes = None
    if kilobytes:
        return int(kilobytes[1]) * 1024
    try:
        resource = importlib.import_module("resource")
    except ImportError:  # Windows does not say
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in kilobytes


def plain_environment(threads: int | None = None) -> dict[str, str]:
    """The environment as it was when this process began, so that another begins alike.

    Args:
        threads: for Paddle's CPU code; None leaves that to the process.
    """
    environment = dict(os.environ)
    began = started_with()
    for name in SET_BY_US:
        if name not in began:
            environment.pop(name, None)
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    )
    if threads is not None:
        environment[THREADS] = str(threads)
    return environment


def our_variables() -> dict[str, str]:
    """What this package has set for its own process to be faster, as variables for another one.

    On Linux glibc is told by a call; these are the variables that say the same.
    """
    products = {name: os.environ[name] for name in (MKL_SWITCH,) if name in os.environ}
    return products | {name: str(size) for name, size in malloc_settings().items()}
