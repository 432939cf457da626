import numpy as np
import paddle

from maskrcnn_edu.structures import AnchorTargets
from maskrcnn_edu.viz.anchors import MOST_SHOWN, draw_anchor_targets, draw_anchors, draw_overlap
from maskrcnn_edu.viz.figure_facts import figure_boxes, figure_facts


def legend(figure):
    return [t.get_text() for box in figure.legends for t in box.get_texts()]


def test_anchors(image, anchors):
    figure = draw_anchors(image, anchors)
    assert figure_facts(figure) == {"anchor": 8}
    assert figure_boxes(figure, "anchor") == anchors.tolist()
    assert legend(figure) == ["size 12: 4", "size 22: 4"]


def test_the_view_reaches_for_anchors_beyond_the_image_but_not_for_ever(image, anchors):
    axes = draw_anchors(image, anchors).axes[0]
    assert (axes.get_xlim(), axes.get_ylim()) == ((-4, 72), (56, -4))
    axes = draw_anchors(image, anchors * 100).axes[0]
    assert (axes.get_xlim(), axes.get_ylim()) == ((-32, 96), (72, -24))


def test_no_anchors(image, anchors):
    assert figure_facts(draw_anchors(image, anchors[:0])) == {}


def test_targets(image, anchors, anchor_targets, scene):
    figure = draw_anchor_targets(image, anchors, anchor_targets, scene)
    assert figure_facts(figure) == {"crowd": 1, "gt": 2, "negative": 5, "positive": 2}
    assert figure_boxes(figure, "positive") == anchors[[3, 5]].tolist()
    assert legend(figure) == [
        "positive 2", "negative 5 (5 shown)", "without a target 1", "annotated 3"
    ]  # fmt: skip


def test_of_many_negatives_some_are_drawn_and_all_are_counted(image, no_objects):
    anchors = paddle.tile(paddle.to_tensor([[0.0, 0, 9, 9]]), [500, 1])
    labels = paddle.zeros([500], dtype="int32")
    targets = AnchorTargets(labels, paddle.zeros([500, 4]), labels.cast("int64"))
    figure = draw_anchor_targets(image, anchors, targets, no_objects)
    assert figure_facts(figure) == {"negative": MOST_SHOWN}
    assert f"negative 500 ({MOST_SHOWN} shown)" in legend(figure)


def test_the_ignored_are_told_from_those_that_were_not_drawn(image, no_objects):
    anchors = paddle.tile(paddle.to_tensor([[0.0, 0, 9, 9]]), [100, 1])
    labels = np.full(100, -1, np.int32)
    labels[:2], labels[2:5] = 1, 0
    targets = AnchorTargets(paddle.to_tensor(labels), paddle.zeros([100, 4]), None)
    ignored = np.arange(100) >= 50
    figure = draw_anchor_targets(image, anchors, targets, no_objects, ignored)
    assert figure_facts(figure) == {"ignored": MOST_SHOWN, "negative": 3, "positive": 2}
    # 95 have no target: 50 ignored ones, and 45 that the sample left out
    assert f"ignored 50 ({MOST_SHOWN} shown)" in legend(figure)
    assert "not in the sample 45" in legend(figure)


def test_overlap():
    figure = draw_overlap(np.array([0.0, 0, 4, 4]), np.array([2.0, 1, 6, 4]))
    assert figure_facts(figure) == {"box": 2, "intersection": 1}
    assert figure_boxes(figure, "intersection") == [[2, 1, 4, 4]]
    # 2 * 3 in common; 16 + 12 - 6 together
    assert figure.axes[0].get_title() == "IoU = 6 / 22 = 0.273"
    apart = draw_overlap(np.array([0.0, 0, 1, 1]), np.array([2.0, 2, 3, 3]))
    assert figure_facts(apart) == {"box": 2}
    assert apart.axes[0].get_title() == "IoU = 0 / 2 = 0.000"
