"""torchvision's side of a comparison; runs in an environment of its own.

    PYTHON torchvision_worker.py

Nothing of this package is imported: the environment has torch, torchvision and pycocotools.
The protocol is that of `benchmarks.worker`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from pycocotools import mask as rle
from torch import Tensor
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes
from torchvision.ops import poolers, roi_align

# this file's folder is where Python looks for modules
from torchvision_model import build
from torchvision_weights import fill

KINDS = {"Momentum": torch.optim.SGD, "SGD": torch.optim.SGD, "AdamW": torch.optim.AdamW}
"""torch's optimizers by Paddle's name."""


class Bench:
    """torchvision's model and its work.

    Args:
        folder: what `benchmarks.work.prepare` wrote.
        config: plain values by section.
        optimizer: type, options, weight decay and limit of the gradient.
    """

    def __init__(self, folder: str, config: dict[str, Any], optimizer: dict[str, Any]):
        self.base_memory = peak_memory()
        self.config, self.counts = config, {}
        self.content = json.loads((Path(folder) / "work.json").read_text(encoding="utf-8"))
        self.arrays = dict(np.load(Path(folder) / "arrays.npz"))
        case = self.content["case"]
        self.size, self.training = case["size"], case["mode"] == "train"
        self.model = build(config, self.size).train(self.training)
        fill(self.model, np.load(Path(folder) / "weights.npz"), self.content["frozen"])
        self.images = list(torch.from_numpy(self.arrays["image"]))
        self.targets = [self._target(i) for i in range(len(self.images))]
        self.limit = optimizer.pop("limit")
        self.optimizer = self._optimizer(**optimizer)
        if self.training:
            self._add_near_boxes()
            self._count_samples()

    def _target(self, i: int) -> dict[str, Tensor]:
        """An image's objects; their masks as bits, which is what torchvision takes."""
        masks = [rle.decode(rle.merge(rle.frPyObjects(
            [np.ravel(part).tolist() for part in parts], self.size, self.size)))
            for parts in self.content["segms"][i]]  # fmt: skip
        labels = torch.from_numpy(self.arrays[f"labels{i}"].astype(np.int64)) + 1
        boxes = torch.from_numpy(self.arrays[f"boxes{i}"])
        return {"boxes": boxes, "labels": labels, "masks": torch.from_numpy(np.stack(masks))}

    def _optimizer(self, kind: str, options: dict, decay: float) -> torch.optim.Optimizer:
        trained = [p for p in self.model.parameters() if p.requires_grad]
        # a rate of 0 moves nothing: every step has the same work
        return KINDS[kind](trained, lr=0.0, weight_decay=decay, **options)

    def _add_near_boxes(self) -> None:
        """The last proposals become boxes near the objects, as on our side."""
        rpn, most = self.model.rpn, self.content["proposals"]
        near = [torch.from_numpy(self.arrays[f"near{i}"]) for i in range(len(self.images))]
        original = rpn.filter_proposals

        def propose(*arguments: Any) -> tuple[list[Tensor], Any]:
            boxes, scores = original(*arguments)
            pairs = zip(boxes, near)
            return [torch.cat([b[: max(most - len(n), 0)], n]) for b, n in pairs], scores

        rpn.filter_proposals = propose

    def _count_samples(self) -> None:
        heads = self.model.roi_heads
        original = heads.select_training_samples

        def select(*arguments: Any) -> Any:
            answer = original(*arguments)
            labels = torch.cat(answer[2])
            self.counts = {"rois": len(labels), "foreground": int((labels > 0).sum())}
            return answer

        heads.select_training_samples = select

    def plain(self) -> dict[str, float]:
        """One training step or prediction."""
        return {"seconds": self._train() if self.training else self._predict()}

    def _train(self) -> float:
        started = time.perf_counter()
        losses = self.model(self.images, self.targets)
        loss = sum(losses.values())
        loss.backward()
        if self.limit:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.limit)
        self.optimizer.step()
        self.optimizer.zero_grad()
        seconds = time.perf_counter() - started
        self.counts["loss"] = float(loss)
        return seconds

    def _predict(self) -> float:
        """Its masks are probabilities of every pixel; the threshold is left to its user."""
        started = time.perf_counter()
        with torch.inference_mode():
            detected = self.model(self.images)
        seconds = time.perf_counter() - started
        self.counts = {"detections": sum(len(each["boxes"]) for each in detected)}
        return seconds

    def outputs(self) -> dict[str, list[float]]:
        """As `benchmarks.worker.Bench.outputs`; without what torchvision has for the background,
        and, here alone, with the half pixel that its RoIAlign leaves out."""
        with torch.no_grad(), patch.object(poolers, "roi_align", partial(roi_align, aligned=True)):
            found = self._outputs()
        joined = {k: torch.cat([x.flatten() for x in v]).numpy() for k, v in found.items()}
        return {k: [float(v.mean()), float(v.std())] for k, v in joined.items()}

    def _outputs(self) -> dict[str, list[Tensor]]:
        heads, images = self.model.roi_heads, torch.stack(self.images)
        named = self.model.backbone(images)
        features, sizes = list(named.values()), [(self.size, self.size)] * len(images)
        near = [torch.from_numpy(self.arrays[f"near{i}"]) for i in range(len(images))]
        objectness, deltas = self.model.rpn.head(features)
        boxes = heads.box_predictor(heads.box_head(heads.box_roi_pool(named, near, sizes)))
        masks = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(named, near, sizes)))
        return {"features": features, "RPN scores": objectness, "RPN deltas": deltas,
                "box scores": [boxes[0]], "box deltas": [boxes[1][:, 4:]],
                "mask logits": [masks[:, 1:]]}  # fmt: skip

    def paste(self) -> dict[str, float]:
        """Paste the prepared masks at the image's size."""
        probs, boxes = (torch.from_numpy(self.arrays[f"paste_{k}"]) for k in ("probs", "boxes"))
        started = time.perf_counter()
        with torch.inference_mode():
            paste_masks_in_image(probs[:, None], boxes, (self.size, self.size)) >= 0.5  # noqa: B015
        return {"seconds": time.perf_counter() - started}

    def mask_targets(self) -> dict[str, float]:
        """Make the mask targets of the prepared RoIs, all foreground."""
        boxes, rows = (torch.from_numpy(self.arrays[f"roi_{k}"]) for k in ("boxes", "gt"))
        side = self.config["MaskAssigner"]["mask_resolution"]
        started = time.perf_counter()
        with torch.no_grad():
            project_masks_on_boxes(self.targets[0]["masks"], boxes, rows, side)
        return {"seconds": time.perf_counter() - started}

    def facts(self) -> dict[str, Any]:
        """What the last step had to do, and the most memory that the process had so far."""
        return {**self.counts, "peak_memory": peak_memory(), "base_memory": self.base_memory,
                "peak_gpu_memory": None, "threads": torch.get_num_threads(),
                "version": torch.__version__}  # fmt: skip


def peak_memory() -> int:
    """The most memory of this process so far, in bytes."""
    try:  # Linux; the number of `getrusage` there begins with that of the starting process
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        resource = importlib.import_module("resource")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed must not get among the answers
    bench = None
    for line in sys.stdin:
        request = json.loads(line)
        what = request.pop("do")
        if what == "load":
            bench, answer = Bench(**request), {}
        else:
            answer = getattr(bench, what)()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
