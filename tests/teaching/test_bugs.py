"""The bug zoo: every bug can be seen, and leaves nothing behind."""

import ast
import inspect
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import numpy as np
import paddle
import pytest

from maskrcnn_edu.data.coco import sample_from_array
from maskrcnn_edu.data.transforms import RandomFlip
from maskrcnn_edu.model import boxes as box_functions
from maskrcnn_edu.model import matching
from maskrcnn_edu.model.bbox import postprocess
from maskrcnn_edu.model.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.model.bbox.postprocess import MultiClassNMS
from maskrcnn_edu.model.bbox.targets import BBoxAssigner
from maskrcnn_edu.model.mask.head import MaskFeat, MaskHead
from maskrcnn_edu.model.mask.targets import MaskAssigner
from maskrcnn_edu.model.roi_align import RoIAlign
from maskrcnn_edu.model.rpn.anchors import AnchorGenerator
from maskrcnn_edu.model.rpn.head import RPNHead
from maskrcnn_edu.model.rpn.targets import RPNTargetAssign
from maskrcnn_edu.structures import (
    AnchorTargets,
    BBoxOutput,
    GroundTruth,
    MaskTargets,
    Proposals,
    RoISamples,
    RPNOutput,
)
from maskrcnn_edu.teaching.bugs.bug import Bug, Patch
from maskrcnn_edu.teaching.bugs.catalog import BUGS
from maskrcnn_edu.teaching.bugs.place import Place
from maskrcnn_edu.teaching.bugs.release import (
    ENVIRONMENT_VARIABLE,
    Release,
    release,
    release_from_environment,
    released,
)

ROOT = Path(__file__).parents[2]


def tensor(rows, dtype=np.float32):
    return paddle.to_tensor(np.array(rows, dtype))


def objects(boxes, segms=None, is_crowd=None):
    """Ground truth of class 0."""
    count = len(boxes)
    segms = segms or [[np.float64([x1, y1, x2, y1, x2, y2, x1, y2])] for x1, y1, x2, y2 in boxes]
    labels = tensor([0] * count, np.int64)
    return GroundTruth(tensor(boxes), labels, segms, tensor(is_crowd or [False] * count, bool))


def samples_of(boxes, labels):
    index = paddle.zeros([len(labels)], dtype="int64")
    return RoISamples(
        tensor(boxes), tensor(labels, np.int64), tensor([[0, 0, 4, 4]] * len(labels)), index, index
    )


# ---- one probe per bug: numbers that the bug changes ------------------------------


def anchors():
    return AnchorGenerator([4], [1.0], [8])([(2, 3)])[0]


def overlap():
    return matching.bbox_overlaps(tensor([[0, 0, 2, 2]]), tensor([[1, 0, 3, 2]]))


def anchor_labels():
    gt = objects([[0, 0, 4, 4]])
    anchors = tensor([[0, 0, 4, 8], [9, 9, 12, 12]])
    return RPNTargetAssign(8, use_random=False)(anchors, gt).target_labels


def labels_next_to_a_crowd():
    gt = objects([[0, 0, 4, 4], [8, 8, 12, 12]], is_crowd=[True, False])
    return RPNTargetAssign(8, use_random=False)(tensor([[0, 0, 4, 4]]), gt).target_labels


def box_head():
    return BBoxHead(TwoFCHead(1, 1, 1), 1, num_classes=2)


def box_loss(labels):
    out = BBoxOutput(paddle.zeros([len(labels), 3]), paddle.ones([len(labels), 2, 4]))
    roi = samples_of([[0, 0, 2, 2]] * len(labels), labels)
    return box_head().get_loss(out, [roi])["loss_bbox_reg"]


def decoded():
    image = tensor([9, 9])
    return postprocess.RCNNBox(num_classes=1)(
        tensor([[[1, 0, 0, 0]]]), tensor([[0, 0, 4, 4]]), image
    )


def decoded_at_the_border():
    image = tensor([9, 9])
    return postprocess.RCNNBox(num_classes=1)(
        paddle.zeros([1, 1, 4]), tensor([[6, 6, 12, 12]]), image
    )


def rpn_loss():
    out = RPNOutput(
        paddle.zeros([1, 2]), paddle.ones([1, 2, 4]), tensor([[0, 0, 2, 2], [0, 0, 4, 4]]), [2]
    )
    wanted = AnchorTargets(tensor([1, 0], np.int32), paddle.zeros([2, 4]), tensor([0, 0], np.int64))
    return sum(
        RPNHead(AnchorGenerator([4], [1.0], [4]), in_channel=1).get_loss(out, [wanted]).values()
    )


def sampled_labels():
    boxes = tensor([[0, 0, 4, 4], [9, 9, 12, 12]])
    proposals = Proposals(boxes, paddle.zeros([2]), paddle.zeros([2], dtype="int64"))
    return BBoxAssigner(4, 0.5, use_random=False, num_classes=3)(
        proposals, objects([[0, 0, 4, 4]])
    ).target_labels


def ramp():
    """The x of every pixel's centre, [1, 1, 8, 8]."""
    return tensor(np.broadcast_to(np.arange(8) + 0.5, (1, 1, 8, 8)))


def aligned():
    return RoIAlign(1, [1.0], aligned=True)([ramp()], [tensor([[2, 2, 4, 4]])])


def aligned_on_the_second_level():
    extractor = RoIAlign(
        1, [1.0, 0.5], canonical_size=4, canconical_level=3, end_level=1, aligned=True
    )
    return extractor([ramp(), ramp()], [tensor([[2, 2, 6, 6], [2, 2, 3, 3]])])


def two_classes_at_one_place():
    boxes = tensor([[[0, 0, 4, 4], [0, 0, 4, 4]]])
    return MultiClassNMS()(boxes, tensor([[0.9, 0.8]]))[1]


def in_the_file():
    return postprocess.boxes_to_image_frame(tensor([[2, 2, 4, 4]]), tensor([8, 8]), tensor([1, 2]))


def mask_of(outline):
    gt = objects([[0, 0, 4, 4]], segms=[[np.float64(outline)]])
    return MaskAssigner(2, 4)(samples_of([[0, 0, 4, 4]], [0]), gt).target_masks


def square_mask():
    return mask_of([0, 0, 4, 0, 4, 4, 0, 4])


def left_half_mask():
    return mask_of([0, 0, 2, 0, 2, 4, 0, 4])


def mask_head():
    return MaskHead(MaskFeat(1, 1, 0), num_classes=2)


def mask_loss():
    logits = tensor([[[[3.0]], [[-3.0]]]])
    wanted = MaskTargets(tensor([0], np.int64), tensor([0], np.int64), paddle.ones([1, 1, 1]))
    return mask_head().get_loss(logits, [wanted])["loss_mask"]


def mask_probability():
    return mask_head().get_prediction(tensor([[[[3.0]], [[-3.0]]]]), tensor([0], np.int64))


def flipped():
    gt = objects([[0, 0, 2, 4]])
    gt = GroundTruth(gt.boxes.numpy(), gt.labels.numpy(), gt.segms, gt.is_crowd.numpy())
    sample = replace(sample_from_array(np.zeros([4, 8, 3], np.uint8)), gt=gt)
    return RandomFlip(1.0)(sample, np.random.default_rng(0)).gt.segms[0][0]


PROBES = {
    "flip_forgets_polygons": flipped,
    "anchors_xy_swapped": anchors,
    "anchors_half_stride": anchors,
    "iou_plus_one": overlap,
    "low_quality_forgotten": anchor_labels,
    "crowds_are_objects": labels_next_to_a_crowd,
    "encode_without_weights": lambda: box_loss([0]),
    "decode_without_weights": decoded,
    "boxes_not_clipped": decoded_at_the_border,
    "rpn_loss_by_found": rpn_loss,
    "labels_off_by_one": sampled_labels,
    "half_pixel_forgotten": aligned,
    "scale_of_the_finest_level": aligned_on_the_second_level,
    "background_moves_boxes": lambda: box_loss([0, 2]),
    "nms_across_classes": two_classes_at_one_place,
    "scale_factor_swapped": in_the_file,
    "constant_mask_vanishes": square_mask,
    "masks_transposed": left_half_mask,
    "all_classes_draw": mask_loss,
    "sigmoid_forgotten": mask_probability,
}
WHOLE_MODEL = {"gradient_through_proposals", "mask_feature_without_offset"}


def test_there_are_enough_bugs_and_each_has_a_probe():
    assert len(BUGS) >= 15
    assert set(PROBES) | WHOLE_MODEL == set(BUGS)


@pytest.mark.parametrize("name", PROBES)
def test_every_bug_can_be_seen_and_goes_away(name):
    right = np.asarray(PROBES[name]())
    with release(name):
        wrong = np.asarray(PROBES[name]())
    again = np.asarray(PROBES[name]())
    assert not np.array_equal(right, wrong)
    np.testing.assert_array_equal(right, again)


def mask_logits(model, batch):
    model.train()
    return model(batch).mask_logits.numpy()


def test_the_mask_head_sees_the_first_images_rois_twice(tiny_c4, make_batch):
    batch = make_batch(2)
    right = mask_logits(tiny_c4, batch)
    with release("mask_feature_without_offset"):
        wrong = mask_logits(tiny_c4, batch)
    first = len(tiny_c4(batch).mask_targets[0])
    np.testing.assert_array_equal(right[:first], wrong[:first])
    assert not np.array_equal(right[first:], wrong[first:])


def pull_of_the_box_loss(model, batch):
    """(the loss, the gradient that it sends to the RPN's deltas)"""
    model.train()
    model.clear_gradients()
    loss = model(batch).losses["loss_bbox_reg"]
    loss.backward()
    grad = model.rpn_head.rpn_rois_delta.weight.grad
    return loss.item(), 0.0 if grad is None else float(grad.abs().sum())


def test_a_gradient_through_the_proposals_changes_no_loss(tiny_c4, make_batch):
    batch = make_batch(2)
    right_loss, right_pull = pull_of_the_box_loss(tiny_c4, batch)
    with release("gradient_through_proposals"):
        wrong_loss, wrong_pull = pull_of_the_box_loss(tiny_c4, batch)
    assert wrong_loss == pytest.approx(right_loss, 1e-6)
    assert right_pull == 0 and wrong_pull > 0


# ---- everything is put back ------------------------------------------------------


def everything():
    """Every attribute of every loaded module of the package, and of its classes."""
    attributes = {}
    for module_name, module in list(sys.modules.items()):
        if not module_name.startswith("maskrcnn_edu"):
            continue
        for name, value in vars(module).items():
            attributes[module_name, name] = value
            if isinstance(value, type) and value.__module__.startswith("maskrcnn_edu"):
                attributes |= {(module_name, name, n): v for n, v in vars(value).items()}
    return attributes


def differences(before, after):
    assert before.keys() == after.keys()
    return [key for key in before if before[key] is not after[key]]


@pytest.mark.parametrize("name", BUGS)
def test_exactly_what_was_there_is_there_again(name):
    before = everything()
    with release(name) as bug:
        assert bug is BUGS[name] and released() == [name]
        assert len(differences(before, everything())) >= len(bug.places)
    assert differences(before, everything()) == [] and released() == []


def test_an_exception_catches_the_bug_too():
    before = everything()
    with pytest.raises(ZeroDivisionError), release("iou_plus_one"):
        raise ZeroDivisionError
    assert differences(before, everything()) == []


def test_released_and_caught_by_hand():
    before = everything()
    out = release("iou_plus_one")
    assert overlap().item() == pytest.approx(6 / 12)
    out.catch()
    out.catch()  # once more does nothing
    assert differences(before, everything()) == []


def test_modules_that_imported_the_function_make_the_mistake_too():
    right = box_functions.bbox_overlaps
    with release("iou_plus_one"):
        assert box_functions.bbox_overlaps is matching.bbox_overlaps is not right
    assert box_functions.bbox_overlaps is matching.bbox_overlaps is right


def test_a_module_that_is_imported_meanwhile_is_put_right(monkeypatch):
    late = ModuleType("maskrcnn_edu.late")
    with release("iou_plus_one"):
        late.bbox_overlaps = box_functions.bbox_overlaps
        monkeypatch.setitem(sys.modules, late.__name__, late)
    assert late.bbox_overlaps is box_functions.bbox_overlaps


# ---- one at a time ---------------------------------------------------------------


def test_an_unknown_name_is_an_error_that_helps():
    with pytest.raises(
        ValueError, match="there is no bug 'iou_plus_on'; did you mean iou_plus_one"
    ):
        release("iou_plus_on")


def test_two_bugs_only_on_purpose():
    before = everything()
    with release("iou_plus_one"):
        with pytest.raises(RuntimeError, match="iou_plus_one is out already"):
            release("masks_transposed")
        with release("masks_transposed", together=True):
            assert released() == ["iou_plus_one", "masks_transposed"]
        assert released() == ["iou_plus_one"]
        with pytest.raises(RuntimeError, match="out already"):
            release("iou_plus_one", together=True)
    assert differences(before, everything()) == []


def test_two_bugs_in_one_function_come_back_in_order():
    before = everything()
    first = release("scale_of_the_finest_level")
    second = release("half_pixel_forgotten", together=True)
    # the middle of the large box, 4: read at 4 / 1 and half a pixel too far, not at 4 / 2
    assert aligned_on_the_second_level()[0].flatten().tolist() == [4.5]
    with pytest.raises(RuntimeError, match="catch 'half_pixel_forgotten' before"):
        first.catch()
    second.catch()
    first.catch()
    assert differences(before, everything()) == []


# ---- from the environment --------------------------------------------------------


def test_the_environment_names_a_bug(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, "iou_plus_one")
    right = box_functions.bbox_overlaps
    out = release_from_environment()
    assert out.bug is BUGS["iou_plus_one"]
    assert box_functions.bbox_overlaps is not right
    out.catch()
    assert box_functions.bbox_overlaps is right


@pytest.mark.parametrize("value", [None, ""])
def test_no_bug_in_the_environment(monkeypatch, value):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(ENVIRONMENT_VARIABLE, value)
    assert release_from_environment() is None and released() == []


# ---- the list --------------------------------------------------------------------


@pytest.mark.parametrize("bug", BUGS.values(), ids=list(BUGS))
def test_every_bug_says_what_who_and_where(bug):
    assert bug.name in BUGS and bug.title.isascii() and len(bug.title) <= 45
    assert len(bug.story) > 60 and bug.story.isascii() and bug.story.endswith(".")
    assert bug.places
    assert bug.tests and all((ROOT / path).exists() for path in bug.tests)
    assert bug.notebooks


# ---- what differs is the mistake -------------------------------------------------

PATCHES = [(bug, patch) for bug in BUGS.values() for patch in bug.patches]


@pytest.mark.parametrize(("bug", "patch"), PATCHES, ids=[f"{b.name}-{p.place}" for b, p in PATCHES])
def test_the_old_text_stands_there_once_and_nothing_else_changes(bug, patch):
    right = Place.find(patch.place).source
    wrong = patch.apply(right)
    start = right.index(patch.old)
    assert wrong[:start] == right[:start]
    assert wrong[start : start + len(patch.new)] == patch.new
    assert wrong[start + len(patch.new) :] == right[start + len(patch.old) :]


@pytest.mark.parametrize("bug", BUGS.values(), ids=list(BUGS))
def test_a_patch_changes_what_is_computed_not_comments(bug):
    for place in bug.places:
        right = Place.find(place).source
        one, other = (ast.parse(dedent(s)) for s in (right, bug.patched(place, right)))
        assert ast.dump(one) != ast.dump(other)


def test_a_diff_shows_the_mistake():
    assert BUGS["half_pixel_forgotten"].diff().splitlines()[0] == "model.roi_align:RoIAlign._align"
    changed = [line for line in BUGS["half_pixel_forgotten"].diff().splitlines() if line[0] in "+-"]
    assert changed == ["-            aligned=self.aligned,", "+            aligned=False,"]


@pytest.mark.parametrize("old", ["x1", "x17"])
def test_a_text_that_does_not_stand_there_once_is_refused(old):
    drifted = Bug(
        "drifted", "", "", (
            Patch("model.boxes:bbox_overlaps", "overlap / union", "union / overlap"),
            Patch("model.boxes:bbox_area", old, "y1"),
        ), (), (),
    )  # fmt: skip
    before = everything()
    with pytest.raises(ValueError, match=rf"model.boxes:bbox_area has '{old}' \d times, not once"):
        Release(drifted)
    assert differences(before, everything()) == [] and released() == []


# ---- the wrong version is a function like any other ------------------------------


def test_python_shows_the_wrong_source_and_then_the_right_one():
    right = inspect.getsource(AnchorGenerator)  # of the file
    assert inspect.getsource(AnchorGenerator._grid_anchors) in right
    with release("anchors_xy_swapped"):
        wrong = inspect.getsource(AnchorGenerator._grid_anchors)
        assert wrong not in right and "np.stack([y, x, y, x], axis=-1)" in wrong
    assert inspect.getsource(AnchorGenerator._grid_anchors) in right


def test_name_place_and_decorators_stay():
    def look(function):
        code = inspect.unwrap(function).__code__
        return function.__qualname__, function.__module__, code.co_firstlineno

    name = (
        "model.bbox.postprocess:boxes_to_image_frame",
        "model.mask.head:MaskHead.get_prediction",
    )
    right = [Place.find(n).function for n in name]
    with release("scale_factor_swapped"), release("sigmoid_forgotten", together=True):
        wrong = [Place.find(n).function for n in name]
        assert not set(wrong) & set(right)
        assert list(map(look, wrong)) == list(map(look, right))
        assert all(inspect.unwrap(w) is not w for w in wrong)  # paddle.no_grad


def test_a_decorator_can_be_the_mistake():
    with release("gradient_through_proposals"):
        wrong = Place.find("model.bbox.targets:generate_proposal_target").function
        assert inspect.unwrap(wrong) is wrong


def test_a_traceback_names_the_line_in_the_file():
    def frame():
        with pytest.raises(AttributeError) as caught:
            box_functions.bbox_overlaps(None, None)
        frames = traceback.extract_tb(caught.tb)
        return next(f for f in frames if f.name == "bbox_overlaps")

    right = frame()
    with release("iou_plus_one"):
        wrong = frame()
    assert (wrong.lineno, wrong.line) == (right.lineno, right.line)
    assert wrong.filename == "<iou_plus_one: maskrcnn_edu.model.boxes:bbox_overlaps>"
