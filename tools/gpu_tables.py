"""The tables of docs/machines.md: which graphics card runs which of Paddle's GPU builds.

python tools/gpu_tables.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maskrcnn_edu.system.gpu_builds import BUILDS, best_build, dotted


@dataclass(frozen=True)
class Generation:
    """Graphics cards of one kind; all of their compute capabilities run the same builds."""

    name: str
    cards: str
    capabilities: tuple[int, ...]


GENERATIONS = (
    Generation("Maxwell", "GTX 900, M40", (50, 52)),
    Generation("Pascal", "GTX 10, P4, P40, P100", (60, 61)),
    Generation("Volta", "V100, Titan V", (70,)),
    Generation("Turing", "GTX 16, RTX 20, T4", (75,)),
    Generation("Ampere", "RTX 30, A10, A40, A100", (80, 86)),
    Generation("Ada", "RTX 40, L4, L40", (89,)),
    Generation("Hopper", "H100, H200", (90,)),
    Generation("Blackwell (servers)", "B200", (100,)),
    Generation("Blackwell", "RTX 50", (120,)),
)
"""What the table of ``docs/machines.md`` lists, the oldest first."""


def advice_table() -> str:
    """Card generation and driver (on Linux) to build, as Markdown."""
    drivers = [build.linux for build in BUILDS]
    head = ["graphics card", "compute capability", "older driver", *(f"{d}+" for d in drivers)]
    rows = []
    for generation in GENERATIONS:
        builds = [best_build(generation.capabilities, driver) for driver in ["0", *drivers]]
        names = [build.name if build else "none" for build in builds]
        what = f"{generation.name}: {generation.cards}"
        rows.append([what, dotted(generation.capabilities), *names])
    return _markdown(head, rows)


def builds_table() -> str:
    """The builds, what they serve and which driver they want, as Markdown."""
    head = ["build", "CUDA", "compute capabilities", "driver on Linux", "driver on Windows"]
    rows = [[b.name, b.cuda, dotted(b.codes), b.linux, b.windows] for b in BUILDS]
    return _markdown(head, rows)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    print(f"{advice_table()}\n\n{builds_table()}")
