"""The bug microscope lets bugs out, tells who noticed, and locks them up again."""

import pytest

from maskrcnn_edu.teaching.bugs.catalog import BUGS
from maskrcnn_edu.teaching.bugs.release import released
from maskrcnn_edu.teaching.course import load_course
from maskrcnn_edu.teaching.widgets.bugzoo import NO_BUG, BugMicroscope
from maskrcnn_edu.teaching.widgets.microscope import choices
from maskrcnn_edu.viz.curves import LOSSES


@pytest.fixture(scope="module")
def scope(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASKRCNN_EDU_CACHE", str(tmp_path_factory.mktemp("cache")))
        course = load_course("shapes_fpn")
        yield BugMicroscope(course.model(), course.config(), course.train, 0)


def summary(scope, bug):
    figure = scope.draw(bug)
    assert not released()
    return scope.summary(figure)


def test_without_a_bug_nothing_moves(scope):
    result = summary(scope, NO_BUG)
    assert not any(result["losses"]) and not result["detections"]
    assert result["drawn"] > 0 and result["mask pixels"] > 0


def test_a_look_leaves_the_model_as_it_was():
    """Also with batch normalization, whose stored statistics every training step changes."""
    course = load_course("shapes_c4")
    model = course.model()
    before = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    BugMicroscope(model, course.config(), course.train, 0)
    assert not model.training
    for name, value in model.state_dict().items():
        assert (value.numpy() == before[name]).all(), name


def test_a_bug_of_one_loss_moves_that_loss(scope):
    moved = summary(scope, "encode_without_weights")["losses"]
    assert [name for name, m in zip(LOSSES, moved) if m] == ["loss_bbox_reg"]


def test_a_bug_of_the_prediction_moves_detections_alone(scope):
    result = summary(scope, "sigmoid_forgotten")
    assert result["detections"] and not any(result["losses"])
    right = summary(scope, NO_BUG)
    assert result["drawn"] == right["drawn"]  # it is the masks that are others, and it shows
    assert result["mask pixels"] != right["mask pixels"]


def test_every_bug_can_be_chosen(scope):
    assert choices(scope.controls["bug"]) == [NO_BUG, *BUGS]
    before = scope.image.value
    scope.controls["bug"].value = "encode_without_weights"
    assert scope.image.value != before
    scope.controls["bug"].value = NO_BUG
    assert scope.image.value == before
