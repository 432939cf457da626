"""What is found before the first step: nothing to learn, no images, other classes."""

import json

import numpy as np
import pytest
from PIL import Image

from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.training import preflight
from maskrcnn_edu.training.preflight import check_data, check_start
from maskrcnn_edu.weights.folder import ClassNames

RLE = {"size": [32, 32], "counts": [66, 10, 22, 10, 916]}
OUTLINE = [[2, 2, 12, 2, 12, 12, 2, 12]]


def annotation(category=1, **more):
    box = {"bbox": [2, 2, 10, 10], "area": 100, "iscrowd": 0, "segmentation": OUTLINE}
    return {"category_id": category, **box, **more}


def dataset(
    folder, annotations=(annotation(),), categories=("cat", "dog"), images=2, size=(32, 32)
):
    """Some images, the annotations on the first; the files are of ``size``, if it is given."""
    folder.mkdir(exist_ok=True)
    names = [f"{i}.png" for i in range(1, images + 1)]
    content = {
        "images": [
            {"id": i, "file_name": name, "height": 32, "width": 32}
            for i, name in enumerate(names, 1)
        ],
        "categories": [{"id": i, "name": name} for i, name in enumerate(categories, 1)],
        "annotations": [{"id": i, "image_id": 1, **a} for i, a in enumerate(annotations, 1)],
    }
    (folder / "data.json").write_text(json.dumps(content))
    for name in names if size else ():
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / name)
    return CocoDataset(folder / "data.json", folder)


@pytest.fixture
def good(tmp_path):
    return dataset(tmp_path / "good")


def said(train_set, val_set):
    messages = []
    check_data(train_set, val_set, messages.append)
    return messages


def test_data_that_is_right_is_no_word_worth(good):
    assert said(good, good) == []


def test_crowds_teach_nothing(tmp_path, good):
    crowds = dataset(tmp_path / "crowds", [annotation(iscrowd=1, segmentation=RLE)] * 2)
    with pytest.raises(ValueError, match=r"data.json: there is nothing to learn: all 2 .* crowds"):
        said(crowds, good)


def test_no_annotation_teaches_nothing(tmp_path, good):
    empty = dataset(tmp_path / "empty", [])
    with pytest.raises(ValueError, match="nothing to learn: no annotation can be used"):
        said(empty, good)


def test_a_mistyped_folder_of_training_images_is_named(tmp_path, good):
    missing = dataset(tmp_path / "missing", size=None)
    with pytest.raises(ValueError, match=r"--train-images .*missing: none of .* is there, 1.png"):
        said(missing, good)


@pytest.mark.parametrize(("size", "reason"), [(None, "no such file"), ((16, 32), "32 x 16|32x16")])
def test_validation_images_that_cannot_be_used_are_found_before(tmp_path, good, size, reason):
    wrong = dataset(tmp_path / "wrong", size=size)
    with pytest.raises(ValueError, match=r"--val-images .*wrong: no image .* can be used: .*1.png"):
        said(good, wrong)


def test_some_validation_images_that_are_missing_are_named(tmp_path, good):
    some = dataset(tmp_path / "some")
    some.image_path(1).unlink()
    (message,) = said(good, some)
    assert message.startswith("--val-images: not measured\n") and "2.png" in message


def test_validation_has_the_classes_of_training_by_name(tmp_path, good):
    swapped = dataset(tmp_path / "swapped", categories=("dog", "cat"))
    (message,) = said(good, swapped)
    assert "['dog', 'cat'] (ids [1, 2]) are matched by name" in message
    other = dataset(tmp_path / "other", categories=("cow",))
    with pytest.raises(ValueError, match=r"other.*1 of cow.*good.*cat, dog"):
        said(good, other)


def test_weights_of_other_classes_are_refused(monkeypatch, good):
    def stored(names):
        monkeypatch.setattr(preflight, "stored_classes", lambda source: names)

    stored(ClassNames(["dog", "cat"], [1, 2]))
    with pytest.raises(ValueError, match=r"--weights run: its classes \['dog', 'cat'\] are not"):
        check_start("run", good)
    stored(ClassNames(["cat", "dog"], [8, 9]))
    check_start("run", good)
    stored(None)  # a file that does not know
    check_start("run", good)
    check_start(None, good)
