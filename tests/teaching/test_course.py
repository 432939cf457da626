"""A course file chooses model, data and length of everything that a notebook shows."""

import json

import numpy as np
import pytest
import yaml

from maskrcnn_edu.config.yaml_files import ConfigError
from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.model.boxes import bbox_overlaps
from maskrcnn_edu.teaching.course import DEFAULT, VARIABLE, load_course
from maskrcnn_edu.weights.arrays import array_shapes

SHIPPED = ("shapes_c4", "shapes_fpn")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKRCNN_EDU_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.delenv(VARIABLE, raising=False)
        yield


@pytest.fixture(scope="module")
def own_data(tmp_path_factory):
    """Two images to train, one to validate, and a course file about them, unsaved."""
    folder = tmp_path_factory.mktemp("own")
    write_shapes(folder, train=2, val=1)
    splits = {
        split: {"json": f"annotations/instances_{split}.json", "images": split}
        for split in ("train", "val")
    }
    return folder, {"config": "shapes_c4", "dataset": splits}


def write(folder, values):
    file = folder / "mine.yml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_finds_most_objects(name):
    course = load_course(name)
    model, batch, found = course.model(), course.batch(course.rows), []
    for detections, gt in zip(model(batch).detections, batch.gt):
        same = (gt.labels.unsqueeze(1) == detections.labels).numpy()
        overlap = bbox_overlaps(gt.boxes, detections.boxes).numpy()
        found += ((overlap > 0.5) & same & (detections.scores.numpy() > 0.5)).any(axis=1).tolist()
    assert course.name == name and not model.training
    assert np.mean(found) >= 0.7


def test_argument_before_environment_before_the_documents_architecture(monkeypatch):
    assert load_course().name == DEFAULT == "shapes_c4"
    monkeypatch.setenv(VARIABLE, "shapes_fpn")
    assert load_course().name == "shapes_fpn"
    assert load_course("shapes_c4").name == "shapes_c4"


@pytest.mark.parametrize("name", SHIPPED)
def test_the_stored_configuration_is_todays(name):
    course = load_course(name)
    stored = yaml.safe_load((course.file.parent / name / "config.yml").read_text())
    assert stored == course.config().values


def test_a_dataset_of_ones_own_without_weights(own_data):
    folder, values = own_data
    course = load_course(write(folder, {**values, "changes": ["TrainReader.batch_size=1"]}))
    assert (len(course.train), len(course.val), course.rows) == (2, 1, [0])
    assert len(list(course.loader().epoch(0))) == 2
    assert course.batch([0]).image.shape[0] == 1
    one, other = course.model().state_dict(), course.new_model(seed=0).state_dict()
    assert all(np.array_equal(one[k].numpy(), other[k].numpy()) for k in one)
    assert any(
        not np.array_equal(w.numpy(), one[k].numpy())
        for k, w in course.new_model(seed=1).state_dict().items()
    )


def test_weights_with_other_classes_give_what_fits(own_data, tmp_path):
    folder, values = own_data
    content = yaml.safe_load((folder / "annotations" / "instances_val.json").read_text())
    content["categories"] = content["categories"][:5]
    kept = {row["id"] for row in content["categories"]}
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] in kept]
    (tmp_path / "five.json").write_text(json.dumps(content))
    split = {"json": str(tmp_path / "five.json"), "images": str(folder / "val")}
    data = {"train": split, "val": split}
    course = load_course(write(tmp_path, {**values, "weights": "shapes_c4", "dataset": data}))
    model, six = course.model(), load_course("shapes_c4").model()
    assert array_shapes(model)["bbox_head.bbox_score.weight"] == [128, 6]
    mine, theirs = model.backbone.state_dict(), six.backbone.state_dict()
    assert all(np.array_equal(mine[k].numpy(), theirs[k].numpy()) for k in mine)


@pytest.mark.parametrize(
    ("change", "key", "cure"),
    [
        ({"config": None}, "config", "write the name of a shipped configuration"),
        ({"dataset": "shape"}, "dataset", "write shapes, or train and val"),
        ({"steps": 0}, "steps", "1 or more"),
        ({"rows": []}, "rows", r"such as \[0, 1, 2\]"),
        ({"changes": "num_classes=3"}, "changes", "write a list"),
        ({"weigths": None}, "weigths", "did you mean weights"),
    ],
)
def test_a_wrong_value_is_named_with_its_place_and_cure(own_data, tmp_path, change, key, cure):
    file = write(tmp_path, {**own_data[1], **change})
    with pytest.raises(ConfigError, match=rf"mine\.yml, line \d: {key}: .*{cure}"):
        load_course(file)


def test_what_is_missing_is_named(own_data, tmp_path):
    with pytest.raises(ConfigError, match="no course 'shapes_c5'.*did you mean shapes_c4"):
        load_course("shapes_c5")
    with pytest.raises(ConfigError, match=r"mine\.yml: dataset is missing; write shapes"):
        load_course(write(tmp_path, {"config": "shapes_c4"}))
    folder, values = own_data
    with pytest.raises(ConfigError, match=r"rows: there is no image 1; val has .* 0 \.\. 0"):
        _ = load_course(write(folder, {**values, "rows": [0, 1]})).rows
    with pytest.raises(ConfigError, match=r"line \d: weights: .*nothing_there"):
        load_course(write(folder, {**values, "weights": "nothing_there"})).model()
    with pytest.raises(ConfigError, match=r"\d: dataset.val: .*instances_val.*: there is no such"):
        _ = load_course(write(tmp_path, values)).val
