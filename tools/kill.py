"""End a training at random moments, go on, and compare with one that nobody disturbed.

    python tools/kill.py --times 50

A third of the moments are at the start (imports, reading the checkpoint), a third at a save
(the unfinished file is there), a third anywhere in the training. In turn one of the processes
is killed (kill -9) or stopped (SIGSTOP), or the command gets SIGTERM, or SIGINT twice. Runs
that reach their end are compared with the undisturbed one: weights and losses must be equal
to the last bit. Ends with 1 if a checkpoint was lost, a number differs, a process is left
over, or the end takes more than a minute. Needs Linux.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.training.checkpoint import CheckpointFolder

SMALL = (
    "ResNet.ch_in=8", "ResNet.ch_out_list=[8,8,16,16]", "ResNet.norm_type=bn",
    "FPN.out_channel=8", "TwoFCHead.out_channel=16", "TrainReader.batch_size=2",
)  # fmt: skip
AIMS = ("start", "save", "training")
WAYS = ("kill", "stop", "term", "int twice")
PATIENCE = 60.0
"""Seconds in which all processes must have ended."""


def command(data: Path, out: Path, steps: int, processes: int, *more: str) -> list[str]:
    """A training that writes a checkpoint after every step."""
    options = ["--config", "shapes_fpn", "--out", out, "--steps", steps, "--processes", processes]
    for word in SMALL:
        options += ["--set", word]
    for split in ("train", "val"):
        options += [f"--{split}-json", data / f"annotations/instances_{split}.json"]
        options += [f"--{split}-images", data / split]
    options += ["--checkpoint-every", 1, *more]
    return [sys.executable, "-m", "maskrcnn_edu", "train", *map(str, options)]


def outcome(out: Path) -> tuple[list[dict], bytes]:
    """What must be equal: every line of the metrics but its clock, and the weights."""
    lines = map(json.loads, (out / "metrics.jsonl").read_text().splitlines())
    losses = [{k: v for k, v in line.items() if k != "seconds"} for line in lines]
    return losses, (out / "model.safetensors").read_bytes()


@dataclass
class Tally:
    """What happened."""

    kills: dict[tuple[str, str], int] = field(default_factory=dict)  # by moment and way
    longest: float = 0.0  # seconds until all processes had ended
    left_over: int = 0
    within_a_save: int = 0
    resumes: int = 0
    lost: int = 0
    runs: int = 0
    different: int = 0

    def table(self) -> str:
        """As Markdown."""
        rows = {
            "ends": sum(self.kills.values()),
            **{f"  {way}, at: {aim}": count for (aim, way), count in sorted(self.kills.items())},
            "  of these with a half-written checkpoint": self.within_a_save,
            "resumes": self.resumes,
            "longest wait for the end of all processes, seconds": round(self.longest, 1),
            "processes left over": self.left_over,
            "lost checkpoints": self.lost,
            "runs brought to their end": self.runs,
            "  of these with other losses or weights": self.different,
        }
        return "\n".join(
            ["| what | number |", "|---|---|"] + [f"| {k} | {v} |" for k, v in rows.items()]
        )


def newest_step(out: Path) -> int:
    """The step of the newest checkpoint by its name; 0 without one."""
    files = CheckpointFolder(out / "checkpoints").files()
    return int(files[-1].stem.split("-")[1]) if files else 0


def wait_for(aim: str, process: subprocess.Popen, out: Path, chance: random.Random) -> int:
    """Wait for the moment to kill at; the newest step that was certainly saved before."""
    before = seen = newest_step(out)
    if aim == "start":
        time.sleep(chance.uniform(0, 4))
        return before
    while process.poll() is None and seen == before:
        time.sleep(0.005)
        seen = newest_step(out)
    time.sleep(chance.uniform(0, 1))
    seen = newest_step(out)
    if aim == "save":
        while process.poll() is None and not list((out / "checkpoints").glob("*.part")):
            pass
    return seen


def workers_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    with contextlib.suppress(OSError):
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return []


def is_alive(pid: int) -> bool:
    """Whether a process is there, and does not only wait for its parent to look at it."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def strike(process: subprocess.Popen, way: str, chance: random.Random) -> list[int]:
    """End a training in one of `WAYS`; all its processes."""
    workers = workers_of(process.pid)
    while way == "stop" and not workers and process.poll() is None:  # nobody to stop yet
        time.sleep(0.05)
        workers = workers_of(process.pid)
    if way == "kill":
        os.kill(chance.choice([process.pid, *workers]), signal.SIGKILL)
    elif way == "stop" and workers:
        os.kill(chance.choice(workers), signal.SIGSTOP)
    elif way == "term":
        process.terminate()
    elif way == "int twice":
        process.send_signal(signal.SIGINT)
        time.sleep(chance.uniform(0, 1))
        process.send_signal(signal.SIGINT)
    return [process.pid, *workers]


def wait_for_all(process: subprocess.Popen, family: list[int], tally: Tally) -> None:
    """Wait until all have ended; those that have not in `PATIENCE` are left over."""
    start = time.monotonic()
    while any(map(is_alive, family)) and time.monotonic() - start < PATIENCE:
        process.poll()
        time.sleep(0.05)
    tally.longest = max(tally.longest, time.monotonic() - start)
    for pid in filter(is_alive, family):
        tally.left_over += 1
        os.kill(pid, signal.SIGKILL)
    process.wait()


def kill_once(
    words: list[str], out: Path, aim: str, way: str, chance: random.Random, tally: Tally
) -> bool:
    """Start, end, look at what is left; True if the run was at its end before that."""
    said = out.with_suffix(".txt")
    with said.open("wb") as stderr:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=stderr)
    seen = wait_for(aim, process, out, chance)
    if process.poll() is not None:
        if process.returncode:
            raise SystemExit(f"a training failed:\n{said.read_text()}")
        return True
    wait_for_all(process, strike(process, way, chance), tally)
    tally.kills[aim, way] = tally.kills.get((aim, way), 0) + 1
    folder = CheckpointFolder(out / "checkpoints")
    tally.within_a_save += bool(list(folder.path.glob("*.part")))
    left = newest_step(out)
    if left < seen:
        tally.lost += 1
    elif left:
        folder.load(left)  # raises ValueError if it is damaged
    return False


def torture(times: int, steps: int, processes: int, seed: int = 0) -> Tally:
    """End it so many times, in as many runs as it takes; bring the last to its end."""
    ways = [way for way in WAYS if processes > 1 or way != "stop"]  # nobody waits for one alone
    chance, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_shapes(data, train=6, val=2)
        words = command(data, Path(folder) / "calm", steps, processes)
        subprocess.run(words, check=True, capture_output=True)
        calm = outcome(Path(folder) / "calm")
        while sum(tally.kills.values()) < times:
            out, done = Path(folder) / f"run{tally.runs}", False
            while not done and sum(tally.kills.values()) < times:
                number = sum(tally.kills.values())
                aim, way = AIMS[number % len(AIMS)], ways[number % len(ways)]
                tally.resumes += out.exists()
                words = command(data, out, steps, processes, "--resume")
                done = kill_once(words, out, aim, way, chance, tally)
            if not done:
                tally.resumes += 1
                words = command(data, out, steps, processes, "--resume")
                subprocess.run(words, check=True, capture_output=True)
            tally.runs += 1
            tally.different += outcome(out) != calm
    return tally


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--steps", type=int, default=250, help="length of a run")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    tally = torture(options.times, options.steps, options.processes, options.seed)
    print(tally.table())
    return 1 if tally.lost or tally.different or tally.left_over else 0


if __name__ == "__main__":
    sys.exit(main())
