"""What is told to the matrix library, by what Linux says of the processor."""

import os
import subprocess
import sys

import pytest

from maskrcnn_edu.system.cpu import (
    num_cores,
    num_threads,
    set_num_threads,
    started_with,
    use_avx2_code,
)

AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu sse4_2 avx avx2 bmi2\n"
OLD_AMD = "vendor_id\t: AuthenticAMD\nflags\t\t: fpu sse4_2 avx bmi2\n"
INTEL = "vendor_id\t: GenuineIntel\nflags\t\t: fpu sse4_2 avx avx2 bmi2\n"


@pytest.mark.parametrize(("facts", "told"), [(AMD, "5"), (OLD_AMD, None), (INTEL, None)])
def test_an_amd_processor_with_avx2_is_told_so(tmp_path, monkeypatch, facts, told):
    (tmp_path / "cpuinfo").write_text(facts)
    environment = {}
    monkeypatch.setattr("os.environ", environment)
    use_avx2_code(tmp_path / "cpuinfo")
    assert environment == ({"MKL_DEBUG_CPU_TYPE": told} if told else {})


def test_what_the_user_has_set_stays(tmp_path, monkeypatch):
    environment = {"MKL_DEBUG_CPU_TYPE": "0"}
    monkeypatch.setattr("os.environ", environment)
    (tmp_path / "cpuinfo").write_text(AMD)
    use_avx2_code(tmp_path / "cpuinfo")
    assert environment == {"MKL_DEBUG_CPU_TYPE": "0"}


def test_other_systems_are_left_alone(tmp_path, monkeypatch):
    environment = {}
    monkeypatch.setattr("os.environ", environment)
    use_avx2_code(tmp_path / "there is no such file")
    assert environment == {}


TWO_THREADS_PER_CORE = "".join(
    f"processor\t: {i}\nphysical id\t: {i // 8}\ncore id\t\t: {i // 2 % 4}\n\n" for i in range(16)
)


def test_cores_are_counted_not_threads(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(TWO_THREADS_PER_CORE)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(16)), raising=False)
    assert num_cores(tmp_path / "cpuinfo") == 8
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 3}, raising=False)
    assert num_cores(tmp_path / "cpuinfo") == 2
    assert num_cores(tmp_path / "there is no such file") == 2


@pytest.mark.parametrize(("chosen", "used"), [("3", 3), (None, 5), ("0", 5), ("many", 5)])
def test_the_user_chooses_the_threads(monkeypatch, chosen, used):
    monkeypatch.setattr("maskrcnn_edu.system.cpu.num_cores", lambda: 5)
    told = []
    monkeypatch.setattr("paddle.base.core.set_num_threads", told.append)
    environment = {"OMP_NUM_THREADS": chosen or "1"}  # Paddle's 1 if nobody chose
    monkeypatch.setattr("os.environ", environment)
    set_num_threads(chosen)
    assert told == [used] and num_threads() == used


@pytest.mark.parametrize("first", ["maskrcnn_edu, paddle", "paddle, maskrcnn_edu"])
def test_a_process_of_its_own_uses_all_cores(first):
    code = f"import {first}, os; from maskrcnn_edu.system.cpu import *; setup(); "
    code += "print(num_threads() == num_cores(), 'OMP_NUM_THREADS' in os.environ)"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    made = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert made.stdout.split()[-2:] == ["True", "False"]
    assert "WISELY" not in made.stdout + made.stderr  # Paddle's warning about num_threads


@pytest.mark.parametrize("first", ["maskrcnn_edu, paddle", "paddle, maskrcnn_edu"])
def test_three_threads_are_three_whatever_is_imported_first(first):
    code = f"import {first}, os; from maskrcnn_edu.system.cpu import *; setup(); "
    code += "print(num_threads(), os.environ['OMP_NUM_THREADS'])"
    made = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "OMP_NUM_THREADS": "3"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert made.stdout.split()[-2:] == ["3", "3"]


def test_variables_of_the_start(tmp_path, monkeypatch):
    (tmp_path / "environ").write_bytes(b"A=1\0B=x=y\0")
    assert started_with(tmp_path / "environ") == {"A": "1", "B": "x=y"}
    monkeypatch.setattr("os.environ", {"A": "1", "OMP_NUM_THREADS": "1"})
    assert started_with(tmp_path / "there is no such file") == {"A": "1"}
