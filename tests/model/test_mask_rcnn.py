"""The whole model, tiny: what flows through it, and that nothing stays behind."""

from dataclasses import fields

import numpy as np
import paddle
import pytest

from maskrcnn_edu.model.boxes import clip_bbox, delta2bbox
from maskrcnn_edu.model.roi_align import ROI_CHUNK_ELEMENTS
from maskrcnn_edu.structures import PredictionStages, TrainingStages

LOSSES = ["loss_rpn_cls", "loss_rpn_reg", "loss_bbox_cls", "loss_bbox_reg", "loss_mask"]


def flat(value):
    """Every tensor in a record, a list or a dict, as numpy arrays in order."""
    if isinstance(value, paddle.Tensor):
        return [value.numpy()]
    if isinstance(value, (list, tuple)):
        return [array for v in value for array in flat(v)]
    if isinstance(value, dict):
        return [array for v in value.values() for array in flat(v)]
    if hasattr(value, "__dataclass_fields__"):
        return [array for f in fields(value) for array in flat(getattr(value, f.name))]
    return []


# ---- training: what is in the record ---------------------------------------------


def test_shapes_of_a_training_step(tiny, make_batch):
    batch = make_batch(2)
    tiny.train()
    stages = tiny(batch)
    assert isinstance(stages, TrainingStages) and stages.batch is batch
    fpn = tiny.neck is not None
    sides = [16, 8, 4, 2, 1] if fpn else [4]
    channels = 8 if fpn else 16
    assert [f.shape for f in stages.features] == [[2, channels, s, s] for s in sides]
    k = tiny.rpn_head.anchor_generator.num_anchors
    count = sum(s * s * k for s in sides)
    assert stages.rpn.level_sizes == [s * s * k for s in sides]
    assert stages.rpn.scores.shape == [2, count] and stages.rpn.deltas.shape == [2, count, 4]
    assert stages.rpn.anchors.shape == [count, 4]
    for made in stages.anchor_targets:
        assert made.target_labels.shape == made.gt_index.shape == [count]
        assert made.target_deltas.shape == [count, 4]
        assert 1 <= int((made.target_labels == 1).sum()) <= 16
        assert int((made.target_labels >= 0).sum()) == 32
    for made in stages.proposals:
        assert 1 <= len(made) <= 20
        assert made.boxes.shape == [len(made), 4]
        assert made.scores.shape == made.anchor_index.shape == [len(made)]
    for made in stages.samples:
        assert 1 <= len(made) <= 16 and made.boxes.shape == made.gt_boxes.shape == [len(made), 4]
        for name in ("target_labels", "gt_index", "proposal_index"):
            assert getattr(made, name).shape == [len(made)]
    rois = sum(map(len, stages.samples))
    assert stages.bbox.scores.shape == [rois, 4] and stages.bbox.deltas.shape == [rois, 3, 4]
    side = tiny.mask_head.mask_assigner.mask_resolution
    for made, drawn in zip(stages.mask_targets, stages.samples):
        foreground = int((drawn.target_labels < 3).sum())
        assert 1 <= foreground == len(made) <= 4  # a quarter of 16
        assert made.index.shape == made.target_labels.shape == [foreground]
        assert made.target_masks.shape == [foreground, side, side]
    total = sum(map(len, stages.mask_targets))
    assert stages.mask_logits.shape == [total, 3, side, side]


def test_five_finite_losses_and_their_sum(tiny, make_batch):
    tiny.train()
    stages = tiny(make_batch(2))
    assert list(stages.losses) == LOSSES
    assert all(v.shape == [] and np.isfinite(v.item()) and v.item() > 0
               for v in stages.losses.values())  # fmt: skip
    total = sum(v.item() for v in stages.losses.values())
    assert stages.loss.item() == pytest.approx(total, 1e-6) and stages.loss.shape == []


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_reaches_the_backbone(tiny, make_batch, name):
    tiny.train()
    tiny(make_batch(2)).losses[name].backward()
    grad = tiny.backbone.conv1.conv1.conv.weight.grad
    assert grad is not None and float(grad.abs().sum()) > 0
    assert bool(paddle.isfinite(grad).all())


def test_no_gradient_flows_through_targets_and_boxes(tiny, make_batch):
    tiny.train()
    stages = tiny(make_batch(2))
    records = [*stages.anchor_targets, *stages.proposals, *stages.samples, *stages.mask_targets]
    assert len(records) == 8
    for record in records:
        assert all(getattr(record, f.name).stop_gradient for f in fields(record))
    for name in ("scores", "deltas"):
        assert not getattr(stages.rpn, name).stop_gradient
        assert not getattr(stages.bbox, name).stop_gradient
    assert not stages.mask_logits.stop_gradient


def test_from_a_sampled_roi_back_to_its_origin(tiny, make_batch):
    batch = make_batch(2)
    tiny.train()
    stages = tiny(batch)
    annotated = 0
    for i, (made, proposals) in enumerate(zip(stages.samples, stages.proposals)):
        for row in range(len(made)):
            box, index = made.boxes[row].tolist(), int(made.proposal_index[row])
            g = int(made.gt_index[row])
            assert made.gt_boxes[row].tolist() == batch.gt[i].boxes[g].tolist()
            if made.target_labels[row] < 3:
                assert made.target_labels[row] == batch.gt[i].labels[g]
            if index == -1:
                annotated += 1
                assert box == batch.gt[i].boxes[g].tolist()
            else:
                assert box == proposals.boxes[index].tolist()
        targets = stages.mask_targets[i]
        assert targets.target_labels.tolist() == made.target_labels[targets.index].tolist()
        check_anchors(stages, i)
    assert annotated >= 3  # image 0 has one object, image 1 has two


def check_anchors(stages, i):
    """Every proposal is its anchor, moved by the anchor's deltas and clipped."""
    proposals, rpn = stages.proposals[i], stages.rpn
    index = proposals.anchor_index
    moved = delta2bbox(rpn.deltas[i][index], rpn.anchors[index])[:, 0]
    expected = clip_bbox(moved, stages.batch.im_shape[i])
    np.testing.assert_allclose(proposals.boxes.numpy(), expected.numpy(), atol=1e-4)
    np.testing.assert_array_equal(proposals.scores.numpy(), rpn.scores[i][index].numpy())


# ---- prediction ------------------------------------------------------------------


def test_shapes_of_a_prediction(tiny, make_batch):
    batch = make_batch(
        2, im_shape=[[48, 64], [64, 40]], scale_factor=[[2, 4], [1, 0.5]], with_gt=False
    )
    tiny.eval()
    stages = tiny(batch)
    assert isinstance(stages, PredictionStages) and stages.batch is batch
    rois = sum(map(len, stages.proposals))
    assert all(1 <= len(p) <= 12 for p in stages.proposals)
    assert stages.bbox.scores.shape == [rois, 4] and stages.bbox.deltas.shape == [rois, 3, 4]
    side = tiny.mask_head.mask_assigner.mask_resolution
    for i, size in enumerate(([24, 16], [64, 80])):  # im_shape / scale_factor
        detections, probs, made = stages.boxes_only[i], stages.mask_probs[i], stages.detections[i]
        assert 1 <= len(detections) == len(made) <= 6
        assert detections.masks is None
        assert probs.shape == [len(detections), side, side]
        assert 0 <= float(probs.min()) <= float(probs.max()) <= 1
        assert made.masks.shape == [len(detections), *size] and made.masks.dtype == paddle.bool
        assert made.labels.tolist() == detections.labels.tolist()
        limit = np.array([size[1], size[0]] * 2)
        assert (made.boxes.numpy() <= limit).all() and (made.boxes.numpy() >= 0).all()
        y, x = batch.scale_factor[i].tolist()
        np.testing.assert_allclose(
            made.boxes.numpy() * [x, y, x, y], detections.boxes.numpy(), atol=1e-4
        )


def test_from_a_detection_back_to_its_level(tiny, make_batch):
    tiny.eval()
    stages = tiny(make_batch(2, with_gt=False))
    start = 0
    for i, (detections, proposals) in enumerate(zip(stages.boxes_only, stages.proposals)):
        check_anchors(stages, i)
        for d in range(len(detections)):
            roi, label = int(detections.roi_index[d]), int(detections.labels[d])
            probs = paddle.nn.functional.softmax(stages.bbox.scores[start + roi])
            assert detections.scores[d].item() == pytest.approx(probs[label].item(), 1e-5)
            delta = stages.bbox.deltas[start + roi, label].unsqueeze(0)
            box = delta2bbox(delta, proposals.boxes[roi].unsqueeze(0), tiny.bbox_head.bbox_weight)
            expected = clip_bbox(box[0, 0], stages.batch.im_shape[i])
            np.testing.assert_allclose(detections.boxes[d].numpy(), expected.numpy(), atol=1e-4)
        levels = stages.rpn.level_of(proposals.anchor_index.numpy())
        area = stages.rpn.anchors[proposals.anchor_index].numpy()
        side = np.sqrt((area[:, 2] - area[:, 0]) * (area[:, 3] - area[:, 1]))
        per_level = [[8], [16], [32], [48], [64]] if tiny.neck is not None else [[16, 32]]
        for level, length in zip(levels, side):
            assert min(abs(length - s) for s in per_level[level]) < 1e-3
        start += len(proposals)


def test_a_batch_of_two_is_two_batches_of_one(tiny, make_batch, pick):
    batch = make_batch(
        2, im_shape=[[48, 64], [64, 40]], scale_factor=[[2, 4], [1, 0.5]], with_gt=False
    )
    tiny.eval()
    both = tiny(batch)
    for i in range(2):
        one = tiny(pick(batch, [i]))
        expected, made = both.detections[i], one.detections[0]
        assert made.labels.tolist() == expected.labels.tolist()
        assert made.roi_index.tolist() == expected.roi_index.tolist()
        np.testing.assert_allclose(made.boxes.numpy(), expected.boxes.numpy(), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(made.scores.numpy(), expected.scores.numpy(), atol=1e-5)
        np.testing.assert_allclose(one.mask_probs[0].numpy(), both.mask_probs[i].numpy(), atol=1e-5)
        assert made.masks.shape == expected.masks.shape
        assert (made.masks.numpy() != expected.masks.numpy()).mean() < 1e-3


@pytest.mark.parametrize("images", [1, 2])
def test_it_does_not_matter_how_many_rois_are_looked_at_together(
    tiny, make_batch, monkeypatch, images
):
    tiny.eval()
    at_once = tiny(make_batch(images=images, with_gt=False))
    monkeypatch.setitem(ROI_CHUNK_ELEMENTS, "cpu", 1)  # one after the other
    calls = []
    tiny.bbox_head.register_forward_pre_hook(lambda head, inputs: calls.append(inputs[0].shape[0]))
    one_by_one = tiny(make_batch(images=images, with_gt=False))
    assert calls == [1] * sum(map(len, at_once.proposals))
    close = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(one_by_one.bbox.scores.numpy(), at_once.bbox.scores.numpy(), **close)
    np.testing.assert_allclose(one_by_one.bbox.deltas.numpy(), at_once.bbox.deltas.numpy(), **close)
    for a, b in zip(one_by_one.boxes_only, at_once.boxes_only):
        assert a.labels.tolist() == b.labels.tolist()
    for a, b in zip(one_by_one.mask_probs, at_once.mask_probs):
        np.testing.assert_allclose(a.numpy(), b.numpy(), **close)


def test_prediction_needs_no_ground_truth_and_leaves_no_gradient(tiny, make_batch):
    tiny.eval()
    made = tiny(make_batch(1, with_gt=False))
    assert all(d.boxes.stop_gradient for d in made.detections)


# ---- empties ---------------------------------------------------------------------


@pytest.mark.parametrize("counts", [(0, 1), (1, 0), (0, 0)])
def test_images_without_objects(tiny, make_batch, make_gt, counts):
    gt = [make_gt([[4, 6, 40, 30]] * n, [1] * n) for n in counts]
    tiny.train()
    stages = tiny(make_batch(2, gt=gt))
    foreground = [len(t) for t in stages.mask_targets]
    assert [n > 0 for n in foreground] == [n > 0 for n in counts]
    assert all(v.shape == [] and np.isfinite(v.item()) for v in stages.losses.values())
    stages.loss.backward()
    gradients = [p.grad for p in tiny.parameters() if p.grad is not None]
    assert gradients and all(bool(paddle.isfinite(g).all()) for g in gradients)
    if counts == (0, 0):
        assert stages.losses["loss_mask"].item() == stages.losses["loss_bbox_reg"].item() == 0


def test_no_detection_anywhere(build_tiny, tiny_text, make_batch):
    for text in tiny_text.values():
        model = build_tiny(text.replace("score_threshold: 0.05", "score_threshold: 0.99"))
        model.eval()
        made = model(make_batch(2, im_shape=[[64, 64], [32, 48]], with_gt=False))
        assert [d.masks.shape for d in made.detections] == [[0, 64, 64], [0, 32, 48]]
        assert [d.boxes.shape for d in made.detections] == [[0, 4]] * 2


def test_no_proposal_anywhere(build_tiny, tiny_text, make_batch):
    for text in tiny_text.values():
        model = build_tiny(text.replace("nms_thresh: 0.7}", "nms_thresh: 0.7, min_size: 99}"))
        model.eval()
        stages = model(make_batch(2, with_gt=False))
        assert [len(p) for p in stages.proposals] == [0, 0]
        assert [len(d) for d in stages.detections] == [0, 0]
        model.train()
        stages = model(make_batch(2))  # the annotated boxes are all that is left
        assert [s.proposal_index.tolist() for s in stages.samples] == [[-1], [-1, -1]]


# ---- several images and one feature ----------------------------------------------


def test_shared_feature_mask_loss_of_two_images_is_the_weighted_mean(tiny_c4, make_batch, pick):
    """The rows of the second image's foreground begin where the first image's RoIs end."""
    assert tiny_c4.mask_head.share_bbox_feat and not tiny_c4.bbox_head.bbox_assigner.use_random
    tiny_c4.train()
    batch = make_batch(2)
    both = tiny_c4(batch)
    alone = [tiny_c4(pick(batch, [i])) for i in range(2)]
    counts = [len(s.mask_targets[0]) for s in alone]
    assert counts == [len(t) for t in both.mask_targets]
    assert len(set(counts)) == 2 and min(counts) >= 1  # different weights
    losses = [s.losses["loss_mask"].item() for s in alone]
    expected = np.average(losses, weights=counts)
    assert both.losses["loss_mask"].item() == pytest.approx(expected, abs=1e-6)
    # the test can tell: the images' losses differ, and so do their logits
    assert abs(losses[0] - losses[1]) > 1e-4
    logits = np.concatenate([s.mask_logits.numpy() for s in alone])
    np.testing.assert_allclose(both.mask_logits.numpy(), logits, atol=1e-5)


def test_losses_of_two_images_follow_from_the_two_alone(tiny, make_batch, pick):
    tiny.train()
    batch = make_batch(2)
    both = tiny(batch).losses
    alone = [tiny(pick(batch, [i])) for i in range(2)]
    weights = {
        "loss_rpn_cls": [1, 1],
        "loss_rpn_reg": [1, 1],
        "loss_bbox_cls": [len(s.samples[0]) for s in alone],
        "loss_bbox_reg": [len(s.samples[0]) for s in alone],
        "loss_mask": [len(s.mask_targets[0]) for s in alone],
    }
    for name, weight in weights.items():
        expected = np.average([s.losses[name].item() for s in alone], weights=weight)
        assert both[name].item() == pytest.approx(expected, 1e-5, 1e-6), name


# ---- no state --------------------------------------------------------------------


def attributes(model):
    """Name -> value of everything that every layer holds, tensors by their numbers."""
    made = {}
    for prefix, layer in model.named_sublayers(include_self=True):
        for name, value in vars(layer).items():
            if name in ("_parameters", "_buffers", "_sub_layers"):
                value = {k: id(v) for k, v in value.items()}
            made[prefix, name] = repr(value)
    return made


def test_the_model_keeps_nothing_between_calls(tiny, make_batch):
    batch, other = make_batch(2), make_batch(1, im_shape=[[32, 48]])
    for mode in (tiny.train, tiny.eval):
        mode()
        weights = [v.numpy().copy() for v in tiny.state_dict().values()]
        before = attributes(tiny)
        first = flat(tiny(batch))
        assert attributes(tiny) == before
        tiny(other)
        again = flat(tiny(batch))
        assert len(first) == len(again) > 20
        for one, two in zip(first, again):
            np.testing.assert_allclose(one, two, atol=1e-6)
        for old, new in zip(weights, tiny.state_dict().values()):
            np.testing.assert_array_equal(old, new.numpy())


@pytest.mark.parametrize("kind", ["c4", "fpn"])
def test_a_single_class(build_tiny, tiny_text, make_batch, make_gt, kind):
    model = build_tiny(tiny_text[kind].replace("num_classes: 3", "num_classes: 1"))
    model.train()
    stages = model(make_batch(1, gt=[make_gt([[4, 6, 40, 30], [20, 16, 52, 60]])]))
    assert stages.bbox.scores.shape[1] == 2 and stages.mask_logits.shape[1] == 1
    stages.loss.backward()
    assert float(stages.losses["loss_mask"]) > 0
    model.eval()
    detections = model(make_batch(1, with_gt=False)).detections[0]
    assert len(detections) and set(detections.labels.tolist()) == {0}
