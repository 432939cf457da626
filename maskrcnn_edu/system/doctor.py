"""What this machine has, what is wrong with it, and what to do about it.

    maskrcnn-edu doctor

`look` collects the facts, `examine` judges them. Only the standard library is imported at
the top: the doctor must be able to come when Paddle cannot.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from maskrcnn_edu.system.cpu import num_cores

LIBRARIES = {
    "numpy": "1.24",
    "pycocotools": "2.0.7",
    "matplotlib": "3.8",
    "pillow": "10.0",
    "pyyaml": "6.0",
    "safetensors": "0.4",
    "tqdm": "4.66",
}
"""What the package needs, and from which version on."""

PADDLES = ("paddlepaddle", "paddlepaddle-gpu")
OPTIONAL = ("jupyterlab", "ipywidgets", "paddle2onnx", "pytest")
VENDOR = "https://www.paddlepaddle.org.cn/packages/stable/cu126/"
ARCHITECTURES_26 = (61, 70, 75, 80, 86)
"""GPU kernels in the 2.6.2 wheel: machine code of these compute capabilities, no PTX."""

LEAST_DISK, LEAST_MEMORY = 2.0, 3.5  # gigabytes
GIGABYTE = 1024**3
DEVICE = "MASKRCNN_EDU_DEVICE"  # as in maskrcnn_edu.system.device, which imports Paddle
FONTS = ("Noto Sans CJK", "Source Han Sans", "WenQuanYi", "SimHei", "Microsoft YaHei", "PingFang")


@dataclass(frozen=True)
class Gpu:
    """A GPU that Paddle sees: compute capability 8.6 is 86, memory in gigabytes."""

    name: str
    capability: int
    memory: float


@dataclass(frozen=True)
class Machine:
    """The facts.

    Attributes:
        python: version, three numbers.
        versions: installed version of every library asked for; None if it is missing.
        paddle_error: why Paddle cannot be imported; None if it can.
        cuda: CUDA version of the Paddle build; None for a CPU build.
        gpus: what Paddle can compute on.
        driver: version of the NVIDIA driver, None without one.
        cores: CPU cores of this process.
        memory, disk: gigabytes in all, and free where the command was called.
        variables: the environment variables that matter here.
        cached: names of fetched weights.
        datasets: folders below ``data`` that hold annotations.
        fonts: those of `FONTS` that matplotlib finds.
    """

    python: tuple[int, int, int]
    versions: dict[str, str | None]
    paddle_error: str | None = None
    cuda: str | None = None
    gpus: Sequence[Gpu] = ()
    driver: str | None = None
    cores: int = 1
    memory: float | None = None
    disk: float = 0.0
    variables: dict[str, str] = field(default_factory=dict)
    cached: Sequence[str] = ()
    datasets: Sequence[str] = ()
    fonts: Sequence[str] = ()

    @property
    def paddle(self) -> str | None:
        """Version of the installed Paddle."""
        return next((self.versions[p] for p in PADDLES if self.versions.get(p)), None)


@dataclass(frozen=True)
class Finding:
    """One line of the report; a ``cure`` makes it a problem."""

    what: str
    found: str
    cure: str | None = None

    def __str__(self) -> str:
        line = f"{'ok ' if self.cure is None else 'BAD'}  {self.what:<10} {self.found}"
        return line if self.cure is None else f"{line}\n     -> {self.cure}"


# ---------------------------------------------------------------- the facts


def look() -> Machine:
    """Collect the facts about this machine."""
    versions = {name: _version(name) for name in (*PADDLES, *LIBRARIES, *OPTIONAL)}
    error, cuda, gpus = _ask_paddle()
    return Machine(
        python=sys.version_info[:3],
        versions=versions,
        paddle_error=error,
        cuda=cuda,
        gpus=gpus,
        driver=_driver(),
        cores=num_cores(),
        memory=_memory(),
        disk=shutil.disk_usage(".").free / GIGABYTE,
        variables={k: os.environ[k] for k in ("OMP_NUM_THREADS", DEVICE) if k in os.environ},
        cached=_cached(),
        datasets=sorted({str(p.parents[1]) for p in Path("data").glob("*/annotations/*.json")}),
        fonts=_fonts(),
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _ask_paddle() -> tuple[str | None, str | None, list[Gpu]]:
    """(why it cannot be imported, the build's CUDA version, the GPUs)."""
    try:
        paddle = importlib.import_module("paddle")
    except Exception as error:  # a broken installation may raise anything
        return f"{type(error).__name__}: {error}".splitlines()[0], None, []
    if not paddle.device.is_compiled_with_cuda():
        return None, None, []
    gpus = []
    for number in range(paddle.device.cuda.device_count()):
        has = paddle.device.cuda.get_device_properties(number)
        gpus.append(Gpu(has.name, has.major * 10 + has.minor, has.total_memory / GIGABYTE))
    return None, str(paddle.version.cuda()), gpus


def _driver() -> str | None:
    """What ``nvidia-smi`` says; it comes with the driver."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip().partition("\n")[0] or None


def _memory() -> float | None:
    """Memory in gigabytes, where the system says it."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIGABYTE


def _cached() -> list[str]:
    named = os.environ.get("MASKRCNN_EDU_CACHE")
    folder = Path(named) if named else Path.home() / ".cache" / "maskrcnn_edu"
    return sorted(p.stem for p in folder.glob("*.pdparams"))


def _fonts() -> list[str]:
    try:
        manager = importlib.import_module("matplotlib.font_manager").fontManager
    except Exception:  # told as a missing library
        return []
    names = {font.name for font in manager.ttflist}
    return [font for font in FONTS if any(name.startswith(font) for name in names)]


# ---------------------------------------------------------------- the verdict


def examine(machine: Machine) -> list[Finding]:
    """One finding for each part, in the order in which they should be put right."""
    return [
        _python(machine),
        *_libraries(machine),
        _paddle(machine),
        _device(machine),
        *(_gpu(gpu, machine) for gpu in machine.gpus),
        _processor(machine),
        _least("memory", machine.memory, LEAST_MEMORY, "use a smaller TrainReader.batch_size"),
        _least("disk", machine.disk, LEAST_DISK, "free some space, or change to another disk"),
        Finding("weights", f"fetched: {', '.join(machine.cached) or 'none yet'}"),
        Finding("data", ", ".join(machine.datasets) or "none here; maskrcnn-edu data shapes"),
        Finding("fonts", ", ".join(machine.fonts) or "no Chinese font: such names become boxes"),
    ]  # fmt: skip


def _python(machine: Machine) -> Finding:
    found = ".".join(map(str, machine.python)) + f" on {platform.system()} {platform.machine()}"
    old = machine.python < (3, 10, 0)
    return Finding("Python", found, "use Python 3.10 or newer" if old else None)


def _libraries(machine: Machine) -> list[Finding]:
    """One line for those that are fine, one for each that is not."""
    findings, fine = [], []
    for name, least in LIBRARIES.items():
        version = machine.versions.get(name)
        if version is None:
            findings.append(Finding(name, "missing", f"pip install '{name}>={least}'"))
        elif _numbers(version) < _numbers(least):
            findings.append(
                Finding(name, f"{version} is too old", f"pip install '{name}>={least}'")
            )
        else:
            fine.append(f"{name} {version}")
    fine += [f"{name} {v}" for name in OPTIONAL if (v := machine.versions.get(name))]
    half = (len(fine) + 1) // 2
    lines = [", ".join(part) for part in (fine[:half], fine[half:]) if part]
    return [*findings, *(Finding("libraries", line) for line in lines)]


def _numbers(version: str) -> list[int]:
    """``2.0.7rc1`` -> [2, 0, 7]."""
    words = version.split("+")[0].split(".")
    digits = [
        "".join(c for c in word if c.isdigit()) if word[:1].isdigit() else "" for word in words
    ]
    return [int(d) for d in digits if d]


def _paddle(machine: Machine) -> Finding:
    version = machine.paddle
    if version is None:
        return Finding("Paddle", "missing", f"pip install paddlepaddle, or for a GPU: see {VENDOR}")
    kind = "CPU build" if machine.cuda is None else f"build for CUDA {machine.cuda}"
    found = f"{version}, {kind}"
    numpy = machine.versions.get("numpy")
    if _numbers(version) < [3] and numpy and _numbers(numpy) >= [2]:
        return Finding("Paddle", f"{found}, with numpy {numpy}", "pip install 'numpy<2'")
    if machine.paddle_error:
        cure = f"pip install --force-reinstall paddlepaddle=={version}"
        return Finding("Paddle", f"{version} cannot start: {machine.paddle_error}", cure)
    if all(machine.versions.get(name) for name in PADDLES):
        cure = "pip uninstall both, then install the one that you want"
        return Finding("Paddle", f"{' and '.join(PADDLES)} overwrite each other", cure)
    if _numbers(version) < [2, 6]:
        return Finding("Paddle", f"{found} is too old", "pip install 'paddlepaddle>=2.6.2'")
    return Finding("Paddle", found)


def _device(machine: Machine) -> Finding:
    """What will compute, and whether that is what could be expected."""
    wanted, driver = machine.variables.get(DEVICE, ""), machine.driver
    there = f"NVIDIA driver {driver}" if driver else "no NVIDIA driver"
    if wanted not in ("", "cpu", "gpu"):
        return Finding("device", f"{DEVICE}={wanted}", f"set {DEVICE} to cpu or gpu, or not at all")
    if wanted == "cpu":
        return Finding("device", f"the CPU ({DEVICE}=cpu; {there})")
    if machine.gpus:
        return Finding("device", f"{len(machine.gpus)} GPU(s); {there}")
    if machine.cuda is None:
        cure = f"install paddlepaddle-gpu (see {VENDOR}), or unset {DEVICE}"
        found = f"the CPU: {there}, but Paddle is a CPU build"
        return Finding("device", found, cure) if driver or wanted else Finding("device", "the CPU")
    cure = "nvidia-smi and CUDA_VISIBLE_DEVICES show what hides it" if driver else (
        f"install NVIDIA's driver; or, without a GPU, paddlepaddle, or set {DEVICE}=cpu"
    )  # fmt: skip
    return Finding("device", f"the CPU: Paddle finds no GPU ({there})", cure)


def _gpu(gpu: Gpu, machine: Machine) -> Finding:
    """Whether this build has machine code for a GPU.

    Code for 8.6 runs on 8.9 (same first number, not smaller), but not on 9.0.
    """
    found = f"{gpu.name}, compute capability {gpu.capability / 10}, {gpu.memory:.0f} GB"
    old_build = _numbers(machine.paddle or "0") < [3]
    runs = any(a // 10 == gpu.capability // 10 and a <= gpu.capability for a in ARCHITECTURES_26)
    if old_build and not runs:
        cure = f"this wheel has code for 6.1 to 8.x only; pip install paddlepaddle-gpu -i {VENDOR}"
        return Finding("GPU", found, cure)
    if gpu.capability >= 100 and _numbers(machine.cuda or "0") < [12, 8]:
        return Finding(
            "GPU", found, "it needs a build for CUDA 12.8 or newer (cu129 instead of cu126)"
        )
    return Finding("GPU", found)


def _processor(machine: Machine) -> Finding:
    threads = machine.variables.get("OMP_NUM_THREADS")
    found = f"{machine.cores} core(s), OMP_NUM_THREADS {threads or 'not set'}"
    if threads and not threads.isdigit():
        return Finding("CPU", found, "set OMP_NUM_THREADS to a number, or not at all")
    if threads and int(threads) > machine.cores:
        return Finding(
            "CPU", found, f"more threads than cores: set OMP_NUM_THREADS={machine.cores}"
        )
    return Finding("CPU", found)


def _least(what: str, amount: float | None, least: float, cure: str) -> Finding:
    """Gigabytes that should not be too few."""
    if amount is None:
        return Finding(what, "unknown")
    free = " free" if what == "disk" else ""
    return Finding(what, f"{amount:.1f} GB{free}", cure if amount < least else None)


def report(findings: Sequence[Finding]) -> str:
    """All findings, and how many are problems."""
    bad = sum(f.cure is not None for f in findings)
    verdict = f"{bad} problem(s), cures after the arrows" if bad else "all is well"
    return "\n".join([*map(str, findings), verdict])


def main() -> int:
    """Print the report; 0 if all is well, 1 if something is not."""
    findings = examine(look())
    print(report(findings))
    return int(any(f.cure for f in findings))
