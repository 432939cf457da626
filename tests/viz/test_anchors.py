import paddle

from maskrcnn_edu.structures import AnchorTargets
from maskrcnn_edu.viz.anchors import NEGATIVES_SHOWN, draw_anchor_targets, draw_anchors
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
        "positive 2", "negative 5 (5 drawn)", "ignored 1 (not drawn)", "annotated 3"
    ]  # fmt: skip


def test_of_many_negatives_some_are_drawn_and_all_are_counted(image, no_objects):
    anchors = paddle.tile(paddle.to_tensor([[0.0, 0, 9, 9]]), [500, 1])
    labels = paddle.zeros([500], dtype="int32")
    targets = AnchorTargets(labels, paddle.zeros([500, 4]), labels.cast("int64"))
    figure = draw_anchor_targets(image, anchors, targets, no_objects)
    assert figure_facts(figure) == {"negative": NEGATIVES_SHOWN}
    assert f"negative 500 ({NEGATIVES_SHOWN} drawn)" in legend(figure)
