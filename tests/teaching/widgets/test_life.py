"""The life microscope draws the way of an anchor of every fate that there is."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.teaching.biography import Fate, anchor_fates
from maskrcnn_edu.teaching.course import load_course
from maskrcnn_edu.teaching.widgets.life import PLACES, LifeMicroscope
from maskrcnn_edu.viz.figure_facts import figure_boxes
from maskrcnn_edu.viz.style import to_pixels


@pytest.fixture(scope="module")
def scope():
    course = load_course("shapes_c4")
    model, batch = course.model(), course.batch([8])
    model.train()
    paddle.seed(4)
    return LifeMicroscope(to_pixels(batch.image[0]), model(batch), model, 0)


def test_every_fate_that_occurs_can_be_chosen(scope):
    fates = anchor_fates(scope.stages, scope.model, 0)
    met = [fate.name for fate in Fate if (fates == fate).any()]
    summaries = scope.sweep()
    chosen = [s for s in summaries if s["moved"] == "fate"]
    assert [s["to"] for s in chosen] == [s["fate"] for s in chosen] == met
    scores = scope.stages.rpn.scores[0].numpy()
    for s in chosen:
        of_fate = np.flatnonzero(fates == Fate[s["fate"]])
        assert scores[s["anchor"]] == scores[of_fate].max()  # the surest one
        assert s["lines"] > 4
    places = [s["anchor"] for s in summaries if s["moved"] == "place"]
    assert len(places) == PLACES and len(set(places)) > 1


def test_its_boxes_are_those_of_the_record(scope):
    figure = scope.draw("SUPPRESSED", 1)
    summary = scope.summary(figure)
    assert summary["drawn"] == ["anchor", "moved and clipped", "the better one"]
    expected = scope.stages.rpn.anchors[summary["anchor"]].numpy()
    assert np.allclose(figure_boxes(figure, "anchor")[0], expected, atol=0.06)
    (better,), (own,) = (
        figure_boxes(figure, kind) for kind in ("the better one", "moved and clipped")
    )
    assert better != own
    sampled = scope.summary(scope.draw("SAMPLED_FOREGROUND", 1))
    assert sampled["drawn"] == ["anchor", "moved and clipped", "its object"]
