"""The report of a comparison: ratios in short, pair by pair, and what was compared."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.table import median_range, megabytes, seconds, table
from benchmarks.work import PASTED, TARGETS, Case

if TYPE_CHECKING:  # a comparison is made elsewhere, and logs with the words of this file
    from benchmarks.compare import Compared

NAMES = {"paste": f"pasting {PASTED} masks", "mask targets": f"mask targets, {TARGETS} RoIs"}
NEITHER = "predict, neither compiled"


def ratio_of(c: Compared) -> str:
    """Threads of both sides, ours first: ``2 : 1``."""
    return f"{c.threads[0]} : {c.threads[1]}"


def pair_by_pair(c: Compared) -> str:
    """All ratios, in the order of the measurements."""
    return ", ".join(f"{ratio:.2f}" for ratio in c.ratios)


def report(compared: Sequence[Compared]) -> str:
    """Ours divided by the peer's, in short and pair by pair, and what was compared."""
    parts = [in_short(compared), every_pair(compared), what_was_compared(compared)]
    return "\n\n".join(parts)


def in_short(compared: Sequence[Compared]) -> str:
    """Medians: a row for each kind of work, a column for each setting, the strictest first."""
    times = [c for c in compared if "memory" not in c.what]
    columns = list(dict.fromkeys(_column(c) for c in reversed(times) if c.what == c.case.mode))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for c in compared:
        whose = (Path(c.case.config).stem, str(c.case.size), str(c.case.batch), c.peer_name)
        column, what = ("memory", c.case.mode) if _is_memory(c) else (_column(c), c.what)
        row = rows.setdefault((*whose, NAMES.get(what, what)), {})
        row[column] = f"{statistics.median(c.ratios):.2f}"
    head = ["configuration", "pixels", "batch", "peer", "what", *columns, "memory"]
    return table(head, [[*key, *(row.get(c, "") for c in head[5:])] for key, row in rows.items()])


def _column(c: Compared) -> str:
    return f"{c.setting}, {ratio_of(c)}"


def _is_memory(c: Compared) -> bool:
    return c.what.startswith("memory")


def every_pair(compared: Sequence[Compared]) -> str:
    """Times of both sides and the ratio of every pair."""
    head = ["configuration", "pixels", "batch", "peer", "what", "setting", "threads", "ours",
            "theirs", "median ratio", "ratios pair by pair"]  # fmt: skip
    rows = []
    for c in compared:
        shown = _bytes if "memory" in c.what else median_range
        rows.append([
            Path(c.case.config).stem, str(c.case.size), str(c.case.batch), c.peer_name,
            NAMES.get(c.what, c.what), c.setting, ratio_of(c), shown(c.ours), shown(c.peer),
            f"{statistics.median(c.ratios):.2f}", pair_by_pair(c),
        ])  # fmt: skip
    return table(head, rows)


def _bytes(values: Sequence[float]) -> str:
    return megabytes(int(values[0]))


def what_was_compared(compared: Sequence[Compared]) -> str:
    """Counts of both sides, when compiling is repaid, and the changes that the peer needed."""
    steps: dict[tuple[Case, str], Compared] = {}
    for c in compared:
        if c.what == c.case.mode:  # under another setting there is the same to do
            steps[c.case, c.peer_name] = c
    lines = []
    for (case, name), c in steps.items():
        lines.append(f"- {case}: ours {_counts(c.counts['ours'])}; {name} "
                     f"{_counts(c.counts['peer'])}")  # fmt: skip
        lines.append(f"  {same_outputs(c)}")
    lines += [
        repaid(steps[c.case, c.peer_name], c)
        for c in compared if c.what == NEITHER and (c.case, c.peer_name) in steps
    ]  # fmt: skip
    changed = {(Path(c.case.config).stem, c.peer_name): c.case.changes
               for c in compared if c.case.changes}  # fmt: skip
    for (name, peer), changes in changed.items():
        lines.append(f"- {name} beside {peer}, on both sides with `--set {' '.join(changes)}`")
    return "\n".join(lines)


def same_outputs(c: Compared) -> str:
    """How far apart the networks of both sides are, for the same image and boxes."""
    parts = []
    for name, (mean, std) in c.outputs["peer"].items():
        own_mean, own_std = c.outputs["ours"][name]
        apart = max(abs(own_mean - mean), abs(own_std - std)) / max(std, 1e-9)
        parts.append(f"{name} {100 * apart:.2g} %")
    return ("mean and standard deviation, for the same image and boxes, "
            f"are apart by so much of the latter: {', '.join(parts)}")  # fmt: skip


def _counts(facts: dict[str, Any]) -> str:
    wanted = ("rois", "foreground", "detections", "loss")
    said = ", ".join(f"{facts[k]:.5g} {k}" for k in wanted if k in facts)
    base = facts.get("base_memory")
    return said if base is None else f"{said}, libraries {megabytes(base)}"


def repaid(compiled: Compared, plain: Compared) -> str:
    """What compiling costs us, and after how many images it has paid; one thread's row."""
    usual, eager = statistics.median(compiled.ours), statistics.median(plain.ours)
    cost, gain = compiled.first[0] - usual, eager - usual
    images = f"repaid after {cost / gain:.0f} times" if gain > 0 else "never repaid"
    return (f"- {compiled.case}: our compiling takes {seconds(max(cost, 0.0))} the first time, "
            f"and is {images} ({seconds(eager)} become {seconds(usual)})")  # fmt: skip
