"""What every notebook begins with: a quiet start, a few drawn scenes, a trained model.

Nothing here is needed to use the package; it saves every notebook the same ten lines.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle

from maskrcnn_edu.config.build import build, build_model
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.loader import BatchLoader, collate
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.data.transforms import apply_transforms
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch
from maskrcnn_edu.system.device import choose_device
from maskrcnn_edu.system.os_errors import in_words
from maskrcnn_edu.weights.folder import ClassNames, load_model
from maskrcnn_edu.weights.zoo import cache_folder

IMAGES = {"train": 48, "val": 16}
COURSE = "shapes_fpn"
COURSE_MODEL = Path(__file__).parent / "course_model"


def setup_notebook(seed: int = 0) -> None:
    """Choose the device (see `choose_device`), silence warnings, make random numbers repeat."""
    warnings.filterwarnings("ignore")  # Paddle's warnings name folders of this machine
    choose_device(quiet=True)  # a notebook shows the same wherever it runs
    paddle.seed(seed)
    np.random.seed(seed)


def shapes_dataset(split: str = "train") -> CocoDataset:
    """A small dataset of drawn scenes, 48 to train and 16 to validate; drawn when first used.

    Raises:
        OSError: they cannot be kept; the message names ``MASKRCNN_EDU_CACHE``.
    """
    folder = cache_folder() / "classroom"
    if not _is_drawn(folder):
        try:
            _draw(folder)
        except OSError as problem:
            raise OSError(
                f"the scenes cannot be kept in {folder}: {in_words(problem)}; set the environment "
                "variable MASKRCNN_EDU_CACHE to a folder that can be written to"
            ) from problem
    return CocoDataset(folder / "annotations" / f"instances_{split}.json", folder / split)


def _is_drawn(folder: Path) -> bool:
    return (folder / "annotations" / "instances_val.json").is_file()  # it is written last


def _draw(folder: Path) -> None:
    """Draw the scenes; of several notebooks that do so at the same time the first one counts."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="classroom-", dir=folder.parent) as own:
        new = Path(own) / "new"
        write_shapes(new, train=IMAGES["train"], val=IMAGES["val"])
        if folder.is_dir() and not _is_drawn(folder):  # whole ones appear at once: it was given up
            shutil.rmtree(folder, ignore_errors=True)
        try:
            os.replace(new, folder)
        except OSError:
            if not _is_drawn(folder):
                raise


def course_config(changes: Sequence[str] = ()) -> Config:
    """The configuration of the course's model, with ``KEY=VALUE`` changes."""
    return load_config(COURSE, [f"num_classes={shapes_dataset('val').num_classes}", *changes])


def course_model() -> tuple[MaskRCNN, Config, ClassNames]:
    """The course's trained model (four and a half minutes of `make demo`), ready to predict."""
    return load_model(COURSE_MODEL)


def new_model(config: Config | None = None, seed: int = 0) -> tuple[MaskRCNN, Config]:
    """A model with random weights, the same for the same seed."""
    config = config or course_config()
    paddle.seed(seed)
    return build_model(config), config


def make_batch(dataset: CocoDataset, rows: Sequence[int], config: Config) -> Batch:
    """The given images as the network sees them while predicting, annotations included."""
    sample_transforms, batch_transforms = build(config, Reader, ("EvalReader",)).transforms()
    random = np.random.default_rng(0)
    samples = [apply_transforms(dataset[i], sample_transforms, random) for i in rows]
    for transform in batch_transforms:
        samples = transform(samples)
    return collate(samples)


def loader(dataset: CocoDataset, config: Config, seed: int = 0) -> BatchLoader:
    """The batches that training draws from a dataset."""
    return build(config, Reader, ("TrainReader",)).loader(dataset, seed)
