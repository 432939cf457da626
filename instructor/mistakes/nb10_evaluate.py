"""Mistakes in the exercises of 10_evaluate."""

ORDER = 'np.argsort(-scores, kind="stable")'
CHOICE = (
    "                best = iou(boxes[d], objects[g])\n"
    "                matches[d] = g\n"
)  # fmt: skip
UNION = "(sum(areas) - w * h)"
BEST = "reached.max() if len(reached) else 0.0"

MISTAKES = {
    "match_detections": {
        "the best detection chooses first": (ORDER, "range(len(scores))"),
        "the best detection chooses first, not the worst": (ORDER, "np.argsort(scores)"),
        "an object is matched twice": (" if g not in matches]", "]"),
        "of several objects take the one with the largest overlap": (
            CHOICE,
            "                matches[d] = g\n                break\n",
        ),
        "of several objects take the one with the largest overlap, not the last": (
            "                best = iou(boxes[d], objects[g])\n",
            "",
        ),
        "the overlap must reach the threshold": ("best = threshold", "best = 1e-9"),
        "the threshold itself is enough: >=, not >": (
            ">= best:",
            "> (best if matches[d] < 0 else best - 1e-9):",
        ),
        "widths are x2 - x1, without + 1": (
            "        w = max(",
            "        a, b = a + [0, 0, 1, 1], b + [0, 0, 1, 1]\n        w = max(",
        ),
        "divide by the union, not by the smaller box": (UNION, "min(areas)"),
        "divide by the union, not by the mean of the areas (that is Dice)": (
            UNION,
            "(sum(areas) / 2)",
        ),
        "what both cover is counted twice in the union": (UNION, "sum(areas)"),
        "if the nearest object is taken, another one may do": (
            "    return matches",
            "        taken = matches[:d] + matches[d + 1 :]\n"
            "        nearest = max(range(len(objects)), default=-1,\n"
            "                      key=lambda g: iou(boxes[d], objects[g]))\n"
            "        if nearest in taken:\n"
            "            matches[d] = -1\n"
            "    return matches",
        ),
        "detections choose objects, objects do not choose detections": (
            "    return matches",
            "    matches = [-1] * len(boxes)\n"
            "    for g in range(len(objects)):\n"
            "        free = [d for d in range(len(boxes)) if matches[d] < 0]\n"
            "        d = max(free, default=None, key=lambda d: iou(boxes[d], objects[g]))\n"
            "        if d is not None and iou(boxes[d], objects[g]) >= threshold:\n"
            "            matches[d] = g\n"
            "    return matches",
        ),
        "the best score chooses first, not the largest overlap": (
            "    return matches",
            "    matches = [-1] * len(boxes)\n"
            "    pairs = [(iou(b, o), d, g) for d, b in enumerate(boxes)\n"
            "             for g, o in enumerate(objects)]\n"
            "    for overlap, d, g in sorted(pairs, reverse=True):\n"
            "        if overlap >= threshold and matches[d] < 0 and g not in matches:\n"
            "            matches[d] = g\n"
            "    return matches",
        ),
        "the answer is in the order in which the detections came": (
            "return matches",
            f"return [matches[d] for d in {ORDER}]",
        ),
        "the row of the object is wanted, not whether there is one": [
            ("return matches", "return [m >= 0 for m in matches]"),
            ("return matches", "return [0 if m >= 0 else -1 for m in matches]"),
        ],
        "rows count from 0, and -1 is for none": [
            ("return matches", "return [m + 1 if m >= 0 else -1 for m in matches]"),
            ("return matches", "return [m + 1 for m in matches]"),
        ],
        "for every detection its object, not for every object its detection": (
            "return matches",
            "return [matches.index(g) if g in matches else -1 for g in range(len(objects))]",
        ),
        "a detection without an object is there too, as -1": (
            "return matches",
            "return [m for m in matches if m >= 0]",
        ),
    },
    "average_precision": {
        "recall is a share of all objects, not of those matched": (
            "recall = matched / objects",
            "recall = matched / max(matched[-1], 1)",
        ),
        "recall is a share of the objects, not of the detections": (
            "recall = matched / objects",
            "recall = matched / len(hits)",
        ),
        "precision is the best at this recall or a higher one": (
            BEST,
            BEST.replace("max()", "item(0)"),
        ),
        "precision is the best at this recall or a higher one, not a lower one": (
            "reached = precision[recall >= level]",
            "reached = precision[recall <= level] if recall[-1] >= level else []",
            "reached.max()",
            "max(reached)",
        ),
        "precision is the best at this recall or a higher one, not their mean": (
            "reached.max()",
            "reached.mean()",
        ),
        "interpolate first: AP is not the area under the raw curve": [
            (
                "    total = 0.0\n",
                "    return (precision * np.asarray(hits)).sum() / objects\n    total = 0.0\n",
            ),
            (
                "    total = 0.0\n",
                "    r, p = np.r_[0, recall], np.r_[1, precision]\n"
                "    return ((r[1:] - r[:-1]) * (p[1:] + p[:-1]) / 2).sum()\n    total = 0.0\n",
            ),
            (
                "    total = 0.0\n",
                "    r, p = np.r_[0, recall], np.r_[precision[0], precision]\n"
                "    return ((r[1:] - r[:-1]) * (p[1:] + p[:-1]) / 2).sum()\n    total = 0.0\n",
            ),
        ],
        "COCO's AP is a mean over 101 recalls, not the exact area (VOC 2010)": [
            (
                "    total = 0.0\n",
                "    best = np.maximum.accumulate(precision[::-1])[::-1]\n"
                "    return (best * np.diff(np.r_[0, recall])).sum()\n    total = 0.0\n",
            ),
        ],
        "where no recall is as high the precision is 0, and counts": (
            "    return total / 101",
            "    return total / max((np.linspace(0, 1, 101) <= recall.max()).sum(), 1)",
        ),
        "recall 0 counts too: there are 101 levels": [
            ("np.linspace(0, 1, 101):", "np.linspace(0, 1, 101)[1:]:"),
            ("np.linspace(0, 1, 101):", "np.linspace(0, 1, 101)[1:]:", "/ 101", "/ 100"),
        ],
        "101 levels are divided by 101, not by 100": ("total / 101", "total / 100"),
        "recall 1 counts too: there are 101 levels": (
            "np.linspace(0, 1, 101):",
            "np.linspace(0, 1, 101)[:-1]:",
            "/ 101",
            "/ 100",
        ),
        "at this recall or a higher one: >=, not >": ("recall >= level", "recall > level"),
        "AP has 101 levels, the old PASCAL one had 11": (
            "    total = 0.0\n",
            "    reached = [precision[recall >= i / 10] for i in range(11)]\n"
            "    return sum(max(r, default=0.0) for r in reached) / 11\n",
        ),
        "precision counts the detections so far, not all of them": (
            "np.arange(1, len(hits) + 1)",
            "len(hits)",
        ),
        "precision counts the detections so far, this one included": (
            "np.arange(1, len(hits) + 1)",
            "np.maximum(np.arange(len(hits)), 1)",
        ),
        "AP is a mean over recalls, not over detections": (
            "    total = 0.0\n",
            "    return precision.mean()\n",
        ),
        "AP is a mean over recalls, not over the hits": (
            "    total = 0.0\n",
            "    return precision[np.asarray(hits)].mean() if any(hits) else 0.0\n",
        ),
        "AP follows the ranking, it is not the precision of all detections": (
            "    total = 0.0\n",
            "    return precision[-1]\n",
        ),
        "AP is of precision, not of recall": ("    total = 0.0\n", "    return recall[-1]\n"),
        "the sum over the levels is divided by their number": ("total / 101", "total"),
    },
}
