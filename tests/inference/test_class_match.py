"""Classes by name: a file's ids for the labels of a model, or a message that names both files."""

import json

import pytest

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.inference.class_match import match_all, match_classes, match_dataset
from maskrcnn_edu.weights.folder import ClassNames


def dataset(folder, categories, objects=()):
    """A dataset of one image, with one object of each given id."""
    outline = [[2, 2, 12, 2, 12, 12, 2, 12]]
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 32, "width": 32}],
        "categories": [{"id": i, "name": name} for name, i in categories.items()],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": i, "bbox": [2, 2, 10, 10], "area": 100,
             "iscrowd": 0, "segmentation": outline}
            for k, i in enumerate(objects, 1)
        ],
    }  # fmt: skip
    path = folder / "val.json"
    path.write_text(json.dumps(content))
    return CocoDataset(path, folder)


@pytest.mark.parametrize(
    ("categories", "ids"),
    [
        ({"cat": 1, "cow": 2, "dog": 3}, [1, 2, 3]),  # the same
        ({"cat": 10, "cow": 20, "dog": 30}, [10, 20, 30]),  # renumbered
        ({"dog": 1, "cow": 2, "cat": 3}, [3, 2, 1]),  # swapped
        ({"cat": 1, "dog": 2}, [1, None, 2]),  # fewer
        ({"none": 0, "cat": 1, "cow": 2, "dog": 3}, [1, 2, 3]),  # more, without objects
    ],
)
def test_labels_get_the_ids_of_their_names(tmp_path, categories, ids):
    data = dataset(tmp_path, categories, objects=[categories["cat"]])
    assert match_dataset(["cat", "cow", "dog"], data, "train.json") == ids


def test_objects_of_other_classes_are_refused_and_both_files_named(tmp_path):
    data = dataset(tmp_path, {"cat": 1, "Dog": 2}, objects=[1, 2, 2])
    with pytest.raises(ValueError, match="did you mean dog") as problem:
        match_dataset(["cat", "dog"], data, "train.json")
    text = str(problem.value)
    assert "val.json has objects of classes (2 of Dog)" in text
    assert "categories of train.json (cat, dog)" in text
    with pytest.raises(ValueError, match=r"categories of train.json \(owl, emu\)$"):
        match_dataset(["owl", "emu"], data, "train.json")  # none is near: named once all the same


def test_two_classes_of_one_name_cannot_be_compared():
    same = ClassNames(["cat", "cat"], [4, 5])
    assert match_classes(["cat", "cat"], same, "a", "b") == [4, 5]
    with pytest.raises(ValueError, match="^b has two categories called cat"):
        match_classes(["cat", "dog"], same, "a", "b")
    with pytest.raises(ValueError, match="^a has two categories called cat"):
        match_classes(["cat", "cat"], ClassNames(["cat", "dog"], [1, 2]), "a", "b")


def test_a_list_of_names_for_a_model_must_have_all():
    there = ClassNames(["dog", "cat"], [7, 9])
    assert match_all(["cat", "dog"], there, "run", "x.json") == [9, 7]
    with pytest.raises(ValueError, match="^x.json has no class cats as run has; did you mean cat"):
        match_all(["cats", "dog"], there, "run", "x.json")
