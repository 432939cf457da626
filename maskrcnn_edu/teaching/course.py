"""What a course is about: a model, its data and how long it trains, named by one small file.

Every notebook begins with ``course = load_course()`` and takes all it needs from the answer, so
another file shows the same notebooks with another model and other images. Nothing here is
needed to use the package.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from maskrcnn_edu.config.build import build, build_model
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.config.yaml_files import SHIPPED, Config, ConfigError, parse_yaml
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.loader import BatchLoader, collate
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.data.transforms import apply_transforms
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.structures import Batch
from maskrcnn_edu.system.device import choose_device
from maskrcnn_edu.system.os_errors import in_words
from maskrcnn_edu.system.shipped import shipped_folder
from maskrcnn_edu.system.suggest import did_you_mean
from maskrcnn_edu.system.text_files import describe_value, read_text
from maskrcnn_edu.weights.arrays import load_weights
from maskrcnn_edu.weights.folder import ClassNames
from maskrcnn_edu.weights.pretrained import load_pretrained, stored_classes
from maskrcnn_edu.weights.zoo import cache_folder

COURSES = Path(__file__).parent / "courses"
DEFAULT = "shapes_c4"
VARIABLE = "MASKRCNN_EDU_COURSE"
IMAGES = {"train": 48, "val": 16}  # drawn for `dataset: shapes`
MAX_BYTES = 32_000


def setup_notebook(seed: int = 0) -> None:
    """Choose the device (see `choose_device`), silence warnings, make random numbers repeat."""
    warnings.filterwarnings("ignore")  # Paddle's warnings name folders of this machine
    choose_device(quiet=True)  # a notebook shows the same wherever it runs
    paddle.seed(seed)
    np.random.seed(seed)


@dataclass(frozen=True)
class Course:
    """A course file, read: what the notebooks look at.

    Attributes:
        file: the file.
        values: its keys, see `KEYS`.
    """

    file: Path
    values: Config

    @property
    def name(self) -> str:
        """The file's name, without its ending."""
        return self.file.stem

    @property
    def steps(self) -> int:
        """How many steps a cell trains that one watches."""
        return self.values.values["steps"]

    @property
    def rows(self) -> list[int]:
        """The images of `val` that the notebooks look at, at least one."""
        rows = self.values.values["rows"]
        beyond = [row for row in rows if row >= len(self.val)]
        if beyond:
            problem = f"there is no image {beyond[0]}; val has the images 0 .. {len(self.val) - 1}"
            raise self.values.error(("rows",), problem)
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
        source = self.values.values["config"]
        if not (SHIPPED / f"{source}.yml").is_file():
            source = self._beside(source)
        own = self.values.values["changes"]
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
        if self.values.values["weights"] is not None:
            weights = self._beside(self.values.values["weights"])
            try:
                known = stored_classes(weights)
                if known is None or known.names == self.classes.names:
                    load_weights(model, weights)
                else:
                    load_pretrained(model, weights, self.classes.names)
            except ValueError as error:
                raise self.values.error(("weights",), str(error)) from error
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
        named = self.values.values["dataset"]
        if named == "shapes":
            return drawn_shapes(split)
        json_file, images = (self._beside(named[split][word]) for word in ("json", "images"))
        try:
            return CocoDataset(json_file, images)
        except (OSError, ValueError) as error:
            raise self.values.error(("dataset", split), str(error)) from error

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
    file = _find(str(source or os.environ.get(VARIABLE) or DEFAULT))
    try:
        values, places = parse_yaml(read_text(file, MAX_BYTES), file.name)
    except ConfigError:
        raise
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    read = Config({**DEFAULTS, **values}, places)
    _check(read, file.name)
    return Course(file, read)


def _check(read: Config, name: str) -> None:
    for key in read.values:
        if key not in KEYS:
            raise read.error((key,), f"there is no such key{did_you_mean(key, KEYS)}")
    for key, (is_right, cure) in KEYS.items():
        if key not in read.values:
            raise ConfigError(f"{name}: {key} is missing; {cure}")
        if not is_right(read.values[key]):
            raise read.error((key,), f"{describe_value(read.values[key])}; {cure}")


def _find(source: str) -> Path:
    for file in (Path(source).expanduser(), COURSES / f"{source}.yml"):
        if file.is_file():
            return file
    known = sorted(file.stem for file in COURSES.glob("*.yml"))
    raise ConfigError(
        f"there is no course {source!r}: neither a file of that name nor one of "
        f"{', '.join(known)}{did_you_mean(source, known)}"
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_section(value: Any, keys: set[str], is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and set(value) == keys and all(map(is_right, value.values()))


def _is_dataset(value: Any) -> bool:
    return value == "shapes" or _is_section(
        value, {"train", "val"}, lambda split: _is_section(split, {"json", "images"}, _is_text)
    )


DEFAULTS: dict[str, Any] = {"changes": [], "weights": None, "steps": 40, "rows": [0]}
KEYS = {
    "config": (_is_text, "write the name of a shipped configuration or a YAML file"),
    "changes": (
        lambda value: isinstance(value, list) and all(map(_is_text, value)),
        'write a list of changes to the configuration, such as ["TrainReader.batch_size=1"]',
    ),
    "weights": (
        lambda value: value is None or _is_text(value),
        "write a model's folder or file, a published name, or null for random weights",
    ),
    "dataset": (_is_dataset, "write shapes, or train and val with json (a file) and images each"),
    "steps": (_is_count, "write how many steps a cell trains, 1 or more"),
    "rows": (
        lambda value: (
            isinstance(value, list) and bool(value) and all(_is_count(row, 0) for row in value)
        ),
        "write a list of images of val, such as [0, 1, 2]",
    ),
}
"""Key of a course file -> whether a value of it is right, and what to write."""


# ---------------------------------------------------------------- data


def photographs() -> Path:
    """The folder of the photographs that come with the course; ``coins/`` there is a dataset.

    Raises:
        FileNotFoundError: this installation has none; the message names the cure.
    """
    return shipped_folder("data/photographs", "annotations.json")


def drawn_shapes(split: str = "train") -> CocoDataset:
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
