"""Kill a training at random moments, go on, and compare with one that nobody killed.

    python tools/kill.py --times 50

A third of the kills aim at the start (imports, reading the checkpoint), a third at a save
(the unfinished file is there), a third at any moment of the training. Runs that reach
their end are compared with the undisturbed one: weights and losses must be equal to the
last bit. Ends with 1 if a checkpoint was lost or a number differs.
"""

from __future__ import annotations

import argparse
import json
import random
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


def command(data: Path, out: Path, steps: int, *more: str) -> list[str]:
    """A training that writes a checkpoint after every step."""
    options = ["--config", "shapes_fpn", "--out", out, "--steps", steps, "--processes", 1]
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

    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(AIMS, 0))
    within_a_save: int = 0
    resumes: int = 0
    lost: int = 0
    runs: int = 0
    different: int = 0

    def table(self) -> str:
        """As Markdown."""
        rows = {
            "kills": sum(self.kills.values()),
            **{f"  of these aimed at: {aim}": count for aim, count in self.kills.items()},
            "  of these with a half-written checkpoint": self.within_a_save,
            "resumes": self.resumes,
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


def kill_once(words: list[str], out: Path, aim: str, chance: random.Random, tally: Tally) -> bool:
    """Start, kill, look at what is left; True if the run was at its end before that."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    seen = wait_for(aim, process, out, chance)
    if process.poll() is not None:
        if process.returncode:
            raise SystemExit(f"a training failed:\n{process.stderr.read().decode()}")
        return True
    process.kill()
    process.wait()
    tally.kills[aim] += 1
    folder = CheckpointFolder(out / "checkpoints")
    tally.within_a_save += bool(list(folder.path.glob("*.part")))
    left = newest_step(out)
    if left < seen:
        tally.lost += 1
    elif left:
        folder.load(left)  # raises ValueError if it is damaged
    return False


def torture(times: int, steps: int, seed: int = 0) -> Tally:
    """Kill so many times, spread over as many runs as it takes; bring the last to its end."""
    chance, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_shapes(data, train=6, val=2)
        subprocess.run(command(data, Path(folder) / "calm", steps), check=True, capture_output=True)
        calm = outcome(Path(folder) / "calm")
        while sum(tally.kills.values()) < times:
            out, done = Path(folder) / f"run{tally.runs}", False
            while not done and sum(tally.kills.values()) < times:
                aim = AIMS[sum(tally.kills.values()) % len(AIMS)]
                tally.resumes += out.exists()
                done = kill_once(command(data, out, steps, "--resume"), out, aim, chance, tally)
            if not done:
                tally.resumes += 1
                words = command(data, out, steps, "--resume")
                subprocess.run(words, check=True, capture_output=True)
            tally.runs += 1
            tally.different += outcome(out) != calm
    return tally


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--steps", type=int, default=250, help="length of a run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args()
    tally = torture(options.times, options.steps, options.seed)
    print(tally.table())
    return 1 if tally.lost or tally.different else 0


if __name__ == "__main__":
    sys.exit(main())
