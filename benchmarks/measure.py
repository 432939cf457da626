"""Measure: one case after the other, each in a process of its own."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import plain_environment
from benchmarks.process import Worker
from benchmarks.stopwatch import NON_NETWORK, STAGES
from benchmarks.table import median_range, megabytes, seconds, share, table
from benchmarks.work import Case, prepare

OURS = (sys.executable, "-m", "benchmarks.worker")
JSON_KEYS = {"networks_only": "bare", "data_wait": "waited"}
"""Fields of `Measured` that a file of results calls otherwise."""


@dataclass(frozen=True)
class Measured:
    """What was measured of a case.

    Attributes:
        case: what was measured.
        seconds: of every step, reading its images included.
        stages: of every stage, one number per step; they add up to ``seconds``.
        networks_only: of the networks alone, in turn with the steps.
        data_wait: of each of some more steps, waiting for a batch that is prepared in the
            background, as while training.
        syncs: place and operation -> how often the host waits there in one step.
        operators: that Paddle runs in one step; what is compiled counts as none.
        counts: proposals, RoIs, foreground RoIs, loss; or proposals and detections.
        peak_memory: of the process after its first steps, bytes.
        peak_gpu_memory: the same of the GPU; None on a CPU.
    """

    case: Case
    seconds: list[float]
    stages: dict[str, list[float]]
    networks_only: list[float]
    data_wait: list[float]
    syncs: dict[str, int]
    operators: int
    counts: dict[str, float]
    peak_memory: int | None
    peak_gpu_memory: int | None

    @property
    def outside_networks(self) -> float:
        """The share of a step that is not the networks', 0 .. 1."""
        return 1 - statistics.median(self.networks_only) / statistics.median(self.seconds)

    @property
    def non_network(self) -> float:
        """The share of a step that belongs to the stages of `NON_NETWORK`, 0 .. 1."""
        times = [statistics.median(self.stages.get(name, [0.0])) for name in NON_NETWORK]
        return sum(times) / statistics.median(self.seconds)


def measure(case: Case, repeat: int, threads: int | None = None) -> Measured:
    """Measure a case: steps and networks alone in turn, after one of each that does not count."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Worker("benchmarks", OURS, plain_environment(threads)) as worker,
    ):
        prepare(case, Path(folder))
        worker.call("load", folder=folder)
        worker.call("step")
        facts = worker.call("step") and worker.call("facts")  # before anything else takes memory
        worker.call("networks_only")
        steps, networks_only = [], []
        for _ in range(repeat):
            steps.append(worker.call("step"))
            networks_only.append(worker.call("networks_only")["seconds"])
        data_wait = worker.call("with_loader", times=repeat)["seconds"]
        syncs = worker.call("syncs")
        operators = worker.call("operators")["operators"]
    names = [name for name in STAGES if any(name in step["stages"] for step in steps)]
    names += sorted({name for step in steps for name in step["stages"]} - set(names))
    memory = {key: facts.pop(key) for key in ("peak_memory", "peak_gpu_memory")}
    for key in ("version", "threads", "base_memory"):
        facts.pop(key)
    return Measured(
        case,
        [step["seconds"] for step in steps],
        {name: [step["stages"].get(name, 0.0) for step in steps] for name in names},
        networks_only, data_wait, syncs, operators, facts, **memory,
    )  # fmt: skip


def measure_all(
    cases: Sequence[Case], repeat: int, threads: int | None, log: Callable[[str], None]
) -> list[Measured]:
    """Measure all cases; ``log`` gets a line before each."""
    results = []
    for number, case in enumerate(cases, start=1):
        log(f"{number} of {len(cases)}: {case}")
        results.append(measure(case, repeat, threads))
    return results


def summary(results: Sequence[Measured]) -> str:
    """One line per case."""
    head = ["configuration", "pixels", "batch", "", "a step", "per image", "network alone",
            "not the network", "between", "waiting for data", "memory", "waits",
            "operators"]  # fmt: skip
    rows = []
    for m in results:
        each = statistics.median(m.seconds) / m.case.batch
        rows.append([
            Path(m.case.config).stem, str(m.case.size), str(m.case.batch), m.case.mode,
            median_range(m.seconds), seconds(each), median_range(m.networks_only),
            f"{100 * m.outside_networks:.1f} %", f"{100 * m.non_network:.1f} %",
            seconds(statistics.median(m.data_wait)), _memory(m),
            str(sum(m.syncs.values())), str(m.operators),
        ])  # fmt: skip
    return table(head, rows)


def _memory(m: Measured) -> str:
    on_gpu = "" if m.peak_gpu_memory is None else f", GPU {megabytes(m.peak_gpu_memory)}"
    return megabytes(m.peak_memory) + on_gpu


def by_stage(m: Measured) -> str:
    """A case's stages, and what it had to do."""
    total = statistics.median(m.seconds)
    rows = [
        [STAGES.get(name, name), median_range(times), share(statistics.median(times), total)]
        for name, times in m.stages.items()
    ]
    counts = ", ".join(f"{value:g} {name}" for name, value in m.counts.items() if name != "loss")
    head = ["stage", "median (min..max)", "of a step"]
    return f"### {m.case}\n\n{counts}\n\n{table(head, rows)}"


def as_json(m: Measured) -> dict[str, Any]:
    """Everything about a case in plain values, under the keys that programs know."""
    values = {JSON_KEYS.get(name, name): value for name, value in vars(m).items()}
    shares = {"not_network": m.outside_networks, "between": m.non_network}
    return {**values, "case": vars(m.case), **shares}
