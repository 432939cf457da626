"""The box head's answer and its losses, with numbers computed by hand."""

import math

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.backbone import Res5Head
from maskrcnn_edu.model.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.model.losses import GIoULoss, SmoothL1Loss
from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.structures import BBoxOutput, RoISamples

C = 2  # classes; label 2 is background
MOVE = (10 * 0.5, 0, 0, 5 * math.log(2))  # what [0, 0, 4, 4] needs to become MOVED
MOVED = [2, -2, 6, 6]


def head(**options):
    return BBoxHead(TwoFCHead(2, 3, 2), 3, RoIAlign(2, [1.0]), num_classes=C, **options)


def samples(labels, gt_boxes=None):
    count = len(labels)
    boxes = np.tile(np.array([0, 0, 4, 4], np.float32), (count, 1))
    gt_boxes = np.array(gt_boxes or boxes, np.float32).reshape(-1, 4)
    index = paddle.zeros([count], dtype="int64")
    labels = paddle.to_tensor(np.array(labels, np.int64))
    return RoISamples(paddle.to_tensor(boxes), labels, paddle.to_tensor(gt_boxes), index, index)


def answer(scores, deltas):
    """Differentiable scores [R, C + 1] and deltas [R, columns, 4]."""
    tensors = [paddle.to_tensor(np.array(v, np.float32)) for v in (scores, deltas)]
    for tensor in tensors:
        tensor.stop_gradient = False
    return BBoxOutput(*tensors)


# ---- losses ----------------------------------------------------------------------


def test_losses_by_hand():
    deltas = np.zeros([4, C, 4])
    deltas[0, 1] = [1, 2, 3, 4]  # row 0, class 1: its own column
    deltas[0, 0] = 99  # another class's: does not count
    out = answer([[0, 0, 0]] * 4, deltas)
    made = head().get_loss(out, [samples([1, 2]), samples([0, 2])])
    assert made["loss_bbox_cls"].item() == pytest.approx(math.log(3), 1e-6)
    assert made["loss_bbox_reg"].item() == pytest.approx((1 + 2 + 3 + 4) / 4, 1e-6)
    assert all(loss.shape == [] for loss in made.values())


def test_the_target_is_encoded_with_the_heads_weights():
    out = answer([[0, 0, 0]], np.zeros([1, C, 4]))
    made = head().get_loss(out, [samples([0], [MOVED])])
    assert made["loss_bbox_reg"].item() == pytest.approx(sum(MOVE), 1e-6)
    other = head(bbox_weight=[1.0, 1.0, 1.0, 2.0]).get_loss(out, [samples([0], [MOVED])])
    assert other["loss_bbox_reg"].item() == pytest.approx(0.5 + 2 * math.log(2), 1e-6)


def test_what_is_not_trained_on_counts_nowhere():
    out = answer([[math.log(2), 0, 0], [50, 0, -50], [0, math.log(2), 0]], np.ones([3, C, 4]))
    made = head().get_loss(out, [samples([0, -1, 2])])
    # -log 2/4 and -log 1/4, two RoIs; one foreground with four errors of 1
    assert made["loss_bbox_cls"].item() == pytest.approx(3 * math.log(2) / 2, 1e-6)
    assert made["loss_bbox_reg"].item() == pytest.approx(4 / 2, 1e-6)


def test_gradients_reach_the_own_column_of_the_foreground_only():
    out = answer([[0, 0, 0]] * 3, np.ones([3, C, 4]))
    sum(head().get_loss(out, [samples([1, 2, -1])]).values()).backward()
    expected = np.zeros([3, C, 4])
    expected[0, 1] = 1 / 2
    np.testing.assert_allclose(out.deltas.grad.numpy(), expected)
    third = 1 / 3 / 2
    np.testing.assert_allclose(
        out.scores.grad.numpy(),
        [[third, third - 0.5, third], [third, third, third - 0.5], [0, 0, 0]],
        atol=1e-7,
    )


def test_class_agnostic_deltas_have_one_column_for_all_classes():
    out = answer([[0, 0, 0]] * 2, [[[1, 0, 0, 0]], [[0, 3, 0, 0]]])
    made = head().get_loss(out, [samples([1, 0])])
    assert made["loss_bbox_reg"].item() == pytest.approx((1 + 3) / 2, 1e-6)


def test_normalizing_by_the_positives_divides_by_all_rois_as_the_source_does():
    # `/ (tgt_labels.shape[0] + 1e-7)` in bbox_head.py of 2.6.0: 3 RoIs count, one of them
    # foreground
    out = answer([[0, 0, 0]] * 4, np.ones([4, C, 4]))
    made = head(loss_normalize_pos=True).get_loss(out, [samples([0, 2, 2, -1])])
    assert made["loss_bbox_cls"].item() == pytest.approx(3 * math.log(3) / 3, 1e-6)
    assert made["loss_bbox_reg"].item() == pytest.approx(4 / 3, 1e-6)


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("labels", [[], [2, 2], [-1, -1]])
def test_no_foreground(labels, normalize):
    out = answer(np.zeros([len(labels), 3]), np.ones([len(labels), C, 4]))
    made = head(loss_normalize_pos=normalize).get_loss(out, [samples(labels)])
    rois = labels.count(2)
    assert made["loss_bbox_cls"].item() == pytest.approx(math.log(3) if rois else 0, 1e-6)
    assert made["loss_bbox_reg"].item() == 0
    assert all(loss.shape == [] for loss in made.values())
    sum(made.values()).backward()


def test_smooth_l1_compares_corners_on_a_unit_box():
    # a delta of (10, 0, 0, 0) at weight 10 moves the unit box by 1: two corners by 1 each
    out = answer([[0, 0, 0]], [[[10, 0, 0, 0]] * C])
    made = head(bbox_loss=SmoothL1Loss()).get_loss(out, [samples([0])])
    assert made["loss_bbox_reg"].item() == pytest.approx(2 * 0.5 * C, 1e-5)  # times C, see head.py
    made = head(bbox_loss=SmoothL1Loss(), loss_normalize_pos=True).get_loss(out, [samples([0])])
    assert made["loss_bbox_reg"].item() == pytest.approx(2 * 0.5, 1e-5)  # not times C


def test_giou_compares_boxes():
    out = answer([[0, 0, 0]], [[[5, 0, 0, 0]] * C])  # half a box to the right
    made = head(bbox_loss=GIoULoss()).get_loss(out, [samples([0])])
    assert made["loss_bbox_reg"].item() == pytest.approx((1 - 1 / 3) * C, 1e-5)


# ---- forward ---------------------------------------------------------------------


def test_two_fc_layers_by_hand():
    fc = TwoFCHead(in_channel=1, out_channel=2, resolution=2)
    fc.fc6.weight.set_value(np.array([[1, 0], [0, 1], [0, 1], [-1, 0]], np.float32))
    fc.fc7.weight.set_value(np.array([[1, -1], [2, -1]], np.float32))
    made = fc(paddle.to_tensor([[[[5.0, 1], [2, 3]]]]))
    # (5 - 3, 1 + 2) -> (2 + 6, -2 - 3)
    assert made.tolist() == [[8, 0]]
    assert fc(paddle.zeros([0, 1, 2, 2])).shape == [0, 2]


def test_by_default_two_layers_take_256_channels_of_7_by_7_cells():
    head = TwoFCHead()
    assert head.fc6.weight.shape == [256 * 7 * 7, 1024] and head.fc7.weight.shape == [1024, 1024]


def test_scores_and_deltas_of_every_roi():
    model = head()
    model.bbox_score.weight.set_value(np.eye(3, dtype=np.float32))
    model.bbox_delta.bias.set_value(np.arange(8, dtype=np.float32))
    model.bbox_delta.weight.set_value(np.zeros([3, 8], np.float32))
    out = model(paddle.to_tensor([[1.0, 2, 3], [4, 5, 6]]))
    assert out.scores.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert out.deltas.tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7]]] * 2  # class after class


def test_with_pool_averages_the_cells():
    model = BBoxHead(Res5Head(18, 3, 3), 3, RoIAlign(2), with_pool=True, num_classes=C)
    model.bbox_score.weight.set_value(np.eye(3, dtype=np.float32))
    feat = paddle.arange(12, dtype="float32").reshape([1, 3, 2, 2])
    assert model(feat).scores.tolist() == [[1.5, 5.5, 9.5]]


def test_roi_feature_is_the_cut_out_through_the_head():
    model = head()
    feats = [paddle.randn([2, 2, 8, 8])]
    boxes = [paddle.to_tensor([[0.0, 0, 4, 4]]), paddle.to_tensor([[1.0, 1, 5, 7], [0, 0, 8, 8]])]
    made = model.roi_feature(feats, boxes)
    assert made.shape == [3, 3]
    np.testing.assert_array_equal(
        made.numpy(), model.head(model.roi_extractor(feats, boxes)).numpy()
    )


def test_no_roi():
    out = head()(paddle.zeros([0, 3]))
    assert out.scores.shape == [0, 3] and out.deltas.shape == [0, C, 4]
