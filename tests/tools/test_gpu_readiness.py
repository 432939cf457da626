"""Every operator has a GPU kernel, as far as the installed build can say."""

import subprocess
import sys
from pathlib import Path

import paddle
import pytest

from tools.gpu_readiness import Row, lacking

COMMAND = Path(__file__).parents[2] / "tools" / "gpu_readiness.py"
ALL = {"float32", "float16", "bfloat16"}


@pytest.mark.skipif(
    not paddle.device.is_compiled_with_cuda(), reason="a CPU build has no GPU kernels to look for"
)
def test_no_kernel_is_missing():
    done = subprocess.run([sys.executable, str(COMMAND)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Nothing is missing." in done.stdout
    for operator in ("conv2d_grad", "roi_align_grad", "adamw_", "momentum_", "randperm", "nms"):
        assert f"| {operator} | " in done.stdout


def test_a_missing_kernel_is_seen():
    rows = [Row("relu", ["float32"], ALL, False), Row("odd", ["float32", "int64"], ALL, False)]
    assert lacking(rows) == ["odd: no GPU kernel for int64"]


def test_a_gradient_must_follow_its_operator_into_half_precision():
    rows = [Row("f", ["float32"], ALL, False), Row("f_grad", ["float32"], {"float32"}, False)]
    assert lacking(rows) == [
        f"f_grad: no {half}, which its forward operator has" for half in ("float16", "bfloat16")
    ]


def test_an_operator_without_half_precision_needs_a_reason():
    rows = [Row("nms", ["float32"], {"float32"}, False), Row("x", ["float32"], {"float32"}, False)]
    assert {line.split(":")[0] for line in lacking(rows)} == {"x"}
    assert lacking([Row("x", ["float32"], {"float32"}, True)]) == []  # Paddle keeps it in float32
