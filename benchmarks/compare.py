"""Compare: the same work here and in PaddleDetection, in turn, pair by pair.

All processes live as long as the comparison, and only one works at a time. So what disturbs
the machine disturbs all, and a ratio is that of two neighbours.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import paddle

from benchmarks.machine import plain_environment
from benchmarks.measure import OURS
from benchmarks.process import Worker
from benchmarks.table import median_range, megabytes, table
from benchmarks.work import PASTED, TARGETS, Case, case_config, prepare
from maskrcnn_edu.config.build import build
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.model.optimizer import OptimizerBuilder

FIX = "; that environment needs Paddle and paddledet 2.6.0, see docs/speed.md"
PEER_WORKER = Path(__file__).parent / "peer_worker.py"

PEER_SIZES = (
    "ResNet.depth=18", "ResNet.ch_in=64", "ResNet.ch_out_list=[64,128,256,512]",
    "ResNet.norm_type=bn", "BBoxHead.cls_agnostic=false",
)  # fmt: skip
"""The smallest backbone that PaddleDetection can build, and one box per class."""
PEER_SIZES_FPN = ("FPN.norm_type=null", "MaskFeat.norm_type=null")
"""PaddleDetection's group norm wants 32 groups; these layers have 48 channels."""
PEER_SIZES_C4 = (
    "ResNet.num_stages=3", "ResNet.return_idx=[2]", "RPNHead.anchor_generator.strides=[16]",
    "Res5Head.depth=18", "Res5Head.ch_out=512", "Res5Head.norm_type=bn",
    "Res5Head.freeze_norm=true",
)  # fmt: skip
"""PaddleDetection's Res5Head stands on res4, and has 512 channels."""

OURS_ALONE = {"ResNet": ("ch_out_list",), "BBoxHead": ("cls_agnostic",),
              "Res5Head": ("ch_out", "norm_type", "freeze_norm", "in_channel")}  # fmt: skip
"""Keys that PaddleDetection's classes do not have; `PEER_SIZES` gives them its values."""
NOT_THE_MODEL = ("TrainReader", "EvalReader", "LearningRate", "OptimizerBuilder", "epoch", "amp",
                 "pretrain_weights")  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """One kind of work, measured on both sides in turn.

    Attributes:
        case: configuration, size and batch.
        what: ``train``, ``predict``, ``paste``, ``mask targets``, ``memory, train``, ...
        ours, peer: seconds, pair by pair; for memory bytes, one number.
        counts: what each side had to do.
        threads: of Paddle's CPU code, ours and the peer's.
    """

    case: Case
    what: str
    ours: list[float]
    peer: list[float]
    counts: dict[str, dict[str, Any]]
    threads: tuple[int, int]

    @property
    def ratios(self) -> list[float]:
        """The peer's over ours, pair by pair: above 1 we are faster, or smaller."""
        return [theirs / own for own, theirs in zip(self.ours, self.peer)]


def peer_changes(name: str) -> tuple[str, ...]:
    """What must be changed in a configuration so that PaddleDetection can build it too."""
    config = load_config(name)
    resnet, box = config.values.get("ResNet", {}), config.values.get("BBoxHead", {})
    fits = "ch_out_list" not in resnet and resnet.get("ch_in", 64) == 64
    if fits and resnet.get("depth", 50) >= 18 and not box.get("cls_agnostic", False):
        return ()
    has_neck = config.values.get("MaskRCNN", {}).get("neck")
    return PEER_SIZES + (PEER_SIZES_FPN if has_neck else PEER_SIZES_C4)


def peer_config(config: Config, on_gpu: bool) -> dict[str, Any]:
    """A configuration in PaddleDetection's words."""
    ours = {name: value for name, value in config.values.items() if name not in NOT_THE_MODEL}
    for section, keys in OURS_ALONE.items():
        if section in ours:
            ours[section] = {k: v for k, v in ours[section].items() if k not in keys}
    return {"architecture": "MaskRCNN", **ours, "metric": "COCO", "use_gpu": on_gpu}


def peer_optimizer(config: Config) -> dict[str, Any]:
    """The configuration's optimizer in plain values."""
    made = build(config, OptimizerBuilder)
    options = {k: v for k, v in made.optimizer.items() if k != "type"}
    decay = made.regularizer["factor"] if made.regularizer else 0.0
    return {"kind": made.optimizer["type"], "options": options, "decay": decay,
            "limit": made.clip_grad_by_norm}  # fmt: skip


@dataclass(frozen=True)
class Peer:
    """Where PaddleDetection is, and how to compare with it.

    Attributes:
        python: interpreter of an environment with paddledet 2.6.0 and Paddle.
        code: folder with other source of PaddleDetection, to be used instead; or None.
        pairs: how often each kind of work is done on both sides.
        threads: of Paddle's CPU code on both sides; None leaves it to each, and if we take
            more than the peer does, we are measured a second time with as many.
    """

    python: str
    code: str | None = None
    pairs: int = 5
    threads: int | None = None

    def command(self) -> list[str]:
        """What starts the peer's worker."""
        return [self.python, str(PEER_WORKER), *([self.code] if self.code else [])]


def compare(case: Case, peer: Peer, pieces: bool = True) -> list[Compared]:
    """Compare one case: steps, memory, and, if asked for, pasting and mask targets alone."""
    case = replace(case, changes=(*case.changes, *peer_changes(case.config)))
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        prepare(case, Path(folder))
        theirs = stack.enter_context(_peer_worker(peer))
        theirs.call("load", **_peer_work(case, folder))
        ours = [stack.enter_context(_our_worker(peer.threads))]
        ours[0].call("load", folder=folder)
        least = theirs.call("facts")["threads"]
        if ours[0].call("facts")["threads"] > least:
            ours.append(stack.enter_context(_our_worker(least)))
            ours[1].call("load", folder=folder)
        compared = _in_turn(case, case.mode, "plain", ours, theirs, peer.pairs)
        compared += _memory(compared[0])
        if pieces:
            for what in ("paste", "mask_targets"):
                name = what.replace("_", " ")
                compared += _in_turn(case, name, what, ours, theirs, peer.pairs)
    return compared


def _our_worker(threads: int | None) -> Worker:
    return Worker("benchmarks", OURS, plain_environment(threads))


def _peer_worker(peer: Peer) -> Worker:
    environment = plain_environment(peer.threads)
    return Worker(f"--peer {peer.python}", peer.command(), environment, FIX)


def _peer_work(case: Case, folder: str) -> dict[str, Any]:
    """What PaddleDetection's process has to know."""
    config, on_gpu = case_config(case), paddle.get_device() != "cpu"
    return {"folder": folder, "config": peer_config(config, on_gpu),
            "optimizer": peer_optimizer(config), "device": "gpu" if on_gpu else "cpu"}  # fmt: skip


def _in_turn(
    case: Case, what: str, work: str, ours: Sequence[Worker], theirs: Worker, pairs: int
) -> list[Compared]:
    """All sides do the same in turn, once more than counts; a comparison for each of ours."""
    sides = [theirs, *ours]
    rounds = [[side.call(work)["seconds"] for side in sides] for _ in range(pairs + 1)]
    their_times, *our_times = (list(times) for times in zip(*rounds[1:]))
    peer_facts, compared = theirs.call("facts"), []
    for side, times in zip(ours, our_times):
        facts = {"ours": side.call("facts"), "peer": peer_facts}
        threads = (facts["ours"]["threads"], peer_facts["threads"])
        compared.append(Compared(case, what, times, their_times, facts, threads))
    return compared


def _memory(steps: Compared) -> list[Compared]:
    """Peak memory after these steps, as far as the system reports it."""
    compared = []
    for key, what in (("peak_memory", "memory"), ("peak_gpu_memory", "GPU memory")):
        what = f"{what}, {steps.case.mode}"
        both = [steps.counts[side][key] for side in ("ours", "peer")]
        if None not in both:
            ours, theirs = ([value] for value in both)
            compared.append(replace(steps, what=what, ours=ours, peer=theirs))
    return compared


def compare_all(cases: Sequence[Case], peer: Peer, log: Callable[[str], None]) -> list[Compared]:
    """Compare all cases; ``log`` gets a line before each, and its ratios."""
    compared: list[Compared] = []
    done: set[Case] = set()
    for number, case in enumerate(cases, start=1):
        log(f"{number} of {len(cases)}: {case}")
        same = replace(case, mode="train", batch=1)  # pieces depend on neither
        new = compare(case, peer, pieces=same not in done)
        done.add(same)
        compared += new
        for c in new:
            log(f"  {c.what}, threads {_threads(c)}: {_pair_by_pair(c)}")
    return compared


def _threads(c: Compared) -> str:
    """``2 : 1``, or ``1`` if both sides have it."""
    ours, theirs = c.threads
    return f"{ours}" if ours == theirs else f"{ours} : {theirs}"


def _pair_by_pair(c: Compared) -> str:
    return ", ".join(f"{ratio:.2f}" for ratio in c.ratios)


def report(compared: Sequence[Compared]) -> str:
    """The ratios as a table, and what was compared."""
    head = ["configuration", "pixels", "batch", "what", "threads", "ours", "PaddleDetection",
            "median ratio", "ratios pair by pair"]  # fmt: skip
    names = {"paste": f"pasting {PASTED} masks", "mask targets": f"mask targets, {TARGETS} RoIs"}
    rows = []
    for c in compared:
        shown = _bytes if "memory" in c.what else median_range
        rows.append([
            Path(c.case.config).stem, str(c.case.size), str(c.case.batch),
            names.get(c.what, c.what), _threads(c), shown(c.ours), shown(c.peer),
            f"{statistics.median(c.ratios):.2f}", _pair_by_pair(c),
        ])  # fmt: skip
    return f"{table(head, rows)}\n\n{_what_was_compared(compared)}"


def _bytes(values: Sequence[float]) -> str:
    return megabytes(int(values[0]))


def _what_was_compared(compared: Sequence[Compared]) -> str:
    """Counts of both sides, and the changes that PaddleDetection needed."""
    steps: dict[Case, Compared] = {}
    for c in compared:
        if c.what == c.case.mode:  # with another number of threads there is the same to do
            steps.setdefault(c.case, c)
    lines = []
    for case, c in steps.items():
        sides = [f"{side} {_counts(c.counts[side])}" for side in ("ours", "peer")]
        lines.append(f"- {case}: {'; '.join(sides)}")
    changed = {Path(c.case.config).stem: c.case.changes for c in compared if c.case.changes}
    for name, changes in changed.items():
        lines.append(f"- {name} on both sides with `--set {' '.join(changes)}`")
    return "\n".join(lines)


def _counts(facts: dict[str, Any]) -> str:
    wanted = ("rois", "foreground", "detections", "loss")
    return ", ".join(f"{facts[k]:.5g} {k}" for k in wanted if k in facts)


def as_json(c: Compared) -> dict[str, Any]:
    """A comparison in plain values."""
    return {**asdict(c), "ratios": c.ratios}
