"""Measure: one case after the other, each in a process of its own."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.channel import Channel
from benchmarks.machine import plain_environment
from benchmarks.stopwatch import BETWEEN, STAGES
from benchmarks.table import megabytes, seconds, share, spread, table
from benchmarks.work import Case, prepare

OURS = (sys.executable, "-m", "benchmarks.worker")


@dataclass(frozen=True)
class Measured:
    """What was found out about a case.

    Attributes:
        case: what was measured.
        seconds: of every step, reading its pictures included.
        stages: of every stage, one number per step; they add up to ``seconds``.
        bare: of the networks alone, in turn with the steps.
        waited: of each of some more steps, waiting for a batch that is prepared in the
            background, as while training.
        syncs: place and operation -> how often the host waits there in one step.
        counts: proposals, RoIs, foreground RoIs, loss; or proposals and detections.
        peak_memory: of the process after its first steps, bytes.
        peak_gpu_memory: the same of the GPU; None on a CPU.
    """

    case: Case
    seconds: list[float]
    stages: dict[str, list[float]]
    bare: list[float]
    waited: list[float]
    syncs: dict[str, int]
    counts: dict[str, float]
    peak_memory: int | None
    peak_gpu_memory: int | None

    @property
    def rest(self) -> float:
        """The share of a step that is not the networks', 0 .. 1."""
        return 1 - statistics.median(self.bare) / statistics.median(self.seconds)

    @property
    def between(self) -> float:
        """The share of a step that belongs to the stages between the networks, 0 .. 1."""
        times = [statistics.median(self.stages.get(name, [0.0])) for name in BETWEEN]
        return sum(times) / statistics.median(self.seconds)


def measure(case: Case, repeat: int, threads: int | None = None) -> Measured:
    """Measure a case: steps and bare networks in turn, after one of each that does not count."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Channel("bench", OURS, plain_environment(threads)) as worker,
    ):
        prepare(case, Path(folder))
        worker.ask("load", folder=folder)
        worker.ask("step")
        facts = worker.ask("step") and worker.ask("facts")  # before anything else takes memory
        worker.ask("bare")
        steps, bare = [], []
        for _ in range(repeat):
            steps.append(worker.ask("step"))
            bare.append(worker.ask("bare")["seconds"])
        waited = worker.ask("fed", times=repeat)["seconds"]
        syncs = worker.ask("syncs")
    names = [name for name in STAGES if any(name in step["stages"] for step in steps)]
    names += sorted({name for step in steps for name in step["stages"]} - set(names))
    memory = {key: facts.pop(key) for key in ("peak_memory", "peak_gpu_memory")}
    for key in ("version", "threads"):
        facts.pop(key)
    return Measured(
        case,
        [step["seconds"] for step in steps],
        {name: [step["stages"].get(name, 0.0) for step in steps] for name in names},
        bare, waited, syncs, facts, **memory,
    )  # fmt: skip


def measure_all(
    cases: Sequence[Case], repeat: int, threads: int | None, say: Callable[[str], None]
) -> list[Measured]:
    """Measure all cases; ``say`` hears which one is next."""
    found = []
    for number, case in enumerate(cases, start=1):
        say(f"{number} of {len(cases)}: {case}")
        found.append(measure(case, repeat, threads))
    return found


def summary(found: Sequence[Measured]) -> str:
    """One line per case."""
    head = ["configuration", "pixels", "batch", "", "a step", "per image", "network alone",
            "not the network", "between", "waiting for data", "memory", "waits"]  # fmt: skip
    rows = []
    for m in found:
        each = statistics.median(m.seconds) / m.case.batch
        rows.append([
            Path(m.case.config).stem, str(m.case.size), str(m.case.batch), m.case.mode,
            spread(m.seconds), seconds(each), spread(m.bare), f"{100 * m.rest:.1f} %",
            f"{100 * m.between:.1f} %", seconds(statistics.median(m.waited)), _memory(m),
            str(sum(m.syncs.values())),
        ])  # fmt: skip
    return table(head, rows)


def _memory(m: Measured) -> str:
    on_gpu = "" if m.peak_gpu_memory is None else f", GPU {megabytes(m.peak_gpu_memory)}"
    return megabytes(m.peak_memory) + on_gpu


def by_stage(m: Measured) -> str:
    """A case's stages, and what it had to do."""
    total = statistics.median(m.seconds)
    rows = [
        [STAGES.get(name, name), spread(times), share(statistics.median(times), total)]
        for name, times in m.stages.items()
    ]
    counts = ", ".join(f"{value:g} {name}" for name, value in m.counts.items() if name != "loss")
    head = ["stage", "median (min..max)", "of a step"]
    return f"### {m.case}\n\n{counts}\n\n{table(head, rows)}"


def as_json(m: Measured) -> dict[str, Any]:
    """Everything about a case in plain values."""
    return {**vars(m), "case": vars(m.case), "not_network": m.rest, "between": m.between}
