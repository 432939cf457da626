"""Every figure against its committed baseline; see conftest.py for how to remake them."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.mask.postprocess import MaskPostProcess
from maskrcnn_edu.model.mask.targets import MaskAssigner
from maskrcnn_edu.structures import Detections, Proposals, RPNOutput
from maskrcnn_edu.viz.anchors import draw_anchor_targets, draw_anchors
from maskrcnn_edu.viz.data import draw_ground_truth
from maskrcnn_edu.viz.detections import draw_detections
from maskrcnn_edu.viz.masks import draw_mask_logits, draw_mask_targets, draw_paste
from maskrcnn_edu.viz.roi_align import draw_sampling_points
from maskrcnn_edu.viz.rois import draw_roi_samples
from maskrcnn_edu.viz.rpn import draw_proposals, draw_refinement, draw_score_maps

NAMES = ["tent", "ring"]
RAMP = np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 16)


def test_ground_truth(same_as_baseline, image, scene):
    same_as_baseline(draw_ground_truth(image, scene, NAMES), "ground_truth")


def test_anchors(same_as_baseline, image, anchors):
    same_as_baseline(draw_anchors(image, anchors), "anchors")


def test_anchor_targets(same_as_baseline, image, anchors, anchor_targets, scene):
    figure = draw_anchor_targets(image, anchors, anchor_targets, scene)
    same_as_baseline(figure, "anchor_targets")


def test_score_maps(same_as_baseline, image):
    logits = paddle.linspace(-3, 3, 16)[None]
    rpn = RPNOutput(logits, None, None, [12, 4])
    same_as_baseline(draw_score_maps(image, rpn, 0, [(2, 3), (1, 2)]), "score_maps")


def test_proposals(same_as_baseline, image, proposals):
    same_as_baseline(draw_proposals(image, proposals), "proposals")


def test_refinement(same_as_baseline, image, anchors):
    moved = anchors + paddle.to_tensor([2.0, 5, 6, 5])
    same_as_baseline(draw_refinement(image, anchors, moved), "refinement")


def test_roi_samples(same_as_baseline, image, samples, scene):
    same_as_baseline(draw_roi_samples(image, samples, NAMES, scene), "roi_samples")


@pytest.mark.parametrize("aligned", [True, False])
def test_sampling_points(same_as_baseline, aligned):
    box = np.array([-5.0, 6.5, 40.0, 33.0])
    figure = draw_sampling_points(RAMP, box, 3, 2, 0.25, aligned)
    same_as_baseline(figure, f"sampling_points_{'aligned' if aligned else 'not_aligned'}")


def test_mask_targets(same_as_baseline, image, samples, scene):
    targets = MaskAssigner(num_classes=2, mask_resolution=8)(samples, scene)
    same_as_baseline(draw_mask_targets(image, samples, targets, scene), "mask_targets")


def test_mask_logits(same_as_baseline):
    logits = np.stack([RAMP[:8, :8] - 0.3, 0.5 - RAMP[:8, :8], np.zeros([8, 8])])
    same_as_baseline(draw_mask_logits(logits, ["a", "b", "c"], own=1), "mask_logits")


def test_paste(same_as_baseline, image):
    probs, box = paddle.to_tensor(RAMP[:8, :8] * 2), paddle.to_tensor([8.0, 4, 40, 36])
    mask = MaskPostProcess()(probs[None], box[None], 48, 64)[0]
    same_as_baseline(draw_paste(image, probs, box, mask), "paste")


def test_detections(same_as_baseline, image):
    masks = np.zeros([2, 48, 64], bool)
    masks[0, 10:28, 8:22] = masks[1, 24:38, 40:56] = True
    rows = paddle.to_tensor([[6.0, 8, 24, 30], [36.0, 20, 60, 40]])
    index = paddle.to_tensor([0, 1])
    detections = Detections(
        rows, index, paddle.to_tensor([0.9, 0.6]), index, paddle.to_tensor(masks)
    )
    same_as_baseline(draw_detections(image, detections, NAMES), "detections")


# ---- does the comparison see anything? ---------------------------------------------


TWO_RENDERED = 2 * 64 / 720  # pixels of the image that are two pixels of the baseline


@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("shift", [[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 1]])
@pytest.mark.parametrize("pixels", [2, TWO_RENDERED], ids=["of the image", "of the baseline"])
def test_a_box_moved_by_two_pixels_is_seen(
    render, distance, tolerance, image, proposals, row, shift, pixels
):
    moved = proposals.boxes.numpy().copy()
    moved[row] += np.array(shift, np.float32) * pixels
    other = Proposals(paddle.to_tensor(moved), proposals.scores, proposals.anchor_index)
    one, two = (render(draw_proposals(image, p)) for p in (proposals, other))
    assert distance(one, two) > tolerance


@pytest.mark.parametrize("shift", [[2, 0], [0, 2]])
def test_an_anchor_among_many_boxes_moved_by_two_pixels_is_seen(
    render, distance, tolerance, image, anchors, anchor_targets, scene, shift
):
    moved = anchors.numpy().copy()
    moved[0] += shift * 2
    figures = (draw_anchor_targets(image, a, anchor_targets, scene) for a in (anchors, moved))
    assert distance(*map(render, figures)) > tolerance


def test_the_same_picture_twice_is_the_same(render, distance, image, proposals):
    one, two = (render(draw_proposals(image, proposals)) for _ in range(2))
    assert distance(one, two) == 0


def test_text_is_not_compared(render, distance, image, scene):
    one, two = (render(draw_ground_truth(image, scene, n)) for n in (NAMES, ["longer", "x"]))
    assert distance(one, two) == 0
