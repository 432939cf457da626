"""Mistakes in the exercises of 03_rpn."""

MOVE = "x = x + dx * w\n    y = y + dy * h"
CENTRE = "x = anchors[:, 0] + w / 2\n    y = anchors[:, 1] + h / 2"
GROW = "w = w * np.exp(np.minimum(dw, limit))\n    h = h * np.exp(np.minimum(dh, limit))"
CORNERS = "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]"
ORDER = 'np.argsort(-scores, kind="stable")'
TEST = "        if all(iou(i, j) <= threshold for j in kept):"
UNION = "(area[i] + area[j] - w * h)"

MISTAKES = {
    "decode_deltas": {
        "dx and dy are in widths and heights of the anchor, not in pixels": (
            MOVE,
            "x = x + dx\n    y = y + dy",
        ),
        "dx goes with the width, dy with the height": (MOVE, "x = x + dx * h\n    y = y + dy * w"),
        "dx and dy are in sizes of the anchor, not of the new box": (
            f"{MOVE}\n    {GROW}",
            f"{GROW}\n    {MOVE}",
        ),
        "positive dx and dy move right and down": (MOVE, "x = x - dx * w\n    y = y - dy * h"),
        "dx and dy are factors of a width, not logarithms": (
            MOVE,
            "x = x + np.exp(dx) * w\n    y = y + np.exp(dy) * h",
        ),
        "dx and dy move the centre, not the corner": (
            CENTRE,
            "x = anchors[:, 0]\n    y = anchors[:, 1]",
        ),
        "the corner x1 moves as the centre does: x1 + dx * w is not the new corner": (
            CENTRE,
            "x = anchors[:, 0]\n    y = anchors[:, 1]",
            CORNERS,
            "[x, y, x + w, y + h]",
        ),
        "dw and dh are logarithms: take exp": [
            (GROW, "w = w * (1 + np.minimum(dw, limit))\n    h = h * (1 + np.minimum(dh, limit))"),
            (GROW, "w = w * dw\n    h = h * dh"),
            (GROW, "w = w + dw * w\n    h = h + dh * h"),
            (GROW, "w = w + dw\n    h = h + dh"),
        ],
        "the factor is exp(dw), not 2 ** dw": (
            GROW,
            "w = w * 2 ** np.minimum(dw, limit)\n    h = h * 2 ** np.minimum(dh, limit)",
        ),
        "exp(dw) is a factor of the width: multiply": (
            GROW,
            "w = w + np.exp(np.minimum(dw, limit))\n    h = h + np.exp(np.minimum(dh, limit))",
        ),
        "dw and dh are not limited": ("limit = np.log(1000 / 16)", "limit = np.inf"),
        "both dw and dh are limited": [
            ("np.exp(np.minimum(dw, limit))", "np.exp(dw)"),
            ("np.exp(np.minimum(dh, limit))", "np.exp(dh)"),
        ],
        "the limit is for dw, not for the factor: log(1000 / 16) is about 4.1": (
            GROW,
            "w = w * np.minimum(np.exp(dw), limit)\n    h = h * np.minimum(np.exp(dh), limit)",
        ),
        "the limit is the natural logarithm's": ("np.log(", "np.log10("),
        "only large dw and dh are limited, small boxes may be": (
            GROW,
            "w = w * np.exp(np.clip(dw, -limit, limit))\n"
            "    h = h * np.exp(np.clip(dh, -limit, limit))",
        ),
        "x and y are swapped": ("dx, dy, dw, dh = deltas.T", "dy, dx, dh, dw = deltas.T"),
        "the order is dx, dy, dw, dh": [
            ("dx, dy, dw, dh = deltas.T", "dx, dw, dy, dh = deltas.T"),
            ("dx, dy, dw, dh = deltas.T", "dx, dy, dh, dw = deltas.T"),
            ("dx, dy, dw, dh = deltas.T", "dw, dh, dx, dy = deltas.T"),
        ],
        "the new width stands half on either side of the centre": [
            (CORNERS, "[x, y, x + w, y + h]"),
            (CORNERS, "[x - w, y - h, x + w, y + h]"),
        ],
        "widths are x2 - x1, without + 1": [
            (
                "    w = anchors[:, 2]",
                "    anchors = anchors + [0, 0, 1, 1]\n    w = anchors[:, 2]",
            ),
            (
                "    w = anchors[:, 2]",
                "    anchors = anchors + [0, 0, 1, 1]\n    w = anchors[:, 2]",
                CORNERS,
                "[x - w / 2, y - h / 2, x + w / 2 - 1, y + h / 2 - 1]",
            ),
        ],
        "a box is x1, y1, x2, y2, not x, y, width, height": (
            "    w = anchors[:, 2] - anchors[:, 0]\n    h = anchors[:, 3] - anchors[:, 1]",
            "    w, h = anchors[:, 2], anchors[:, 3]",
        ),
        "boxes may reach beyond the image: do not clip them here": (
            f"return np.stack({CORNERS}, axis=1)",
            f"return np.maximum(np.stack({CORNERS}, axis=1), 0)",
        ),
    },
    "greedy_nms": {
        "the boxes are not taken best first": (ORDER, "range(len(scores))"),
        "the worst box goes first": ("np.argsort(-scores,", "np.argsort(scores,"),
        "a box that was removed removes others": (
            TEST,
            "        better = [j for j in range(len(scores)) if scores[j] > scores[i]]\n"
            "        if all(iou(i, j) <= threshold for j in better):",
        ),
        "compare with every box that stays, not only with the last one": [
            (TEST, "        if all(iou(i, j) <= threshold for j in kept[-1:]):"),
            (
                "    kept = []",
                f"    order = {ORDER}\n    before = dict(zip(order[1:], order))\n    kept = []",
                TEST,
                "        if i not in before or iou(i, before[i]) <= threshold:",
            ),
        ],
        "then the best of the rest removes others too, not only the very best": (
            TEST,
            "        if all(iou(i, j) <= threshold for j in kept[:1]):",
        ),
        "overlap of more than the threshold removes; the threshold itself does not": (
            "<= threshold",
            "< threshold",
        ),
        "large overlap removes, not little": ("<= threshold", ">= threshold"),
        "overlap counts from the threshold up, not from 0": ("<= threshold", "<= 0"),
        "the rows are counted after sorting; give rows of the boxes as they came": (
            "    return kept",
            "    order = np.argsort(-scores, kind='stable').tolist()\n"
            "    return [order.index(i) for i in kept]",
        ),
        "nothing is removed": [
            ("<= threshold", "<= 1"),
            (ORDER, "range(len(scores))", "<= threshold", "<= 1"),
        ],
        "only the best box is left; take the best of the rest, and so on": [
            ("return kept", "return kept[:1]"),
        ],
        "give the rows best first, not sorted": ("return kept", "return sorted(kept)"),
        "give the rows best first, not best last": ("return kept", "return kept[::-1]"),
        "widths are x2 - x1, without + 1": [
            ("    area =", "    boxes = boxes + [0, 0, 1, 1]\n    area ="),
        ],
        "divide by the union, not by the smaller box": (UNION, "min(area[i], area[j])"),
        "divide by the union, not by one of the boxes": [(UNION, "area[i]"), (UNION, "area[j]")],
        "what both cover is counted twice in the union": (UNION, "(area[i] + area[j])"),
        "divide by the union, not by the mean of the areas (that is Dice)": (
            UNION,
            "((area[i] + area[j]) / 2)",
        ),
        "boxes that do not touch overlap by 0: two negative sides make a positive area": (
            "w, h = np.maximum(np.minimum(boxes[i, 2:], boxes[j, 2:]) - corner, 0)",
            "w, h = np.minimum(boxes[i, 2:], boxes[j, 2:]) - corner",
        ),
        "a side of what both cover is at least 0: max(0, ...), not abs": (
            "w, h = np.maximum(np.minimum(boxes[i, 2:], boxes[j, 2:]) - corner, 0)",
            "w, h = np.abs(np.minimum(boxes[i, 2:], boxes[j, 2:]) - corner)",
        ),
    },
}
