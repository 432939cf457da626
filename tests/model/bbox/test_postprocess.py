"""From probabilities to detections; every number can be checked with a pencil."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.bbox.postprocess import (
    BBoxPostProcess,
    MultiClassNMS,
    RCNNBox,
    boxes_to_image_frame,
    image_size,
)
from maskrcnn_edu.structures import BBoxOutput, Proposals


def tensor(rows):
    return paddle.to_tensor(np.array(rows, np.float32))


# ---- decoding --------------------------------------------------------------------


def test_every_class_decodes_with_its_own_deltas():
    deltas = tensor([[[10, 0, 0, 0], [0, -20, 0, 0]]])  # weights 10, 20: one box right, one up
    decode = RCNNBox((10.0, 20.0, 5.0, 5.0), num_classes=2)
    made = decode(deltas, tensor([[10, 10, 14, 18]]), tensor([100, 100]))
    assert made.tolist() == [[[14, 10, 18, 18], [10, 2, 14, 10]]]


def test_decoded_boxes_are_cut_off_at_the_image():
    made = RCNNBox(num_classes=1)(
        tensor([[[0, 0, 0, 0]]]), tensor([[-2, -3, 90, 90]]), tensor([40, 60])
    )
    assert made.tolist() == [[[0, 0, 60, 40]]]


def test_class_agnostic_deltas_give_the_same_box_to_all_classes():
    made = RCNNBox(num_classes=3)(tensor([[[0, 0, 0, 0]]]), tensor([[1, 2, 3, 4]]), tensor([9, 9]))
    assert made.tolist() == [[[1, 2, 3, 4]] * 3]


# ---- suppression -----------------------------------------------------------------

CAT, COPY, DOG = [0, 0, 10, 10], [0, 0, 10, 8], [20, 0, 30, 10]


def choose(boxes, scores, **options):
    """Boxes [R, 4], the same for all classes, and scores [R, C]."""
    scores = tensor(scores)
    stretched = tensor(boxes).unsqueeze(1).expand([*scores.shape, 4])
    rows, labels = MultiClassNMS(**options)(stretched, scores)
    assert rows.dtype == labels.dtype == paddle.int64
    return list(zip(rows.tolist(), labels.tolist()))


def test_copies_go_within_a_class():
    assert choose([COPY, CAT, DOG], [[0.6], [0.9], [0.3]]) == [(1, 0), (2, 0)]


def test_classes_do_not_suppress_each_other():
    assert choose([CAT, COPY], [[0.9, 0.1], [0.2, 0.8]]) == [(0, 0), (1, 1)]


def test_order_is_by_class_then_by_roi_not_by_score():
    scores = [[0.2, 0.3, 0.4], [0.5, 0.6, 0.1]]
    assert choose([CAT, DOG], scores) == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]


def test_a_score_at_the_threshold_goes():
    assert choose([CAT, DOG], [[0.25], [0.2500001]], score_threshold=0.25) == [(1, 0)]


def test_the_best_of_all_classes_together_stay():
    scores = [[0.9, 0.1], [0.2, 0.3]]
    assert choose([CAT, DOG], scores, keep_top_k=2) == [(0, 0), (1, 1)]
    assert choose([CAT, DOG], scores, keep_top_k=1) == [(0, 0)]
    assert len(choose([CAT, DOG], scores, keep_top_k=-1)) == 4


def test_nms_top_k_limits_what_enters_suppression():
    # the second best is the best one's copy: the third never gets its chance
    boxes, scores = [CAT, COPY, DOG], [[0.9], [0.8], [0.7]]
    assert choose(boxes, scores) == [(0, 0), (2, 0)]
    assert choose(boxes, scores, nms_top_k=2) == [(0, 0)]


def test_the_overlap_threshold_and_its_shrinking():
    wide, part = [0, 0, 100, 10], [0, 0, 60, 10]  # IoU 0.6
    assert len(choose([wide, part], [[0.9], [0.8]], nms_threshold=0.5)) == 1
    assert len(choose([wide, part], [[0.9], [0.8]], nms_threshold=0.7)) == 2
    assert len(choose([wide, part], [[0.9], [0.8]], nms_threshold=0.7, nms_eta=0.8)) == 1


def test_nothing_above_the_threshold_and_nothing_at_all():
    assert choose([CAT], [[0.01, 0.02]]) == []
    nothing = MultiClassNMS()(paddle.zeros([0, 2, 4]), paddle.zeros([0, 2]))
    assert [t.shape for t in nothing] == [[0], [0]]


@pytest.mark.parametrize("name", ["nms_threshold", "nms_eta"])
@pytest.mark.parametrize("value", [0.0, 1.5])
def test_an_impossible_value_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        MultiClassNMS(**{name: value})


# ---- all together ----------------------------------------------------------------


def proposals(*boxes):
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return Proposals(paddle.to_tensor(rows), paddle.zeros([len(rows)]), paddle.arange(len(rows)))


def post(threshold=0.05):
    return BBoxPostProcess(2, RCNNBox(num_classes=2), MultiClassNMS(threshold))


def test_probabilities_boxes_labels_and_the_way_back():
    # softmax of logits log p is p
    scores = tensor(np.log([[0.1, 0.2, 0.7], [0.3, 0.02, 0.68], [0.01, 0.9, 0.09]]))
    out = BBoxOutput(scores, paddle.zeros([3, 2, 4]))
    made = post()(out, proposals(CAT, DOG, COPY), tensor([50, 50]))
    assert made.labels.tolist() == [0, 0, 1]  # background is no detection
    assert made.roi_index.tolist() == [0, 1, 2]  # class 1: row 2 suppresses row 0
    np.testing.assert_allclose(made.scores.tolist(), [0.1, 0.3, 0.9], rtol=1e-6)
    assert made.boxes.tolist() == [CAT, DOG, COPY]
    assert made.masks is None and len(made) == 3


def test_each_detection_gets_its_own_classs_box():
    scores = tensor(np.log([[0.4, 0.5, 0.1]]))
    deltas = tensor([[[10, 0, 0, 0], [0, 0, 0, 0]]])
    made = post()(BBoxOutput(scores, deltas), proposals(CAT), tensor([50, 50]))
    assert made.boxes.tolist() == [[10, 0, 20, 10], CAT]


def test_what_lies_outside_the_image_is_no_detection():
    scores = tensor(np.log([[0.9, 0.02, 0.08], [0.02, 0.9, 0.08]]))
    out = BBoxOutput(scores, paddle.zeros([2, 2, 4]))
    made = post()(out, proposals([60, 0, 70, 10], CAT), tensor([50, 50]))
    assert made.boxes.tolist() == [CAT]
    assert made.roi_index.tolist() == [1] and made.labels.tolist() == [1]


@pytest.mark.parametrize("rois", [0, 2])
def test_no_proposals_or_no_scores_above_the_threshold(rois):
    out = BBoxOutput(paddle.zeros([rois, 3]), paddle.zeros([rois, 2, 4]))
    made = post(threshold=0.5)(out, proposals(*[CAT] * rois), tensor([50, 50]))
    assert len(made) == 0
    assert made.boxes.shape == [0, 4]
    assert made.labels.shape == made.scores.shape == made.roi_index.shape == [0]


# ---- back to the file ------------------------------------------------------------


def test_boxes_in_the_image_frame():
    # y was doubled, x was multiplied by four; the file has 30 rows and 20 columns
    boxes = tensor([[8, 8, 16, 20], [0, 0, 90, 70]])
    made = boxes_to_image_frame(boxes, tensor([60, 80]), tensor([2, 4]))
    assert made.tolist() == [[2, 4, 4, 10], [0, 0, 20, 30]]


def test_the_size_of_the_file():
    assert image_size(tensor([60, 80]), tensor([2, 4])) == (30, 20)
    # 427 x 640 resized to 800 x 1199: 800 / 427 and 1199 / 640 are rounded in float32
    assert image_size(tensor([800, 1199]), tensor([800 / 427, 1199 / 640])) == (427, 640)
    assert all(isinstance(v, int) for v in image_size(tensor([4, 4]), tensor([1, 1])))


def test_no_box_to_move():
    made = boxes_to_image_frame(paddle.zeros([0, 4]), tensor([60, 80]), tensor([2, 4]))
    assert made.shape == [0, 4]
