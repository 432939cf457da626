"""Every anchor has one fate; lives worked out with a pencil come out the same."""

import math
from types import SimpleNamespace

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest

from maskrcnn_edu.model.bbox.targets import BBoxAssigner
from maskrcnn_edu.model.mask.targets import MaskAssigner
from maskrcnn_edu.model.rpn.proposals import ProposalGenerator
from maskrcnn_edu.model.rpn.targets import RPNTargetAssign
from maskrcnn_edu.structures import Batch, BBoxOutput, RPNOutput, TrainingStages
from maskrcnn_edu.teaching.biography import Fate, anchor_fates, biography, count_fates

# ---- situations made by hand -----------------------------------------------------

SCHOOL, HOUSE, YARD = [10, 10, 50, 50], [60, 60, 90, 90], [0, 60, 40, 100]


@pytest.fixture
def situation(make_gt):
    """Anchors, scores and objects in an image of 100 x 100 -> (stages, rules)."""

    def build(anchors, objects=(), *, scores=None, deltas=None, levels=None, crowd=None, **rules):
        count = len(anchors)
        # the first anchor is the best one unless scores are given
        scores = list(range(count, 0, -1)) if scores is None else scores
        model = make_rules(**rules)
        gt = make_gt(list(objects), [i % 3 for i in range(len(objects))], crowd)
        rpn = RPNOutput(
            paddle.to_tensor([scores], dtype="float32"),
            paddle.to_tensor([deltas or np.zeros([count, 4])], dtype="float32"),
            paddle.to_tensor(anchors, dtype="float32"),
            levels or [count],
        )
        image = paddle.zeros([1, 3, 100, 100])
        batch = Batch(image, paddle.full([1, 2], 100.0), paddle.ones([1, 2]), [0], [gt])
        return run(model, rpn, batch), model

    return build


def make_rules(generator=None, assigner=None, rpn_assigner=None):
    """What `biography` asks a model for; thresholds as given."""
    assigner = {"num_classes": 3, "use_random": False, **(assigner or {})}
    return SimpleNamespace(
        rpn_head=SimpleNamespace(
            train_proposal=ProposalGenerator(**{"nms_thresh": 0.7, **(generator or {})}),
            rpn_target_assign=RPNTargetAssign(**{"use_random": False, **(rpn_assigner or {})}),
        ),
        bbox_head=SimpleNamespace(
            bbox_assigner=BBoxAssigner(**assigner),
            num_classes=3,
            bbox_weight=(10.0, 10.0, 5.0, 5.0),
        ),
    )


def run(model, rpn, batch):
    """The training step's stages by the real functions; a box head that is never sure."""
    gt, generate = batch.gt[0], model.rpn_head.train_proposal
    proposals = generate(
        rpn.scores[0], rpn.deltas[0], rpn.anchors, batch.im_shape[0], rpn.level_sizes
    )
    samples = model.bbox_head.bbox_assigner(proposals, gt)
    bbox = BBoxOutput(paddle.zeros([len(samples), 4]), paddle.zeros([len(samples), 3, 4]))
    masks = MaskAssigner(num_classes=3, mask_resolution=4)(samples, gt)
    targets = model.rpn_head.rpn_target_assign(rpn.anchors, gt)
    return TrainingStages(
        batch, [], rpn, [targets], [proposals], [samples], bbox, [masks], paddle.zeros([0]), {}
    )  # fmt: skip


def fates(made):
    return list(anchor_fates(*made, 0))


def test_low_scores_do_not_enter(situation):
    made = situation([SCHOOL, HOUSE, YARD], scores=[0.5, 2, 1], generator={"pre_nms_top_n": 2})
    life = biography(*made, 0, anchor=0)
    assert (life.fate, life.rank, life.level_size) == (Fate.NOT_AMONG_BEST, 2, 3)
    assert life.score == 0.5 and life.proposal is None and life.kind is None


def test_clipping_may_leave_a_sliver(situation):
    made = situation([SCHOOL, [97, 20, 130, 60]], generator={"min_size": 4})
    life = biography(*made, 0, anchor=1)
    assert life.fate is Fate.TOO_SMALL
    assert life.decoded_box.tolist() == [97, 20, 130, 60]
    assert life.clipped_box.tolist() == [97, 20, 100, 60]


def test_outside_the_image_nothing_is_left(situation):
    made = situation([SCHOOL, [120, 20, 150, 60]], generator={"min_size": 0})
    assert fates(made)[1] is Fate.TOO_SMALL  # no width; min_size 0 acts as 1


def test_the_better_of_two_copies_stays(situation):
    made = situation([SCHOOL, [10, 10, 50, 45]])
    life = biography(*made, 0, anchor=1)
    assert life.fate is Fate.SUPPRESSED
    assert life.suppressed_by == 0
    assert life.suppressed_iou == pytest.approx(35 / 40)
    assert fates(made)[0].is_proposal


def test_who_is_suppressed_suppresses_nobody(situation):
    chain = [[0, 0, 40, 40], [0, 0, 40, 30], [0, 0, 40, 24]]  # IoU 0.75, 0.8; ends 0.6
    made = situation(chain)
    assert [f.is_proposal for f in fates(made)] == [True, False, True]
    assert biography(*made, 0, anchor=1).suppressed_by == 0


def test_suppression_stays_within_a_level(situation):
    made = situation([SCHOOL, SCHOOL], levels=[1, 1])
    assert all(f.is_proposal for f in fates(made))
    assert [biography(*made, 0, anchor=i).level for i in (0, 1)] == [0, 1]


def test_adaptive_suppression_becomes_stricter(situation):
    boxes = [[0, 0, 40, 40], [0, 0, 40, 25]]  # IoU 0.625; the threshold falls to 0.56
    rules = {"nms_thresh": 0.8, "eta": 0.7}
    life = biography(*situation(boxes, generator=rules), 0, anchor=1)
    assert (life.fate, life.suppressed_by) == (Fate.SUPPRESSED, 0)
    assert fates(situation(boxes, generator={"nms_thresh": 0.8}))[1].is_proposal


def test_the_suppressor_is_the_first_above_the_threshold_then_in_force(situation):
    # the last one overlaps the first by 0.45 and the second, its closest, by 0.63; when
    # its turn comes two boxes have stayed, and the threshold is 0.8 * 0.7 * 0.7 = 0.39
    boxes = [[0, 0, 40, 40], [24, 0, 64, 40], [15, 0, 55, 40]]
    life = biography(*situation(boxes, generator={"nms_thresh": 0.8, "eta": 0.7}), 0, anchor=2)
    assert (life.fate, life.suppressed_by) == (Fate.SUPPRESSED, 0)
    assert life.suppressed_iou == pytest.approx(25 / 55)


def test_a_level_keeps_so_many(situation):
    made = situation([SCHOOL, HOUSE, YARD], generator={"post_nms_top_n": 2})
    assert [f is Fate.BEYOND_LEVEL for f in fates(made)] == [False, False, True]
    assert biography(*made, 0, anchor=2).proposal is None


def test_all_levels_together_keep_so_many(situation):
    made = situation(
        [SCHOOL, HOUSE, YARD], scores=[1, 2, 3], levels=[1, 2], generator={"post_nms_top_n": 1}
    )
    assert fates(made)[:2] == [Fate.BEYOND_ALL, Fate.BEYOND_LEVEL]
    assert fates(made)[2].is_proposal


def test_limit_after_collecting_spares_the_levels(situation):
    rules = {"post_nms_top_n": 1, "topk_after_collect": True}
    made = situation([SCHOOL, HOUSE, YARD], levels=[1, 2], generator=rules)
    assert fates(made)[1:] == [Fate.BEYOND_ALL, Fate.BEYOND_ALL]


def test_near_a_crowd_is_ignored(situation):
    made = situation(
        [SCHOOL, HOUSE], [HOUSE, SCHOOL], crowd=[False, True], assigner={"ignore_thresh": 0.5}
    )
    life = biography(*made, 0, anchor=0)
    assert (life.fate, life.kind, life.gt_index) == (Fate.NEAR_CROWD, "ignored", None)
    assert life.iou.tolist() == [0, 1]
    assert fates(made)[1] is Fate.SAMPLED_FOREGROUND


def test_without_threshold_a_crowd_is_background(situation):
    made = situation([SCHOOL, HOUSE], [HOUSE, SCHOOL], crowd=[False, True])
    assert fates(made) == [Fate.SAMPLED_BACKGROUND, Fate.SAMPLED_FOREGROUND]


def test_neither_foreground_nor_background(situation):
    half = [10, 10, 30, 50]  # IoU 0.5
    made = situation([half], [SCHOOL], assigner={"fg_thresh": 0.7, "bg_thresh": 0.3})
    life = biography(*made, 0, anchor=0)
    assert (life.fate, life.kind, life.gt_index) == (Fate.BETWEEN, "ignored", 0)
    assert life.proposal == 0 and life.roi is None


def test_the_quota_of_foreground(situation):
    made = situation(
        [SCHOOL, HOUSE, YARD],
        [SCHOOL, HOUSE],
        assigner={"batch_size_per_im": 4, "fg_fraction": 0.25},
    )
    expected = [Fate.SAMPLED_FOREGROUND, Fate.FOREGROUND_DROPPED, Fate.SAMPLED_BACKGROUND]
    assert fates(made) == expected
    life = biography(*made, 0, anchor=1)
    assert (life.kind, life.gt_index, life.roi, life.box_target) == ("foreground", 1, None, None)


def test_the_quota_of_background(situation):
    rules = {"batch_size_per_im": 2, "fg_fraction": 0.5}
    made = situation([YARD, HOUSE, SCHOOL], [SCHOOL], assigner=rules)
    expected = [Fate.SAMPLED_BACKGROUND, Fate.BACKGROUND_DROPPED, Fate.SAMPLED_FOREGROUND]
    assert fates(made) == expected


def test_life_of_a_foreground_roi(situation):
    made = situation([HOUSE, SCHOOL], [HOUSE, [20, 10, 60, 50]])
    life = biography(*made, 0, roi=1)
    assert (life.fate, life.anchor, life.roi) == (Fate.SAMPLED_FOREGROUND, 1, 1)
    assert (life.gt_index, life.label, life.kind) == (1, 1, "foreground")
    assert life.iou == pytest.approx([0, 0.6])  # 30 of 50 columns
    # a quarter of the width to the right, times the weight 10
    assert life.box_target == pytest.approx([2.5, 0, 0, 0])
    assert life.mask_target.tolist() == [[0, 1, 1, 1]] * 4
    assert life.class_scores == pytest.approx([0.25] * 4)


def test_life_of_a_background_roi(situation):
    made = situation([YARD], [SCHOOL])
    life = biography(*made, 0, anchor=0)
    assert (life.fate, life.label, life.kind) == (Fate.SAMPLED_BACKGROUND, 3, "background")
    assert life.gt_index is None  # it touches no object
    assert life.box_target is None and life.mask_target is None
    assert life.roi == 1  # after the annotated box, which is foreground


def test_life_of_an_annotated_box(situation):
    made = situation([YARD], [SCHOOL])
    life = biography(*made, 0, roi=0)
    assert life.anchor is None and life.proposal is None and life.score is None
    assert (life.fate, life.gt_index, life.label) == (Fate.SAMPLED_FOREGROUND, 0, 0)
    assert life.box.tolist() == SCHOOL
    assert life.box_target.tolist() == [0, 0, 0, 0]
    assert life.mask_target.sum() == 16
    assert "Annotated box (10.0, 10.0, 50.0, 50.0), added to the proposals" in str(life)


def test_life_without_objects(situation):
    life = biography(*situation([YARD]), 0, anchor=0)
    assert (life.fate, len(life.iou), life.gt_index) == (Fate.SAMPLED_BACKGROUND, 0, None)
    assert "no objects in the image" in str(life)


def test_an_anchor_moves_by_its_delta(situation):
    made = situation([[0, 0, 20, 20]], deltas=[[0.5, 0, math.log(2), 0]])
    life = biography(*made, 0, anchor=0)
    assert life.anchor_box.tolist() == [0, 0, 20, 20]
    assert life.decoded_box == pytest.approx([0, 0, 40, 20])  # centre at 20, twice as wide


def test_what_the_rpn_learns(situation):
    half = [10, 10, 50, 30]  # IoU 0.5: between 0.3 and 0.7, and not the closest
    made = situation([[20, 10, 60, 50], SCHOOL, half, YARD], [SCHOOL])
    lives = [biography(*made, 0, anchor=i) for i in range(4)]
    assert [b.rpn_label for b in lives] == [-1, 1, -1, 0]
    assert [b.rpn_kind for b in lives] == ["ignored", "foreground", "ignored", "background"]
    assert (lives[1].rpn_object, lives[1].rpn_target.tolist()) == (0, [0, 0, 0, 0])
    assert lives[0].rpn_target is None and lives[3].rpn_object is None


def test_not_drawn_is_not_ignored(situation):
    made = situation([HOUSE, YARD], [SCHOOL], rpn_assigner={"batch_size_per_im": 1})
    life = biography(*made, 0, anchor=1)
    assert (life.rpn_kind, life.rpn_label) == ("background", -1)
    assert "background, but not drawn" in str(life)


def test_the_story(situation):
    made = situation([HOUSE, SCHOOL, [60, 60, 90, 85]], [HOUSE, [20, 10, 60, 50]])
    assert str(biography(*made, 0, roi=1)) == "\n".join(
        [
            "Anchor 1 on level 0: box (10.0, 10.0, 50.0, 50.0)",
            "  RPN target: object 1, delta (0.250, 0.000, 0.000, 0.000)",
            "  RPN output: score 2.000, place 2 of 3 in its level",
            "  moved by delta (0.000, 0.000, 0.000, 0.000) to (10.0, 10.0, 50.0, 50.0)",
            "  clipped to the image: (10.0, 10.0, 50.0, 50.0)",
            "  IoU with the objects 0: 0.00, 1: 0.60",
            "  so it counts as foreground, closest to object 1",
            "  Fate: sampled as foreground: trains class, box and mask",
            "  RoI 1, should be class 1; box head gave it 0.250",
            "  box target (2.500, 0.000, 0.000, 0.000)",
            "  mask target 4 x 4: 12 of 16 cells are object",
        ]
    )
    assert "the better one: anchor 0, IoU 0.83" in str(biography(*made, 0, anchor=2))


# ---- real models -----------------------------------------------------------------

RULES = {
    "as it is": {},
    "topk after collect": {"topk_after_collect": True, "post_nms_top_n": 25},
    "min size": {"min_size": 12.0},
    "strict suppression": {"nms_thresh": 0.2},
    "adaptive suppression": {"nms_thresh": 0.8, "eta": 0.8},
    "few": {"pre_nms_top_n": 5, "post_nms_top_n": 3},
    "nothing survives": {"min_size": 1000.0},
}
ASSIGNERS = {
    "as it is": {},
    "small quota": {"batch_size_per_im": 4, "fg_fraction": 0.25},
    "crowds hide": {"ignore_thresh": 0.05},
    "a gap": {"fg_thresh": 0.4, "bg_thresh": 0.1},
    "random": {"use_random": True},
}


@pytest.fixture
def lively(tiny):
    """A tiny model whose boxes move, so that all obstacles are met."""
    weight = tiny.rpn_head.rpn_rois_delta.weight
    weight.set_value(weight * 60)
    tiny.train()
    return tiny


@pytest.fixture
def crowded(make_batch, make_gt):
    """Three images: a crowd next to an object, no objects, two objects."""
    boxes = [[4, 6, 40, 30], [20, 16, 52, 60]]
    return make_batch(3, [make_gt(boxes, [0, 2], [False, True]), make_gt([]), make_gt(boxes)])


def check_books(stages, model):
    """Fates add up, and agree in number with every record."""
    for i, (proposals, samples) in enumerate(zip(stages.proposals, stages.samples)):
        fates_now, counts = anchor_fates(stages, model, i), count_fates(stages, model, i)
        assert fates_now.shape == (stages.rpn.anchors.shape[0],)
        assert sum(counts.values()) == len(fates_now) and list(counts) == list(Fate)
        is_proposal = np.array([f.is_proposal for f in fates_now])
        assert sorted(proposals.anchor_index.tolist()) == np.flatnonzero(is_proposal).tolist()
        added = int((samples.proposal_index.numpy() < 0).sum())
        sampled = counts[Fate.SAMPLED_FOREGROUND] + counts[Fate.SAMPLED_BACKGROUND]
        assert sampled + added == len(samples)
        if not added:
            assert counts[Fate.SAMPLED_FOREGROUND] == len(stages.mask_targets[i])


@pytest.mark.parametrize("name", RULES)
def test_fates_add_up_whatever_the_generator(lively, crowded, name):
    old = lively.rpn_head.train_proposal
    values = {"pre_nms_top_n": old.pre_nms_top_n, "post_nms_top_n": old.post_nms_top_n}
    lively.rpn_head.train_proposal = ProposalGenerator(
        **{**values, "nms_thresh": 0.7, **RULES[name]}
    )
    check_books(lively(crowded), lively)


@pytest.mark.parametrize("name", ASSIGNERS)
def test_fates_add_up_whatever_the_assigner(lively, crowded, name):
    values = {"batch_size_per_im": 16, "use_random": False, "num_classes": 3}
    lively.bbox_head.bbox_assigner = BBoxAssigner(**{**values, **ASSIGNERS[name]})
    check_books(lively(crowded), lively)


def test_every_anchor_tells_a_life_that_agrees_with_the_records(lively, crowded):
    stages = lively(crowded)
    fates = anchor_fates(stages, lively, 0)
    for fate in set(fates):
        life = biography(stages, lively, 0, anchor=int(np.flatnonzero(fates == fate)[0]))
        assert life.fate is fate and str(fate) in str(life)
        assert (life.suppressed_by is not None) == (fate is Fate.SUPPRESSED)
        if life.proposal is not None:
            box = stages.proposals[0].boxes[life.proposal].numpy()
            assert (life.clipped_box == box).all()  # to the last bit
    assert Fate.SUPPRESSED in fates and Fate.SAMPLED_BACKGROUND in fates


def test_every_roi_of_every_image_agrees_with_the_records(lively, crowded):
    stages = lively(crowded)
    probs = F.softmax(stages.bbox.scores).numpy()
    start = 0
    for i, samples in enumerate(stages.samples):
        for roi in range(len(samples)):
            life = biography(stages, lively, i, roi=roi)
            assert life.roi == roi and life.label == int(samples.target_labels[roi])
            assert life.box.tolist() == samples.boxes[roi].tolist()
            assert (life.anchor is None) == (int(samples.proposal_index[roi]) < 0)
            assert life.class_scores == pytest.approx(probs[start + roi], abs=1e-6)
            if life.mask_target is not None:
                assert life.gt_index == int(samples.gt_index[roi])
        start += len(samples)


def test_changed_settings_are_noticed(lively, crowded):
    stages = lively(crowded)
    lively.rpn_head.train_proposal = ProposalGenerator(3, 2, 0.7)
    with pytest.raises(ValueError, match="do not follow from the scores"):
        anchor_fates(stages, lively, 0)


def test_changed_thresholds_are_noticed(situation):
    stages, model = situation([SCHOOL], [[20, 10, 60, 50]])
    model.bbox_head.bbox_assigner = BBoxAssigner(num_classes=3, fg_thresh=0.9, bg_thresh=0.9)
    with pytest.raises(ValueError, match="do not follow from the proposals"):
        anchor_fates(stages, model, 0)


def test_questions_without_an_answer(situation):
    made = situation([SCHOOL])
    with pytest.raises(ValueError, match="either an anchor or a roi"):
        biography(*made, 0)
    with pytest.raises(ValueError, match="either an anchor or a roi"):
        biography(*made, 0, anchor=0, roi=0)
    with pytest.raises(IndexError, match="anchor 1 of 1"):
        biography(*made, 0, anchor=1)
    with pytest.raises(IndexError, match="roi -1 of 1"):
        biography(*made, 0, roi=-1)
    with pytest.raises(IndexError, match="image 1 of a batch of 1"):
        anchor_fates(*made, 1)
