"""Find this bug: a mistake of the zoo is out, its name is not told, and numbers give it away.

right = clues()
with hunt("hunt_1"):
    ...  # look at whatever you like
    now = clues()
check("hunt_1", "the bug's name, or the file it is in")
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import paddle

from maskrcnn_edu.structures import Detections, GroundTruth, TrainingStages
from maskrcnn_edu.system.language import say
from maskrcnn_edu.system.suggest import did_you_mean
from maskrcnn_edu.teaching.bugs.catalog import BUGS
from maskrcnn_edu.teaching.bugs.release import release, released
from maskrcnn_edu.teaching.course import load_course, loader, make_batch
from maskrcnn_edu.teaching.exercises.compare import difference, shown
from maskrcnn_edu.teaching.exercises.exercise import random_of

HUNTS: dict[str, tuple[str, ...]] = {
    "hunt_1": ("anchors_xy_swapped", "anchors_half_stride", "labels_off_by_one"),
    "hunt_2": ("decode_without_weights", "half_pixel_forgotten", "nms_across_classes"),
    "hunt_3": ("flip_forgets_polygons", "masks_transposed", "sigmoid_forgotten"),
}
"""Exercise -> the bugs of which the seed chooses one."""

ROW = 3  # the image whose detections count
SEED = 2  # the same images and samples at every look
TOLERANCE = 1e-3


@contextmanager
def hunt(name: str, seed: str | int | None = None) -> Iterator[None]:
    """A bug is out until the block ends.

    Args:
        name: a key of `HUNTS`.
        seed: chooses the bug, see `maskrcnn_edu.teaching.exercises.exercise.random_of`.
    """
    with release(_culprit(name, seed)):
        yield


def clues() -> dict[str, list[float]]:
    """What the course's model computes of a few scenes, in the order in which it does."""
    model, config, dataset = _subject()
    state = paddle.get_rng_state()
    batch = next(iter(loader(dataset, config, seed=SEED).epoch(0)))
    paddle.seed(SEED)
    with paddle.no_grad():
        model.train()
        stages = model(batch)
        model.eval()
        detections = model(make_batch(dataset, [ROW], config)).detections[0]
    paddle.set_rng_state(state)
    made = {**_training_clues(stages), **_detection_clues(detections)}
    return {name: np.round(np.array(v, float), 4).ravel().tolist() for name, v in made.items()}


def judge_guess(name: str, guess: Any, seed: str | int | None) -> str:
    """What to say to a guess: the name of a bug, or of the file that it is in.

    A wrong guess is told what would be different if it were right.
    """
    culprit = BUGS[_culprit(name, seed)]
    word = str(guess).removesuffix(".py").replace("/", ".").removeprefix("maskrcnn_edu.")
    if word == culprit.name or _is_in(word, culprit.name):
        words = say("{title} ({name}, {place}). ")
        found = words.format(title=culprit.title, name=culprit.name, place=culprit.places[0])
        return say("right: ") + found + culprit.story
    if word not in BUGS and not any(_is_in(word, bug) for bug in BUGS):
        words = say("there is no bug {name!r} and none in such a file").format(name=word)
        return words + did_you_mean(word, BUGS)
    if released():
        return say("not yet: ") + say("ask again after the block, when the bug is caught")
    right, here = _clues_with(""), _clues_with(culprit.name)
    there = _clues_with(word) if word in BUGS else right
    other = _first_difference(there, here)
    if other and _first_difference(there, right):
        expected = there
        words = say("with {word} {clue} would be {expected}, here: {here}")
    else:
        other, expected = _first_difference(right, here), right
        words = say(
            "not {word}; the first number that has changed is {clue}, {expected} without a bug, "
            "here: {here}"
        )
    values = {"expected": shown(expected[other]), "here": shown(here[other])}
    return say("not yet: ") + words.format(word=word, clue=other, **values)


@lru_cache(maxsize=1)
def _subject() -> tuple:
    course = load_course("shapes_fpn")  # whichever the notebooks show: its clues are tested
    return course.model(), course.config(), course.train


def _culprit(name: str, seed: str | int | None) -> str:
    return str(random_of(name, seed).choice(HUNTS[name]))


def _is_in(file: str, bug: str) -> bool:
    """Whether a bug changes a file: model.rpn.anchors, or rpn.anchors or anchors for short."""
    modules = (place.split(":")[0] for place in BUGS[bug].places)
    return any(f".{module}".endswith(f".{file}") for module in modules)


@lru_cache
def _clues_with(bug: str) -> dict[str, list[float]]:
    """The clues with a bug out; without one for an empty name."""
    if not bug:
        return clues()
    with release(bug):
        return clues()


def _first_difference(one: dict[str, list[float]], other: dict[str, list[float]]) -> str:
    return next((name for name in one if difference(one[name], other[name], TOLERANCE)), "")


def _training_clues(stages: TrainingStages) -> dict[str, Any]:
    anchors = stages.rpn.anchors.numpy()
    masks = np.concatenate([t.target_masks.numpy() for t in stages.mask_targets])
    labels = np.concatenate([t.target_labels.numpy() for t in stages.mask_targets])
    half = masks.shape[1] // 2
    return {
        say("pixels from an outline to its box"): [_outline_to_box(gt) for gt in stages.batch.gt],
        say("the centre of anchor 10"): (anchors[10, :2] + anchors[10, 2:]) / 2,
        say("positive anchors"): [int((t.target_labels == 1).sum()) for t in stages.anchor_targets],
        say("proposals"): [len(proposals) for proposals in stages.proposals],
        say("foreground RoIs"): len(labels),
        say("their classes"): np.unique(labels),
        say("mask targets, upper half and left half"): [
            masks[:, :half].mean(),
            masks[:, :, :half].mean(),
        ],
        **{name: float(loss) for name, loss in stages.losses.items()},
    }


def _outline_to_box(gt: GroundTruth) -> float:
    """How far the outlines' extents are from the boxes' sides, on the average of an image."""
    pairs = zip(gt.boxes.numpy(), gt.segms)
    outlines = [
        (b, np.reshape(np.concatenate(s), (-1, 2))) for b, s in pairs if isinstance(s, list)
    ]
    gaps = [np.abs(b - [*xy.min(axis=0), *xy.max(axis=0)]).mean() for b, xy in outlines]
    return np.mean(gaps) if gaps else 0.0


def _detection_clues(detections: Detections) -> dict[str, Any]:
    boxes, scores = detections.boxes.numpy(), detections.scores.numpy()
    return {
        say("detections"): len(detections),
        say("the best detection's box"): boxes[scores.argmax()] if len(boxes) else [],
        say("pixels of all detected masks"): int(detections.masks.astype("int64").sum()),
    }
