"""PaddleDetection's side of a comparison; runs in an environment of its own.

    PYTHON peer_worker.py [FOLDER WITH PADDLEDETECTION'S SOURCE]

Nothing of this package is imported: the environment has paddledet 2.6.0 and Paddle. The
protocol is that of `benchmarks.worker`. PaddleDetection itself is not changed; what
2.6.0 needs on Paddle 3 and with a small environment is at the top of this file.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

NOT_NEEDED = (
    "cv2", "imgaug", "matplotlib", "mpl_toolkits", "p_tqdm", "pandas", "pyclipper", "requests",
    "scipy", "shapely", "six", "sklearn", "terminaltables", "tqdm", "typeguard",
)  # fmt: skip
"""What PaddleDetection imports as it starts, for tracking and other models."""

# ---------------------------------------------------------------- bridges


class Placeholder(types.ModuleType):
    """A module that has every name; each is an empty class."""

    __path__ = ()

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        empty = type(name, (), {})
        setattr(self, name, empty)
        return empty


class Placeholders(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds placeholders for modules, and for the modules within them."""

    def __init__(self, names: list[str]):
        self.names = names

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Ours if the name is one of ours."""
        ours = fullname.split(".")[0] in self.names
        return importlib.util.spec_from_loader(fullname, self, is_package=True) if ours else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Placeholder:
        """An empty module."""
        return Placeholder(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """There is nothing to run."""


def concat_numbers(paddle: types.ModuleType) -> None:
    """Let ``paddle.concat`` take tensors without axes, as it did until Paddle 2.5."""
    original = paddle.concat

    def concat(x, axis=0, name=None):
        return original([t.reshape([1]) if t.ndim == 0 else t for t in x], axis, name)

    paddle.concat = concat


def range_of_tensors(*ends: Any) -> range:
    """``range`` that takes a tensor of one element; numpy 2.4 ended that."""
    return builtins.range(*(int(e.item()) if hasattr(e, "item") else e for e in ends))


def import_peer() -> types.ModuleType:
    """Import PaddleDetection; returns Paddle."""
    missing = [name for name in NOT_NEEDED if importlib.util.find_spec(name) is None]
    sys.meta_path.append(Placeholders(missing))
    paddle = importlib.import_module("paddle")
    concat_numbers(paddle)
    for name in ("proposal_generator.rpn_head", "layers"):
        importlib.import_module(f"ppdet.modeling.{name}").range = range_of_tensors
    return paddle


# ---------------------------------------------------------------- the work


class Peer:
    """PaddleDetection's model and its work.

    Args:
        paddle: the module.
        folder: what `benchmarks.work.prepare` wrote.
        config: PaddleDetection's configuration.
        optimizer: type, options, weight decay and limit of the gradient.
        device: ``cpu`` or ``gpu``.
    """

    def __init__(self, paddle: Any, folder: str, config: dict, optimizer: dict, device: str):
        self.base_memory = host_memory()
        self.paddle = paddle
        paddle.set_device(device)
        self.content = json.loads((Path(folder) / "work.json").read_text(encoding="utf-8"))
        self.arrays = dict(np.load(Path(folder) / "arrays.npz"))
        self.model = self._build(config, np.load(Path(folder) / "weights.npz"))
        self.training = self.content["case"]["mode"] == "train"
        (self.model.train if self.training else self.model.eval)()
        self.inputs = self._inputs()
        self.optimizer = self._optimizer(**optimizer)
        self.counts: dict[str, Any] = {}
        if self.training:
            self._add_near_boxes()

    def _build(self, config: dict, arrays: Any) -> Any:
        workspace = importlib.import_module("ppdet.core.workspace")
        workspace.merge_config(config)
        model = workspace.create(config["architecture"])
        weights = {name: self.paddle.to_tensor(arrays[name]) for name in arrays}
        own = {name: list(value.shape) for name, value in model.state_dict().items()}
        given = {name: list(value.shape) for name, value in weights.items()}
        differ = sorted(n for n in own.keys() | given.keys() if own.get(n) != given.get(n))
        if differ:
            name = differ[0]
            raise ValueError(
                f"{len(differ)} weights do not fit, the first is {name}: "
                f"PaddleDetection has {own.get(name)}, we have {given.get(name)}"
            )
        model.set_state_dict(weights)
        return model

    def _inputs(self) -> dict[str, Any]:
        """The batch as PaddleDetection wants it."""
        tensor, arrays = self.paddle.to_tensor, self.arrays
        inputs = {name: tensor(arrays[name]) for name in ("image", "im_shape", "scale_factor")}
        count = len(arrays["image"])
        inputs["im_id"] = tensor(np.arange(count).reshape(-1, 1))
        if self.training:
            labels = [arrays[f"labels{i}"].astype(np.int32).reshape(-1, 1) for i in range(count)]
            inputs["gt_bbox"] = [tensor(arrays[f"boxes{i}"]) for i in range(count)]
            inputs["gt_class"] = [tensor(column) for column in labels]
            inputs["is_crowd"] = [tensor(np.zeros_like(column)) for column in labels]
            inputs["gt_poly"] = self.content["segms"]
        return inputs

    def _optimizer(self, kind: str, options: dict, decay: float, limit: float | None) -> Any:
        paddle = self.paddle
        return getattr(paddle.optimizer, kind)(
            0.0,  # moves nothing: every step has the same work
            parameters=[p for p in self.model.parameters() if not p.stop_gradient],
            weight_decay=decay,
            grad_clip=paddle.nn.ClipGradByGlobalNorm(limit) if limit else None,
            **options,
        )

    def _add_near_boxes(self) -> None:
        """The last proposals become boxes near the objects, as on our side."""
        paddle, head = self.paddle, self.model.rpn_head
        original, most = head._gen_proposal, self.content["proposals"]
        near = [paddle.to_tensor(self.arrays[f"near{i}"]) for i in range(len(self.arrays["image"]))]

        def propose(*arguments):
            rois, _ = original(*arguments)
            pairs = zip(rois, near)
            rois = [paddle.concat([r[: max(most - len(n), 0)], n]) for r, n in pairs]
            return rois, paddle.to_tensor([r.shape[0] for r in rois], dtype="int32")

        head._gen_proposal = propose

    def now(self) -> float:
        """The time in seconds, after a GPU has done all that it was asked to do."""
        if self.paddle.get_device() != "cpu":
            self.paddle.device.synchronize()
        return time.perf_counter()

    def plain(self) -> dict[str, Any]:
        """One training step or prediction."""
        started = self.now()
        if self.training:
            out = self.model(self.inputs)
            out["loss"].backward()
            self.optimizer.step()
            self.optimizer.clear_grad()
            seconds = self.now() - started
            labels = self.paddle.concat(self.model.bbox_head.assigned_targets[0]).numpy()
            classes = self.model.bbox_head.num_classes
            self.counts = {
                "rois": labels.size, "foreground": int((labels < classes).sum()),
                "loss": float(out["loss"]),
            }  # fmt: skip
        else:
            with self.paddle.no_grad():
                out = self.model(self.inputs)
            seconds = self.now() - started
            self.counts = {"detections": int(out["bbox_num"].numpy().sum())}
        return {"seconds": seconds}

    def outputs(self) -> dict[str, list[float]]:
        """As `benchmarks.worker.Bench.outputs`."""
        with self.paddle.no_grad():
            found = self._outputs()
        joined = {k: np.concatenate([x.numpy().ravel() for x in v]) for k, v in found.items()}
        return {k: [float(v.mean()), float(v.std())] for k, v in joined.items()}

    def _outputs(self) -> dict[str, list[Any]]:
        model, tensor = self.model, self.paddle.to_tensor
        near = [tensor(self.arrays[f"near{i}"]) for i in range(len(self.arrays["image"]))]
        counts = tensor([len(boxes) for boxes in near], dtype="int32")
        features = model.backbone(self.inputs)
        features = model.neck(features) if model.neck is not None else features
        rpn, box, mask = model.rpn_head, model.bbox_head, model.mask_head
        shared = rpn.rpn_feat(features)
        roi_feat = box.head(box.roi_extractor(features, near, counts))
        vectors = roi_feat.mean([2, 3]) if box.with_pool else roi_feat
        given = roi_feat if mask.share_bbox_feat else mask.roi_extractor(features, near, counts)
        logits = mask.mask_fcn_logits(mask.head(given))
        return {"features": features, "RPN scores": [rpn.rpn_rois_score(x) for x in shared],
                "RPN deltas": [rpn.rpn_rois_delta(x) for x in shared],
                "box scores": [box.bbox_score(vectors)], "box deltas": [box.bbox_delta(vectors)],
                "mask logits": [logits]}  # fmt: skip

    def paste(self) -> dict[str, Any]:
        """Paste the prepared masks at the image's size."""
        paddle, size = self.paddle, self.content["case"]["size"]
        probs, boxes = self.arrays["paste_probs"], self.arrays["paste_boxes"]
        # label, score, box
        rows = np.concatenate([np.zeros([len(boxes), 1]), np.ones([len(boxes), 1]), boxes], 1)
        probs, rows = paddle.to_tensor(probs), paddle.to_tensor(rows.astype(np.float32))
        shape = paddle.to_tensor(np.full([len(boxes), 2], size, np.float32))
        count = paddle.to_tensor([len(boxes)], dtype="int32")
        started = self.now()
        self.model.mask_post_process(probs, rows, count, shape)
        return {"seconds": self.now() - started}

    def mask_targets(self) -> dict[str, Any]:
        """Draw the mask targets of the prepared RoIs, all foreground."""
        target = importlib.import_module("ppdet.modeling.proposal_generator.target")
        tensor, rows = self.paddle.to_tensor, self.arrays["roi_gt"]
        boxes = tensor(self.arrays["roi_boxes"])
        labels = tensor(self.arrays["labels0"][rows].astype(np.int32))
        rows, segms = tensor(rows), [self.content["segms"][0]]
        assigner = self.model.mask_head.mask_assigner
        started = self.now()
        target.generate_mask_target(
            segms, [boxes], [labels], [rows], assigner.num_classes, assigner.mask_resolution
        )
        return {"seconds": self.now() - started}

    def facts(self) -> dict[str, Any]:
        """What the last step had to do, and the most memory that the process had so far."""
        paddle = self.paddle
        on_gpu = paddle.get_device() != "cpu"
        gpu = paddle.device.cuda.max_memory_allocated() if on_gpu else None
        version = f"{importlib.import_module('ppdet').__version__} on Paddle {paddle.__version__}"
        threads = int(os.environ["OMP_NUM_THREADS"])  # Paddle sets it to 1 unless it is set
        memory = {"peak_memory": host_memory(), "peak_gpu_memory": gpu,
                  "base_memory": self.base_memory}  # fmt: skip
        return {**self.counts, **memory, "version": version, "threads": threads}


def host_memory() -> int | None:
    """The most memory of this process so far, in bytes; None on Windows."""
    try:  # Linux; the number of `getrusage` there begins with that of the starting process
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        pass
    try:
        resource = importlib.import_module("resource")
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else is printed must not get among the answers
    sys.path[:1] = sys.argv[1:2]  # not this folder: its modules are not top-level modules
    paddle = import_peer()
    peer = None
    for line in sys.stdin:
        request = json.loads(line)
        what = request.pop("do")
        if what == "load":
            peer, answer = Peer(paddle, **request), {}
        else:
            answer = getattr(peer, what)()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
