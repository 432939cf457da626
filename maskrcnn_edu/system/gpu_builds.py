"""Which of Paddle's GPU builds a graphics card and its driver can run: one table.

    python -m maskrcnn_edu.system.gpu_builds    # the build for this machine: cu126

A build holds machine code for some compute capabilities, and wants a driver of its CUDA
version. `BUILDS` says both; the doctor, the Makefile, ``environment.yml`` and, by
``tools/gpu_tables.py``, ``docs/machines.md`` take it from here. Only the standard library is
imported, so that this can be asked before anything is installed.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

OLDEST_PADDLE = "3.2"
"""The first Paddle whose cu129 build has code for RTX 50 (Paddle's issue 73687: 3.1 has not)."""

DEVICE = "MASKRCNN_EDU_DEVICE"  # as in maskrcnn_edu.system.device, which imports Paddle


@dataclass(frozen=True)
class Build:
    """One of Paddle's GPU builds.

    Attributes:
        name: as in the address of its index.
        cuda: its CUDA version.
        codes: compute capabilities it serves; 7.5 is 75.
        linux, windows: the oldest NVIDIA driver it runs with.
    """

    name: str
    cuda: str
    codes: tuple[int, ...]
    linux: str
    windows: str

    @property
    def index(self) -> str:
        """Where pip finds it."""
        return f"https://www.paddlepaddle.org.cn/packages/stable/{self.name}/"

    @property
    def install(self) -> str:
        """What to type."""
        return f'pip install "paddlepaddle-gpu>={OLDEST_PADDLE}" --extra-index-url {self.index}'

    def oldest_driver(self, system: str) -> str:
        """The oldest driver on ``"Linux"`` or ``"Windows"``."""
        return self.windows if system == "Windows" else self.linux

    def runs_with(self, driver: str | None, system: str = "Linux") -> bool:
        """Whether a driver, written as ``nvidia-smi`` does, is new enough; None: there is none."""
        return driver is not None and numbers(driver) >= numbers(self.oldest_driver(system))


# Compute capabilities:
#   cu118  "compiled for 60 61 70 75 80 86": Paddle's issues 74088 (3.0.0, CUDA 11.8) and 76037.
#   cu126  Paddle's table of architectures (docs, install/Tables.md) gives Pascal and Volta to
#          CUDA 11, and Hopper to CUDA 12; its archive ends at 9.0 (Paddle's discussion 79725).
#   cu129  issue 73937 (Linux: ... 75 80 86 89 90), issues 75016 and 76037 (RTX 50: this one),
#          pull request 78720 (10.0).
#   cu130  pull request 78720 (CUDA 13: 75 80 86 90 100), discussion 79725 (12.0 on this index);
#          CUDA 13 can no longer compile for less than 7.5 (NVIDIA's release notes of 13.0).
# Drivers:
#   cu118, cu126  PaddleOCR's guide "PaddlePaddle Framework Installation". (NVIDIA promises less
#          than that for CUDA 12, 525, "with limited feature-set"; Paddle does not.)
#   cu129, cu130  those that come with CUDA 12.9.0 and 13.0.0 (cuda_12.9.0_575.51.03_linux.run,
#          cuda_13.0.0_580.65.06_linux.run); on Windows 576.02 is the first that reports 12.9,
#          and NVIDIA's guide to minor version compatibility says 580 for CUDA 13.
BUILDS = (
    Build("cu118", "11.8", (60, 61, 70, 75, 80, 86), "450.80.02", "452.39"),
    Build("cu126", "12.6", (75, 80, 86, 90), "550.54.14", "550.54.14"),
    Build("cu129", "12.9", (75, 80, 86, 90, 100, 120), "575.51.03", "576.02"),
    Build("cu130", "13.0", (75, 80, 86, 90, 100, 120), "580.65.06", "580"),
)
"""All builds, the oldest first."""

PREFERENCE = ("cu126", "cu118", "cu129", "cu130")
"""The first that runs is the advice: what ``environment.yml`` has, else what serves older ones."""

PYPI_CODES = (61, 70, 75, 80, 86)
"""What 2.6.2 has, the newest ``paddlepaddle-gpu`` on the ordinary index: no more, and no PTX."""


@dataclass(frozen=True)
class Card:
    """A graphics card as its driver describes it; its capability is None if it does not say."""

    name: str
    capability: int | None


def numbers(version: str) -> tuple[int, ...]:
    """``550.54.14`` -> (550, 54, 14), ``2.0.7rc1`` -> (2, 0, 7), ``3.3.1+cu126`` -> (3, 3, 1)."""
    beginning = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, beginning[0].split("."))) if beginning else ()


def has_code(codes: Sequence[int], capability: int) -> bool:
    """Whether a card of some compute capability runs code that was compiled for others.

    Code for 8.6 runs on 8.9 (same first number, not smaller), but not on 9.0.
    """
    return any(code // 10 == capability // 10 and code <= capability for code in codes)


def build_for_cuda(cuda: str | None) -> Build | None:
    """The build for a CUDA version as Paddle reports it; None if the table has none."""
    version = numbers(cuda or "")[:2]
    return next((build for build in BUILDS if numbers(build.cuda) == version), None)


def best_build(
    capabilities: Sequence[int], driver: str | None, system: str = "Linux"
) -> Build | None:
    """The build to install.

    Args:
        capabilities: compute capability of every card that shall compute; 7.5 is 75. None at
            all: only the driver decides.
        driver: version of the NVIDIA driver; None without one.
        system: as ``platform.system()`` says.

    Returns:
        None if no build runs on all of them with this driver.
    """
    by_name = {build.name: build for build in BUILDS}
    for build in (by_name[name] for name in PREFERENCE):
        if build.runs_with(driver, system) and all(has_code(build.codes, c) for c in capabilities):
            return build
    return None


def advice(capabilities: Sequence[int], driver: str | None, system: str = "Linux") -> str:
    """What to do, in one line, so that these cards compute (arguments as for `best_build`)."""
    build = best_build(capabilities, driver, system)
    if build is not None:
        return build.install
    newest = best_build(capabilities, "9999", system)
    if newest is None:
        which = dotted(sorted(set(capabilities)), " and ")
        return f"no build of Paddle 3 serves compute capability {which}: set {DEVICE}=cpu"
    oldest = newest.oldest_driver(system)
    return f"install NVIDIA's driver {oldest} or newer, then: {newest.install}"


# ---------------------------------------------------------------- this machine


def ask_driver() -> tuple[str | None, list[Card]]:
    """(version of the NVIDIA driver, its cards); (None, []) without one.

    ``nvidia-smi`` comes with the driver; old ones do not know compute capabilities.
    """
    full = _nvidia_smi("driver_version,compute_cap,name")
    rows = [line.split(", ", 2) for line in full if line.count(", ") >= 2]
    if not rows:
        rows = [[words[0], "", words[-1]] for line in _nvidia_smi("driver_version,name")
                if len(words := line.split(", ", 1)) == 2]  # fmt: skip
    cards = [Card(name, _capability(text)) for _, text, name in rows]
    return (rows[0][0] or None, cards) if rows else (None, [])


def _nvidia_smi(query: str) -> list[str]:
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.strip().splitlines()


def _capability(text: str) -> int | None:
    """``8.6`` -> 86."""
    major, _, minor = text.partition(".")
    return int(major) * 10 + int(minor) if major.isdigit() and minor.isdigit() else None


def dotted(codes: Sequence[int], between: str = ", ") -> str:
    """(75, 86) -> ``7.5, 8.6``."""
    return between.join(f"{code / 10:.1f}" for code in codes)


def main() -> int:
    """Print the build for this machine (0), or why there is none (1)."""
    driver, cards = ask_driver()
    capabilities = [card.capability for card in cards if card.capability is not None]
    build = best_build(capabilities, driver, platform.system())
    if build is None:
        print(advice(capabilities, driver, platform.system()), file=sys.stderr)
        return 1
    print(build.name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
