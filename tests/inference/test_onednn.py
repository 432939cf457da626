"""The compiled networks answer as the model itself does."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.inference.onednn import _networks, onednn_available, use_onednn
from maskrcnn_edu.structures import Batch, Proposals

pytestmark = pytest.mark.skipif(
    not onednn_available(), reason="compiles with Paddle 3 on a CPU only"
)

MANY = 10**9  # images: compiling pays


def batch(images=1, height=64, width=64):
    noise = np.random.default_rng(height).normal(size=(images, 3, height, width))
    return Batch(
        paddle.to_tensor(noise.astype(np.float32)),
        paddle.to_tensor(np.array([[height, width]] * images, np.float32)),
        paddle.to_tensor(np.ones([images, 2], np.float32)),
        list(range(images)),
        None,
    )


def predict(model, batch):
    with paddle.no_grad():
        return model(batch)


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-4)


def test_every_stage_is_the_same_at_every_size(tiny):
    tiny.eval()
    with use_onednn(tiny, MANY):
        for given in (batch(), batch(2, 64, 128), batch(1, 128, 96)):
            fast = predict(tiny, given)
            slow = _without(tiny, lambda given=given: predict(tiny, given))
            for a, b in zip(fast.features, slow.features):
                assert_close(a, b)
            assert_close(fast.rpn.scores, slow.rpn.scores)
            assert_close(fast.bbox.scores, slow.bbox.scores)
            for a, b in zip(fast.detections, slow.detections):
                assert len(a) > 0
                assert_close(a.boxes, b.boxes)
                assert (a.labels == b.labels).all()
                assert_close(a.scores, b.scores)
                assert (a.masks != b.masks).astype("float32").mean() < 1e-3


def _without(model, work):
    """What ``work`` answers while nothing is compiled."""
    aside = {}
    for layer in model.sublayers():
        if "forward" in layer.__dict__:
            aside[layer] = layer.__dict__.pop("forward")
    assert aside  # else nothing was compiled, and the test compares nothing
    answer = work()
    for layer, forward in aside.items():
        layer.forward = forward
    return answer


def test_an_answer_is_not_overwritten_by_the_next(tiny):
    tiny.eval()
    with use_onednn(tiny, MANY):
        first = predict(tiny, batch()).features
        kept = [f.numpy().copy() for f in first]
        predict(tiny, batch(1, 64, 96))
        for a, b in zip(first, kept):
            assert (a.numpy() == b).all()


def test_changed_weights_are_seen_by_the_next_block(tiny):
    tiny.eval()
    with use_onednn(tiny, MANY):
        before = predict(tiny, batch()).features[0].numpy()
    for parameter in tiny.backbone.parameters():
        parameter.set_value(parameter * 0.5)
    with use_onednn(tiny, MANY):
        fast = predict(tiny, batch()).features[0]
    assert np.abs(fast.numpy() - before).max() > 1e-3
    assert_close(fast, predict(tiny, batch()).features[0])


def test_gradients_are_never_lost(tiny, make_batch):
    tiny.eval()
    with use_onednn(tiny, MANY):
        predict(tiny, batch())
        tiny.train()
        tiny(make_batch()).loss.backward()
    trainable = [p for p in tiny.backbone.parameters() if not p.stop_gradient]
    assert any(float(p.grad.abs().sum()) > 0 for p in trainable)


def test_no_detections(tiny, monkeypatch):
    tiny.eval()
    with use_onednn(tiny, MANY):
        assert len(predict(tiny, batch()).detections[0]) > 0
        monkeypatch.setattr(
            type(tiny.rpn_head),
            "propose",
            lambda self, rpn, im_shape, generator: [_nothing()] * len(im_shape),
        )
        assert len(predict(tiny, batch(2)).detections[1]) == 0


def _nothing():
    return Proposals(paddle.zeros([0, 4]), paddle.zeros([0]), paddle.zeros([0], "int64"))


def test_afterwards_the_model_is_as_before(tiny):
    tiny.eval()
    before = predict(tiny, batch()).features[0].numpy()
    with pytest.raises(KeyError), use_onednn(tiny, MANY):
        predict(tiny, batch())
        raise KeyError
    assert not any("forward" in layer.__dict__ for layer in tiny.sublayers())
    assert (predict(tiny, batch()).features[0].numpy() == before).all()


def test_a_few_images_of_a_small_model_are_not_worth_it(tiny):
    tiny.eval()
    with use_onednn(tiny, 3):
        assert not any("forward" in layer.__dict__ for layer in tiny.sublayers())


def test_what_has_no_3x3_convolution_is_not_compiled(tiny_fpn, tiny_c4):
    parts = _networks(tiny_fpn)
    assert tiny_fpn.mask_head.head in parts and tiny_fpn.bbox_head.head not in parts  # TwoFCHead
    c4 = _networks(tiny_c4)
    assert tiny_c4.bbox_head.head in c4 and tiny_c4.mask_head.head not in c4
