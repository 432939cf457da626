"""Our side of a measurement: a process that answers calls.

    python -m benchmarks.worker

One JSON object per line comes in, ``{"do": "train"}``; one goes out, ``{"seconds": 1.2}``.
`Bench`'s methods are what can be called; the first call is ``load``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import paddle

from benchmarks.machine import peak_memory
from benchmarks.networks_only import Call, record_calls, run_networks
from benchmarks.operators import count_operators
from benchmarks.stopwatch import Stopwatch, now, watched
from benchmarks.syncs import count_syncs
from benchmarks.work import Work, read_weights, read_work
from maskrcnn_edu.config.build import build, build_model
from maskrcnn_edu.data.coco import CocoDataset, Sample
from maskrcnn_edu.inference.onednn import use_onednn
from maskrcnn_edu.model.mask.targets import generate_mask_target
from maskrcnn_edu.model.ops.empty import cat
from maskrcnn_edu.model.optimizer import OptimizerBuilder
from maskrcnn_edu.model.rpn.proposals import ProposalGenerator
from maskrcnn_edu.structures import (
    PredictionStages,
    Proposals,
    RoISamples,
    RPNOutput,
    TrainingStages,
)  # fmt: skip
from maskrcnn_edu.system.cpu import num_threads
from maskrcnn_edu.system.device import choose_device
from maskrcnn_edu.weights.arrays import set_state

IMAGES = 1_000_000
"""As many as make compiling pay for every model: measured is the time after that."""

Answer = dict[str, Any]


class Bench:
    """A model and its work.

    Args:
        work: what there is to do.
        weights: the model's, by state-dict name.
        compiled: predict as `predict` does, compiled where that is possible.
    """

    def __init__(self, work: Work, weights: Mapping[str, np.ndarray], compiled: bool = True):
        self.base_memory = peak_memory()["peak_memory"]
        self.work, self.near = work, work.near
        self.model = build_model(work.config)
        set_state(self.model, weights)
        training = work.case.mode == "train"
        (self.model.train if training else self.model.eval)()
        # a rate of 0 moves nothing: every step has the same work
        self.optimizer = build(work.config, OptimizerBuilder)(self.model, 0.0)
        self.calls: list[Call] | None = None
        self.counts: Answer = {}
        self.open = ExitStack()
        if training:
            self.model.rpn_head.propose = self._propose
        else:
            self.open.enter_context(use_onednn(self.model, IMAGES if compiled else 0))

    def _propose(
        self, rpn: RPNOutput, im_shape: paddle.Tensor, generator: ProposalGenerator
    ) -> list[Proposals]:
        """The model's proposals, the last of them replaced by boxes near the objects.

        Without them an untrained RPN would leave the second stage without foreground.
        """
        head = self.model.rpn_head
        proposals = type(head).propose(head, rpn, im_shape, generator)
        return [self._with_near(p, near) for p, near in zip(proposals, self.near)]

    def _with_near(self, proposals: Proposals, near: paddle.Tensor) -> Proposals:
        keep = max(self.work.proposals - len(near), 0)
        fill = paddle.zeros([len(near)])
        return Proposals(
            cat([proposals.boxes[:keep], near]),
            cat([proposals.scores[:keep], fill]),
            cat([proposals.anchor_index[:keep], fill.cast("int64")]),
        )

    def step(self) -> Answer:
        """One training step or prediction: seconds, all in all and of every stage."""
        watch = Stopwatch()
        with watched(self.model, watch), watch.stage("rest"):
            with watch.stage("data"):
                next(iter(self.work.loader.epoch(0)))  # measured, but the kept batch is used
            stages = self._run(watch)
        self._count(stages)
        return {"seconds": sum(watch.seconds.values()), "stages": watch.seconds}

    def plain(self) -> Answer:
        """The same without reading images and without timing the stages."""
        started = now()
        stages = self._run(Stopwatch())
        seconds = now() - started
        self._count(stages)
        return {"seconds": seconds}

    def _run(self, watch: Stopwatch) -> TrainingStages | PredictionStages:
        if not self.model.training:
            with paddle.no_grad():
                return self.model(self.work.batch)
        stages = self.model(self.work.batch)
        with watch.stage("backward"):
            stages.loss.backward()
        with watch.stage("optimizer"):
            self.optimizer.step()
            self.optimizer.clear_grad(set_to_zero=False)
        return stages

    def _count(self, stages: TrainingStages | PredictionStages) -> None:
        """Note what there was to do; not within the time that counts."""
        if isinstance(stages, TrainingStages):
            self.counts = _training_counts(stages, self.model.bbox_head.num_classes)
        else:
            self.counts = _prediction_counts(stages)

    def networks_only(self) -> Answer:
        """The networks alone, on the inputs that they have in a step."""
        training = self.model.training
        if self.calls is None:
            self.calls = record_calls(self.model, lambda: self._run(Stopwatch()))
        with paddle.set_grad_enabled(training):
            seconds = run_networks(self.calls, backward=training)
        self.optimizer.clear_grad(set_to_zero=False)
        return {"seconds": seconds}

    def with_loader(self, times: int) -> Answer:
        """So many steps with the loader of a training: how long each waits for its batch."""
        rows = _Again(self.work.loader.dataset, times + 1)
        batches = iter(replace(self.work.loader, dataset=rows).epoch(0))
        waits = []
        for _ in range(times + 1):  # nobody was ahead of the first one
            started = perf_counter()
            next(batches)  # measured, but the kept batch is used
            waits.append(perf_counter() - started)
            self._run(Stopwatch())
        return {"seconds": waits[1:]}

    def syncs(self) -> Answer:
        """Where the host waits for the device in one step: place and operation -> times."""
        with count_syncs() as syncs:
            self._run(Stopwatch())
        return {f"{where} {what}": times for (where, what), times in syncs.items()}

    def operators(self) -> Answer:
        """How many operators Paddle runs in one step."""
        return {"operators": count_operators(lambda: self._run(Stopwatch()))}

    @paddle.no_grad()
    def outputs(self) -> Answer:
        """What the networks make of the image and of the boxes near its objects, in numbers that
        do not depend on the order of classes and anchors: mean and standard deviation."""
        model, near = self.model, self.near
        features = model.features(self.work.batch.image)
        rpn = model.rpn_head(features)
        roi_feat = model.bbox_head.roi_feature(features, near)
        bbox, mask = model.bbox_head(roi_feat), model.mask_head
        mask_feat = roi_feat if mask.share_bbox_feat else mask.roi_extractor(features, near)
        found = {"features": features, "RPN scores": [rpn.scores], "RPN deltas": [rpn.deltas],
                 "box scores": [bbox.scores], "box deltas": [bbox.deltas],
                 "mask logits": [mask(mask_feat)]}  # fmt: skip
        joined = {k: np.concatenate([x.numpy().ravel() for x in v]) for k, v in found.items()}
        return {k: [float(v.mean()), float(v.std())] for k, v in joined.items()}

    def paste(self) -> Answer:
        """Paste the prepared masks at the image's size."""
        probs, boxes = (
            paddle.to_tensor(self.work.arrays[f"paste_{k}"]) for k in ("probs", "boxes")
        )
        size = self.work.case.size
        started = now()
        self.model.mask_post_process(probs, boxes, size, size)
        return {"seconds": now() - started}

    def mask_targets(self) -> Answer:
        """Draw the mask targets of the prepared RoIs, all foreground."""
        gt = self.work.batch.gt[0]
        boxes, rows = (paddle.to_tensor(self.work.arrays[f"roi_{k}"]) for k in ("boxes", "gt"))
        samples = RoISamples(boxes, gt.labels[rows], gt.boxes[rows], rows, rows)
        assigner = self.model.mask_head.mask_assigner
        started = now()
        generate_mask_target(samples, gt, assigner.num_classes, assigner.mask_resolution)
        return {"seconds": now() - started}

    def facts(self) -> Answer:
        """What the last step had to do, and the most memory that the process had so far."""
        about = {"version": paddle.__version__, "threads": num_threads(),
                 "base_memory": self.base_memory}  # fmt: skip
        return {**self.counts, **peak_memory(), **about}


@dataclass(frozen=True)
class _Again:
    """A dataset that begins again at its end, so many times."""

    dataset: CocoDataset
    times: int

    def __len__(self) -> int:
        return len(self.dataset) * self.times

    def __getitem__(self, i: int) -> Sample:
        return self.dataset[i % len(self.dataset)]


def _training_counts(stages: TrainingStages, classes: int) -> Answer:
    labels = cat([s.target_labels for s in stages.samples])
    return {
        "proposals": sum(map(len, stages.proposals)),
        "rois": labels.shape[0],
        "foreground": int((labels < classes).sum()),
        "loss": float(stages.loss),
    }


def _prediction_counts(stages: PredictionStages) -> Answer:
    return {
        "proposals": sum(map(len, stages.proposals)),
        "detections": sum(map(len, stages.detections)),
    }


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed must not get among the answers
    choose_device()
    bench = None
    for line in sys.stdin:
        request = json.loads(line)
        what = request.pop("do")
        if what == "load":
            folder = Path(request["folder"])
            compiled = request.get("compiled", True)
            bench, answer = Bench(read_work(folder), read_weights(folder), compiled), {}
        else:
            answer = getattr(bench, what)(**request)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
