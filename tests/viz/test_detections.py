import itertools

import numpy as np
import paddle
import pytest
from matplotlib.colors import same_color, to_rgb

from maskrcnn_edu.structures import Detections
from maskrcnn_edu.viz.detections import MASK_OPACITY, draw_detections, neighbour_colours
from maskrcnn_edu.viz.figure_facts import figure_boxes, figure_facts, marked_artists
from maskrcnn_edu.viz.style import PALETTE

NAMES = ["tent", "ring"]
BOXES = [[4, 6, 24, 30], [36, 18, 60, 42], [10, 10, 20, 20]]


@pytest.fixture
def detections():
    """Scores 0.9, 0.5 and 0.4; the masks of the first two share the pixel (x 1, y 2)."""
    masks = np.zeros([3, 48, 64], bool)
    masks[0, 2, 0:2] = True
    masks[1, 2, 1:4] = True
    masks[2] = True
    return Detections(
        paddle.to_tensor(BOXES, "float32"),
        paddle.to_tensor([1, 0, 1]),
        paddle.to_tensor([0.9, 0.5, 0.4]),
        paddle.to_tensor([7, 8, 9]),
        paddle.to_tensor(masks),
    )


def test_what_is_drawn_and_where(image, detections):
    figure = draw_detections(image, detections, NAMES)
    assert figure_facts(figure) == {"detection": 2, "label": 2, "masks": 1, "outline": 2}
    # the surest is drawn last
    assert figure_boxes(figure, "detection") == [BOXES[1], BOXES[0]]
    assert [t.get_text() for t in marked_artists(figure, "label")] == ["ring 0.90", "tent 0.50"]


def test_everything_of_a_detection_has_one_colour(image, detections):
    figure = draw_detections(image, detections, NAMES)
    boxes = marked_artists(figure, "detection")
    texts = marked_artists(figure, "label")[::-1]  # the surest label has the choice of places
    outlines = marked_artists(figure, "outline")
    for box, text, outline, own in zip(boxes, texts, outlines, (PALETTE[1], PALETTE[0])):
        assert same_color(box.get_edgecolor(), own) and not box.get_fill()
        assert same_color(text.get_bbox_patch().get_facecolor()[:3], own)
        assert same_color(outline.get_edgecolor(), own)


def test_the_contour_runs_around_the_masks_pixels(image, detections):
    figure = draw_detections(image, detections, NAMES)
    surest = marked_artists(figure, "outline")[1].get_path()
    # pixels (0, 2) and (1, 2): half way between their centres and those outside
    assert surest.get_extents().extents.tolist() == [0, 2, 2, 3]


def test_neighbours_have_different_colours():
    row = np.array([[10 * i, 0, 10 * i + 10, 10] for i in range(20)], np.float32)  # they touch
    colours = neighbour_colours(row)
    assert all(a != b for a, b in itertools.pairwise(colours))
    apart = neighbour_colours(row[::2])  # 10 pixels between boxes of 10
    assert apart == [PALETTE[i % 7] for i in range(10)]
    heap = neighbour_colours(np.repeat(row[:1], 14, axis=0))  # twice as many as colours
    assert sorted(heap) == sorted(PALETTE * 2)


def test_without_labels(image, detections):
    facts = figure_facts(draw_detections(image, detections, NAMES, labels="none"))
    assert facts == {"detection": 2, "masks": 1, "outline": 2}


def test_annotated_objects_stand_on_the_left(image, detections, scene):
    figure = draw_detections(image, detections, NAMES, gt=scene)
    left, right = figure.axes
    assert {a.get_gid() for a in left.findobj() if a.get_gid()} >= {"gt", "outline", "label"}
    assert "detection" not in {a.get_gid() for a in left.findobj()}
    assert {a.get_gid() for a in right.patches} == {"detection", "outline"}
    assert left.get_position().x1 < right.get_position().x0
    assert left.get_xlim() == right.get_xlim() == (0, 64)


def test_masks_cover_their_pixels_and_the_surest_is_on_top(image, detections):
    (layer,) = marked_artists(draw_detections(image, detections, NAMES), "masks")
    assert layer.get_extent() == [0, 64, 48, 0]
    pixels = np.asarray(layer.get_array())
    assert np.argwhere(pixels[..., 3]).tolist() == [[2, 0], [2, 1], [2, 2], [2, 3]]
    expected = [(*to_rgb(PALETTE[n]), MASK_OPACITY) for n in (0, 0, 1, 1)]
    assert pixels[2, :4] == pytest.approx(np.array(expected), abs=1e-6)


@pytest.mark.parametrize(("least", "count"), [(0.0, 3), (0.45, 2), (0.5, 2), (0.51, 1), (0.95, 0)])
def test_what_is_less_certain_is_left_out(image, detections, least, count):
    facts = figure_facts(draw_detections(image, detections, NAMES, least))
    assert facts.get("detection", 0) == facts.get("label", 0) == count
    assert facts.get("masks", 0) == (count > 0)


def test_without_masks_and_without_detections(image, detections):
    boxes_only = Detections(
        detections.boxes, detections.labels, detections.scores, detections.roi_index
    )
    assert figure_facts(draw_detections(image, boxes_only, NAMES)) == {"detection": 2, "label": 2}
    none = Detections(
        *(paddle.zeros(shape, dtype) for shape, dtype in
          (([0, 4], "float32"), ([0], "int64"), ([0], "float32"), ([0], "int64"))),
        paddle.zeros([0, 48, 64], "bool"),
    )  # fmt: skip
    assert figure_facts(draw_detections(image, none, NAMES)) == {}


def test_arrays_are_drawn_like_tensors(image, detections):
    arrays = Detections(
        detections.boxes.numpy(), detections.labels.numpy(), detections.scores.numpy(),
        detections.roi_index.numpy(), detections.masks.numpy(),
    )  # fmt: skip
    one, other = (draw_detections(image, d, NAMES) for d in (detections, arrays))
    assert figure_boxes(one, "detection") == figure_boxes(other, "detection")
