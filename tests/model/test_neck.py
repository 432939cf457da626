"""A pyramid of one channel, with weights of one, that a pencil can climb."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.neck import FPN


def plain(levels, extra_stage=0):
    """FPN whose convolutions hand the values on: 1x1 weight 1, 3x3 centre 1."""
    model = FPN([1] * levels, 1, extra_stage=extra_stage)
    for name, p in model.named_parameters():
        value = np.zeros(p.shape, np.float32)
        if name.endswith("weight"):
            value[..., p.shape[-1] // 2, p.shape[-1] // 2] = 1
        p.set_value(value)
    return model


def test_deep_features_are_added_to_the_shallow_ones():
    deep = paddle.to_tensor([[[[100.0, 200]]]])
    shallow = paddle.to_tensor([[[[1.0, 2, 3, 4], [5, 6, 7, 8]]]])
    fine, coarse = plain(2)([shallow, deep])
    assert coarse.tolist() == deep.tolist()
    assert fine[0, 0].tolist() == [[101, 102, 203, 204], [105, 106, 207, 208]]


def test_the_deepest_level_reaches_the_shallowest():
    feats = [paddle.full([1, 1, side, side], value) for side, value in ((4, 1), (2, 10), (1, 100))]
    assert [float(f.max()) for f in plain(3)(feats)] == [111, 110, 100]
    assert [float(f.min()) for f in plain(3)(feats)] == [111, 110, 100]


def test_the_extra_level_is_every_second_pixel_of_the_top():
    top = paddle.arange(12, dtype="float32").reshape([1, 1, 3, 4])
    extra = plain(1, extra_stage=1)([top])[-1]
    assert extra[0, 0].tolist() == [[0, 2], [8, 10]]


def test_strides_and_channels():
    model = FPN([4, 5, 6, 7], 3)
    assert model.out_strides == [4, 8, 16, 32, 64] and model.out_channels == [3] * 5
    without = FPN([4, 5, 6, 7], 3, extra_stage=0)
    assert without.out_strides == [4, 8, 16, 32] and without.out_channels == [3] * 4
    late = FPN([5, 6, 7], 3, [1 / 8, 1 / 16, 1 / 32])
    assert late.out_strides == [8, 16, 32, 64]


def test_shapes():
    feats = [paddle.zeros([2, 4 + i, 32 // 2**i, 16 // 2**i]) for i in range(4)]
    made = FPN([4, 5, 6, 7], 3)(feats)
    assert [f.shape for f in made] == (
        [[2, 3, 32, 16], [2, 3, 16, 8], [2, 3, 8, 4], [2, 3, 4, 2], [2, 3, 2, 1]]
    )


def test_names_of_the_official_weights():
    names = {name.split(".")[0] for name in FPN([1, 1, 1, 1], 1).state_dict()}
    laterals = {f"fpn_inner_res{i}_sum_lateral" for i in (2, 3, 4)} | {"fpn_inner_res5_sum"}
    assert names == laterals | {f"fpn_res{i}_sum" for i in (2, 3, 4, 5)}
    late = {name.split(".")[0] for name in FPN([1, 1], 1).state_dict()}
    assert late == {
        *("fpn_inner_res4_sum_lateral", "fpn_inner_res5_sum"),
        *("fpn_res4_sum", "fpn_res5_sum"),
    }


def test_norms_replace_biases():
    names = FPN([1, 1], 2, norm_type="gn").state_dict()
    assert "fpn_res5_sum.norm.weight" in names and "fpn_res5_sum.conv.bias" not in names
    frozen = FPN([1, 1], 2, norm_type="bn", freeze_norm=True)
    assert all(p.stop_gradient == ("norm" in n) for n, p in frozen.named_parameters())


@pytest.mark.parametrize(
    ("channels", "extra", "words"),
    [([1, 1], 2, "extra_stage.*2"), ([1] * 5, 1, "5"), ([], 1, "0")],
)
def test_an_impossible_value_is_named(channels, extra, words):
    with pytest.raises(ValueError, match=words):
        FPN(channels, 1, extra_stage=extra)
