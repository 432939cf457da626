"""The recorder remembers what the model sees, and the training does not notice."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import paddle
import pytest

from maskrcnn_edu.config.build import build, build_model, build_optimizer
from maskrcnn_edu.config.schema import load_config
from maskrcnn_edu.data.coco import CocoDataset
from maskrcnn_edu.data.reader import Reader
from maskrcnn_edu.teaching.recorder import (
    KEEP,
    LARGEST,
    ImageSnapshot,
    Recorder,
    Recording,
    Snapshot,
    recall,
    undisturbed,
)
from maskrcnn_edu.training.loop import Budget, train_steps
from maskrcnn_edu.training.run import TrainingOptions, train

ARRAYS = [f.name for f in dataclasses.fields(ImageSnapshot) if f.name != "size"]


def fake_step(number, loss=1.0):
    """What the recorder reads from a training step."""
    return SimpleNamespace(step=number, losses=lambda: {"loss": loss})


# ---- training does not notice ----------------------------------------------------

SMALL = (
    "ResNet.ch_in=8",
    "ResNet.ch_out_list=[8,8,16,16]",
    "ResNet.norm_type=bn",  # stored statistics that a look could disturb
    "FPN.out_channel=8",
    "TwoFCHead.out_channel=16",
    "TrainReader.batch_size=2",
)


def train_a_little(folder, record):
    """Eight steps -> (losses, final weights and statistics, recorder or None)."""
    config = load_config("shapes_fpn", SMALL)
    data = CocoDataset(folder / "annotations/instances_train.json", folder / "train")
    fixed = CocoDataset(folder / "annotations/instances_val.json", folder / "val")
    paddle.seed(5)
    model = build_model(config)
    loader = build(config, Reader, ("TrainReader",)).loader(data, 0)
    batch = next(iter(build(config, Reader, ("TrainReader",)).loader(fixed, 0).epoch(0)))
    recorder = Recorder(model, batch, every=3) if record else None
    if recorder:
        recorder.record()
    losses = []
    for step in train_steps(model, loader, Budget(steps=8), *build_optimizer(config, model)):
        losses.append(step.losses())
        if recorder:
            recorder(step)
    if recorder:
        recorder.record(step)
    return losses, {k: v.numpy() for k, v in model.state_dict().items()}, recorder


def test_losses_and_weights_are_the_same_to_the_last_bit(shapes):
    losses, weights, _ = train_a_little(shapes, record=False)
    watched_losses, watched_weights, recorder = train_a_little(shapes, record=True)
    assert watched_losses == losses
    assert watched_weights.keys() == weights.keys()
    assert any(name.endswith("_mean") for name in weights)
    for name, value in weights.items():
        assert (watched_weights[name] == value).all(), name
    assert [s.step for s in recorder.snapshots] == [0, 3, 6, 8]
    assert math.isnan(recorder.snapshots[0].loss)
    recorded = [s.loss for s in recorder.snapshots[1:]]
    assert recorded == [losses[i]["loss"] for i in (2, 5, 7)]


def test_train_can_be_handed_a_recorder(shapes, tmp_path):
    data = CocoDataset(shapes / "annotations/instances_train.json", shapes / "train")
    val = CocoDataset(shapes / "annotations/instances_val.json", shapes / "val")
    config = load_config("shapes_fpn", [*SMALL, f"num_classes={data.num_classes}"])
    batch = next(iter(build(config, Reader, ("TrainReader",)).loader(val, 0).epoch(0)))
    recorder = Recorder(None, batch, every=2)
    with pytest.raises(ValueError, match="no model before the first step"):
        recorder.record()
    options = TrainingOptions(Budget(steps=4))
    model, _ = train(config, data, val, tmp_path / "out", options, on_step=recorder)
    assert [s.step for s in recorder.recording().snapshots] == [2, 4]
    assert recorder.model is model


def test_a_look_leaves_no_trace(tiny, make_batch):
    tiny.train()
    tiny.backbone.eval()  # a mode of its own
    modes = [layer.training for layer in tiny.sublayers(include_self=True)]
    before = {k: v.numpy().copy() for k, v in tiny.state_dict().items()}
    paddle.seed(1)
    expected = paddle.randperm(20).tolist()
    paddle.seed(1)
    Recorder(tiny, make_batch(), 1).record()
    assert paddle.randperm(20).tolist() == expected
    assert [layer.training for layer in tiny.sublayers(include_self=True)] == modes
    assert all((before[k] == v.numpy()).all() for k, v in tiny.state_dict().items())
    assert all(p.grad is None for p in tiny.parameters())
    assert paddle.is_grad_enabled()


def test_what_goes_wrong_inside_leaves_no_trace_either(tiny):
    tiny.train()
    with pytest.raises(KeyError), undisturbed(tiny):
        tiny.eval()
        raise KeyError
    assert tiny.training and tiny.backbone.training and paddle.is_grad_enabled()


# ---- what is remembered ----------------------------------------------------------


@pytest.fixture
def recorder(tiny, make_batch):
    return Recorder(tiny, make_batch(), every=2)


def test_what_is_kept_is_what_the_model_computed(tiny, make_batch, recorder):
    recorder.record()
    tiny.train()
    stages = tiny(make_batch())  # the tiny models draw without chance
    tiny.eval()
    predicted = tiny(make_batch())
    start = 0
    for i, image in enumerate(recorder.snapshots[0].images):
        assert image.size == (64, 64)
        proposals = stages.proposals[i]
        order = np.argsort(-proposals.scores.numpy(), kind="stable")[:50]
        assert (image.proposal_boxes == proposals.boxes.numpy()[order]).all()
        assert (image.proposal_anchors == proposals.anchor_index.numpy()[order]).all()
        for name in ("boxes", "target_labels", "gt_boxes", "gt_index", "proposal_index"):
            kept, real = getattr(image.samples(), name), getattr(stages.samples[i], name)
            assert kept.dtype == real.dtype and (kept == real).all()
        targets = stages.mask_targets[i]
        own = stages.mask_logits[start : start + len(targets)].numpy()
        own = own[np.arange(len(targets)), targets.target_labels.numpy()]
        assert image.mask_probs == pytest.approx(1 / (1 + np.exp(-own)), abs=1e-3)
        assert (image.mask_rows == targets.index.numpy()).all()
        start += len(targets)
        detections = predicted.detections[i]
        order = np.argsort(-detections.scores.numpy(), kind="stable")
        kept = image.detections()
        assert len(kept) == len(detections) > 0
        assert (kept.boxes.numpy() == detections.boxes.numpy()[order]).all()
        assert (kept.labels.numpy() == detections.labels.numpy()[order]).all()
        assert (kept.masks.numpy() == detections.masks.numpy()[order]).all()


@pytest.mark.parametrize("name", KEEP)
def test_only_what_was_asked_for_is_kept(tiny, make_batch, name):
    recorder = Recorder(tiny, make_batch(), 1, keep=(name,))
    recorder.record()
    (image, _) = recorder.snapshots[0].images
    families = {"mask_logits": "mask", "proposals": "proposal"}
    family = families.get(name, name.removesuffix("s")) + "_"
    for array in ARRAYS:
        assert (len(getattr(image, array)) > 0) == array.startswith(family), array


def test_every_second_step_and_on_request(recorder):
    for number in (1, 2, 3, 4):
        recorder(fake_step(number, loss=number / 10))
    recorder.record(fake_step(4))  # recorded already
    recorder.record(fake_step(5, loss=0.5))
    assert [(s.step, s.loss) for s in recorder.snapshots] == [(2, 0.2), (4, 0.4), (5, 0.5)]


def test_images_without_objects_and_without_detections(tiny, make_batch, make_gt, tmp_path):
    tiny.bbox_post_process = dataclasses.replace(
        tiny.bbox_post_process,
        nms=dataclasses.replace(tiny.bbox_post_process.nms, score_threshold=0.999),
    )
    recorder = Recorder(tiny, make_batch(2, [make_gt([]), make_gt([[4, 4, 40, 40]])]), 1)
    recorder.record()
    recorder.recording().save(tmp_path / "a.npz")
    for snapshot in (recorder.snapshots[0], Recording.load(tmp_path / "a.npz").snapshots[0]):
        empty, full = snapshot.images
        assert empty.detection_masks.shape == (0, 64, 64)
        assert len(empty.mask_probs) == 0 < len(full.mask_probs)
        assert len(empty.detections()) == 0
        assert (empty.sample_labels == 3).all()


# ---- the file --------------------------------------------------------------------


def assert_equal(first, second):
    """Two recordings agree in every array, bit by bit."""
    assert first.keep == second.keep and first.image_id == second.image_id
    assert (first.im_shape == second.im_shape).all()
    assert (first.scale_factor == second.scale_factor).all()
    assert len(first.snapshots) == len(second.snapshots)
    for a, b in zip(first.snapshots, second.snapshots):
        assert a.step == b.step
        assert a.loss == b.loss or (math.isnan(a.loss) and math.isnan(b.loss))
        assert all((x == y).all() for x, y in zip(a.gt_boxes, b.gt_boxes))
        for x, y in zip(a.images, b.images):
            assert x.size == y.size
            for name in ARRAYS:
                one, other = getattr(x, name), getattr(y, name)
                assert one.dtype == other.dtype and np.array_equal(one, other), name


def test_round_trip(tiny, recorder, tmp_path):
    recorder.record()
    tiny.rpn_head.rpn_rois_score.weight.set_value(-tiny.rpn_head.rpn_rois_score.weight)
    recorder(fake_step(2, loss=0.25))
    recording = recorder.recording()
    recording.save(tmp_path / "a.npz")
    assert_equal(Recording.load(tmp_path / "a.npz"), recording)
    first, second = (s.images[0].proposal_anchors for s in recording.snapshots)
    assert not np.array_equal(first, second)


def test_no_pickle_in_the_file(recorder, tmp_path):
    recorder.record()
    recorder.recording().save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "fiuU" for name in file.files)


def test_a_recording_needs_its_name_and_a_snapshot(recorder, tmp_path):
    with pytest.raises(ValueError, match="nothing has been recorded"):
        recorder.recording().save(tmp_path / "a.npz")
    recorder.record()
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        recorder.recording().save(tmp_path / "a.dat")
    np.savez(tmp_path / "b.npz", other=np.zeros(1))
    with pytest.raises(ValueError, match="not a recording"):
        Recording.load(tmp_path / "b.npz")


# ---- size ------------------------------------------------------------------------


def test_a_look_is_small(shapes, tmp_path):
    _, _, recorder = train_a_little(shapes, record=True)
    recording = recorder.recording()
    looks, images = len(recording.snapshots), len(recording.image_id)
    assert recording.nbytes / looks / images < 60_000  # 128 pixels, up to 20 masks
    recording.save(tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_size < 60_000 + recording.nbytes / 2
    assert LARGEST == 10_000_000


def test_too_much_is_thinned_out_and_the_latest_stays(tiny, make_batch):
    recorder = Recorder(tiny, make_batch(), every=1)
    recorder.record()
    # a little more than four snapshots of this size
    recorder.largest = int(recorder.snapshots[0].nbytes * 4.5)
    kept = {}
    for number in range(1, 20):
        recorder(fake_step(number, loss=number / 100))
        assert sum(s.nbytes for s in recorder.snapshots) <= recorder.largest
        kept[number] = [s.step for s in recorder.snapshots]
    assert kept[3] == [0, 1, 2, 3]
    assert kept[4] == kept[5] == [0, 2, 4]
    assert kept[6] == [0, 2, 4, 6]
    assert kept[8] == kept[11] == [0, 4, 8]
    assert kept[16] == kept[19] == [0, 8, 16]
    assert recorder.every == 8
    recorder.record(fake_step(19, loss=0.5))
    latest = recorder.recording().snapshots[-1]
    assert (latest.step, latest.loss) == (19, 0.5)


def test_the_latest_look_is_of_the_latest_weights(tiny, make_batch, tmp_path):
    recorder = Recorder(tiny, make_batch(), every=1, keep=("proposals", "detections"))
    recorder.record()
    score = tiny.rpn_head.rpn_rois_score
    score.weight.set_value(-score.weight)
    recorder.record(fake_step(1))
    recorder.recording().save(tmp_path / "a.npz")
    first, latest = Recording.load(tmp_path / "a.npz").snapshots
    tiny.train()
    for i, proposals in enumerate(tiny(make_batch()).proposals):
        best = np.sort(proposals.scores.numpy())[::-1][:50]
        assert (latest.images[i].proposal_scores == best).all()
        assert not np.array_equal(first.images[i].proposal_scores, best)
    tiny.eval()
    for i, detections in enumerate(tiny(make_batch()).detections):
        assert (latest.images[i].detection_scores == np.sort(detections.scores)[::-1][:20]).all()


def test_a_single_look_that_is_too_large_is_an_error(tiny, make_batch):
    recorder = Recorder(tiny, make_batch(), every=1, largest=1000)
    with pytest.raises(ValueError, match="one snapshot of 2 images takes"):
        recorder.record()


def test_wrong_wishes(tiny, make_batch):
    with pytest.raises(ValueError, match="every must be at least 1"):
        Recorder(tiny, make_batch(), 0)
    with pytest.raises(ValueError, match="keep must be some of"):
        Recorder(tiny, make_batch(), 1, keep=("weights",))
    with pytest.raises(ValueError, match="keep must be some of"):
        Recorder(tiny, make_batch(), 1, keep=())
    with pytest.raises(ValueError, match="need ground truth"):
        Recorder(tiny, make_batch(with_gt=False), 1)


# ---- recall ----------------------------------------------------------------------


def look(boxes, gt_boxes):
    """A snapshot with nothing but proposals and annotated boxes, both per image."""
    images = []
    for image in boxes:
        arrays = {name: np.zeros([0], np.float32) for name in ARRAYS}
        arrays["proposal_boxes"] = np.array(image, np.float32).reshape(-1, 4)
        images.append(ImageSnapshot((64, 64), **arrays))
    annotated = tuple(np.array(b, np.float32).reshape(-1, 4) for b in gt_boxes)
    return Snapshot(1, 0.0, tuple(images), annotated)


def test_recall_by_hand():
    a, b, far = [0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 60, 60]
    half = [0, 0, 10, 5]  # IoU 0.5 with a
    snapshot = look([[far, half], [b]], [[a, far], [b, far]])
    assert recall(snapshot) == 3 / 4
    assert recall(snapshot, top=1) == 2 / 4
    assert recall(snapshot, iou=0.51) == 2 / 4


def test_recall_of_nothing():
    assert recall(look([[]], [[[0, 0, 10, 10]]])) == 0
    assert math.isnan(recall(look([[[0, 0, 10, 10]]], [[]])))
    with pytest.raises(ValueError, match="1 .. 50"):
        recall(look([[]], [[]]), top=51)


def test_crowds_do_not_count(tiny, make_batch, make_gt):
    gt = make_gt([[4, 6, 40, 30], [20, 16, 52, 60]], [0, 1], [False, True])
    recorder = Recorder(tiny, make_batch(1, [gt]), 1, keep=("proposals",))
    recorder.record()
    assert recorder.snapshots[0].gt_boxes[0].tolist() == [[4, 6, 40, 30]]
