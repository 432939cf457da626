"""Mixed precision: the layers in half precision, everything else in float32.

What is computed in half precision: convolutions, fully connected layers, and what
follows them at once (Paddle's level O1: normalization and losses stay in float32 where
Paddle says so). What never is: weights, gradients and the optimizer's state; anchors,
boxes, deltas, overlaps, suppression, targets and losses. The outputs of the heads are
therefore cast to float32 (`maskrcnn_edu.model.ops.empty.to_float32`), and what Paddle computes
from float32 by arithmetic stays float32: float16 knows no number above 65504,
counts in whole pixels beyond 1024, and ``exp`` of a delta leaves its range at once.

bf16 has float32's range with 3 digits; fp16 has 4 digits and a small range, so its loss is
multiplied by a large number, and gradients are divided by it again (`grad_scaler`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import paddle

DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


def check_amp(amp: str | bool | None) -> str | None:
    """The precision that is asked for, if this device has it.

    Args:
        amp: ``bf16``, ``fp16``, or nothing; PaddleDetection's ``amp: true`` is fp16.

    Raises:
        ValueError: another word, or the device cannot do it.
    """
    amp = {True: "fp16", False: None}.get(amp, amp) if isinstance(amp, bool) else amp
    if amp is None:
        return None
    if amp not in DTYPES:
        raise ValueError(f"amp must be one of {', '.join(DTYPES)}, got {amp!r}")
    if not paddle.device.get_device().startswith("gpu"):
        raise ValueError(
            f"amp {amp}: mixed precision needs a GPU. On the CPU Paddle {paddle.__version__} "
            "computes in float32 in any case; leave --amp (and `amp:`) out"
        )
    if amp == "bf16" and not paddle.amp.is_bfloat16_supported():
        raise ValueError("amp bf16: this GPU has no bfloat16; use --amp fp16")
    return amp


def autocast(amp: str | None) -> AbstractContextManager:
    """Within the block, layers compute in half precision (nothing changes for None)."""
    return paddle.amp.auto_cast(enable=amp is not None, dtype=DTYPES.get(amp, "float16"))


def grad_scaler(amp: str | None) -> paddle.amp.GradScaler:
    """Scales the loss for fp16 and skips steps that overflow; for others it does nothing."""
    return paddle.amp.GradScaler(enable=amp == "fp16", init_loss_scaling=2.0**16)
