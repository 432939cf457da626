import numpy as np
import paddle
import pytest
from matplotlib.colors import same_color

from maskrcnn_edu.structures import Proposals, RPNOutput
from maskrcnn_edu.viz.figure_facts import (
    figure_boxes,
    figure_facts,
    figure_values,
    marked_artists,
)
from maskrcnn_edu.viz.rpn import draw_proposals, draw_refinement, draw_score_maps

GRIDS = [(2, 3), (1, 2)]


@pytest.fixture
def rpn():
    """Two images, two levels, two anchors per cell; logits -8 but for one of the second's."""
    scores = np.full([2, 16], -8.0, np.float32)
    scores[1, 4 * 2 + 1] = np.log(3)  # level 0, row 1, column 1: probability 0.75
    return RPNOutput(paddle.to_tensor(scores), None, None, [12, 4])


def test_score_maps(image, rpn):
    figure = draw_score_maps(image, rpn, 1, GRIDS)
    assert figure_facts(figure) == {"image": 1, "score_map": 2}
    assert figure_boxes(figure, "score_map") == [[0, 0, 64, 48]] * 2
    fine, coarse = (panel.images[0].get_array() for panel in figure.axes[1:3])
    assert fine.shape == (2, 3) and coarse.shape == (1, 2)
    assert fine[1, 1] == pytest.approx(0.75) and fine.argmax() == 4
    assert [v[2] for v in figure_values(figure, "score_map")] == [0.75, 0.0]
    assert [panel.get_title() for panel in figure.axes[:3]] == [
        "input", "level 0: 2 x 3 cells, best 0.75", "level 1: 1 x 2 cells, best 0.00"
    ]  # fmt: skip
    assert figure.axes[1].images[0].get_clim() == (0, 1)


def test_score_maps_are_of_the_image_asked_for(image, rpn):
    assert figure_values(draw_score_maps(image, rpn, 0, GRIDS), "score_map") == [[0, 0, 0]] * 2


@pytest.mark.parametrize("grids", [[(2, 3)], [(5, 1), (1, 2)]])
def test_grids_must_fit(image, rpn, grids):
    with pytest.raises(ValueError, match=r"grid"):
        draw_score_maps(image, rpn, 0, grids)


def test_proposals_worst_first_so_that_the_best_is_on_top(image, proposals):
    figure = draw_proposals(image, proposals, top=3)
    assert figure_facts(figure) == {"proposal": 3}
    assert figure_boxes(figure, "proposal") == proposals.boxes[[3, 0, 2]].tolist()
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [
        "rank 1 of 4", "rank 2 of 4", "rank 3 of 4"
    ]  # fmt: skip
    widths = [box.get_linewidth() for box in figure.axes[0].patches]
    assert widths == pytest.approx([0.8, 1.5, 2.2])  # the best is the thickest


def test_no_proposals(image, proposals):
    none = Proposals(proposals.boxes[:0], proposals.scores[:0], proposals.anchor_index[:0])
    assert figure_facts(draw_proposals(image, none)) == {}
    assert figure_facts(draw_proposals(image, proposals, top=0)) == {}


def test_refinement(image, anchors):
    figure = draw_refinement(image, anchors, anchors + paddle.to_tensor([2.0, 4, 2, 4]))
    assert figure_facts(figure) == {"anchor": 8, "arrow": 8, "box": 8}
    assert figure_boxes(figure, "arrow")[0] == [8, 8, 10, 12]
    assert figure_boxes(figure, "box")[0] == [4, 6, 16, 18]
    anchor, box = (marked_artists(figure, kind)[1] for kind in ("anchor", "box"))
    assert same_color(anchor.get_edgecolor(), box.get_edgecolor())  # a pair has one colour
    assert (anchor.get_linestyle(), box.get_linestyle()) == ("--", "-")


def test_refinement_says_what_moves(image, anchors):
    figure = draw_refinement(image, anchors, anchors, names=("RoI", "object"))
    assert figure_facts(figure) == {"RoI": 8, "arrow": 8, "object": 8}
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["RoI", "object"]


def test_refinement_of_nothing_and_by_nothing(image, anchors, render):
    assert figure_facts(draw_refinement(image, anchors[:0], anchors[:0])) == {}
    unmoved = draw_refinement(image, anchors, anchors)
    assert figure_facts(unmoved)["arrow"] == 8 and render(unmoved).any()


def test_refinement_needs_pairs(image, anchors):
    with pytest.raises(ValueError, match="8 anchors, 7 boxes"):
        draw_refinement(image, anchors, anchors[:7])
