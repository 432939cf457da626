import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.mask.postprocess import MaskPostProcess
from maskrcnn_edu.model.mask.targets import MaskAssigner
from maskrcnn_edu.structures import MaskTargets
from maskrcnn_edu.viz.figure_facts import (
    figure_boxes,
    figure_facts,
    figure_values,
    marked_artists,
)
from maskrcnn_edu.viz.masks import draw_mask_logits, draw_mask_targets, draw_paste

LOGITS = np.stack([np.full([4, 4], v, np.float32) for v in (-1.0, 2.0, 0.5)])
BOX = paddle.to_tensor([8.0, 4, 40, 36])


@pytest.fixture
def targets(samples, scene):
    return MaskAssigner(num_classes=2, mask_resolution=8)(samples, scene)


def test_targets(image, samples, targets, scene):
    figure = draw_mask_targets(image, samples, targets, scene)
    # RoIs 0 and 2 are of the object in two parts, each in two panels; 1 and 3 of the ring
    assert figure_facts(figure) == {"crop": 4, "outline": 12, "target": 4}
    assert figure_boxes(figure, "target") == samples.boxes[:4].tolist()
    assert [panel.get_title() for panel in figure.axes] == [
        "RoI 0, object 0", "8 x 8", "RoI 1, object 1", "8 x 8",
        "RoI 2, object 0", "8 x 8", "RoI 3, object 1", "8 x 8",
    ]  # fmt: skip
    expected = [[0, round(float(m.mean()), 3), 1] for m in targets.target_masks.numpy()]
    assert figure_values(figure, "target") == expected


def test_a_crop_shows_the_roi_only(image, samples, targets, scene):
    axes = draw_mask_targets(image, samples, targets, scene).axes
    for panel in axes[:2]:
        assert (panel.get_xlim(), panel.get_ylim()) == ((5, 25), (29, 7))


def test_of_many_targets_some_are_drawn(image, samples, targets, scene):
    figure = draw_mask_targets(image, samples, targets, scene, limit=2)
    assert figure_boxes(figure, "target") == samples.boxes[[0, 3]].tolist()


def test_no_foreground(image, samples, targets, no_objects):
    none = MaskTargets(targets.index[:0], targets.target_labels[:0], targets.target_masks[:0])
    assert figure_facts(draw_mask_targets(image, samples, none, no_objects)) == {"nothing": 1}


def test_logits():
    figure = draw_mask_logits(paddle.to_tensor(LOGITS), ["a", "b", "c"], own=1)
    assert figure_facts(figure) == {"logits": 3, "own": 1}
    assert figure_values(figure, "logits") == [[-1] * 3, [2] * 3, [0.5] * 3]
    (framed,) = [a for a in figure.axes if any(p.get_gid() == "own" for p in a.patches)]
    assert framed.get_title() == "b"
    assert figure_boxes(figure, "own") == [[0, 0, 4, 4]]
    assert [panel.get_title() for panel in figure.axes[:3]] == ["a", "b", "c"]
    # one scale for all, and 0 in its middle
    assert [panel.images[0].get_clim() for panel in figure.axes[:3]] == [(-2, 2)] * 3


@pytest.mark.parametrize("count", [1, 2, 5, 80])
def test_any_number_of_classes_lies_inside_the_figure(count):
    figure = draw_mask_logits(np.zeros([count, 3, 3]), ["x"] * count, own=0)
    assert figure_facts(figure) == {"logits": count, "own": 1}
    places = [a.get_position().extents for a in figure.axes]
    assert np.min(places) >= 0 and np.max(places) <= 1


@pytest.mark.parametrize(("names", "own"), [(["a"], 0), (["a", "b", "c"], 3)])
def test_logits_need_their_names(names, own):
    with pytest.raises(ValueError, match="3 maps"):
        draw_mask_logits(LOGITS, names, own)


def test_paste(image):
    probs = paddle.to_tensor(np.eye(4, dtype=np.float32))
    mask = MaskPostProcess()(probs[None], BOX[None], 48, 64)[0]
    figure = draw_paste(image, probs, BOX, mask)
    assert figure_facts(figure) == {"box": 2, "mask": 1, "probs": 2}
    assert figure_boxes(figure, "probs") == [[0, 0, 4, 4], [8, 4, 40, 36]]
    assert [panel.get_title() for panel in figure.axes] == [
        "4 x 4 probabilities", "stretched over the box", f"mask: {int(mask.sum())} pixels"
    ]  # fmt: skip
    assert figure_boxes(figure, "box") == [[8, 4, 40, 36]] * 2
    (layer,) = marked_artists(figure, "mask")
    assert np.array_equal(np.asarray(layer.get_array())[..., 3] > 0, mask.numpy())
