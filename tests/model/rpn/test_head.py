"""The region proposal network with weights that can be read off its answer."""

import math

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.losses import GIoULoss, SmoothL1Loss
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.model.rpn.head import RPNHead
from maskrcnn_edu.model.rpn.proposals import ProposalGenerator
from maskrcnn_edu.model.rpn.targets import RPNTargetAssign
from maskrcnn_edu.structures import AnchorTargets, RPNOutput


def head(**options):
    generator = AnchorGenerator([[4], [8]], [1.0, 4.0], [4, 8])
    return RPNHead(
        generator,
        RPNTargetAssign(batch_size_per_im=10),
        ProposalGenerator(100, 7),
        ProposalGenerator(100, 3),
        in_channel=2,
        **options,
    )


def set_weights(layer, weight, bias):
    layer.weight.set_value(np.broadcast_to(np.float32(weight), layer.weight.shape))
    layer.bias.set_value(np.broadcast_to(np.float32(bias), layer.bias.shape))


def test_row_i_belongs_to_anchor_i():
    model = head()
    # the 3x3 convolution hands the first channel on: centre weight 1
    kernel = np.zeros([2, 2, 3, 3], np.float32)
    kernel[0, 0, 1, 1] = 1
    set_weights(model.rpn_feat.rpn_conv, kernel, 0)
    # score of anchor k of a cell: the cell's number + 100 * k; delta j of it: + 100 * k + 10 * j
    pass_on = np.array([1, 0], np.float32)[None, :, None, None]
    set_weights(model.rpn_rois_score, pass_on, [0, 100])
    set_weights(model.rpn_rois_delta, pass_on, [100 * k + 10 * j for k in (0, 1) for j in range(4)])
    fine = np.arange(2 * 2 * 2 * 3, dtype=np.float32).reshape(2, 2, 2, 3)  # cell numbers 0 .. 5
    coarse = np.full([2, 2, 1, 1], 50, np.float32)
    out = model([paddle.to_tensor(fine), paddle.to_tensor(coarse)])
    assert out.level_sizes == [2 * 3 * 2, 2]
    assert out.scores[0].tolist() == [
        *(0, 100, 1, 101, 2, 102, 3, 103, 4, 104, 5, 105),
        *(50, 150),
    ]
    assert out.scores[1].tolist()[:3] == [12, 112, 13]
    assert out.deltas.shape == [2, 14, 4]
    assert out.deltas[0, 3].tolist() == [101, 111, 121, 131]  # cell 1, second anchor
    # anchor 3 is the second shape (ratio 4: 2 x 8) of row 0, column 1
    assert out.anchors[3].tolist() == [3, -4, 5, 4]
    assert out.anchors.shape == [14, 4]


def test_the_convolution_sees_neighbours_and_drops_negatives():
    model = head()
    set_weights(model.rpn_feat.rpn_conv, 1, 0)
    one = paddle.zeros([1, 2, 3, 3])
    one[0, 0, 0, 0] = 1
    seen = model.rpn_feat([one, -one])
    assert seen[0][0, 0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    assert float(seen[1].abs().max()) == 0


# ---- losses ----------------------------------------------------------------------


def out_of(scores, deltas):
    scores = paddle.to_tensor(np.array(scores, np.float32))  # [N, A]
    deltas = paddle.to_tensor(np.array(deltas, np.float32))
    anchors = paddle.to_tensor([[0.0, 0, 2, 4], [0, 0, 4, 2], [0, 0, 1, 1]])
    scores.stop_gradient = deltas.stop_gradient = False
    return RPNOutput(scores, deltas, anchors, [3])


def targets(labels, deltas):
    return AnchorTargets(
        paddle.to_tensor(labels, dtype="int32"),
        paddle.to_tensor(np.array(deltas, np.float32)),
        paddle.zeros([3], dtype="int64"),
    )


def test_losses_by_hand():
    out = out_of([[0, math.log(3), 5]], [[[1, 2, 3, 4]] * 3])
    made = head().get_loss(out, [targets([1, 0, -1], [[0, 0, 0, 0]] * 3)])
    # -log 1/2 for the object, -log 1/4 for the background, nothing for the ignored; / 10
    assert made["loss_rpn_cls"].item() == pytest.approx(3 * math.log(2) / 10, 1e-6)
    assert made["loss_rpn_reg"].item() == pytest.approx((1 + 2 + 3 + 4) / 10, 1e-6)
    assert all(loss.shape == [] for loss in made.values())


def test_two_images_share_one_divisor_of_twice_the_number_asked_for():
    out = out_of([[0, 0, 0]] * 2, [[[0, 0, 0, 0]] * 3, [[1, 0, 0, 0], [0, 5, 0, 0], [0] * 4]])
    first = targets([-1, -1, 0], [[9, 9, 9, 9]] * 3)
    second = targets([1, 1, -1], [[0, 0, 0, 0]] * 3)
    made = head().get_loss(out, [first, second])
    assert made["loss_rpn_cls"].item() == pytest.approx(3 * math.log(2) / 20, 1e-6)
    assert made["loss_rpn_reg"].item() == pytest.approx((1 + 5) / 20, 1e-6)


def test_only_sampled_anchors_get_a_gradient():
    out = out_of([[math.log(3), math.log(3), 5]], [[[1, 1, 1, 1]] * 3])
    made = head().get_loss(out, [targets([1, 0, -1], [[0, 0, 0, 0]] * 3)])
    sum(made.values()).backward()
    # (3/4 - 1) / 10 and (3/4 - 0) / 10
    np.testing.assert_allclose(out.scores.grad.tolist(), [[-0.025, 0.075, 0]], rtol=1e-6)
    np.testing.assert_allclose(out.deltas.grad[0].tolist(), [[0.1] * 4, [0] * 4, [0] * 4])


def test_nothing_sampled_costs_nothing():
    out = out_of([[0, 0, 0]], [[[1, 1, 1, 1]] * 3])
    made = head().get_loss(out, [targets([-1, -1, -1], [[0, 0, 0, 0]] * 3)])
    assert {k: (v.item(), v.shape) for k, v in made.items()} == {
        "loss_rpn_cls": (0, []),
        "loss_rpn_reg": (0, []),
    }
    sum(made.values()).backward()
    assert out.scores.grad is None and out.deltas.grad is None


def test_smooth_l1_in_the_place_of_l1():
    out = out_of([[0, 0, 0]], [[[0.5, 2, 0, 0]] * 3])
    model = head(loss_rpn_bbox=SmoothL1Loss())
    made = model.get_loss(out, [targets([1, -1, -1], [[0, 0, 0, 0]] * 3)])
    assert made["loss_rpn_reg"].item() == pytest.approx((0.125 + 1.5) / 10, 1e-6)


def test_giou_compares_boxes_on_the_positives_own_anchor_of_the_second_image():
    deltas = [[[0, 0, 0, 0]] * 3, [[9] * 4, [0.5, 0, 0, 0], [9] * 4]]
    out = out_of([[0, 0, 0]] * 2, deltas)
    none = targets([-1] * 3, [[0, 0, 0, 0]] * 3)
    second = targets([-1, 1, -1], [[0, 0, 0, 0]] * 3)
    made = head(loss_rpn_bbox=GIoULoss()).get_loss(out, [none, second])
    # [2, 0, 6, 2] against [0, 0, 4, 2]: overlap 4, union 12, hull 12
    assert made["loss_rpn_reg"].item() == pytest.approx((1 - 4 / 12) / 20, 1e-6)


# ---- proposals -------------------------------------------------------------------


def test_training_and_prediction_propose_by_their_own_numbers():
    model = head()
    out = model([paddle.ones([2, 2, 8, 8]), paddle.ones([2, 2, 4, 4])])
    shapes = paddle.to_tensor([[32.0, 32], [16, 20]])
    assert [len(p) for p in model.propose(out, shapes, model.train_proposal)] == [7, 7]
    proposals = model.propose(out, shapes, model.test_proposal)
    assert [len(p) for p in proposals] == [3, 3]
    # every image is cut off at its own size: (height, width) = (16, 20)
    assert proposals[1].boxes[:, 2].max() <= 20 and proposals[1].boxes[:, 3].max() <= 16


def test_images_are_proposed_one_by_one():
    model = head()
    feats = [paddle.randn([2, 2, 8, 8]), paddle.randn([2, 2, 4, 4])]
    both = model(feats)
    shape = paddle.to_tensor([[32.0, 32]])
    for i in range(2):
        one = model([f[i : i + 1] for f in feats])
        np.testing.assert_allclose(one.scores[0].numpy(), both.scores[i].numpy(), atol=1e-6)
        (alone,) = model.propose(one, shape, model.test_proposal)
        together = model.propose(both, shape.expand([2, 2]), model.test_proposal)[i]
        assert alone.anchor_index.tolist() == together.anchor_index.tolist()
