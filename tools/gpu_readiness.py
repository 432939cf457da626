"""Which operators run, and does the installed Paddle have a GPU kernel for each?

    python tools/gpu_readiness.py

needs a CUDA build of Paddle, but no GPU: training steps (forward, backward, optimizer) and
predictions of every shipped configuration, made small, run on the CPU while Paddle's log
says which kernel each operator chooses; then the build's registry of kernels is asked
whether there is one for the GPU, of the same type. A second table lists where the host
waits for the device. Exit code 1 if a kernel is missing, 2 if the build is for the CPU.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
import paddle

from benchmarks.syncs import Syncs, count_syncs
from maskrcnn_edu.config.build import build, build_model
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.optimizer import OptimizerBuilder
from maskrcnn_edu.structures import Batch, BitMask, GroundTruth
from maskrcnn_edu.training.distributed import average_gradients, loss_counts, loss_weights
from maskrcnn_edu.training.freezing import fill_gradients

SMALL = [
    "num_classes=3", "ResNet.ch_in=8", "RPNHead.train_proposal.post_nms_top_n=40",
    "RPNHead.test_proposal.post_nms_top_n=30", "BBoxAssigner.batch_size_per_im=16",
    "pretrain_weights=null",
]  # fmt: skip
FPN = ["ResNet.ch_out_list=[8,8,16,16]", "FPN.out_channel=8", "TwoFCHead.out_channel=16"]
C4 = ["ResNet.ch_out_list=[8,8,16]", "Res5Head.ch_out=8"]
RUNS = {
    "shapes_fpn": ("shapes_fpn", FPN),
    "photos_fpn": ("photos_fpn", FPN),
    "mask_rcnn_r50_fpn_1x_coco": (
        "mask_rcnn_r50_fpn_1x_coco", [*FPN, "ResNet.depth=10"],
    ),
    "shapes_c4": ("shapes_c4", C4),
    "mask_rcnn_r50_1x_coco": ("mask_rcnn_r50_1x_coco", [*C4, "ResNet.depth=10"]),
    "options of FPN": (
        "shapes_fpn",
        [*FPN, "ResNet.norm_type=bn", "BBoxHead.bbox_loss={name: GIoULoss}", "use_cot=true",
         "RPNHead.loss_rpn_bbox={name: SmoothL1Loss}", "BBoxHead.cls_agnostic=false",
         "RPNHead.train_proposal.eta=0.9", "BBoxPostProcess.nms.nms_eta=0.9",
         "BBoxPostProcess.nms.nms_top_k=4", "BBoxPostProcess.nms.keep_top_k=3",
         "RPNHead.rpn_target_assign.ignore_thresh=0.5", "BBoxAssigner.ignore_thresh=0.5",
         "OptimizerBuilder.clip_grad_by_norm=1.0", "MaskRCNN.use_extra_data=true",
         "OptimizerBuilder.optimizer={type: Momentum, momentum: 0.9}"],
    ),
    "options of C4": (
        "shapes_c4",
        [*C4, "BBoxHead.bbox_loss={name: SmoothL1Loss}", "BBoxHead.loss_normalize_pos=true",
         "RPNHead.loss_rpn_bbox={name: GIoULoss}", "OptimizerBuilder.clip_grad_by_norm=1.0",
         "RPNHead.rpn_target_assign.assign_on_cpu=true"],
    ),
}  # fmt: skip
"""What is run: a configuration each, and changes that make it small or use other operators."""


# ---------------------------------------------------------------- a small run


def batch() -> Batch:
    """Two images: one with an object, a crowd and an object of pixels, one with nothing."""
    boxes = np.array([[8, 10, 60, 70], [40, 40, 90, 100], [70, 5, 120, 50]], np.float32)
    polygon = [np.array([8, 10, 60, 10, 60, 70, 8, 70], np.float64)]
    pixels = BitMask(np.ones([45, 50], np.uint8), boxes[2])
    full = _objects(boxes, [polygon, polygon, pixels], [False, True, False])
    empty = _objects(boxes[:0], [], [])
    noise = np.random.default_rng(0).normal(size=[2, 3, 128, 128]).astype(np.float32)
    shape, scale = np.full([2, 2], 128, np.float32), np.ones([2, 2], np.float32)
    return Batch(*map(paddle.to_tensor, (noise, shape, scale)), [0, 1], [full, empty])


def _objects(boxes: np.ndarray, segms: list, is_crowd: list[bool]) -> GroundTruth:
    labels = np.arange(len(boxes), dtype=np.int64)
    crowd = paddle.to_tensor(np.array(is_crowd, bool))
    return GroundTruth(paddle.to_tensor(boxes), paddle.to_tensor(labels), segms, crowd)


def build_training(name: str) -> tuple[MaskRCNN, paddle.optimizer.Optimizer]:
    """A run's model and optimizer."""
    source, changes = RUNS[name]
    config = load_config(source, [*SMALL, *changes])
    paddle.seed(0)
    model = build_model(config)
    head = model.bbox_head
    if hasattr(head, "init_cot_head"):
        head.init_cot_head(paddle.full([head.num_classes, head.cot_classes], 0.1))
    return model, build(config, OptimizerBuilder)(model, 0.001)


def train_once(model: MaskRCNN, optimizer: paddle.optimizer.Optimizer) -> None:
    """A training step as one process of many computes it, without the messages."""
    model.train()
    stages = model(batch())
    with pretended_group():
        weights = loss_weights(loss_counts(model, stages))
        sum(loss * weights[k] for k, loss in stages.losses.items()).backward()
        trainable = [p for p in model.parameters() if not p.stop_gradient]
        fill_gradients(trainable)
        average_gradients(trainable)
    optimizer.step()
    optimizer.clear_grad(set_to_zero=False)


class pretended_group:
    """Within the block two processes work together, and the other one is silent."""

    def __enter__(self) -> None:
        self.before = paddle.distributed.all_reduce
        paddle.distributed.all_reduce = lambda tensor: None
        os.environ["PADDLE_TRAINERS_NUM"] = "2"

    def __exit__(self, *problem: object) -> None:
        paddle.distributed.all_reduce = self.before
        del os.environ["PADDLE_TRAINERS_NUM"]


def predict_once(model: MaskRCNN) -> None:
    """A prediction that finds something, whatever the weights are."""
    model.eval()
    object.__setattr__(model.bbox_post_process.nms, "score_threshold", 0.0)
    with paddle.no_grad():
        for detections in model(batch()).detections:
            detections.masks.numpy()


# ---------------------------------------------------------------- what ran

BEGIN = "-- operators from here on --"
KERNEL = re.compile(r"\] (\w+) API kernel key: \[\w+, [\w()]+, (\w+)\]")


def collect(name: str) -> Counter:
    """(operator, type) -> how often, for a run in a process of its own."""
    command = [sys.executable, __file__, "--run", name]
    log = subprocess.run(
        command, env={**os.environ, "GLOG_v": "6"}, capture_output=True, text=True,
        timeout=300, errors="replace",
    ).stderr  # fmt: skip
    if BEGIN not in log:
        raise RuntimeError(f"{name} did not run:\n{log[-2000:]}")
    return Counter(KERNEL.findall(log.split(BEGIN, 1)[1]))


# ---------------------------------------------------------------- is there a kernel?

OWN_NAMES = {"assign_out_": "assign"}
"""Operators whose kernel has another name (an underscore at the end means "in place")."""

BLACK_NAMES = {
    "sum": "reduce_sum",
    "mean": "reduce_mean",
    "prod": "reduce_prod",
    "cross_entropy_with_softmax": "softmax_with_cross_entropy",
}
"""Operators that mixed precision's black list has under another name."""

HALVES = ("float16", "bfloat16")
REASONS = {
    "roi_align": "boxes are float32, so features are cast to it",
    "distribute_fpn_proposals": "boxes are float32",
    "nms": "boxes are float32",
    "all": "of bool",
    "any": "of bool",
    "momentum_": "weights and gradients are float32",
}
"""Why an operator without a kernel for half precision needs none."""

ON_THE_HOST = """\
Not operators, and on the host on purpose: anchors (numpy, once per size of batch, then copied),
mask targets (pycocotools draws polygons), adaptive suppression (`nms_eta` below 1, a loop that
looks at one box after the other), the overlaps with `assign_on_cpu: true`, and with Paddle 2.6
the stable order of scores in suppression (its argsort is not stable)."""


def kernels(registry: dict, operator: str) -> set[str]:
    """The types that an operator has a GPU kernel for."""
    name = OWN_NAMES.get(operator, operator)
    names = registry.get(name) or registry.get(name.removesuffix("_"), ())
    return {k.rstrip(")").split(", ")[-1] for k in names if k.startswith("(GPU")}


@dataclass(frozen=True)
class Row:
    """One operator: the types it ran with, and what the build has for the GPU."""

    operator: str
    types: list[str]
    on_gpu: set[str]
    is_black: bool

    @property
    def missing(self) -> list[str]:
        """Types that it ran with and that have no GPU kernel."""
        return [t for t in self.types if t not in self.on_gpu]

    def half(self, dtype: str) -> str:
        """What mixed precision makes of it."""
        if "float32" not in self.types:
            return ""
        if self.is_black:
            return "float32"
        return "yes" if dtype in self.on_gpu else "no"

    def __str__(self) -> str:
        on_gpu = "yes" if not self.missing else f"**missing: {', '.join(self.missing)}**"
        half = [self.half(t) for t in HALVES]
        remark = "black list" if self.is_black else REASONS.get(self.operator, "")
        remark = remark if {"no", "float32"} & set(half) else ""
        cells = [self.operator, " ".join(self.types), on_gpu, *half, remark]
        return f"| {' | '.join(cells)} |"


def table(ran: Counter) -> list[Row]:
    """A row for every operator that ran."""
    registry = paddle.base.core._get_registered_phi_kernels("function")
    black = paddle.amp.amp_lists.black_list()["float16"]["O1"]
    operators: dict[str, list[str]] = {}
    for operator, dtype in sorted(ran):
        operators.setdefault(operator, []).append(dtype)
    return [
        Row(name, types, kernels(registry, name), _black_name(name) in black)
        for name, types in operators.items()
    ]


def _black_name(operator: str) -> str:
    forward = operator.removesuffix("_grad")
    return BLACK_NAMES.get(forward, forward)


def lacking(rows: list[Row]) -> list[str]:
    """What would fail on a GPU: one line each."""
    problems = [f"{r.operator}: no GPU kernel for {t}" for r in rows for t in r.missing]
    by_name = {r.operator: r for r in rows}
    for row in rows:
        forward = by_name.get(row.operator.removesuffix("_grad"))
        for dtype in HALVES:
            if row.half(dtype) != "no":
                continue
            if row is not forward and forward and forward.half(dtype) == "yes":
                problems.append(f"{row.operator}: no {dtype}, which its forward operator has")
            elif row is forward and row.operator not in REASONS:
                problems.append(f"{row.operator}: no {dtype}, and no reason why it needs none")
    return problems


SCALING = ("cast", "check_finite_and_unscale_", "update_loss_scaling_")
"""What mixed precision adds, in float32."""


def show_kernels() -> bool:
    """Print the first table; whether nothing is missing."""
    ran = sum((collect(name) for name in RUNS), Counter())
    ran += Counter({(operator, "float32"): 1 for operator in SCALING})
    rows = table(ran)
    print(f"Paddle {paddle.__version__}; {len(rows)} operators of {', '.join(RUNS)}\n")
    print("| operator | types | GPU kernel | float16 | bfloat16 | remark |")
    print("|---|---|---|---|---|---|")
    print(*rows, sep="\n")
    print(f"\n{ON_THE_HOST}\n")
    problems = lacking(rows)
    print("\n".join(problems) or "Nothing is missing.")
    return not problems


# ---------------------------------------------------------------- who waits


def waits(name: str) -> tuple[Syncs, Syncs]:
    """Where a training step and a prediction of two images wait for the device."""
    model, optimizer = build_training(name)
    with count_syncs() as training:
        train_once(model, optimizer)
    with count_syncs() as predicting:
        predict_once(model)
    return training, predicting


def show_waits() -> None:
    """Print the second table, for one model with and one without a pyramid."""
    for name in ("mask_rcnn_r50_fpn_1x_coco", "mask_rcnn_r50_1x_coco"):
        for what, syncs in zip(("training step", "prediction"), waits(name)):
            print(f"\n{name}, one {what}, 2 images: {syncs.total()} waits\n\n{syncs}")


def main() -> None:
    """Print both tables; exit code 1 if a kernel is missing, 2 if this build cannot say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", choices=RUNS, help="only run this, for the log")
    chosen = parser.parse_args().run
    if chosen:
        model, optimizer = build_training(chosen)
        print(BEGIN, file=sys.stderr, flush=True)
        train_once(model, optimizer)
        predict_once(model)
        sys.stderr.flush()
        os._exit(0)  # a CUDA build without its libraries may not end by itself
    ready = None
    if paddle.device.is_compiled_with_cuda():
        ready = show_kernels()
    else:
        print(f"Paddle {paddle.__version__} is a CPU build: it has no GPU kernels to look for.")
    show_waits()
    sys.stdout.flush()
    os._exit({True: 0, False: 1, None: 2}[ready])


if __name__ == "__main__":
    main()
