"""What can be known before the first step is found before the first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.image_file import stored_size
from maskrcnn_edu.data.problems import Issue, summarize
from maskrcnn_edu.inference.class_match import match_dataset
from maskrcnn_edu.weights.pretrained import stored_classes

LOOK_AT = 200
"""Training images that are looked for: if none of so many is there, the folder is wrong."""


def check_data(
    train_set: CocoDataset, val_set: CocoDataset, on_message: Callable[[str], None]
) -> None:
    """Whether there is something to learn, and to measure it with.

    Args:
        train_set, val_set: of a training.
        on_message: called with what does not end the training, but matters.

    Raises:
        ValueError: the files have other classes; there is no object to learn; or no image of
            a set can be used.
    """
    ids = match_dataset(train_set.class_names, val_set, train_set.json_file)
    if val_set.category_ids != train_set.category_ids or ids != train_set.category_ids:
        on_message(
            f"{val_set.json_file}: its categories {val_set.class_names} (ids "
            f"{val_set.category_ids}) are matched by name with those of {train_set.json_file}"
        )
    _check_objects(train_set)
    if len(train_set) and not any(map(_is_there(train_set), range(len(train_set))[:LOOK_AT])):
        raise ValueError(
            f"--train-images {train_set.image_dir}: none of {train_set.json_file}'s images is "
            f"there, {train_set.file_name(0)} for one"
        )
    issues = [issue for i in range(len(val_set)) if (issue := _image_issue(val_set, i))]
    if len(issues) == len(val_set):
        raise ValueError(
            f"--val-images {val_set.image_dir}: no image of {val_set.json_file} can be used: "
            f"{issues[0]}"
        )
    if issues:
        on_message(f"--val-images: not measured\n{summarize(issues, str(val_set.image_dir), 3)}")


def check_start(source: str | Path | None, train_set: CocoDataset) -> None:
    """Raises ValueError if ``--weights`` are of a model whose labels mean something else."""
    old = None if source is None else stored_classes(source)
    if old is not None and old.names != train_set.class_names:
        raise ValueError(
            f"--weights {source}: its classes {old.names} are not those of "
            f"{train_set.json_file}: {train_set.class_names}; --pretrain takes over what is the "
            "same by name"
        )


def _check_objects(train_set: CocoDataset) -> None:
    if any(len(train_set.boxes(i)) for i in range(len(train_set))):
        return
    crowds = sum(train_set.objects_per_class().values())
    reason = (
        f"all {crowds} objects are crowds, regions that are left out of training: set iscrowd to 0"
        if crowds
        else "no annotation can be used (maskrcnn-edu data check says why)"
    )
    raise ValueError(f"{train_set.json_file}: there is nothing to learn: {reason}")


def _is_there(dataset: CocoDataset) -> Callable[[int], bool]:
    return lambda i: dataset.image_path(i).is_file()


def _image_issue(dataset: CocoDataset, i: int) -> Issue | None:
    """What is wrong with an image, by the head of its file; the whole is read if that differs."""
    is_right = stored_size(dataset.image_path(i)) == dataset.size(i)
    return None if is_right else dataset.image_issue(i)
