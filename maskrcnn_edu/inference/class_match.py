"""Classes of a model and of an annotation file, compared by name: ids are nobody's promise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.system.suggest import did_you_mean, nearest
from maskrcnn_edu.weights.folder import ClassNames


def match_dataset(
    names: Sequence[str], dataset: CocoDataset, source: str | Path
) -> list[int | None]:
    """The ids that a dataset has for a model's classes.

    Args:
        names: the C names of the labels.
        dataset: may have the classes in another order, with other ids, or some not at all;
            it may list others if there is no object of them.
        source: the file or folder that the names are from, for messages.

    Returns:
        C ids; None for a class that the dataset has not.

    Raises:
        ValueError: the dataset has objects of other classes; the message names both files.
    """
    there = ClassNames(dataset.class_names, dataset.category_ids)
    ids = match_classes(names, there, source, dataset.json_file)
    objects = dataset.objects_per_class()
    unknown = [name for name in there.names if name not in names and objects[name]]
    if unknown:
        counts = ", ".join(f"{objects[name]} of {name}" for name in unknown[:5])
        raise ValueError(
            f"{dataset.json_file} has objects of classes ({counts}) that are not among the "
            f"categories of {source} ({', '.join(names)}){nearest(unknown[0], names)}"
        )
    return ids


def match_classes(
    names: Sequence[str], there: ClassNames, source: str | Path, other: str | Path
) -> list[int | None]:
    """The ids that another list of classes has for these names.

    Args:
        names, source: see `match_dataset`.
        there: names and ids of the other.
        other: the file that they are from, for messages.

    Returns:
        As many ids as names; None for a name that is not there.

    Raises:
        ValueError: a name stands for two classes, in one of the two, and they differ.
    """
    if list(names) == there.names:
        return list(there.category_ids)
    for where, own in ((source, list(names)), (other, there.names)):
        twice = [name for name in own if own.count(name) > 1]
        if twice:
            raise ValueError(
                f"{where} has two categories called {twice[0]}, so they cannot be compared by "
                "name: rename one"
            )
    ids = dict(zip(there.names, there.category_ids))
    return [ids.get(name) for name in names]


def match_all(
    names: Sequence[str], there: ClassNames, source: str | Path, other: str | Path
) -> list[int]:
    """The same, if every name must be there.

    Raises:
        ValueError: one is not there; the message names both files.
    """
    ids = match_classes(names, there, source, other)
    missing = [name for name, number in zip(names, ids) if number is None]
    if missing:
        raise ValueError(
            f"{other} has no class {missing[0]} as {source} has"
            f"{did_you_mean(missing[0], there.names)}"
        )
    return ids
