"""One piece of work to measure, as a folder of files that two programs can read.

The folder holds ``work.json`` (configuration, polygons), ``arrays.npz`` (image, boxes),
``weights.npz`` (by state-dict name) and ``images`` (what the reader reads).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from benchmarks.scene import moved_copies, write_scenes
from benchmarks.weights import calibrated_model
from maskrcnn_edu.config.build import build
from maskrcnn_edu.config.schema import load_config, parse_config
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch, GroundTruth
from maskrcnn_edu.training.record_arrays import from_arrays, to_arrays

MODES = ("train", "predict")
SMALLEST, LARGEST = 64, 2048  # pixels; the drawn scenes need 64
PASTED, TARGETS = 100, 128


@dataclass(frozen=True)
class Case:
    """What to measure.

    Attributes:
        config: name or file of a configuration.
        size: side of the square images, in pixels.
        batch: images per step.
        mode: ``train`` or ``predict``.
        changes: ``KEY=VALUE`` changes of the configuration.
    """

    config: str
    size: int
    batch: int = 1
    mode: str = "train"
    changes: tuple[str, ...] = ()

    def __post_init__(self):
        if not SMALLEST <= self.size <= LARGEST:
            raise ValueError(f"--size must be from {SMALLEST} to {LARGEST} pixels, got {self.size}")
        if self.batch < 1:
            raise ValueError(f"--batch must be at least 1 image, got {self.batch}")
        if self.mode not in MODES:
            raise ValueError(f"--mode must be {' or '.join(MODES)}, got {self.mode}")

    def __str__(self) -> str:
        return f"{Path(self.config).stem}, {self.size} pixels, batch {self.batch}, {self.mode}"


def own_size(config: Config) -> int:
    """The side, at most 256 pixels, of the images that a configuration is made for."""
    reader = config.values.get("EvalReader", {})
    steps = [s["Resize"] for s in reader.get("sample_transforms", []) if "Resize" in s]
    size = steps[0]["target_size"] if steps else 256
    return min(size if isinstance(size, int) else min(size), 256)


def case_config(case: Case) -> Config:
    """The case's configuration, reading images of its size and number."""
    config = load_config(case.config, case.changes)
    name = "TrainReader" if case.mode == "train" else "EvalReader"
    if name not in config.values:
        raise config.error(
            (name,), "the configuration has no such section, but the benchmark reads with it"
        )
    section = config.values[name]
    steps = [_of_size(step, case.size) for step in section["sample_transforms"]]
    reader = {**section, "sample_transforms": steps, "batch_size": case.batch, "shuffle": False}
    return replace(config, values={**config.values, name: reader})


def _of_size(step: dict, size: int) -> dict:
    """A resizing step with another size; any other step as it is."""
    for name in ("Resize", "RandomResize"):
        if name in step:
            options = {"interp": step[name].get("interp", 1), "keep_ratio": True}
            return {"Resize": {"target_size": size, **options}}
    return step


def prepare(case: Case, folder: Path) -> None:
    """Draw the images, calibrate the weights, and write everything into an empty folder."""
    config = case_config(case)
    dataset = write_scenes(folder / "images", case.size, case.batch, config.values["num_classes"])
    batch = next(iter(_loader(config, case.mode, dataset).epoch(0)))
    model = calibrated_model(config, batch)
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    np.savez(folder / "weights.npz", **weights)
    np.savez(folder / "arrays.npz", **_arrays(model, batch, case.size))
    content = {
        "case": asdict(case),
        "config": config.to_yaml(),
        "segms": [[[p.tolist() for p in s] for s in gt.segms] for gt in batch.gt],
        "frozen": [name for name, p in model.named_parameters() if p.stop_gradient],
        "proposals": model.rpn_head.train_proposal.post_nms_top_n,
    }
    (folder / "work.json").write_text(json.dumps(content), encoding="utf-8")


def _loader(config: Config, mode: str, dataset: CocoDataset) -> BatchLoader:
    section = "TrainReader" if mode == "train" else "EvalReader"
    return build(config, Reader, (section,)).loader(dataset)


def _arrays(model: MaskRCNN, batch: Batch, size: int) -> dict[str, np.ndarray]:
    """The batch, boxes near its objects, masks to paste and RoIs to draw targets for."""
    assigner, mask = model.bbox_head.bbox_assigner, model.mask_head.mask_assigner
    foreground = int(assigner.batch_size_per_im * assigner.fg_fraction)
    arrays = to_arrays(batch)
    for i, gt in enumerate(batch.gt):
        arrays |= to_arrays(gt, f"{{}}{i}")
        arrays[f"near{i}"] = moved_copies(arrays[f"boxes{i}"], foreground, size, seed=i)
    first, rng = arrays["boxes0"], np.random.default_rng(1)
    arrays["roi_boxes"] = moved_copies(first, TARGETS, size, seed=7)
    arrays["roi_gt"] = np.arange(TARGETS) % len(first)
    arrays["paste_boxes"] = moved_copies(first, PASTED, size, seed=8)
    side = mask.mask_resolution
    arrays["paste_probs"] = rng.random((PASTED, side, side), np.float32)
    return arrays


@dataclass(frozen=True)
class Work:
    """A folder that `prepare` wrote, read.

    Attributes:
        case: what it is.
        config: the configuration.
        arrays: by name.
        batch: the images and their objects.
        loader: reads the same images again, from their files.
        proposals: most proposals of an image, while training.
    """

    case: Case
    config: Config
    arrays: dict[str, np.ndarray]
    batch: Batch
    loader: BatchLoader
    proposals: int

    @property
    def near(self) -> list[paddle.Tensor]:
        """Boxes [J, 4] near the objects of every image."""
        return [paddle.to_tensor(self.arrays[f"near{i}"]) for i in range(self.case.batch)]


def read_work(folder: Path) -> Work:
    """Read what `prepare` wrote."""
    content = json.loads((folder / "work.json").read_text(encoding="utf-8"))
    case = Case(**{**content["case"], "changes": tuple(content["case"]["changes"])})
    config = parse_config(content["config"])
    arrays = dict(np.load(folder / "arrays.npz"))
    dataset = CocoDataset(folder / "images" / "annotations.json", folder / "images")
    return Work(
        case,
        config,
        arrays,
        _batch(arrays, content["segms"]),
        _loader(config, case.mode, dataset),
        content["proposals"],
    )


def read_weights(folder: Path) -> Mapping[str, np.ndarray]:
    """The weights that `prepare` wrote, by state-dict name; read when they are asked for."""
    return np.load(folder / "weights.npz")


def _batch(arrays: dict[str, np.ndarray], segms: list[list[Any]]) -> Batch:
    polygons = [[[np.asarray(p, np.float64) for p in parts] for parts in objects]
                for objects in segms]  # fmt: skip
    gt = [from_arrays(GroundTruth, arrays, f"{{}}{i}", segms=s) for i, s in enumerate(polygons)]
    return from_arrays(Batch, arrays, image_id=list(range(len(gt))), gt=gt)
