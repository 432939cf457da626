"""What every layer of the heads begins with: the kind of its numbers, and how large they are."""

import math

import paddle
import pytest

from maskrcnn_edu.model.backbone import Res5Head
from maskrcnn_edu.model.bbox.cotuning import COTBBoxHead
from maskrcnn_edu.model.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.model.mask.head import MaskFeat, MaskHead
from maskrcnn_edu.model.neck import FPN
from maskrcnn_edu.model.rpn.head import RPNHead


def assert_normal(layer, std, bias=True):
    """Many numbers of a normal distribution; the biases are 0."""
    values = layer.weight.flatten()
    assert values.size >= 2000
    assert float(values.std()) == pytest.approx(std, rel=0.1)
    assert abs(float(values.mean())) < 0.1 * std
    assert float(values.abs().max()) > 2.5 * std  # no even distribution goes that far
    assert not bias or not layer.bias.any()


def assert_even(layer, limit, bias=True):
    """Many numbers, evenly between two limits; the biases are 0."""
    values = layer.weight.flatten()
    assert values.size >= 2000
    assert 0.97 * limit < float(values.abs().max()) <= limit
    assert float(values.std()) == pytest.approx(limit / math.sqrt(3), rel=0.1)
    assert not bias or not layer.bias.any()


@pytest.fixture(autouse=True)
def seed():
    paddle.seed(0)


def test_rpn_head():
    head = RPNHead(in_channel=256)
    assert_normal(head.rpn_feat.rpn_conv, 0.01)
    assert_normal(head.rpn_rois_score, 0.01)
    assert_normal(head.rpn_rois_delta, 0.01)


def test_two_fc_head():
    head = TwoFCHead(in_channel=8, out_channel=64, resolution=5)
    # 8 * 5 * 5 = 200 numbers come in; the other side counts as 200 too, though 64 go out
    assert_even(head.fc6, math.sqrt(6 / (200 + 200)))
    assert_even(head.fc7, math.sqrt(6 / (64 + 64)))


def test_bbox_head():
    head = BBoxHead(TwoFCHead(out_channel=256), 256, num_classes=20)
    assert_normal(head.bbox_score, 0.01)
    assert_normal(head.bbox_delta, 0.001)
    assert head.bbox_score.weight.shape == [256, 21] and head.bbox_delta.weight.shape == [256, 80]


def test_bbox_head_with_co_tuning():
    head = COTBBoxHead(
        Res5Head(depth=18, in_channel=8, ch_out=256), 256, with_pool=True, cot_classes=30
    )
    for layer, classes in ((head.bbox_score, 30), (head.cot_bbox_score, 80)):
        assert_normal(layer, 0.01)
        assert layer.weight.shape == [256, classes + 1]


def test_mask_head():
    head = MaskHead(MaskFeat(in_channel=16, out_channel=32, num_convs=2), num_classes=80)
    first, second = head.head.upsample.mask_inter_feat_1, head.head.upsample.mask_inter_feat_2
    # sqrt(2 / fan), with the fan counted on the side of the 32 channels that go out
    assert first.weight.shape == [32, 16, 3, 3] and second.weight.shape == [32, 32, 3, 3]
    for layer in (first, second):
        assert_normal(layer, math.sqrt(2 / (32 * 3 * 3)))
    assert_normal(head.head.upsample.conv5_mask, math.sqrt(2 / (32 * 2 * 2)))
    assert_normal(head.mask_fcn_logits, math.sqrt(2 / 32))


def test_mask_head_with_norms():
    feat = MaskFeat(in_channel=16, out_channel=32, num_convs=1, norm_type="gn")
    layer = feat.upsample.mask_inter_feat_1
    assert_normal(layer.conv, math.sqrt(2 / (32 * 3 * 3)), bias=False)
    assert bool((layer.norm.weight == 1).all()) and not layer.norm.bias.any()


@pytest.mark.parametrize("norm_type", [None, "gn"])
def test_neck(norm_type):
    neck = FPN([64, 128], out_channel=32, norm_type=norm_type)
    lateral, output = neck.fpn_inner_res5_sum, neck.fpn_res5_sum
    if norm_type is not None:
        lateral, output = lateral.conv, output.conv
    # 128 channels come in by 1 x 1 pixels; the other side counts as 128 too, though 32 go out
    assert_even(lateral, math.sqrt(6 / (128 + 128)), bias=norm_type is None)
    # 32 channels of 3 x 3 pixels on both sides
    assert_even(output, math.sqrt(6 / (288 + 288)), bias=norm_type is None)
