"""How Paddle makes use of a CPU: all of its cores, the best code for them, and memory at hand.

On a CPU nearly all of a detector's time is matrix products, convolutions included. Three
defaults stand in their way:

* Paddle computes with one thread unless ``OMP_NUM_THREADS`` says otherwise, and warns if
  it does. `setup` tells it after it has been imported: as many as there are cores.
* It leaves products to Intel's MKL, in a version that gives AMD processors its slowest
  code unless ``MKL_DEBUG_CPU_TYPE`` says that they know AVX2: on one core of an EPYC, 39
  instead of 101 billion operations a second.
* The C library (glibc) hands large blocks back to the system as soon as they are freed, and
  the system clears every page of a new one. By itself glibc learns to keep blocks of a size
  that has been freed before. But Paddle wants its tensors to begin at a multiple of 4096
  bytes, asks for a page more than the tensor has, and gets one that is smaller than what
  it asked for: the next one of that size is always a little too large to be kept. Adding
  two tensors of 4 MB takes 4 ms then, of which 0.2 are the addition.

A variable that the user has set stays as it is. Only Linux tells enough about the processor
for the second, and has the third.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
from pathlib import Path

THREADS = "OMP_NUM_THREADS"
MKL_SWITCH, HASWELL = "MKL_DEBUG_CPU_TYPE", "5"  # Haswell: the first processor with AVX2
MALLOC = {"MALLOC_MMAP_THRESHOLD_": 1 << 30, "MALLOC_TRIM_THRESHOLD_": 256 << 20}
"""glibc's variables, in bytes: up to here a freed block is kept, so much free memory in all."""
OLD_LIMIT = 32 << 20
"""The largest first one that glibc took before version 2.35."""
MALLOPT = {"MALLOC_MMAP_THRESHOLD_": -3, "MALLOC_TRIM_THRESHOLD_": -1}
"""The same two as glibc's ``malloc.h`` numbers them."""
CPUINFO = Path("/proc/cpuinfo")
STARTED_WITH = Path("/proc/self/environ")


def started_with(file: Path = STARTED_WITH) -> dict[str, str]:
    """The variables that this process was started with.

    Elsewhere than on Linux, those of now without ``OMP_NUM_THREADS``: Paddle may have set it.

    Args:
        file: where Linux keeps them.
    """
    try:
        entries = file.read_bytes().split(b"\0")
    except OSError:  # not Linux
        return {name: value for name, value in os.environ.items() if name != THREADS}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}


def _chosen_threads() -> str | None:
    """The user's ``OMP_NUM_THREADS``: Paddle sets it to 1 when it is imported."""
    paddle_was_first = "paddle" in sys.modules
    return (started_with() if paddle_was_first else os.environ).get(THREADS)


CHOSEN_THREADS = _chosen_threads()


def setup(cpuinfo: Path = CPUINFO) -> None:
    """Prepare the processor and Paddle for computing; call it before the first product.

    Args:
        cpuinfo: where Linux describes the processor.
    """
    use_avx2_code(cpuinfo)
    keep_freed_memory()
    set_num_threads(CHOSEN_THREADS)


def use_avx2_code(cpuinfo: Path) -> None:
    """Set ``MKL_DEBUG_CPU_TYPE`` on AMD processors with AVX2."""
    facts = _facts(cpuinfo)
    if "AuthenticAMD" in facts and " avx2 " in facts:
        os.environ.setdefault(MKL_SWITCH, HASWELL)


def malloc_settings() -> dict[str, int]:
    """What glibc is told here, `MALLOC`; nothing if there is another C library, or the user
    has chosen."""
    chosen = any(name in os.environ for name in MALLOC)
    return MALLOC if platform.libc_ver()[0] == "glibc" and not chosen else {}


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, for the next tensor.

    Returns:
        Whether it was told so, see `malloc_settings`.
    """
    settings = malloc_settings()
    if not settings:
        return False
    mallopt = ctypes.CDLL(None).mallopt
    kinds = [(MALLOPT[name], size) for name, size in settings.items()]
    told = [mallopt(kind, size) or mallopt(kind, min(size, OLD_LIMIT)) for kind, size in kinds]
    return all(told)


def set_num_threads(chosen: str | None) -> None:
    """Compute with as many threads as the user wants, or the processor has cores.

    Args:
        chosen: ``OMP_NUM_THREADS`` as the user set it, or None.
    """
    from paddle.base import core

    if chosen is None:
        os.environ.pop(THREADS, None)  # it was Paddle's choice, not the user's
    core.set_num_threads(num_threads())


def num_threads() -> int:
    """How many threads compute: the user's choice, or one for every core."""
    chosen = os.environ.get(THREADS, "")
    return int(chosen) if chosen.isdecimal() and int(chosen) > 0 else num_cores()


def num_cores(cpuinfo: Path = CPUINFO) -> int:
    """How many cores this process may use (``taskset`` and containers may allow it few).

    Two threads of one core would share its arithmetic, so cores count, not threads.
    """
    pairs = re.findall(r"physical id\s*: (\d+).*?core id\s*: (\d+)", _facts(cpuinfo), re.DOTALL)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(len(set(pairs)) or allowed, allowed)


def _facts(cpuinfo: Path) -> str:
    try:
        return cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return ""
