"""Plausible wrong answers, written as a student would: what does the checker say to each?

They are not the patches of `instructor/mistakes`, but whole answers, so that a mistake is
known by what it does and not by how it is written.
"""

import math

import numpy as np
import pytest

from maskrcnn_edu.teaching.exercises import outcome
from maskrcnn_edu.teaching.exercises.check import check

# ---- iou ---------------------------------------------------------------------------


def sides(a, b, zero=lambda side: max(0, side)):
    return zero(min(a[2], b[2]) - max(a[0], b[0])), zero(min(a[3], b[3]) - max(a[1], b[1]))


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def overlap(a, b):
    w, h = sides(a, b)
    return w * h / (area(a) + area(b) - w * h)


def iou_abs(a, b):
    w, h = sides(a, b, abs)
    return w * h / (area(a) + area(b) - w * h)


def iou_clips_width(a, b):
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    both = w * (min(a[3], b[3]) - max(a[1], b[1]))
    return both / (area(a) + area(b) - both)


def iou_dice(a, b):
    w, h = sides(a, b)
    return 2 * w * h / (area(a) + area(b))


def iou_of_sides(a, b):
    (ax, ay, aw, ah), (bx, by, bw, bh) = a, b
    w = max(0, min(ax + aw, bx + bw) - max(ax, bx))
    h = max(0, min(ay + ah, by + bh) - max(ay, by))
    return w * h / (aw * ah + bw * bh - w * h)


def iou_plus_one(a, b):
    w = max(0, min(a[2], b[2]) - max(a[0], b[0]) + 1)
    h = max(0, min(a[3], b[3]) - max(a[1], b[1]) + 1)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return w * h / (sum(areas) - w * h)


def iou_prints(a, b):
    print(overlap(a, b))


def iou_without_end(a, b):
    while True:
        pass


def iou_without_end_and_stubborn(a, b):
    while True:
        try:
            a = list(a)
        except Exception:
            a = []


def iou_interrupts(a, b):
    raise KeyboardInterrupt


def area_of(box):
    raise NotImplementedError("areas come later")


def iou_with_own_error(a, b):
    return area_of(a) + area_of(b)


def iou_remembers(a, b, seen=[]):  # noqa: B006
    seen.append(a)
    return overlap(a, b) + 0.1 * len(seen)


# ---- anchors -----------------------------------------------------------------------


def anchors(h, w, stride, sizes, ratios, centre, side=None, box=None):
    side = side or (lambda size, ratio: (size / ratio**0.5, size * ratio**0.5))
    box = box or (lambda x, y, aw, ah: [x - aw / 2, y - ah / 2, x + aw / 2, y + ah / 2])
    return [
        box(*centre(row, column), *side(size, ratio))
        for row in range(h)
        for column in range(w)
        for size in sizes
        for ratio in ratios
    ]


def grid_offset_in_pixels(h, w, stride, sizes, ratios, offset):
    return anchors(
        h, w, stride, sizes, ratios, lambda r, c: (c * stride + offset, r * stride + offset)
    )


def grid(h, w, stride, sizes, ratios, offset, **other):
    def centre(r, c):
        return (c + offset) * stride, (r + offset) * stride

    return anchors(h, w, stride, sizes, ratios, centre, **other)


def grid_of_centres(*arguments):
    return np.array(grid(*arguments, box=lambda x, y, aw, ah: [x, y, aw, ah]))


def grid_of_sides(*arguments):
    return np.array(grid(*arguments, box=lambda x, y, aw, ah: [x - aw / 2, y - ah / 2, aw, ah]))


def grid_by_cell(h, w, stride, sizes, ratios, offset):
    return np.reshape(grid(h, w, stride, sizes, ratios, offset), (h, w, -1, 4))


def grid_ratio_without_root(*arguments):
    return grid(*arguments, side=lambda size, ratio: (size / ratio, size * ratio))


def grid_rounded(*arguments):
    return np.round(grid(*arguments))


def grid_yx(*arguments):
    return [[y1, x1, y2, x2] for x1, y1, x2, y2 in grid(*arguments)]


# ---- suppression -------------------------------------------------------------------


def survivors(boxes, scores, goes):
    kept = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if not any(goes(overlap(boxes[i], boxes[j])) for j in kept):
            kept.append(i)
    return kept


def nms(boxes, scores, threshold):
    return survivors(boxes, scores, lambda share: share > threshold)


def nms_at_threshold(boxes, scores, threshold):
    return survivors(boxes, scores, lambda share: share >= threshold)


def nms_by_last_kept(boxes, scores, threshold):
    kept = []
    for i in np.argsort(scores)[::-1]:
        if not kept or overlap(boxes[i], boxes[kept[-1]]) <= threshold:
            kept.append(i)
    return kept


def nms_mask(boxes, scores, threshold):
    mask = np.zeros(len(boxes), bool)
    mask[nms(boxes, scores, threshold)] = True
    return mask


# ---- samples -----------------------------------------------------------------------


def foreground_of(labels, background):
    return np.array([i for i, label in enumerate(labels) if label not in (background, -1)], int)


def sample(labels, number, fg_share, background):
    fg = foreground_of(labels, background)[: int(number * fg_share)]
    return fg, np.nonzero(labels == background)[0][: number - len(fg)]


def sample_share_of_found(labels, number, fg_share, background):
    fg = foreground_of(labels, background)
    fg = fg[: int(fg_share * len(fg))]
    return fg, np.nonzero(labels == background)[0][: number - len(fg)]


def sample_background_limited(labels, number, fg_share, background):
    fg = foreground_of(labels, background)[: int(number * fg_share)]
    return fg, np.nonzero(labels == background)[0][: int(number * (1 - fg_share))]


# ---- one sample of a feature map, classes, masks -----------------------------------


def mixed(feature, x, y, fx, fy):
    left, top = int(x - 0.5), int(y - 0.5)
    (a, b), (c, d) = feature[top : top + 2, left : left + 2]
    return a * (1 - fx) * (1 - fy) + b * fx * (1 - fy) + c * (1 - fx) * fy + d * fx * fy


def bilinear_half_pixel_in_x(feature, x, y):
    top, fy = int(y), y - int(y)
    columns = [mixed(feature, x, row + 0.5, (x - 0.5) % 1, 0) for row in (top, top + 1)]
    return columns[0] * (1 - fy) + columns[1] * fy


def softmax(x):
    return np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)


def best(probs, threshold):
    rows = [(label, int(np.argmax(column))) for label, column in enumerate(probs.T[:-1])]
    return [[label, row] for label, row in rows if probs[row, label] > threshold]


def rectangle_by_area(rectangle, box, m):
    mask = np.zeros((m, m), int)
    cw, ch = (box[2] - box[0]) / m, (box[3] - box[1]) / m
    for row in range(m):
        for column in range(m):
            x, y = box[0] + column * cw, box[1] + row * ch
            w, h = sides([x, y, x + cw, y + ch], rectangle)
            mask[row, column] = w * h >= 0.5 * cw * ch
    return mask


def cross_entropy(x, target):
    p = 1 / (1 + np.exp(-x))
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def own(logits, labels):
    return np.stack([masks[label] for masks, label in zip(logits, labels)])


def loss_softmax(logits, labels, targets):
    p = own(softmax(logits), labels)
    return -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).mean()


def loss_of_all(logits, labels, targets):
    return np.mean([cross_entropy(logits[:, c], targets) for c in range(logits.shape[1])])


# ---- average precision -------------------------------------------------------------


def curve(hits, objects):
    found = [sum(hits[: i + 1]) for i in range(len(hits))]
    return [f / objects for f in found], [f / (i + 1) for i, f in enumerate(found)]


def ap_raw(hits, objects):
    recall, precision = curve(hits, objects)
    steps = zip(recall, [0, *recall], precision)
    return sum((after - before) * p for after, before, p in steps)


def ap_exact(hits, objects):
    recall, precision = curve(hits, objects)
    steps = zip(recall, [0, *recall], range(len(hits)))
    return sum((after - before) * max(precision[i:]) for after, before, i in steps)


def ap_not_interpolated(hits, objects):
    recall, precision = curve(hits, objects)
    first = (next((p for r, p in zip(recall, precision) if r >= i / 100), 0.0) for i in range(101))
    return sum(first) / 101


TRIED = [
    ("iou", "abs instead of max(0)", iou_abs, "at least 0: max(0, ...), not abs"),
    ("iou", "clips only the width", iou_clips_width, "at least 0, not only its width"),
    ("iou", "Dice", iou_dice, "not by the mean of the areas (that is Dice)"),
    ("iou", "boxes read as x, y, w, h", iou_of_sides, "x1, y1, x2, y2, not x, y, width, height"),
    ("iou", "per cent", lambda a, b: 100 * overlap(a, b), "in per cent; give a share"),
    ("iou", "text", lambda a, b: str(overlap(a, b)), "it returns text"),
    ("iou", "one argument", lambda a: 0.5, "it is called with 2 arguments (a, b); yours takes 1"),
    ("iou", "42", 42, "hand over the function itself, as in check('iou', iou): 42 is none"),
    ("iou", "print, not return", iou_prints, "it prints its answer, but returns None"),
    ("iou", "endless loop", iou_without_end, "it did not end within"),
    ("iou", "widths + 1", iou_plus_one, "widths are x2 - x1, without + 1"),
    ("anchor_grid", "offset in pixels", grid_offset_in_pixels, "in cells, not in pixels"),
    ("anchor_grid", "cx, cy, w, h", grid_of_centres, "not centre and size"),
    ("anchor_grid", "shape [h, w, K, 4]", grid_by_cell, "right, their shape is not"),
    ("anchor_grid", "h = s * ratio, w = s / ratio", grid_ratio_without_root, "root of the ratio"),
    ("anchor_grid", "x, y, w, h", grid_of_sides, "not x, y, width, height"),
    ("anchor_grid", "rounded", grid_rounded, "the numbers are rounded"),
    ("anchor_grid", "y before x", grid_yx, "x goes before y"),
    ("greedy_nms", "removes at >= threshold", nms_at_threshold, "the threshold itself does not"),
    ("greedy_nms", "boxes, not rows", lambda b, s, t: b[nms(b, s, t)], "not what stands in them"),
    ("greedy_nms", "scores, not rows", lambda b, s, t: s[nms(b, s, t)], "not their scores"),
    ("greedy_nms", "boolean mask", nms_mask, "not True and False for every box"),
    ("greedy_nms", "all, sorted", lambda b, s, t: np.argsort(-s), "nothing is removed"),
    ("greedy_nms", "only the one kept before", nms_by_last_kept, "not only with the last one"),
    ("greedy_nms", "set", lambda b, s, t: set(nms(b, s, t)), "it returns a set"),
    ("draw_sample", "background first", lambda *a: sample(*a)[::-1], "in the wrong order"),
    ("draw_sample", "one array", lambda *a: np.concatenate(sample(*a)), "not all in one"),
    ("draw_sample", "fg_share of those found", sample_share_of_found, "not of the foreground"),
    ("draw_sample", "background limited", sample_background_limited, "background fills the places"),
    ("bilinear", "nearest", lambda f, x, y: f[int(y), int(x)], "do not take the nearest one"),
    (
        "bilinear",
        "shares swapped in x",
        lambda f, x, y: mixed(f, x, y, 1 - (x - 0.5) % 1, (y - 0.5) % 1),
        "in x as well",
    ),
    ("bilinear", "half pixel only in x", bilinear_half_pixel_in_x, "both x and y have a half"),
    ("best_per_class", "softmax again", lambda p, t: best(softmax(p), t), "no second softmax"),
    ("rasterize_rectangle", "half of the area", rectangle_by_area, "not half of the cell's area"),
    (
        "own_mask_loss",
        "sum per mask, mean over masks",
        lambda x, i, t: cross_entropy(own(x, i), t).sum(axis=(1, 2)).mean(),
        "not a sum over each mask",
    ),
    ("own_mask_loss", "softmax over classes", loss_softmax, "sigmoid, not softmax"),
    (
        "own_mask_loss",
        "sign",
        lambda x, i, t: -cross_entropy(own(x, i), t).mean(),
        "the loss is minus the logarithm",
    ),
    ("own_mask_loss", "mean over all classes", loss_of_all, "pick the own class"),
    (
        "own_mask_loss",
        "L1",
        lambda x, i, t: np.abs(1 / (1 + np.exp(-own(x, i))) - t).mean(),
        "not the absolute difference",
    ),
    ("average_precision", "area under the raw curve", ap_raw, "AP is not the area under the raw"),
    ("average_precision", "exact area (VOC 2010)", ap_exact, "not the exact area (VOC 2010)"),
    ("average_precision", "not interpolated", ap_not_interpolated, "precision is the best at"),
    ("iou", "exit()", lambda a, b: exit(), "it raised SystemExit"),
    ("iou", "KeyboardInterrupt", iou_interrupts, "it raised KeyboardInterrupt"),
    (
        "iou",
        "own NotImplementedError",
        iou_with_own_error,
        "it raised NotImplementedError: areas come later",
    ),
    ("iou", "stubborn endless loop", iou_without_end_and_stubborn, "it did not end within"),
    ("iou", "another result each time", iou_remembers, "called twice"),
]
"""Exercise, what is wrong, the answer, words of the verdict. The list of nine exercises."""


# ---- the other fifteen -------------------------------------------------------------


def shapes(n, height, width, rois):
    cells = sum(-(-height // s) * -(-width // s) for s in (4, 8, 16, 32, 64))
    return {
        "finest feature": (n, 48, height // 4, width // 4),
        "rpn scores": (n, 6 * cells),
        "rpn deltas": (n, 6 * cells, 4),
        "class scores": (rois, 7),
        "mask logits": (rois, 6, 14, 14),
    }


def shapes_floor(n, height, width, rois):
    cells = sum((height // s) * (width // s) for s in (4, 8, 16, 32, 64))
    made = shapes(n, height, width, rois)
    return {**made, "rpn scores": [n, 6 * cells], "rpn deltas": [n, 6 * cells, 4]}


def origin(row, anchors, sizes, grids):
    index, level = anchors[row], 0
    while index >= sizes[level]:
        index, level = index - sizes[level], level + 1
    h, w = grids[level]
    k = sizes[level] // (h * w)
    return level, index // (k * w), index // k % w, index % k


def origin_shape_outside(row, anchors, sizes, grids):
    level, _, _, _ = origin(row, anchors, sizes, grids)
    index = anchors[row] - sum(sizes[:level])
    h, w = grids[level]
    return level, index % (h * w) // w, index % w, index // (h * w)


def scaled(polygon, bbox, old, new):
    sy, sx = new[0] / old[0], new[1] / old[1]
    x, y, w, h = bbox
    points = np.reshape(polygon, (-1, 2)) * [sx, sy]
    return points.ravel(), [x * sx, y * sy, (x + w) * sx, (y + h) * sy]


def scaled_tight(polygon, bbox, old, new):
    points = np.reshape(scaled(polygon, bbox, old, new)[0], (-1, 2))
    return points.ravel(), [*points.min(0), *points.max(0)]


def moved(boxes, deltas, factor=np.exp):
    deltas = np.array(deltas)
    deltas[:, 2:] = np.minimum(deltas[:, 2:], math.log(1000 / 16))
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    centre, size = centre + deltas[:, :2] * size, size * factor(deltas[:, 2:])
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


def targets(rois, objects, weights):
    centre, size = (rois[:, :2] + rois[:, 2:]) / 2, rois[:, 2:] - rois[:, :2]
    to, large = (objects[:, :2] + objects[:, 2:]) / 2, objects[:, 2:] - objects[:, :2]
    return np.concatenate([(to - centre) / size, np.log(large / size)], axis=1) * weights


def level(box, canonical_size, rounding=math.floor):
    k = 4 + rounding(math.log2(math.sqrt(area(box)) / canonical_size))
    return min(5, max(2, k))


def decoded(rois, deltas, labels, weights, im_shape, clip=True):
    chosen = np.array([d[label] for d, label in zip(deltas, labels)]) / weights
    boxes = moved(rois, chosen)
    h, w = im_shape
    return np.minimum(np.maximum(boxes, 0), [w, h, w, h]) if clip else boxes


def outline(polygon, box, m):
    points = np.reshape(polygon, (-1, 2)) - box[:2]
    return (m * points / np.subtract(box[2:], box[:2])).ravel()


def pasted(mask, box, height, width, decide=lambda v: v >= 0.5, nearest=False):
    m = len(mask)
    image = np.zeros((height, width), int)
    for row in range(height):
        for column in range(width):
            x = (column + 0.5 - box[0]) / (box[2] - box[0]) * m - 0.5
            y = (row + 0.5 - box[1]) / (box[3] - box[1]) * m - 0.5
            x, y = (math.floor(x + 0.5), math.floor(y + 0.5)) if nearest else (x, y)
            cells = [(i, j) for i in range(m) for j in range(m)]
            share = [max(0, 1 - abs(y - i)) * max(0, 1 - abs(x - j)) for i, j in cells]
            image[row, column] = decide(sum(s * mask[c] for s, c in zip(share, cells)))
    return image


def learners(loss, shared):
    head = {"rpn": "rpn_head", "bbox": "bbox_head", "mask": "mask_head"}[loss.split("_")[1]]
    return ["features", *(["bbox_head"] if shared and head == "mask_head" else []), head]


def rate(step, base_lr, base_batch, batch, warmup, start_factor):
    lr = base_lr / base_batch * batch
    return lr if step >= warmup else lr * (start_factor + step / warmup * (1 - start_factor))


def rate_from_zero(step, base_lr, base_batch, batch, warmup, start_factor):
    return base_lr / base_batch * batch * min(1, step / warmup)


def matched(boxes, scores, objects, threshold, again=False):
    owner, taken = [-1] * len(boxes), set()
    for d in sorted(range(len(boxes)), key=lambda d: -scores[d]):
        shares = [
            -1 if g in taken and not again else overlap(boxes[d], o) for g, o in enumerate(objects)
        ]
        if shares and max(shares) >= threshold:
            owner[d] = int(np.argmax(shares))
            taken.add(owner[d])
    return owner


def resized(height, width, short, limit):
    scale = min(short / min(height, width), limit / max(height, width))
    return round(height * scale), round(width * scale)


def padded(shapes, stride):
    largest = np.max(shapes, axis=0)
    return [int(-(-side // stride) * stride) for side in largest]


OTHERS = [
    ("stage_shapes", shapes_floor, "half a cell at the border is a cell: round up"),
    ("stage_shapes", lambda *a: list(shapes(*a).values()), "expected a dict"),
    (
        "stage_shapes",
        lambda *a: {**shapes(*a), "class scores": [a[3], 6]},
        "background has a score too",
    ),
    ("detection_origin", origin_shape_outside, "the shape is the fastest index"),
    ("detection_origin", lambda *a: origin(*a)[::-1], "in reversed order"),
    ("labels_of", lambda ids, seen: [sorted(ids).index(i) + 1 for i in seen], "start at 0"),
    ("labels_of", lambda ids, seen: {i: sorted(ids).index(i) for i in seen}, "returns a dict"),
    ("labels_of", lambda ids, seen: (sorted(ids).index(i) for i in seen), "returns a generator"),
    ("labels_of", lambda ids, seen: [sorted(set(seen)).index(i) for i in seen], "has a label too"),
    ("scale_annotation", scaled_tight, "the box is the given one"),
    ("scale_annotation", lambda *a: scaled(*a)[::-1], "the two parts are in the wrong order"),
    (
        "scale_annotation",
        lambda *a: [np.round(part) for part in scaled(*a)],
        "the numbers are rounded",
    ),
    ("decode_deltas", lambda a, d: moved(a, d, lambda dw: 1 + dw), "logarithms: take exp"),
    ("decode_deltas", lambda a, d: moved(a, d)[:, [1, 0, 3, 2]], "x goes before y"),
    ("decode_deltas", lambda a, d: moved(a, d).T, "rows and columns are swapped"),
    ("regression_targets", lambda r, o, w: targets(o, r, w), "not back"),
    (
        "regression_targets",
        lambda r, o, w: targets(r, o, w)[:, [1, 0, 3, 2]],
        "x and y are swapped",
    ),
    ("regression_targets", lambda r, o, w: targets(r, o, w) / w, "the weights are missing"),
    ("pyramid_level", lambda b, s: level(b, s, round), "not to the nearest level"),
    ("pyramid_level", lambda b, s: level(b, s) - 2, "not its place in a list"),
    ("decode_own_class", lambda *a: decoded(*a, clip=False), "not clipped to the image"),
    ("decode_own_class", lambda *a: decoded(*a[:4], a[4][::-1]), "im_shape is (height, width)"),
    ("outline_in_cells", lambda p, b, m: np.round(outline(p, b, m)), "the numbers are rounded"),
    ("outline_in_cells", lambda p, b, m: outline(p, b, m) / m, "the box ends at m, not at 1"),
    ("paste_one", lambda *a: pasted(*a, decide=lambda v: v > 0.5), ">=, not >"),
    ("paste_one", lambda *a: pasted(*a, nearest=True), "bilinear, not the nearest cell"),
    ("paste_one", lambda *a: pasted(*a)[::-1], "upside down"),
    ("who_learns", lambda loss, s: set(learners(loss, s)), "it returns a set"),
    ("who_learns", lambda loss, s: learners(loss, s)[1:], "the features learn from every loss"),
    ("who_learns", lambda loss, s: learners(loss, s)[::-1], "reversed order"),
    ("learning_rate", rate_from_zero, "the warm-up begins at start_factor"),
    ("iou", lambda a, b: round(overlap(a, b), 2), "the numbers are rounded to 2 decimals"),
    ("learning_rate", lambda step, *a: rate(step + 1, *a), "the first step is step 0"),
    ("match_detections", lambda *a: matched(*a, again=True), "an object is matched twice"),
    ("match_detections", lambda *a: [m + 1 for m in matched(*a)], "rows count from 0"),
    ("resized_shape", lambda *a: resized(*a)[::-1], "height goes first, then width"),
    ("resized_shape", lambda h, w, s, limit: [s, limit], "keeps its shape"),
    ("padded_shape", lambda s, k: [side + k for side in padded(s, k)], "not to the one after it"),
    ("padded_shape", lambda s, k: [side // k for side in padded(s, k)], "not cells"),
]


@pytest.mark.parametrize(
    ("name", "what", "answer", "words"),
    TRIED,
    ids=lambda value: value[:40] if isinstance(value, str) else "answer",
)
def test_what_was_tried(name, what, answer, words, monkeypatch):
    monkeypatch.setattr(outcome, "TIME_LIMIT", 0.3)
    first = check(name, answer).split("\n")[0]
    assert first.startswith("not yet: ") and words in first, what


@pytest.mark.parametrize(("name", "answer", "words"), OTHERS)
def test_other_exercises(name, answer, words):
    verdict = check(name, answer)
    assert verdict.startswith("not yet: ") and words in verdict
