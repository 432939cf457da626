"""What a course is about: a model, its data and how long it trains, named by one small file.

Every notebook begins with ``course = load_course()`` and takes all it needs from the answer, so
another file shows the same notebooks with another model and other images. Nothing here is
needed to use the package.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import paddle

from maskrcnn_edu.config.build import build, build_model
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.config.yaml_files import SHIPPED, Config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.loader import BatchLoader, collate
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.transforms import apply_transforms
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch
from maskrcnn_edu.system.device import choose_device
from maskrcnn_edu.system.language import say
from maskrcnn_edu.system.os_errors import in_words
from maskrcnn_edu.system.shipped import shipped_folder
from maskrcnn_edu.teaching.course_file import COURSES, read_course_file
from maskrcnn_edu.teaching.drawn_shapes import drawn_shapes
from maskrcnn_edu.viz.fonts import font_advice
from maskrcnn_edu.weights.arrays import load_weights
from maskrcnn_edu.weights.folder import ClassNames
from maskrcnn_edu.weights.pretrained import load_pretrained, stored_classes

DEFAULT = "shapes_c4"
VARIABLE = "MASKRCNN_EDU_COURSE"


def setup_notebook(seed: int = 0) -> None:
    """Choose the device (see `choose_device`), silence warnings, make random numbers repeat."""
    warnings.filterwarnings("ignore")  # Paddle's warnings name folders of this machine
    choose_device(quiet=True)  # a notebook shows the same wherever it runs
    if advice := font_advice([say("image")]):
        print(advice)
    paddle.seed(seed)
    np.random.seed(seed)


@dataclass(frozen=True)
class Course:
    """A course file, read: what the notebooks look at.

    Attributes:
        file: the file.
        settings: what it says, see `maskrcnn_edu.teaching.course_file.KEYS`.
    """

    file: Path
    settings: Config

    @property
    def name(self) -> str:
        """The file's name, without its ending."""
        return self.file.stem

    @property
    def steps(self) -> int:
        """How many steps a cell trains that one watches."""
        return self.settings.values["steps"]

    @property
    def rows(self) -> list[int]:
        """The images of `val` that the notebooks look at, at least one."""
        rows = self.settings.values["rows"]
        beyond = [row for row in rows if row >= len(self.val)]
        if beyond:
            problem = f"there is no image {beyond[0]}; val has the images 0 .. {len(self.val) - 1}"
            raise self.settings.error(("rows",), problem)
        return rows

    @cached_property
    def train(self) -> CocoDataset:
        """The images to train on."""
        return self._dataset("train")

    @cached_property
    def val(self) -> CocoDataset:
        """The images to look at and to validate with."""
        return self._dataset("val")

    @property
    def classes(self) -> ClassNames:
        """What the labels mean."""
        return ClassNames(self.val.class_names, self.val.category_ids)

    def config(self, *changes: str) -> Config:
        """The configuration, with ``KEY=VALUE`` changes; num_classes is the dataset's."""
        source = self.settings.values["config"]
        if not (SHIPPED / f"{source}.yml").is_file():
            source = self._beside(source)
        own = self.settings.values["changes"]
        return load_config(source, [f"num_classes={self.val.num_classes}", *own, *changes])

    def new_model(self, *changes: str, seed: int = 0) -> MaskRCNN:
        """A model with random weights, the same for the same seed."""
        paddle.seed(seed)
        return build_model(self.config(*changes))

    def model(self) -> MaskRCNN:
        """The trained model, ready to predict; a random one if the course has no weights.

        Weights of a model with other classes (COCO's, for instance) give what fits.
        """
        model = self.new_model()
        if self.settings.values["weights"] is not None:
            weights = self._beside(self.settings.values["weights"])
            try:
                known = stored_classes(weights)
                if known is None or known.names == self.classes.names:
                    load_weights(model, weights)
                else:
                    load_pretrained(model, weights, self.classes.names)
            except ValueError as error:
                raise self.settings.error(("weights",), str(error)) from error
        model.eval()
        return model

    def batch(
        self, rows: Sequence[int], dataset: CocoDataset | None = None, config: Config | None = None
    ) -> Batch:
        """Images as the network sees them while predicting, annotations included.

        Args:
            rows: which images.
            dataset: of what; `val` if it is not said.
            config: says how images are resized; the course's if it is not said.
        """
        return make_batch(dataset or self.val, rows, config or self.config())

    def loader(
        self, dataset: CocoDataset | None = None, config: Config | None = None, seed: int = 0
    ) -> BatchLoader:
        """The batches that training draws, from `train` if no dataset is given."""
        return loader(dataset or self.train, config or self.config(), seed)

    def _dataset(self, split: str) -> CocoDataset:
        named = self.settings.values["dataset"]
        if named == "shapes":
            return drawn_shapes(split)
        json_file, images = (self._beside(named[split][word]) for word in ("json", "images"))
        try:
            return CocoDataset(json_file, images)
        except (OSError, ValueError) as error:
            raise self.settings.error(("dataset", split), in_words(error)) from error

    def _beside(self, path: str) -> str:
        """A path that the file names, relative to the file; as it is, if nothing is there."""
        places = (folder / Path(path).expanduser() for folder in (self.file.parent, COURSES))
        return next((str(there) for there in places if there.exists()), path)


def load_course(source: str | Path | None = None) -> Course:
    """Read a course file.

    Args:
        source: a file, or the name of a shipped one; if it is not given, what the environment
            variable MASKRCNN_EDU_COURSE says, else ``shapes_c4``.

    Raises:
        ConfigError: no such file, not YAML, an unknown key, a wrong value; the message names
            file, key and cure.
    """
    return Course(*read_course_file(str(source or os.environ.get(VARIABLE) or DEFAULT)))


def photographs() -> Path:
    """The folder of the photographs that come with the course; ``coins/`` there is a dataset.

    Raises:
        FileNotFoundError: this installation has none; the message names the cure.
    """
    return shipped_folder("data/photographs", "annotations.json")


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
