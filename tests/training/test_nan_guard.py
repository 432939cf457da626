"""Losses and gradients that are no numbers: seen, named, and dumped."""

import dataclasses
import json
import math

import numpy as np
import paddle
import pytest
from PIL import Image

from maskrcnn_edu.structures import BitMask
from maskrcnn_edu.training.nan_guard import (
    MAX_SKIPPED_STEPS,
    NanGuard,
    NotFiniteError,
    Range,
    _visible,
    copy_to_pinned,
    dump,
    finite_probe,
    not_finite,
    ranges,
)

NAN, INFINITE = float("nan"), float("inf")

# ---- seen ------------------------------------------------------------------------


def two_weights(first, second=None):
    """A layer whose weights have these gradients (None: no gradient)."""
    model = paddle.nn.Linear(1, 2)
    for parameter, values in zip(model.parameters(), (first, second)):
        if values is not None:
            parameter.grad = paddle.to_tensor(values).reshape(parameter.shape)
    return model


def scalars(**values):
    return {name: paddle.to_tensor(value) for name, value in values.items()}


def test_one_number_is_the_sum_of_losses_and_gradients():
    model = two_weights([1.0, 2.0], [4.0, 8.0])
    probe = finite_probe(model, [scalars(a=16.0, b=32.0), scalars(a=64.0)])
    assert probe.item() == 127.0 and probe.shape == []
    assert finite_probe(two_weights([1.0, 2.0]), [scalars(a=16.0)]).item() == 19.0


@pytest.mark.parametrize("bad", [NAN, INFINITE, -INFINITE])
def test_it_is_not_finite_if_one_of_them_is_not(bad):
    assert not math.isfinite(finite_probe(two_weights([1.0, bad]), [scalars(a=1.0)]).item())
    assert not math.isfinite(finite_probe(two_weights([1.0, 2.0]), [scalars(a=1.0, b=bad)]).item())
    assert not math.isfinite(finite_probe(two_weights(None), [scalars(a=bad), scalars(a=1.0)]))


def test_on_the_host_nothing_is_copied():
    number = paddle.to_tensor(1.0, place=paddle.CPUPlace())
    assert copy_to_pinned(number) is number


def test_more_steps_may_be_skipped_than_loss_scaling_needs_to_reach_one():
    """It begins at 2 ** 16 and is halved after every bad step, or every second one."""
    assert 2**16 / 2 ** (MAX_SKIPPED_STEPS - 1) < 1


def test_names_of_what_is_not_finite():
    model = two_weights([1.0, INFINITE], [1.0, 2.0])
    assert not_finite(model) == ([], ["weight"])
    model.bias.set_value(np.array([0.0, NAN], np.float32))
    assert not_finite(model) == (["bias"], ["weight"])


# ---- named -----------------------------------------------------------------------


def test_of_several_batches_the_bad_one_is_named(tiny_fpn, make_batch):
    good, bad = make_batch(), dataclasses.replace(make_batch(1), image_id=[77])
    tiny_fpn.train()
    stages = tiny_fpn(good)
    losses = [{"loss_mask": paddle.to_tensor(float("nan"))}, stages.losses]
    with pytest.raises(NotFiniteError, match=r"step 5: the loss .*mask nan\); images \[77\]") as p:
        NanGuard(tiny_fpn)(5, [bad, good], losses, stages)
    assert p.value.stages.batch is bad and p.value.stages.batch.image.shape[0] == 1


def test_loss_scaling_may_skip_steps_but_not_for_ever(tiny_fpn, make_batch):
    tiny_fpn.train()
    stages = tiny_fpn(make_batch())
    bad = {"loss_mask": paddle.to_tensor(float("inf"))}
    guard = NanGuard(tiny_fpn, tolerated=2)
    for losses in (bad, bad, stages.losses, bad, bad):
        guard(1, [stages.batch], [losses], stages)
    with pytest.raises(NotFiniteError):
        guard(1, [stages.batch], [bad], stages)


def test_ranges_by_hand():
    made = Range.of("a", paddle.to_tensor([1.0, float("nan"), -3.0, float("inf")]))
    assert made == Range("a", -3.0, 1.0, 0.5) and str(made) == "a: -3 .. 1, 50.0% finite"
    assert Range.of("b", paddle.zeros([0, 4])).finite == 1.0
    assert Range.of("c", paddle.full([2], float("nan"))).finite == 0.0


def test_all_intermediates_are_measured_in_their_order(tiny_fpn, make_batch):
    tiny_fpn.train()
    stages = tiny_fpn(make_batch())
    names = [r.name for r in ranges(stages)]
    levels = [f"features {i}" for i in range(len(stages.features))]
    each = [f"{what} {i}" for i in range(2) for what in ("proposals", "samples")]
    assert names == ["image", *levels, "rpn scores", "rpn deltas", *each, "bbox scores",
                     "bbox deltas", "mask logits"]  # fmt: skip
    image = stages.batch.image.numpy()
    assert ranges(stages)[0] == Range("image", float(image.min()), float(image.max()), 1.0)


# ---- dumped ----------------------------------------------------------------------


def test_the_dump_has_the_batch_and_everything_computed_of_it(
    tiny_fpn, make_batch, make_gt, tmp_path
):
    gt = make_gt([[4, 6, 40, 30], [8, 10, 44, 34]], [0, 2])
    mask = BitMask(np.eye(3, dtype=np.uint8), np.array([8, 10, 44, 34], np.float32))
    gt = dataclasses.replace(gt, segms=[gt.segms[0], mask])
    batch = make_batch(1, [gt])
    tiny_fpn.train()
    stages = tiny_fpn(batch)
    losses = {**stages.losses, "loss_mask": paddle.to_tensor(NAN)}
    message = dump(NotFiniteError(7, losses, stages, tiny_fpn), tmp_path / "bad")
    (number,) = batch.image_id
    assert {p.name for p in (tmp_path / "bad").iterdir()} == {
        f"{number}.png", "batch.json", "arrays.npz", "report.txt",
    }  # fmt: skip
    assert message.startswith("step 7: the loss is not finite (loss nan, ")
    report, _, advice = message.rpartition("\n")
    assert (tmp_path / "bad/report.txt").read_text() == report + "\n"
    assert str(tmp_path / "bad") in advice
    facts = json.loads((tmp_path / "bad/batch.json").read_text())
    ((first, second),) = facts["objects"]  # of one image
    assert first["box"] == [4, 6, 40, 30] and first["label"] == 0 and first["is_crowd"] is False
    assert first["polygons"] == [part.tolist() for part in gt.segms[0]]
    assert second["polygons"] == "see arrays.npz" and second["label"] == 2
    with np.load(tmp_path / "bad/arrays.npz", allow_pickle=False) as arrays:
        arrays = dict(arrays)
    intermediates = {r.name.replace(" ", "_") for r in ranges(stages)}
    truth = {"gt_boxes_0", "gt_labels_0", "gt_is_crowd_0", "gt_mask_0_1"}
    assert set(arrays) == intermediates | truth | {"im_shape", "scale_factor"}
    assert (arrays["image"] == batch.image.numpy()).all()
    assert arrays["gt_boxes_0"].tolist() == [[4, 6, 40, 30], [8, 10, 44, 34]]
    assert (arrays["gt_mask_0_1"] == np.eye(3)).all()
    assert (arrays["rpn_scores"] == stages.rpn.scores.numpy()).all()


def test_a_dumped_image_is_stretched_and_has_no_padding(tiny_fpn, make_batch, tmp_path):
    batch = make_batch(1)
    height, width = batch.image.shape[2:]
    image = np.full([1, 3, height, width], NAN, np.float32)
    image[0, :, :10, :20] = -2.0
    image[0, 1, 3, 4] = 6.0
    shape = paddle.to_tensor([[10.0, 20.0]])
    tiny_fpn.train()
    stages = tiny_fpn(batch)
    batch = dataclasses.replace(batch, image=paddle.to_tensor(image), im_shape=shape)
    stages = dataclasses.replace(stages, batch=batch)
    dump(NotFiniteError(1, stages.losses, stages, tiny_fpn), tmp_path)
    with Image.open(tmp_path / f"{batch.image_id[0]}.png") as file:
        pixels = np.asarray(file)
    assert pixels.shape == (10, 20, 3) and pixels[3, 4].tolist() == [0, 255, 0]
    assert pixels.sum() == 255


def test_an_image_with_infinite_numbers_can_still_be_seen():
    image = np.array([np.inf, -np.inf, np.nan, 0.0, 2.0, 1.0]).reshape(3, 1, 2)
    # what is no number is 0, the darkest; 1 is in the middle, 127.5, and 2 the brightest
    assert _visible(image).tolist() == [[[0, 0, 255], [0, 0, 127]]]
