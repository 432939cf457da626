"""What this machine has, what is wrong with it, and what to do about it.

    maskrcnn-edu doctor

`collect_facts` collects the facts, `diagnose` judges them. Only the standard library is imported at
the top: the doctor must be able to come when Paddle cannot.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from maskrcnn_edu.system.cpu import num_cores
from maskrcnn_edu.system.files import CACHE, cache_folder
from maskrcnn_edu.system.fonts import chinese_fonts
from maskrcnn_edu.system.gpu_builds import (
    PYPI_CODES,
    Card,
    advice,
    ask_driver,
    build_for_cuda,
    dotted,
    has_code,
    numbers,
)

LIBRARIES = {
    "numpy": "1.24",
    "pycocotools": "2.0.7",
    "matplotlib": "3.8",
    "contourpy": "1.2",
    "pillow": "10.0",
    "pyyaml": "6.0",
    "safetensors": "0.4",
    "tqdm": "4.66",
}
"""What the package needs, and from which version on."""

PADDLES = ("paddlepaddle", "paddlepaddle-gpu")
OPTIONAL = ("jupyterlab", "ipywidgets", "paddle2onnx", "pytest")
PYTHONS = ((3, 10), (3, 13))
"""The first and the last Python for which Paddle 3.3 has a wheel."""

SYSTEMS = {("Linux", "x86_64"): "Linux x86-64", ("Darwin", "arm64"): "macOS arm64",
           ("Windows", "AMD64"): "Windows x86-64"}  # fmt: skip
"""(system, processor) for which Paddle 3.3 has a wheel."""

LEAST_DISK, LEAST_MEMORY = 2.0, 3.5  # gigabytes
GIGABYTE = 1024**3
DEVICE = "MASKRCNN_EDU_DEVICE"  # as in maskrcnn_edu.system.device, which imports Paddle


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
        system, processor: as the module `platform` calls them.
        versions: installed version of every library asked for; None if it is missing.
        paddle_error: why Paddle cannot be imported; None if it can.
        cuda: CUDA version of the Paddle build; None for a CPU build.
        codes: compute capabilities that the Paddle build says it has code for.
        gpus: what Paddle can compute on.
        driver: version of the NVIDIA driver, None without one.
        cards: what the driver sees.
        cores: CPU cores of this process.
        memory, disk: gigabytes in all, and free where the command was called.
        variables: the environment variables that matter here.
        cache: where fetched weights and the course's images go; None if it cannot be written.
        cached: names of fetched weights.
        datasets: folders below ``data`` that hold annotations.
        fonts: those with Chinese letters.
    """

    python: tuple[int, int, int]
    versions: dict[str, str | None]
    system: str = "Linux"
    processor: str = "x86_64"
    paddle_error: str | None = None
    cuda: str | None = None
    codes: Sequence[int] = ()
    gpus: Sequence[Gpu] = ()
    driver: str | None = None
    cards: Sequence[Card] = ()
    cores: int = 1
    memory: float | None = None
    disk: float = 0.0
    variables: dict[str, str] = field(default_factory=dict)
    cache: str | None = "~/.cache/maskrcnn_edu"
    cached: Sequence[str] = ()
    datasets: Sequence[str] = ()
    fonts: Sequence[str] = ()

    @property
    def paddle(self) -> str | None:
        """Version of the installed Paddle."""
        return next((self.versions[p] for p in PADDLES if self.versions.get(p)), None)

    @property
    def gpu_advice(self) -> str:
        """What to install so that its cards compute."""
        capabilities = [card.capability for card in self.cards if card.capability is not None]
        capabilities += [gpu.capability for gpu in self.gpus]
        return advice(capabilities, self.driver, self.system)

    @property
    def driver_is_too_old(self) -> str | None:
        """The oldest driver that the installed GPU build takes, if the one here is older."""
        build = build_for_cuda(self.cuda)
        if build is None or self.driver is None or build.runs_with(self.driver, self.system):
            return None
        return build.oldest_driver(self.system)


@dataclass(frozen=True)
class Finding:
    """One line of the report; a ``fix`` makes it a problem."""

    part: str
    state: str
    fix: str | None = None

    def __str__(self) -> str:
        line = f"{'ok ' if self.fix is None else 'BAD'}  {self.part:<10} {self.state}"
        return line if self.fix is None else f"{line}\n     -> {self.fix}"


# ---------------------------------------------------------------- the facts


def collect_facts() -> Machine:
    """Collect the facts about this machine."""
    versions = {name: _version(name) for name in (*PADDLES, *LIBRARIES, *OPTIONAL)}
    driver, cards = ask_driver()
    cache = cache_folder()
    return Machine(
        python=sys.version_info[:3],
        versions=versions,
        system=platform.system(),
        processor=platform.machine(),
        **_ask_paddle(),
        driver=driver,
        cards=cards,
        cores=num_cores(),
        memory=_memory(),
        disk=shutil.disk_usage(".").free / GIGABYTE,
        variables={k: os.environ[k] for k in ("OMP_NUM_THREADS", DEVICE) if k in os.environ},
        cache=str(cache) if _can_be_written(cache) else None,
        cached=sorted(path.stem for path in cache.glob("*.pdparams")),
        datasets=sorted({str(p.parents[1]) for p in Path("data").glob("*/annotations/*.json")}),
        fonts=_fonts(),
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _ask_paddle() -> dict[str, Any]:
    """What Paddle says of itself: `paddle_error`, `cuda`, `codes`, `gpus` of a `Machine`."""
    try:
        paddle = importlib.import_module("paddle")
    except Exception as error:  # a broken installation may raise anything
        return {"paddle_error": f"{type(error).__name__}: {error}".splitlines()[0]}
    if not paddle.device.is_compiled_with_cuda():
        return {}
    gpus = []
    for number in range(paddle.device.cuda.device_count()):
        has = paddle.device.cuda.get_device_properties(number)
        gpus.append(Gpu(has.name, has.major * 10 + has.minor, has.total_memory / GIGABYTE))
    codes = re.findall(r"\d+", str(getattr(paddle.version, "compiled_cuda_archs", "")))  # Paddle 3
    return {"cuda": str(paddle.version.cuda()), "gpus": gpus, "codes": [int(c) for c in codes]}


def _memory() -> float | None:
    """Memory in gigabytes, where the system says it."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIGABYTE


def _can_be_written(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK)


def _fonts() -> Sequence[str]:
    try:
        return chinese_fonts()
    except Exception:  # matplotlib is missing, which is reported as such, or broken
        return []


# ---------------------------------------------------------------- the verdict


def diagnose(machine: Machine) -> list[Finding]:
    """One finding for each part, in the order in which they should be put right."""
    return [
        *_python(machine),
        *_libraries(machine),
        _paddle(machine),
        _device(machine),
        *(_gpu(gpu, machine) for gpu in machine.gpus),
        _processor(machine),
        _least("memory", machine.memory, LEAST_MEMORY, "use a smaller TrainReader.batch_size"),
        _least("disk", machine.disk, LEAST_DISK, "free some space, or change to another disk"),
        _weights(machine),
        Finding("data", ", ".join(machine.datasets) or "none here; maskrcnn-edu data shapes"),
        Finding("fonts", ", ".join(machine.fonts) or "no Chinese font: such names become boxes"),
    ]  # fmt: skip


def _python(machine: Machine) -> list[Finding]:
    """One line for Python and the system, or one for each that Paddle has no wheel for."""
    version, system = ".".join(map(str, machine.python)), f"{machine.system} {machine.processor}"
    first, last = (".".join(map(str, python)) for python in PYTHONS)
    fits = PYTHONS[0] <= machine.python[:2] <= PYTHONS[1]
    fix = None if fits else f"use Python {first} to {last}: Paddle has no wheel for others"
    if (machine.system, machine.processor) in SYSTEMS:
        return [Finding("Python", f"{version} on {system}", fix)]
    known = ", ".join(SYSTEMS.values())
    elsewhere = f"Paddle has wheels for {known}: use such a machine, or build Paddle from source"
    return [Finding("Python", version, fix), Finding("system", system, elsewhere)]


def _libraries(machine: Machine) -> list[Finding]:
    """One line for those that are fine, one for each that is not."""
    findings, fine = [], []
    for name, least in LIBRARIES.items():
        version = machine.versions.get(name)
        if version is not None and numbers(version) >= numbers(least):
            fine.append(f"{name} {version}")
            continue
        state = f"{version} is too old" if version else "missing"
        findings.append(Finding(name, state, f"pip install '{name}>={least}'"))
    fine += [f"{name} {v}" for name in OPTIONAL if (v := machine.versions.get(name))]
    half = (len(fine) + 1) // 2
    lines = [", ".join(part) for part in (fine[:half], fine[half:]) if part]
    return [*findings, *(Finding("libraries", line) for line in lines)]


def _paddle(machine: Machine) -> Finding:
    version = machine.paddle
    if version is None:
        fix = machine.gpu_advice if machine.driver else "pip install paddlepaddle"
        return Finding("Paddle", "missing", fix)
    kind = "CPU build" if machine.cuda is None else f"build for CUDA {machine.cuda}"
    state = f"{version}, {kind}"
    numpy = machine.versions.get("numpy")
    if numbers(version) < (3,) and numpy and numbers(numpy) >= (2,):
        return Finding("Paddle", f"{state}, with numpy {numpy}", "pip install 'numpy<2'")
    if machine.paddle_error:
        fix = f"pip install --force-reinstall paddlepaddle=={version}"
        return Finding("Paddle", f"{version} cannot start: {machine.paddle_error}", fix)
    if all(machine.versions.get(name) for name in PADDLES):
        fix = "pip uninstall both, then install the one that you want"
        return Finding("Paddle", f"{' and '.join(PADDLES)} overwrite each other", fix)
    if numbers(version) < (2, 6):
        return Finding("Paddle", f"{state} is too old", "pip install 'paddlepaddle>=2.6.2'")
    return Finding("Paddle", state)


def _device(machine: Machine) -> Finding:
    """What will compute, and whether that is what could be expected."""
    wanted, driver = machine.variables.get(DEVICE, ""), machine.driver
    there = f"NVIDIA driver {driver}" if driver else "no NVIDIA driver"
    if wanted not in ("", "cpu", "gpu"):
        return Finding("device", f"{DEVICE}={wanted}", f"set {DEVICE} to cpu or gpu, or not at all")
    if wanted == "cpu":
        return Finding("device", f"the CPU ({DEVICE}=cpu; {there})")
    if machine.paddle is None:
        return Finding("device", f"none without Paddle; {there}")
    if machine.cuda is None:
        state = f"the CPU: {there}, but Paddle is a CPU build"
        fix = f"{machine.gpu_advice} (and uninstall paddlepaddle first); or set {DEVICE}=cpu"
        return Finding("device", state, fix) if driver or wanted else Finding("device", "the CPU")
    if machine.driver_is_too_old:
        needs = f"a build for CUDA {machine.cuda} needs {machine.driver_is_too_old}"
        return Finding("device", f"{there} is too old: {needs}", machine.gpu_advice)
    if machine.gpus:
        return Finding("device", f"{len(machine.gpus)} GPU(s); {there}")
    fix = "nvidia-smi and CUDA_VISIBLE_DEVICES show what hides it" if driver else (
        f"install NVIDIA's driver; or, without a GPU, paddlepaddle, or set {DEVICE}=cpu"
    )  # fmt: skip
    return Finding("device", f"the CPU: Paddle finds no GPU ({there})", fix)


def _gpu(gpu: Gpu, machine: Machine) -> Finding:
    """Whether the installed build has machine code for a GPU."""
    state = f"{gpu.name}, compute capability {gpu.capability / 10}, {gpu.memory:.0f} GB"
    codes = _codes(machine)
    if not codes or has_code(codes, gpu.capability):
        return Finding("GPU", state)
    return Finding("GPU", f"{state}; this build has code for {dotted(codes)}", machine.gpu_advice)


def _codes(machine: Machine) -> Sequence[int]:
    """What the installed build has code for: it says so itself, or we know it."""
    if machine.codes:
        return machine.codes
    if numbers(machine.paddle or "0") < (3,):
        return PYPI_CODES
    build = build_for_cuda(machine.cuda)
    return build.codes if build else ()


def _weights(machine: Machine) -> Finding:
    """Where fetched weights are."""
    if machine.cache is None:
        state = "the folder for fetched files cannot be written"
        return Finding("weights", state, f"set {CACHE} to a folder that can be")
    return Finding("weights", f"fetched: {', '.join(machine.cached) or 'none yet'}")


def _processor(machine: Machine) -> Finding:
    threads = machine.variables.get("OMP_NUM_THREADS")
    fix = None
    if threads and not threads.isdigit():
        fix = "set OMP_NUM_THREADS to a number, or not at all"
    elif threads and int(threads) > machine.cores:
        fix = f"more threads than cores: set OMP_NUM_THREADS={machine.cores}"
    state = f"{machine.cores} core(s), OMP_NUM_THREADS {threads or 'not set'}"
    return Finding("CPU", state, fix)


def _least(what: str, amount: float | None, least: float, fix: str) -> Finding:
    """Gigabytes that should not be too few."""
    if amount is None:
        return Finding(what, "unknown")
    free = " free" if what == "disk" else ""
    return Finding(what, f"{amount:.1f} GB{free}", fix if amount < least else None)


def report(findings: Sequence[Finding]) -> str:
    """All findings, and how many are problems."""
    bad = sum(f.fix is not None for f in findings)
    verdict = f"{bad} problem(s), fixes after the arrows" if bad else "all is well"
    return "\n".join([*map(str, findings), verdict])


def main() -> int:
    """Print the report; 0 if all is well, 1 if something is not."""
    findings = diagnose(collect_facts())
    print(report(findings))
    return int(any(f.fix for f in findings))
