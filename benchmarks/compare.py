"""Compare: the same work here and in a peer, in turn, pair by pair.

All processes live as long as the comparison, and only one works at a time. So what disturbs
the machine disturbs all, and a ratio is that of two neighbours.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.comparison_report import NEITHER, pair_by_pair, ratio_of
from benchmarks.machine import our_variables, plain_environment
from benchmarks.measure import OURS
from benchmarks.peers import Peer
from benchmarks.process import Worker
from benchmarks.work import Case, prepare
from maskrcnn_edu.system.cpu import num_cores

INSTALLED, THREADS, SAME = "each as installed", "same threads", "same threads, same environment"
PIECES = ("paste", "mask_targets")
SIDES = ("ours", "peer")
SHORT_TURN, QUIET = 0.5, 0.3  # seconds


@dataclass(frozen=True)
class Setting:
    """Under which variables both sides run.

    Attributes:
        name: `INSTALLED`, `THREADS` or `SAME`.
        threads: of both sides; None leaves it to each.
        shared: the peer is given the variables that this package sets for itself, too.
    """

    name: str
    threads: int | None = None
    shared: bool = False


def settings(threads: int | None) -> list[Setting]:
    """All settings, the strictest at the end; with ``threads`` only those with so many."""
    counts = [threads] if threads else sorted({num_cores(), 1}, reverse=True)
    installed = [] if threads else [Setting(INSTALLED)]
    same = [Setting(SAME, count, shared=True) for count in counts]
    return [*installed, *(Setting(THREADS, count) for count in counts), *same]


@dataclass(frozen=True)
class Compared:
    """One kind of work, measured on both sides in turn.

    Attributes:
        case: configuration, size and batch.
        what: ``train``, ``predict``, ``predict, neither compiled``, ``paste``,
            ``mask targets``, ``memory, train``, ...
        peer_name: whose times are beside ours.
        setting: under which variables.
        ours, peer: seconds, pair by pair, of each turn (see `in_a_turn`); for memory bytes,
            one number.
        first: seconds of the first time on each side, which does not count: compiling is in it.
        counts: what each side had to do.
        threads: of CPU code, ours and the peer's.
        outputs: what the networks of each side make of the same image and boxes after all
            that: mean and standard deviation by name.
    """

    case: Case
    what: str
    peer_name: str
    setting: str
    ours: list[float]
    peer: list[float]
    first: tuple[float, float]
    counts: dict[str, dict[str, Any]]
    threads: tuple[int, int]
    outputs: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """Ours over the peer's, pair by pair: below 1 we are faster, or smaller."""
        return [own / theirs for own, theirs in zip(self.ours, self.peer)]


@dataclass(frozen=True)
class Plan:
    """How a comparison is made.

    Attributes:
        peer: with whom.
        pairs: how often each kind of work is done on both sides.
        threads: of both sides; None: as many as there are cores, one, and what each takes.
    """

    peer: Peer
    pairs: int = 5
    threads: int | None = None


class Sides:
    """The processes of both sides, each started once for all settings in which it is the same."""

    def __init__(self, case: Case, plan: Plan, folder: str, stack: ExitStack):
        self.case, self.plan, self.folder, self.stack = case, plan, folder, stack
        self.workers: dict[tuple, Worker] = {}

    def ours(self, setting: Setting, compiled: bool = True) -> Worker:
        """Ours: the package sets its variables for itself, whatever the setting."""
        work = {"folder": self.folder, "compiled": compiled}
        return self._worker("benchmarks", OURS, "", plain_environment(setting.threads), work)

    def peer(self, setting: Setting) -> Worker:
        """The peer's."""
        peer = self.plan.peer
        environment = plain_environment(setting.threads)
        environment |= our_variables() if setting.shared else {}
        work = peer.work(self.case, self.folder)
        name = f"{peer.option} {peer.python}"
        return self._worker(name, peer.command(), peer.fix, environment, work)

    def _worker(
        self, name: str, command: Sequence[str], fix: str, environment: dict[str, str],
        work: dict[str, Any],
    ) -> Worker:  # fmt: skip
        key = (*command, *sorted(environment.items()), work.get("compiled"))
        if key not in self.workers:
            self.workers[key] = self.stack.enter_context(Worker(name, command, environment, fix))
            self.workers[key].call("load", **work)
        return self.workers[key]


Pair = tuple[Setting, Worker, Worker]


def compare(case: Case, plan: Plan, pieces: bool = True) -> list[Compared]:
    """Compare one case: steps, memory, and, if asked for, pasting and mask targets alone."""
    case = replace(case, changes=(*case.changes, *plan.peer.changes(case.config)))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        prepare(case, Path(folder))
        sides = Sides(case, plan, folder, stack)
        every = settings(plan.threads)
        pairs = [(setting, sides.ours(setting), sides.peer(setting)) for setting in every]
        compared = _in_turn(case, case.mode, "plain", pairs, plan)
        compared += _memory(compared[-1])
        if case.mode == "predict":
            plain = every[-1], sides.ours(every[-1], compiled=False), sides.peer(every[-1])
            compared += _in_turn(case, NEITHER, "plain", [plain], plan)
        for what in PIECES if pieces else ():
            compared += _in_turn(case, what.replace("_", " "), what, pairs, plan)
        outputs = {side: worker.call("outputs") for side, worker in zip(SIDES, pairs[-1][1:])}
    return [replace(c, outputs=outputs) for c in compared]


def _in_turn(case: Case, what: str, work: str, pairs: Sequence[Pair], plan: Plan) -> list[Compared]:
    """All processes do the same in turn, once more than counts; a comparison for each setting."""
    workers = list(dict.fromkeys(side for _, *both in pairs for side in both))
    first = {worker: worker.call(work)["seconds"] for worker in workers}
    times = in_a_turn(max(first.values()))
    counted = [
        {worker: _turn(worker, work, times) for worker in workers} for _ in range(plan.pairs)
    ]
    facts = {worker: worker.call("facts") for worker in workers}
    return [
        Compared(
            case, what, plan.peer.name, setting.name,
            [times[ours] for times in counted], [times[peer] for times in counted],
            (first[ours], first[peer]), {"ours": facts[ours], "peer": facts[peer]},
            (facts[ours]["threads"], facts[peer]["threads"]),
        )
        for setting, ours, peer in pairs
    ]  # fmt: skip


def in_a_turn(seconds: float) -> int:
    """How often something is done in each turn: once, or as often as fits into half a second (at
    most ten times), and once before that, because the others have emptied the caches.

    Args:
        seconds: how long it takes, on the slowest side.
    """
    return 1 + min(10, int(SHORT_TURN / seconds))


def _turn(worker: Worker, work: str, times: int) -> float:
    """Seconds of the work: the mean of all times but the first, if there are several.

    Before that it is quiet for a moment: with Intel's OpenMP, which Paddle has, the threads of
    the process before keep their cores busy for 0.2 seconds after their work.
    """
    time.sleep(QUIET)
    seconds = [worker.call(work)["seconds"] for _ in range(times)]
    return statistics.fmean(seconds[1:] or seconds)


def _memory(steps: Compared) -> list[Compared]:
    """Peak memory after these steps, as far as the system reports it; the host's without
    what loading the libraries took."""
    compared = []
    for key, what in (("peak_memory", "memory"), ("peak_gpu_memory", "GPU memory")):
        both = [steps.counts[side][key] for side in SIDES]
        if None not in both:
            loaded = [steps.counts[side]["base_memory"] for side in SIDES]
            above = loaded if key == "peak_memory" else [0, 0]
            ours, theirs = ([value - base] for value, base in zip(both, above))
            what = f"{what}, {steps.case.mode}"
            compared.append(replace(steps, what=what, ours=ours, peer=theirs))
    return compared


def compare_all(cases: Sequence[Case], plan: Plan, log: Callable[[str], None]) -> list[Compared]:
    """Compare all cases; ``log`` gets a line before each, and its ratios."""
    compared: list[Compared] = []
    done: set[Case] = set()
    for number, case in enumerate(cases, start=1):
        log(f"{number} of {len(cases)}: {case}, beside {plan.peer.name}")
        same = replace(case, mode="train", batch=1)  # pieces depend on neither
        new = compare(case, plan, pieces=same not in done)
        done.add(same)
        compared += new
        for c in new:
            log(f"  {c.what}, {c.setting} {ratio_of(c)}: {pair_by_pair(c)}")
    return compared


def as_json(c: Compared) -> dict[str, Any]:
    """A comparison in plain values."""
    return {**asdict(c), "ratios": c.ratios}
