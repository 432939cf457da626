"""What became of every anchor of a training step, and the whole life of one anchor or RoI.

Everything is read from the recorded `TrainingStages`; the model is only asked for its
rules (thresholds and numbers), never run. Each anchor has exactly one `Fate`: the last
station that it reached on the way from anchor to trained RoI.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import Tensor

from maskrcnn_edu.model.boxes import (
    bbox2delta,
    bbox_overlaps,
    clip_bbox,
    delta2bbox,
    exp_float64,
)
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.model.matching import BACKGROUND, FOREGROUND, IGNORE, label_box
from maskrcnn_edu.model.rpn.proposals import ProposalGenerator
from maskrcnn_edu.structures import GroundTruth, ProposalSteps, TrainingStages
from maskrcnn_edu.system.language import say


class Fate(Enum):
    """How the way of an anchor ended; in the order in which the stages decide it.

    The first five never became proposals. ``str(fate)`` is a readable sentence.
    """

    NOT_AMONG_BEST = "its score is not among the best of its level (pre_nms_top_n)"
    TOO_SMALL = "too small after clipping to the image (min_size)"
    SUPPRESSED = "suppressed by a better proposal of its level (nms_thresh)"
    BEYOND_LEVEL = "beyond the number that its level keeps after suppression (post_nms_top_n)"
    BEYOND_ALL = "beyond the number that all levels keep together (post_nms_top_n)"
    NEAR_CROWD = "a proposal, ignored because it overlaps a crowd region (ignore_thresh)"
    BETWEEN = "a proposal, ignored because it is neither foreground nor background"
    FOREGROUND_DROPPED = "a foreground proposal, dropped by the quota (fg_fraction)"
    BACKGROUND_DROPPED = "a background proposal, dropped by the quota (batch_size_per_im)"
    SAMPLED_FOREGROUND = "sampled as foreground: trains class, box and mask"
    SAMPLED_BACKGROUND = "sampled as background: trains the class only"

    def __str__(self) -> str:
        return say(self.value)

    @property
    def is_proposal(self) -> bool:
        """True if the anchor became one of the image's proposals."""
        return self not in _NO_PROPOSAL

    @property
    def is_sampled(self) -> bool:
        """True if the box head trains on it."""
        return self in (Fate.SAMPLED_FOREGROUND, Fate.SAMPLED_BACKGROUND)


_NO_PROPOSAL = list(Fate)[:5]
_KINDS = {FOREGROUND: "foreground", BACKGROUND: "background", IGNORE: "ignored"}


@dataclass(frozen=True, eq=False)
class _Lives:
    """The way of all A anchors of one image from score to fate.

    Attributes:
        rank: [A] place in the level by score, 0 is the best.
        decoded, clipped: [A, 4] input frame.
        survivors: per level, the anchors that suppression left, best first.
        fates: [A] of `Fate`.
    """

    rank: np.ndarray
    decoded: np.ndarray
    clipped: np.ndarray
    survivors: list[np.ndarray]
    fates: np.ndarray


def anchor_fates(stages: TrainingStages, model: MaskRCNN, index: int) -> np.ndarray:
    """The fate of every anchor of image ``index`` of the batch.

    Returns:
        [A] objects of `Fate`, anchors in the order of ``stages.rpn.anchors``.

    Raises:
        IndexError: the batch has no such image.
        ValueError: the recorded proposals or samples do not follow from the recorded
            scores by the model's rules (its settings changed after the step).
    """
    return _follow(stages, model, index).fates


def count_fates(stages: TrainingStages, model: MaskRCNN, index: int) -> dict[Fate, int]:
    """How many anchors of image ``index`` met each fate.

    Returns:
        All fates in the order of `Fate`, zeros included; the numbers add up to A.

    Raises:
        IndexError, ValueError: as `anchor_fates`.
    """
    counts = Counter(anchor_fates(stages, model, index))
    return {fate: counts[fate] for fate in Fate}


# ---- from scores to fates --------------------------------------------------------


@paddle.no_grad()
def _follow(stages: TrainingStages, model: MaskRCNN, index: int) -> _Lives:
    """Read the steps of `ProposalGenerator`, then those of the assigner.

    Every step overwrites the fate of the anchors that pass it with the next obstacle.
    """
    if not 0 <= index < len(stages.batch):
        raise IndexError(f"image {index} of a batch of {len(stages.batch)}")
    rpn, im_shape = stages.rpn, stages.batch.im_shape[index]
    scores, deltas = rpn.scores[index], rpn.deltas[index]
    steps = model.rpn_head.train_proposal.steps(
        scores, deltas, rpn.anchors, im_shape, rpn.level_sizes
    )
    proposals = stages.proposals[index].anchor_index.numpy()
    if np.setxor1d(proposals, steps.proposals.anchor_index.numpy()).size:
        raise ValueError("these proposals do not follow from the scores by train_proposal's rules")
    best = [level.numpy() for level in steps.best]
    fates = _proposal_step_fates(steps, np.concatenate(best), len(scores))
    fates[proposals] = _proposal_fates(stages, model, index)
    decoded = delta2bbox(deltas, rpn.anchors, exp=exp_float64)[:, 0]
    return _Lives(
        rank=_ranks(scores.numpy(), best, rpn.level_sizes),
        decoded=decoded.numpy(),
        clipped=clip_bbox(decoded, im_shape).numpy(),
        survivors=[np.concatenate(best)[rows.numpy()] for rows in steps.survivors],
        fates=fates,
    )


def _proposal_step_fates(steps: ProposalSteps, best: np.ndarray, count: int) -> np.ndarray:
    """[A] the fates of anchors that are no proposals; ``best`` [k] of all levels together."""
    fates = np.full(count, Fate.NOT_AMONG_BEST, dtype=object)
    fates[best] = Fate.TOO_SMALL
    for step, obstacle in (
        (steps.large, Fate.SUPPRESSED),
        (steps.survivors, Fate.BEYOND_LEVEL),
        (steps.kept, Fate.BEYOND_ALL),
    ):
        for rows in step:
            fates[best[rows.numpy()]] = obstacle
    return fates


def _proposal_fates(stages: TrainingStages, model: MaskRCNN, index: int) -> np.ndarray:
    """[R] fates of the proposals of one image."""
    assigner, samples = model.bbox_head.bbox_assigner, stages.samples[index]
    boxes, gt = stages.proposals[index].boxes, stages.batch.gt[index]
    kind = _match(boxes, gt, model)[1]
    fates = np.full(len(kind), Fate.BETWEEN, dtype=object)
    fates[_near_crowd(boxes, gt, assigner.ignore_thresh) & (kind == IGNORE)] = Fate.NEAR_CROWD
    fates[kind == FOREGROUND] = Fate.FOREGROUND_DROPPED
    fates[kind == BACKGROUND] = Fate.BACKGROUND_DROPPED
    added = samples.proposal_index.numpy() < 0
    proposal, label = samples.proposal_index.numpy()[~added], samples.target_labels.numpy()[~added]
    is_foreground = label < model.bbox_head.num_classes
    foreground, background = proposal[is_foreground], proposal[~is_foreground]
    if not ((kind[foreground] == FOREGROUND).all() and (kind[background] == BACKGROUND).all()):
        raise ValueError("these samples do not follow from the proposals by bbox_assigner's rules")
    fates[foreground], fates[background] = Fate.SAMPLED_FOREGROUND, Fate.SAMPLED_BACKGROUND
    return fates


def _match(boxes: Tensor, gt: GroundTruth, model: MaskRCNN) -> tuple[np.ndarray, np.ndarray]:
    """Object and kind of every box [R, 4], by the rules of the box head's assigner."""
    a = model.bbox_head.bbox_assigner
    matches, kinds = label_box(
        boxes,
        gt,
        positive_overlap=a.fg_thresh,
        negative_overlap=a.bg_thresh,
        allow_low_quality=False,
        ignore_thresh=a.ignore_thresh,
        assign_on_cpu=a.assign_on_cpu,
    )
    return matches.numpy(), kinds.numpy()


def _near_crowd(boxes: Tensor, gt: GroundTruth, ignore_thresh: float) -> np.ndarray:
    """[R] bool: the box overlaps a crowd region by more than ``ignore_thresh``."""
    crowds = gt.boxes.numpy()[gt.is_crowd.numpy()]
    iou = bbox_overlaps(boxes, paddle.to_tensor(crowds)).numpy()  # [R, crowds]
    return (iou > ignore_thresh).any(axis=1)


def _ranks(scores: np.ndarray, best: list[np.ndarray], level_sizes: list[int]) -> np.ndarray:
    """[A] place of every anchor in its level; the best ones in the generator's order."""
    rank, start = np.zeros(len(scores), np.int64), 0
    for chosen, size in zip(best, level_sizes):
        rest = np.setdiff1d(np.arange(start, start + size), chosen)
        order = np.concatenate([chosen, rest[np.argsort(-scores[rest], kind="stable")]])
        rank[order] = np.arange(size)
        start += size
    return rank


# ---- one life --------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Biography:
    """The life of one anchor or RoI; ``print`` it. Boxes are float32 [4], input frame.

    What did not happen is None: an added annotated box has no anchor, an anchor that
    was suppressed no RoI.

    Attributes:
        fate: how it ended.
        box: the box that was compared with the objects: the clipped one, or the
            annotated one.
        iou: [G] float32 overlap of ``box`` with every object of the image.
        anchor: its number, 0 .. A-1; None for an annotated box added to the proposals.
        anchor_box: where it started.
        level: feature level, 0 .. L-1.
        level_size: anchors of that level.
        rpn_kind: what the anchor is by its overlap: ``foreground``, ``background`` or
            ``ignored``.
        rpn_label: what the RPN is trained to say: 1, 0, or -1 (ignored or not drawn).
        rpn_object: the object it should move to, if ``rpn_label`` is 1.
        rpn_target: [4] the delta it should answer, if ``rpn_label`` is 1.
        score: logit of the RPN.
        rank: place in its level by score, 0 is the best.
        delta: [4] answer of the RPN.
        decoded_box: anchor moved by the delta.
        clipped_box: the same within the image.
        suppressed_by: anchor of the better box that suppressed it.
        suppressed_iou: overlap of the two.
        proposal: row of `Proposals`.
        kind: of a proposal or annotated box: ``foreground``, ``background``, ``ignored``.
        gt_index: the object it overlaps most (crowds do not count); None without
            overlap, as for what is no proposal.
        roi: row of `RoISamples`.
        label: class it should be given; C is background.
        box_target: [4] delta that the box head should answer (weighted), if foreground.
        mask_target: [M, M] float32, if foreground.
        class_scores: [C + 1] float32 probabilities that the box head gave it,
            background last.
    """

    fate: Fate
    box: np.ndarray
    iou: np.ndarray
    anchor: int | None = None
    anchor_box: np.ndarray | None = None
    level: int | None = None
    level_size: int | None = None
    rpn_kind: str | None = None
    rpn_label: int | None = None
    rpn_object: int | None = None
    rpn_target: np.ndarray | None = None
    score: float | None = None
    rank: int | None = None
    delta: np.ndarray | None = None
    decoded_box: np.ndarray | None = None
    clipped_box: np.ndarray | None = None
    suppressed_by: int | None = None
    suppressed_iou: float | None = None
    proposal: int | None = None
    kind: str | None = None
    gt_index: int | None = None
    roi: int | None = None
    label: int | None = None
    box_target: np.ndarray | None = None
    mask_target: np.ndarray | None = None
    class_scores: np.ndarray | None = None

    def __str__(self) -> str:
        return "\n".join([*_anchor_lines(self), *_overlap_lines(self), *_fate_lines(self)])


@paddle.no_grad()
def biography(
    stages: TrainingStages,
    model: MaskRCNN,
    index: int,
    anchor: int | None = None,
    roi: int | None = None,
) -> Biography:
    """The life of one anchor, or of one sampled RoI, of image ``index`` of the batch.

    Args:
        stages: the training step.
        model: the model that computed it (asked for its rules only).
        index: image of the batch.
        anchor: 0 .. A-1; give this or ``roi``.
        roi: row of ``stages.samples[index]``; may be an added annotated box.

    Raises:
        ValueError: not exactly one of ``anchor`` and ``roi``; or as `anchor_fates`.
        IndexError: no such image, anchor or RoI.
    """
    if (anchor is None) == (roi is None):
        raise ValueError("give either an anchor or a roi")
    lives = _follow(stages, model, index)
    proposals, samples = stages.proposals[index], stages.samples[index]
    _check_range("anchor", anchor, len(lives.fates))
    _check_range("roi", roi, len(samples))
    if roi is not None:
        proposal = int(samples.proposal_index[roi])
        if proposal < 0:
            return _annotated_box(stages, model, index, roi)
        anchor = int(proposals.anchor_index[proposal])
    life = _anchor_life(stages, model, index, anchor, lives)
    life |= _box_life(stages, model, index, lives.clipped[anchor], lives.fates[anchor].is_proposal)
    if lives.fates[anchor].is_proposal:
        life["proposal"] = _row_of(proposals.anchor_index, anchor)
    if lives.fates[anchor].is_sampled:
        life |= _roi_life(stages, model, index, _row_of(samples.proposal_index, life["proposal"]))
    return Biography(fate=lives.fates[anchor], **life)


def _check_range(name: str, number: int | None, count: int) -> None:
    if number is not None and not 0 <= number < count:
        raise IndexError(f"{name} {number} of {count}")


def _row_of(values: Tensor, value: int) -> int:
    """The only place where ``value`` stands in values [n]."""
    return int(np.flatnonzero(values.numpy() == value)[0])


def _annotated_box(stages: TrainingStages, model: MaskRCNN, index: int, roi: int) -> Biography:
    """The life of an annotated box that was added to the proposals."""
    samples = stages.samples[index]
    is_object = int(samples.target_labels[roi]) < model.bbox_head.num_classes
    fate = Fate.SAMPLED_FOREGROUND if is_object else Fate.SAMPLED_BACKGROUND
    life = _box_life(stages, model, index, samples.boxes[roi].numpy(), True)
    return Biography(fate=fate, **life, **_roi_life(stages, model, index, roi))


def _anchor_life(
    stages: TrainingStages, model: MaskRCNN, index: int, anchor: int, lives: _Lives
) -> dict:
    """From the anchor to its clipped box, and what the RPN learns from it."""
    targets, rpn = stages.anchor_targets[index], stages.rpn
    level, label = int(rpn.level_of(anchor)), int(targets.target_labels[anchor])
    positive = label == FOREGROUND
    better, iou = _suppressor(model.rpn_head.train_proposal, anchor, level, lives)
    return {
        "anchor": anchor,
        "anchor_box": rpn.anchors[anchor].numpy(),
        "level": level,
        "level_size": rpn.level_sizes[level],
        "rpn_kind": _rpn_kind(stages, model, index, anchor),
        "rpn_label": label,
        "rpn_object": int(targets.gt_index[anchor]) if positive else None,
        "rpn_target": targets.target_deltas[anchor].numpy() if positive else None,
        "score": float(rpn.scores[index, anchor]),
        "rank": int(lives.rank[anchor]),
        "delta": rpn.deltas[index, anchor].numpy(),
        "decoded_box": lives.decoded[anchor],
        "clipped_box": lives.clipped[anchor],
        "suppressed_by": better,
        "suppressed_iou": iou,
    }


def _rpn_kind(stages: TrainingStages, model: MaskRCNN, index: int, anchor: int) -> str:
    """What the anchor is before anything is drawn: with all anchors, because the closest
    one of an object is foreground however little it overlaps.
    """
    a = model.rpn_head.rpn_target_assign
    _, kind = label_box(
        stages.rpn.anchors,
        stages.batch.gt[index],
        a.positive_overlap,
        a.negative_overlap,
        allow_low_quality=True,
        ignore_thresh=a.ignore_thresh,
        assign_on_cpu=a.assign_on_cpu,
    )
    return _KINDS[int(kind[anchor])]


def _suppressor(
    generator: ProposalGenerator, anchor: int, level: int, lives: _Lives
) -> tuple[int, float] | tuple[None, None]:
    """The best survivor of the level that overlaps a suppressed anchor too much, and its IoU."""
    if lives.fates[anchor] is not Fate.SUPPRESSED:
        return None, None
    survivors = lives.survivors[level]
    better = survivors[lives.rank[survivors] < lives.rank[anchor]]
    boxes = paddle.to_tensor(lives.clipped[[anchor]]), paddle.to_tensor(lives.clipped[better])
    iou = bbox_overlaps(*boxes).numpy()[0]
    threshold = generator.nms_thresh
    for _ in better:  # adaptive suppression has become stricter with each box that stayed
        threshold = threshold * generator.eta if threshold > 0.5 else threshold
    too_close = iou > threshold
    # nms may round an overlap at the very threshold the other way: then the closest one
    first = int(too_close.argmax() if too_close.any() else iou.argmax())
    return int(better[first]), float(iou[first])


def _box_life(
    stages: TrainingStages, model: MaskRCNN, index: int, box: np.ndarray, is_candidate: bool
) -> dict:
    """What the box is compared with the objects; kind and object if it was a candidate."""
    gt, one = stages.batch.gt[index], paddle.to_tensor(box[None])
    iou = bbox_overlaps(one, gt.boxes).numpy()[0]
    if not is_candidate:
        return {"box": box, "iou": iou}
    (match,), (kind,) = _match(one, gt, model)
    overlaps = len(iou) > 0 and iou[match] > 0 and not bool(gt.is_crowd[int(match)])
    matched = int(match) if overlaps else None
    return {"box": box, "iou": iou, "kind": _KINDS[int(kind)], "gt_index": matched}


def _roi_life(stages: TrainingStages, model: MaskRCNN, index: int, roi: int) -> dict:
    """What the box head saw and learns; the mask to draw if it is foreground."""
    samples, masks = stages.samples[index], stages.mask_targets[index]
    before = sum(len(s) for s in stages.samples[:index])  # all images lie in one tensor
    label = int(samples.target_labels[roi])
    life = {
        "roi": roi,
        "label": label,
        "class_scores": F.softmax(stages.bbox.scores[before + roi]).numpy(),
    }
    if label >= model.bbox_head.num_classes:
        return life
    own = slice(roi, roi + 1)
    weights = model.bbox_head.bbox_weight
    life["box_target"] = bbox2delta(samples.boxes[own], samples.gt_boxes[own], weights)[0].numpy()
    life["mask_target"] = masks.target_masks[_row_of(masks.index, roi)].numpy()
    return life


# ---- the story in words ----------------------------------------------------------


def _numbers(values: np.ndarray, digits: int) -> str:
    """Values [n] in brackets, rounded."""
    # + 0 turns a rounded -0.0 into 0.0
    return "(" + ", ".join(f"{round(float(v), digits) + 0.0:.{digits}f}" for v in values) + ")"


def _anchor_lines(b: Biography) -> list[str]:
    """Where it came from, and what the RPN made of it."""
    if b.anchor is None:
        return [say("Annotated box {box}, added to the proposals").format(box=_numbers(b.box, 1))]
    return [
        say("Anchor {a} on level {i}: box {box}").format(
            a=b.anchor, i=b.level, box=_numbers(b.anchor_box, 1)
        ),
        say("  RPN target: {target}").format(target=_rpn_target(b)),
        say("  RPN output: score {score:.3f}, place {k} of {n} in its level").format(
            score=b.score, k=b.rank + 1, n=b.level_size
        ),
        say("  moved by delta {delta} to {box}").format(
            delta=_numbers(b.delta, 3), box=_numbers(b.decoded_box, 1)
        ),
        say("  clipped to the image: {box}").format(box=_numbers(b.clipped_box, 1)),
    ]


def _rpn_target(b: Biography) -> str:
    if b.rpn_label == FOREGROUND:
        words = say("object {g}, delta {delta}")
        return words.format(g=b.rpn_object, delta=_numbers(b.rpn_target, 3))
    if b.rpn_label == BACKGROUND:
        return say("background")
    if b.rpn_kind == "ignored":
        return say("nothing (neither object nor background)")
    return say("nothing ({kind}, but not drawn for the RPN's sample)").format(kind=say(b.rpn_kind))


def _overlap_lines(b: Biography) -> list[str]:
    """The row of overlaps, and the match."""
    if len(b.iou) == 0:
        return [say("  no objects in the image")]
    row = ", ".join(f"{i}: {iou:.2f}" for i, iou in enumerate(b.iou))
    lines = [say("  IoU with the objects {row}").format(row=row)]
    if b.kind is not None:
        closest = "" if b.gt_index is None else say(", closest to object {g}").format(g=b.gt_index)
        lines.append(say("  so it counts as {kind}").format(kind=say(b.kind)) + closest)
    return lines


def _fate_lines(b: Biography) -> list[str]:
    """The end, and what the heads learn from it."""
    lines = [say("  Fate: {fate}").format(fate=b.fate)]
    if b.suppressed_by is not None:
        words = say("  the better one: anchor {a}, IoU {iou:.2f}")
        lines.append(words.format(a=b.suppressed_by, iou=b.suppressed_iou))
    if b.roi is None:
        return lines
    is_foreground = b.fate is Fate.SAMPLED_FOREGROUND
    name = say("class {c}").format(c=b.label) if is_foreground else say("background")
    words = say("  RoI {row}, should be {name}; box head gave it {p:.3f}")
    lines.append(words.format(row=b.roi, name=name, p=b.class_scores[b.label]))
    if is_foreground:
        side, inside = b.mask_target.shape[0], int(b.mask_target.sum())
        lines.append(say("  box target {delta}").format(delta=_numbers(b.box_target, 3)))
        words = say("  mask target {m} x {m}: {n} of {all} cells are object")
        lines.append(words.format(m=side, n=inside, all=side * side))
    return lines
