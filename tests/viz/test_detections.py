import numpy as np
import paddle
import pytest
from matplotlib.colors import same_color, to_rgb

from maskrcnn_edu.structures import Detections
from maskrcnn_edu.viz.detections import MASK_OPACITY, draw_detections
from maskrcnn_edu.viz.figure_facts import figure_boxes, figure_facts, marked_artists
from maskrcnn_edu.viz.style import colour

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
    assert figure_facts(figure) == {"detection": 2, "label": 2, "masks": 1}
    # the surest is drawn last
    assert figure_boxes(figure, "detection") == [BOXES[1], BOXES[0]]
    assert [t.get_text() for t in marked_artists(figure, "label")] == ["tent 0.50", "ring 0.90"]


def test_everything_of_a_detection_has_the_colour_of_its_class(image, detections):
    figure = draw_detections(image, detections, NAMES)
    for box, text, label in zip(
        marked_artists(figure, "detection"), marked_artists(figure, "label"), (0, 1)
    ):
        assert same_color(box.get_edgecolor(), colour(label)) and not box.get_fill()
        assert same_color(text.get_bbox_patch().get_facecolor()[:3], colour(label))


def test_masks_cover_their_pixels_and_the_surest_is_on_top(image, detections):
    (layer,) = marked_artists(draw_detections(image, detections, NAMES), "masks")
    assert layer.get_extent() == [0, 64, 48, 0]
    pixels = np.asarray(layer.get_array())
    assert np.argwhere(pixels[..., 3]).tolist() == [[2, 0], [2, 1], [2, 2], [2, 3]]
    expected = [(*to_rgb(colour(label)), MASK_OPACITY) for label in (1, 1, 0, 0)]
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
