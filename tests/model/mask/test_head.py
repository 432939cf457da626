"""The mask head: one mask per class, of which one counts."""

import math

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.mask.head import MaskFeat, MaskHead, select_class
from maskrcnn_edu.structures import MaskTargets

C = 3


def head(num_convs=0, **options):
    return MaskHead(MaskFeat(2, 2, num_convs), num_classes=C, **options)


def targets(labels, masks):
    labels = paddle.to_tensor(np.array(labels, np.int64))
    masks = paddle.to_tensor(np.array(masks, np.float32).reshape(-1, 2, 2))
    return MaskTargets(paddle.arange(len(labels)), labels, masks)


def logits(value, count):
    made = paddle.full([count, C, 2, 2], value)
    made.stop_gradient = False
    return made


def test_own_class_picks_row_by_row():
    every = paddle.arange(2 * C * 4, dtype="float32").reshape([2, C, 2, 2])
    own = select_class(every, paddle.to_tensor([2, 0]))
    assert own.tolist() == [[[8, 9], [10, 11]], [[12, 13], [14, 15]]]
    assert select_class(every[:0], paddle.zeros([0], dtype="int64")).shape == [0, 2, 2]


# ---- loss ------------------------------------------------------------------------


def test_loss_by_hand():
    # sigmoid(log 3) = 3/4: -log 3/4 where the object is, -log 1/4 where it is not
    made = head().get_loss(logits(math.log(3), 1), [targets([1], [[1, 1], [1, 0]])])
    expected = (3 * math.log(4 / 3) + math.log(4)) / 4
    assert list(made) == ["loss_mask"] and made["loss_mask"].shape == []
    assert made["loss_mask"].item() == pytest.approx(expected, 1e-6)


def test_the_mean_is_over_the_cells_of_all_images():
    every = paddle.concat([logits(math.log(3), 1), logits(-math.log(3), 2)])
    images = [targets([0], np.ones([1, 4])), targets([], []), targets([2, 1], np.ones([2, 4]))]
    made = head().get_loss(every, images)["loss_mask"].item()
    assert made == pytest.approx((math.log(4 / 3) + 2 * math.log(4)) / 3, 1e-6)


def test_other_classes_get_no_gradient():
    every = logits(math.log(3), 2)
    head().get_loss(every, [targets([1], [1, 1, 1, 0]), targets([2], [0, 0, 0, 0])])[
        "loss_mask"
    ].backward()
    expected = np.zeros([2, C, 2, 2])
    expected[0, 1] = [[-0.25, -0.25], [-0.25, 0.75]]
    expected[1, 2] = 0.75
    np.testing.assert_allclose(every.grad.numpy(), expected / 8, atol=1e-7)


def test_no_foreground_costs_nothing_and_pulls_at_nothing():
    model = head()
    made = model.get_loss(model(paddle.zeros([0, 2, 1, 1])), [targets([], []), targets([], [])])
    assert made["loss_mask"].item() == 0 and made["loss_mask"].shape == []
    made["loss_mask"].backward()
    assert all(p.grad is None for p in model.parameters())


# ---- forward ---------------------------------------------------------------------


def test_the_result_is_twice_as_large():
    for convs in (0, 1, 4):
        assert head(convs)(paddle.zeros([3, 2, 5, 5])).shape == [3, C, 10, 10]
        assert head(convs)(paddle.zeros([0, 2, 5, 5])).shape == [0, C, 10, 10]


def test_the_transposed_convolution_by_hand():
    feat = MaskFeat(1, 1, 0)
    double = feat.upsample.conv5_mask
    double.weight.set_value(np.array([[[[1, 2], [3, -4]]]], np.float32))
    double.bias.set_value(np.zeros(1, np.float32))
    made = feat(paddle.to_tensor([[[[1.0, 10]]]]))
    assert made[0, 0].tolist() == [[1, 2, 10, 20], [3, 0, 30, 0]]  # each cell becomes 2 x 2


def test_the_number_of_convolutions():
    names = [name for name, _ in MaskFeat(2, 4, 3).upsample.named_children()]
    assert names == [
        *("mask_inter_feat_1", "mask_inter_feat_1act"),
        *("mask_inter_feat_2", "mask_inter_feat_2act"),
        *("mask_inter_feat_3", "mask_inter_feat_3act"),
        *("conv5_mask", "conv5_maskact"),
    ]
    assert MaskFeat(2, 4, 3).upsample.mask_inter_feat_1.weight.shape == [4, 2, 3, 3]
    assert MaskFeat(2, 4, 3).upsample.mask_inter_feat_2.weight.shape == [4, 4, 3, 3]


@pytest.mark.parametrize("norm_type", ["bn", "gn"])
def test_a_normalization_after_every_convolution(norm_type):
    keys = set(MaskFeat(2, 4, 1, norm_type).state_dict())
    assert {"upsample.mask_inter_feat_1.conv.weight", "upsample.mask_inter_feat_1.norm.bias"} < keys
    assert "upsample.mask_inter_feat_1.conv.bias" not in keys


def test_probabilities_of_the_own_class():
    every = paddle.zeros([2, C, 1, 1])
    every[0, 2], every[1, 0] = math.log(3), -math.log(3)
    every.stop_gradient = False
    probs = head().get_prediction(every, paddle.to_tensor([2, 0]))
    np.testing.assert_allclose(probs.flatten().tolist(), [0.75, 0.25], rtol=1e-6)
    assert probs.shape == [2, 1, 1] and probs.stop_gradient
    nothing = head().get_prediction(every[:0], paddle.zeros([0], dtype="int64"))
    assert nothing.shape == [0, 1, 1]
