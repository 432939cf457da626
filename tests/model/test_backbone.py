"""ResNet: names, sizes, what is frozen, and what an impossible value says."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.backbone import (
    STAGE_BLOCKS,
    BasicBlock,
    BottleNeck,
    ConvNormLayer,
    Res5Head,
    ResNet,
    block_name,
    make_norm,
)

SMALL = {"depth": 10, "ch_in": 4, "ch_out_list": [4, 6, 8, 10]}


def shapes(feats):
    return [f.shape for f in feats]


def test_features_of_every_stage():
    model = ResNet(**SMALL)
    made = model(paddle.zeros([2, 3, 64, 96]))
    assert shapes(made) == [[2, 4, 16, 24], [2, 6, 8, 12], [2, 8, 4, 6], [2, 10, 2, 3]]
    assert model.out_channels == [4, 6, 8, 10] and model.out_strides == [4, 8, 16, 32]


def test_return_idx_two_is_res4():
    model = ResNet(**SMALL, return_idx=[2], num_stages=3)
    assert shapes(model(paddle.zeros([1, 3, 32, 32]))) == [[1, 8, 2, 2]]
    assert model.out_channels == [8] and model.out_strides == [16]
    assert not any(name.startswith("res5") for name in model.state_dict())


def test_bottlenecks_have_four_times_the_channels():
    model = ResNet(50, 4, [2, 3, 4, 5], return_idx=[0, 3])
    assert model.out_channels == [8, 20]
    assert shapes(model(paddle.zeros([1, 3, 32, 32]))) == [[1, 8, 8, 8], [1, 20, 1, 1]]


@pytest.mark.parametrize(
    ("depth", "blocks"),
    [(18, [2, 2, 2, 2]), (34, [3, 4, 6, 3]), (50, [3, 4, 6, 3]), (101, [3, 4, 23, 3])],
)
def test_blocks_per_stage(depth, blocks):
    model = ResNet(depth, 2, [2, 2, 2, 2])
    stages = [getattr(model, f"res{i}") for i in (2, 3, 4, 5)]
    assert [len(stage) for stage in stages] == blocks
    assert type(stages[0][0]) is (BottleNeck if depth >= 50 else BasicBlock)


def test_the_blocks_are_those_of_the_paper():
    """ResNet paper, table 1; 10 is the smallest network of our own."""
    ResNet(10, 2, [2, 2, 2, 2])
    assert STAGE_BLOCKS == {
        10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3),
        101: (3, 4, 23, 3), 152: (3, 8, 36, 3),
    }  # fmt: skip


def test_names_of_blocks():
    assert [block_name(4, i, 6) for i in (0, 1, 5)] == ["res4a", "res4b", "res4f"]
    assert [block_name(4, i, 23) for i in (0, 1, 22)] == ["res4a", "res4b1", "res4b22"]
    assert block_name(2, 2, 3) == "res2c"


def test_the_stride_lies_in_the_3x3_convolution():
    stage = ResNet(50, 4, [2, 2, 2, 2]).res3
    assert stage[0].branch2a.conv._stride == [1, 1]
    assert stage[0].branch2b.conv._stride == [2, 2]
    assert stage[0].short.conv._stride == [2, 2]
    assert stage[1].branch2b.conv._stride == [1, 1]


def test_only_the_first_block_projects_its_shortcut():
    names = ResNet(18, 4, [4, 4, 4, 4]).res2.state_dict()
    assert "res2a.short.conv.weight" in names
    assert not any(name.startswith("res2b.short") for name in names)


def test_a_block_adds_its_input():
    block = BasicBlock(2, 2, 1, shortcut=True)
    for parameter in block.parameters():
        parameter.set_value(paddle.zeros_like(parameter))
    x = paddle.to_tensor([[[[1.0, -2]], [[3, 0.5]]]])
    assert block(x).tolist() == [[[[1, 0]], [[3, 0.5]]]]  # ReLU of the shortcut alone


# ---- what is trained -------------------------------------------------------------


def trained(model):
    return {name.split(".")[0] for name, p in model.named_parameters() if not p.stop_gradient}


@pytest.mark.parametrize(
    ("freeze_at", "expected"),
    [
        (-1, {"conv1", "res2", "res3", "res4", "res5"}),
        (0, {"res3", "res4", "res5"}),
        (2, {"res5"}),
    ],
)
def test_freeze_at_freezes_up_to_and_including(freeze_at, expected):
    assert trained(ResNet(**SMALL, freeze_at=freeze_at)) == expected


def test_frozen_norms_train_nothing():
    frozen = ResNet(**SMALL, freeze_at=-1, freeze_norm=True).named_parameters()
    assert all(p.stop_gradient == ("norm" in name) for name, p in frozen)
    free = ResNet(**SMALL, freeze_at=-1, freeze_norm=False).named_parameters()
    # Paddle keeps the running statistics among the parameters
    assert all(p.stop_gradient == name.endswith(("_mean", "_variance")) for name, p in free)


def test_frozen_norms_use_the_stored_statistics_while_training():
    layer = ConvNormLayer(1, 1, 1, freeze_norm=True)
    layer.conv.weight.set_value(np.ones([1, 1, 1, 1], np.float32))
    layer.norm._mean.set_value(np.float32([3]))
    layer.norm._variance.set_value(np.float32([4]))
    layer.train()
    made = layer(paddle.to_tensor([[[[3.0, 5]]]]))
    np.testing.assert_allclose(made.flatten().tolist(), [0, 1], atol=1e-5)
    assert layer.norm._mean.item() == 3


def test_free_norms_use_the_batch_while_training():
    layer = ConvNormLayer(1, 1, 1, freeze_norm=False)
    layer.conv.weight.set_value(np.ones([1, 1, 1, 1], np.float32))
    layer.train()
    made = layer(paddle.to_tensor([[[[3.0, 5]]]]))
    np.testing.assert_allclose(made.flatten().tolist(), [-1, 1], atol=1e-4)
    assert layer.norm._mean.item() != 0


def test_relu_is_asked_for():
    for relu in (False, True):
        layer = ConvNormLayer(1, 1, 1, relu=relu)
        layer.conv.weight.set_value(np.full([1, 1, 1, 1], -1, np.float32))
        assert (layer(paddle.ones([1, 1, 1, 1])).item() < 0) == (not relu)


def test_kinds_of_norm():
    assert type(make_norm("bn", 8)).__name__ == "BatchNorm2D"
    assert type(make_norm("sync_bn", 8)).__name__ == "SyncBatchNorm"
    assert type(make_norm("sync_bn", 8, freeze_norm=True)).__name__ == "BatchNorm2D"
    # the most groups, up to 32, that divide the channels
    assert [make_norm("gn", c)._num_groups for c in (64, 48, 7)] == [32, 24, 7]
    with pytest.raises(ValueError, match=r"norm_type .* bn, sync_bn, gn.*batch"):
        make_norm("batch", 8)


# ---- impossible values -----------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"depth": 51}, "depth.*50.*51"),
        ({"num_stages": 5}, "num_stages.*5"),
        ({"num_stages": 0}, "num_stages.*0"),
        ({"num_stages": 3, "return_idx": [3]}, "return_idx.*0 .. 2"),
        ({"return_idx": []}, "return_idx"),
        ({"return_idx": [-1]}, "return_idx"),
        ({"ch_out_list": [64, 128]}, "ch_out_list.*4"),
    ],
)
def test_an_impossible_value_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        ResNet(**options)


# ---- Res5Head --------------------------------------------------------------------


def test_res5_halves_every_roi():
    head = Res5Head(18, 4, 6)
    assert head(paddle.zeros([5, 4, 14, 14])).shape == [5, 6, 7, 7]
    assert head(paddle.zeros([0, 4, 14, 14])).shape == [0, 6, 7, 7]
    assert head.out_channel == 6
    assert Res5Head(50, 4, 6).out_channel == 24


def test_res5_has_three_blocks_named_like_the_backbones():
    names = {name.rsplit(".", 3)[0] for name in Res5Head(50, 4, 2).state_dict()}
    assert {n for n in names if n.count(".") == 1} == {"res5.res5a", "res5.res5b", "res5.res5c"}


def test_rois_do_not_influence_each_other():
    head = Res5Head(18, 2, 3)
    rois = paddle.randn([3, 2, 6, 6])
    together = head(rois)
    alone = head(rois[1:2])
    np.testing.assert_allclose(together[1].numpy(), alone[0].numpy(), atol=1e-6)
