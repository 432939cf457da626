"""How a dataset lies to a configuration: what `train` and ``data check`` say, and would set."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
from collections.abc import Iterable, Sequence

import numpy as np

from maskrcnn_edu.config.build import Section, build
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.data.transforms import RandomResize, Resize
from maskrcnn_edu.model.optimizer import LearningRate
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.model.rpn.head import RPNHead

FIT = 0.5
"""An object fits an anchor if they overlap by so much (IoU), laid centre on centre."""

MANY = 0.1
"""A share of the objects that is worth advice."""

SMALL = 8
"""Pixels, the root of a box's area after resizing: two cells of the finest feature map."""

MOST_IMAGES, MOST_OBJECTS = 2000, 5000  # that are looked at
FACTORS = [2 ** (n / 2) for n in range(-6, 7)]
LONGER = ((0.33, 1.0, 3.0), (0.2, 1.0, 5.0))
"""Aspect ratios for objects that are long and thin; as many as is usual, as weights need it."""

FEW_STEPS = 500
"""A training from random weights is advised to take so many, however few images there are."""

LONG_WARMUP = 0.2  # of a training


def advise(dataset: CocoDataset, config: Config, steps: int | None) -> list[str]:
    """Lines about objects, image size, anchors and length of a training on this dataset.

    Args:
        dataset: what is trained on.
        config: of the training.
        steps: of the training; None if nothing is to be said of its length (it was chosen, or
            weights that have learned need less).
    """
    absent = [name for name, count in dataset.objects_per_class().items() if not count]
    lines = [] if steps is None else _about_length(len(dataset), config, steps)
    if absent:
        more = f", ... ({len(absent)} classes)" if len(absent) > 3 else ""
        lines.append(f"no object of {', '.join(absent[:3])}{more}: that cannot be learned")
    scales, sides = _resized(dataset, config)
    if len(sides):
        line, factor = _about_sizes(sides, scales, config)
        lines += [line, _about_anchors(sides * factor, config)]
    return lines


def default_steps(config: Config, batches_per_epoch: int) -> int:
    """How long `train` takes if nobody says it: the configuration's epochs."""
    return max(1, batches_per_epoch * config.values.get("epoch", 12))


def _resized(dataset: CocoDataset, config: Config) -> tuple[list[float], np.ndarray]:
    """How much each image is scaled, and [G, 2] width and height of (some) objects after it."""
    transforms, _ = build(config, Reader, ("EvalReader",)).transforms()
    resize = next((each for each in transforms if isinstance(each, Resize)), None)
    scales, sides = [], [np.zeros([0, 2])]
    for i in range(0, len(dataset), len(dataset) // MOST_IMAGES + 1):
        height, width = dataset.size(i)
        new_h, new_w = (height, width) if resize is None else resize.new_size(height, width)
        boxes = dataset.boxes(i)
        sides.append((boxes[:, 2:] - boxes[:, :2]) * [new_w / width, new_h / height])
        scales.append(math.sqrt(new_h * new_w / (height * width)))
    objects = np.concatenate(sides)
    return scales, objects[(objects > 0).all(axis=1)][:: len(objects) // MOST_OBJECTS + 1]


def _about_sizes(sides: np.ndarray, scales: Sequence[float], config: Config) -> tuple[str, float]:
    """How large objects are; if many are too small, larger images as far as there are pixels.

    Returns:
        A line, and how much larger objects are if its advice is followed.
    """
    lengths = np.sqrt(sides.prod(axis=1))
    low, middle, high = np.quantile(lengths, [0.1, 0.5, 0.9])
    line = f"objects after resizing: most {low:.0f} to {high:.0f} pixels, median {middle:.0f}"
    share = float((lengths < SMALL).mean())
    if share <= MANY:
        return line, 1.0
    line += f"; {share:.0%} are smaller than {SMALL}, too small to learn"
    factor = min(2 * SMALL / low, 1 / float(np.median(scales)))
    if factor < 1.2:
        return f"{line}: cut the images into smaller ones", 1.0
    changes = []
    for reader in ("TrainReader", "EvalReader"):
        for i, step in enumerate(config.values[reader]["sample_transforms"]):
            for name in {Resize.__name__, RandomResize.__name__} & set(step):
                larger = _scaled(step[name]["target_size"], factor, 32)
                key = f"{reader}.sample_transforms.{i}.{name}.target_size"
                changes.append(f"{key}={larger}")
    return f"{line}; larger images would fit better: {_options(changes)}", factor


def _about_anchors(sides: np.ndarray, config: Config) -> str:
    """How many objects have an anchor of their form; if few, anchors that more have."""
    section = Section(config, RPNHead, ("RPNHead",)).find_section("anchor_generator")
    anchors: AnchorGenerator = section.build()
    now = fitting(sides, anchors)
    line = f"the anchors fit {now:.0%} of them"
    tries = {}
    for factor in FACTORS if now < 1 - MANY else ():
        sizes = json.loads(_scaled(anchors.anchor_sizes, factor))
        for ratios in (anchors.aspect_ratios, *LONGER):
            changes = {} if factor == 1 else {"anchor_sizes": sizes}
            changes |= {} if ratios is anchors.aspect_ratios else {"aspect_ratios": list(ratios)}
            other = dataclasses.replace(anchors, **changes)
            if other.num_anchors == anchors.num_anchors:
                price = len(changes), abs(math.log(factor))
                tries[_changes(section.key, changes)] = (round(fitting(sides, other), 2), price)
    best = min(tries, key=lambda each: (-tries[each][0], tries[each][1]), default=())
    if not best or 1 - tries[best][0] > (1 - now) / 2:
        return line
    return f"{line}; others would fit {tries[best][0]:.0%}: {_options(best)}"


def fitting(sides: np.ndarray, anchors: AnchorGenerator) -> float:
    """The share of objects (width and height, [G, 2]) that fit an anchor, see `FIT`."""
    cells = np.array(anchors.cell_anchors).reshape(-1, 4)
    own = cells[:, 2:] - cells[:, :2]  # [A, 2]
    both = np.minimum(sides[:, None], own).prod(axis=2)  # [G, A]
    union = sides.prod(axis=1)[:, None] + own.prod(axis=1) - both
    return float(((both / union).max(axis=1) >= FIT).mean())


def _about_length(images: int, config: Config, steps: int) -> list[str]:
    """A training that is over before it has begun."""
    schedulers = enumerate(build(config, LearningRate).schedulers)
    warmups = {i: s.get("steps", 500) for i, s in schedulers if s["name"] == "LinearWarmup"}
    too_long = [i for i, warmup in warmups.items() if warmup > LONG_WARMUP * steps]
    if steps >= FEW_STEPS and not too_long:
        return []
    enough = max(steps, FEW_STEPS)
    changes = [
        f"LearningRate.schedulers.{i}.steps={enough // 10}"
        for i in too_long
        if warmups[i] > LONG_WARMUP * enough
    ]
    warmup = f" (warm-up takes {sum(warmups.values())})" if warmups else ""
    better = f"--steps {enough} {_options(changes)}".rstrip()
    return [f"{steps} steps{warmup} are few for {images} images; these suit them: {better}"]


def _scaled(sizes: float | Sequence, factor: float, step: int = 1) -> str:
    """A size, or lists of them, times a factor, as whole steps; in JSON without spaces."""

    def scale(value: float | Sequence) -> int | list:
        if isinstance(value, Sequence):
            return [scale(each) for each in value]
        return max(step, step * round(value * factor / step))

    return json.dumps(scale(sizes), separators=(",", ":"))


def _changes(key: Sequence, values: dict) -> tuple[str, ...]:
    place = ".".join(map(str, key))
    return tuple(f"{place}.{word}={json.dumps(v).replace(' ', '')}" for word, v in values.items())


def _options(changes: Iterable[str]) -> str:
    return " ".join(f"--set {shlex.quote(change)}" for change in changes)
