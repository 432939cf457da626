"""The diagram has a step and a shape for everything that passes through the network."""

from maskrcnn_edu.teaching.course import load_course
from maskrcnn_edu.teaching.network import draw_network
from maskrcnn_edu.viz.figure_facts import figure_boxes, figure_facts


def drawn(name):
    course = load_course(name)
    model = course.model()
    stages = model(course.batch([8]))
    return stages, draw_network(model, stages)


def texts(figure):
    return [text.get_text().strip() for text in figure.axes[0].texts]


def test_c4_has_one_map_and_a_feature_that_both_heads_share():
    stages, figure = drawn("shapes_c4")
    found = len(stages.boxes_only[0])
    said = texts(figure)
    assert figure_facts(figure) == {"arrow": 12, "step": 12}
    assert {"ResNet", "Res5Head", "RoIAlign, Res5Head", "MaskFeat"} <= set(said)
    assert "FPN" not in said
    assert "1 map(s):\n48 x 16 x 16" in said  # 128 pixels, stride 8
    assert "12 anchors a cell\n3072 in all" in said  # 16 * 16 * 12
    assert "150 x 48 x 14 x 14" in said and "150 x 128 x 7 x 7" in said
    assert f"those of the box head\n{found} x 128 x 7 x 7" in said


def test_a_pyramid_has_a_neck_and_a_cut_out_for_masks_alone():
    stages, figure = drawn("shapes_fpn")
    said = texts(figure)
    assert figure_facts(figure) == {"arrow": 13, "step": 13}
    assert {"FPN", "TwoFCHead"} <= set(said) and said.count("RoIAlign") == 2
    assert "5 map(s):\n48 x 32 x 32\n.. 48 x 2 x 2" in said
    assert f"{len(stages.boxes_only[0])} x 48 x 7 x 7" in said


def test_arrows_go_from_step_to_step():
    _, figure = drawn("shapes_c4")
    steps = figure_boxes(figure, "step")
    for x1, y1, x2, y2 in figure_boxes(figure, "arrow"):
        for x, y in ((x1, y1), (x2, y2)):  # each end on the edge of a step
            assert any(a - 0.1 <= x <= c + 0.1 and b - 0.1 <= y <= d + 0.1 for a, b, c, d in steps)
