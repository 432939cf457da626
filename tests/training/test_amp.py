"""Mixed precision: who may have it, and what stays float32."""

import numpy as np
import paddle
import pytest

from maskrcnn_edu.training.amp import check_amp, grad_scaler


def test_what_amp_may_be():
    assert check_amp(None) is None and check_amp(False) is None
    with pytest.raises(ValueError, match="amp fp16: "):  # PaddleDetection's `amp: true`
        check_amp(True)
    with pytest.raises(ValueError, match="amp must be one of bf16, fp16, got 'fp8'"):
        check_amp("fp8")
    scaler = grad_scaler(None)
    loss = paddle.to_tensor(2.0)
    assert scaler.scale(loss) is loss and scaler.state_dict() == {}


def test_the_loss_is_scaled_by_two_to_the_sixteenth(monkeypatch):
    """Asked of the call: without a GPU Paddle scales nothing."""
    made = []
    monkeypatch.setattr(paddle.amp, "GradScaler", lambda **options: made.append(options))
    for amp in ("fp16", "bf16", None):
        grad_scaler(amp)
    assert [options["enable"] for options in made] == [True, False, False]
    assert {options["init_loss_scaling"] for options in made} == {65536}


@pytest.mark.parametrize("kind", ["fpn", "c4"])
def test_boxes_and_losses_stay_float32_whatever_the_layers_answer(
    build_tiny, tiny_text, make_batch, kind, monkeypatch
):
    """The last layer of every head answers in half precision, as it would under autocast."""
    model = build_tiny(tiny_text[kind])
    last = [
        model.rpn_head.rpn_rois_score, model.rpn_head.rpn_rois_delta, model.bbox_head.bbox_score,
        model.bbox_head.bbox_delta, model.mask_head.mask_fcn_logits,
    ]  # fmt: skip
    seen = []
    for layer in last:
        layer.register_forward_post_hook(
            lambda layer, x, y: seen.append(layer) or y.cast("bfloat16")
        )
    model.train()
    stages = model(make_batch())
    assert {id(layer) for layer in seen} == {id(layer) for layer in last}
    tensors = [
        stages.rpn.scores, stages.rpn.deltas, stages.bbox.scores, stages.bbox.deltas,
        stages.mask_logits, *stages.losses.values(),
        *(t.target_deltas for t in stages.anchor_targets),
        *(p.boxes for p in stages.proposals), *(s.boxes for s in stages.samples),
    ]  # fmt: skip
    assert all(t.dtype == paddle.float32 and np.isfinite(t.numpy()).all() for t in tensors)
    stages.loss.backward()
    assert all(p.grad.dtype == paddle.float32 for p in model.parameters() if p.grad is not None)
