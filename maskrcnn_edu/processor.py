"""What Paddle's matrix library must be told about the processor, before it is first used.

On a CPU nearly all of a detector's time is matrix products, convolutions included. Paddle
leaves them to Intel's MKL, in a version that gives AMD processors its slowest code unless
``MKL_DEBUG_CPU_TYPE`` says that they know AVX2: on one core of an EPYC, 39 instead of 101
billion operations a second. Nothing else depends on the variable, and one that is already
set stays as it is. Linux alone is asked: other systems do not say what they have.
"""

from __future__ import annotations

import os
from pathlib import Path

MKL_SWITCH, HASWELL = "MKL_DEBUG_CPU_TYPE", "5"  # Haswell: the first processor with AVX2


def prepare_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Set ``MKL_DEBUG_CPU_TYPE`` on AMD processors with AVX2.

    Args:
        cpuinfo: where Linux describes the processor.
    """
    try:
        facts = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return
    if "AuthenticAMD" in facts and " avx2 " in facts:
        os.environ.setdefault(MKL_SWITCH, HASWELL)
