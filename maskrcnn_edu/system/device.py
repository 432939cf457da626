"""The device that computes: one choice, for commands and notebooks alike."""

from __future__ import annotations

import functools
import os
import sys

import paddle

from maskrcnn_edu.system import cpu

DEVICE = "MASKRCNN_EDU_DEVICE"


def gpu_count() -> int:
    """How many GPUs Paddle can compute on here; 0 for a build without CUDA."""
    return paddle.device.cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0


def choose_device(quiet: bool = False) -> str:
    """Make the GPU Paddle's device if there is one, else the CPU; ``"gpu"`` or ``"cpu"``.

    Every command and notebook begins with this call; so it prepares the CPU, too
    (`maskrcnn_edu.system.cpu.setup`): a GPU's work is fed from there.

    ``MASKRCNN_EDU_DEVICE`` (``cpu`` or ``gpu``) decides otherwise. A GPU that is expected
    but not there is no error: one line on stderr, once, and the CPU computes.
    `paddle.distributed.launch` gives each process a GPU; ``"gpu"`` then means that one.

    Args:
        quiet: leave that line out.

    Raises:
        ValueError: the variable is set to something else.
    """
    wanted = os.environ.get(DEVICE, "")
    if wanted not in ("", "cpu", "gpu"):
        raise ValueError(f"{DEVICE} must be cpu or gpu, got {wanted}")
    chosen = "gpu" if wanted != "cpu" and gpu_count() > 0 else "cpu"
    if chosen == "cpu" and wanted != "cpu" and not quiet:
        _warn_once(_reason(wanted))
    cpu.setup()
    paddle.set_device(chosen)
    return chosen


def _reason(wanted: str) -> str:
    """Why there is no GPU, if one was to be expected."""
    if paddle.device.is_compiled_with_cuda():
        return "Paddle finds no GPU that it can use; computing on the CPU (see maskrcnn-edu doctor)"
    if wanted == "gpu":
        return f"{DEVICE}=gpu, but this Paddle is a CPU build; computing on the CPU"
    return ""


@functools.cache
def _warn_once(text: str) -> None:
    if text and os.environ.get("PADDLE_TRAINER_ID", "0") == "0":  # one of many processes is enough
        print(f"maskrcnn-edu: {text}", file=sys.stderr)
