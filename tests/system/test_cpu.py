"""What is told to the matrix library, by what Linux says of the processor."""

import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import paddle
import pytest

from maskrcnn_edu.system.cpu import (
    MALLOC,
    keep_freed_memory,
    malloc_settings,
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


PAGES = """
import resource, statistics, paddle
from maskrcnn_edu.system.cpu import setup
setup()
x = paddle.ones([2 ** 20])  # 4 MB: 1024 pages
for _ in range(3):
    x + x
cleared = [resource.getrusage(resource.RUSAGE_SELF).ru_minflt]
for _ in range(50):
    x + x
    cleared.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(statistics.median(after - before for before, after in zip(cleared, cleared[1:])))
"""


def pages_of_a_sum(**variables):
    """Pages that the system had to clear for a sum of two tensors of 1024 pages (the median)."""
    clean = {k: v for k, v in os.environ.items() if k not in MALLOC}
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PAGES], env=clean | variables,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(made.stdout.split()[-1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_freed_tensor_s_memory_is_there_for_the_next():
    assert pages_of_a_sum() < 50
    # the user's choice stays: blocks of 128 kB or more go back; Paddle 2.6 keeps them by itself
    chosen = pages_of_a_sum(MALLOC_MMAP_THRESHOLD_="131072")
    assert chosen < 50 if paddle.__version__.startswith("2.") else chosen > 1000


@pytest.mark.parametrize(
    ("library", "environment"), [("", {}), ("glibc", {"MALLOC_TRIM_THRESHOLD_": "1"})]
)
def test_another_library_and_a_chosen_threshold_are_left_alone(monkeypatch, library, environment):
    monkeypatch.setattr("platform.libc_ver", lambda: (library, ""))
    monkeypatch.setattr("os.environ", environment)
    monkeypatch.setattr("ctypes.CDLL", lambda name: pytest.fail("the library was called"))
    assert keep_freed_memory() is False and malloc_settings() == {}


@pytest.mark.parametrize(
    ("newest", "asked"),
    [
        (True, [(-3, 2**30), (-1, 2**28)]),
        (False, [(-3, 2**30), (-3, 2**25), (-1, 2**28)]),
    ],
)
def test_an_old_library_takes_less(monkeypatch, newest, asked):
    calls = []

    def mallopt(kind, size):
        calls.append((kind, size))
        return int(newest or kind == -1 or size <= 2**25)

    monkeypatch.setattr("platform.libc_ver", lambda: ("glibc", "2.31"))
    monkeypatch.setattr("os.environ", {})
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(mallopt=mallopt))
    assert keep_freed_memory() is True and calls == asked
