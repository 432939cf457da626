"""Mistakes in the exercises of 06_bbox_head."""

OWN = "deltas[np.arange(len(labels)), labels]"
CLIP = "np.clip(boxes, 0, [width, height, width, height])"
STACK = "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]"
MOVE = "x = rois[:, 0] + w / 2 + dx * w\n    y = rois[:, 1] + h / 2 + dy * h"
GROW = "w = w * np.exp(dw)\n    h = h * np.exp(dh)"
ENOUGH = "        if probs[row, label] > threshold:"

MISTAKES = {
    "decode_own_class": {
        "the deltas are not divided by the weights": ("own / weights", "own"),
        "the deltas are divided by the weights, not multiplied": [
            ("own / weights", "own * weights"),
            ("own / weights", "own * np.array(weights) / 100"),
        ],
        "the weights' order is that of dx, dy, dw, dh": ("own / weights", "own / weights[::-1]"),
        "the first class's deltas are taken, not the own class's": (OWN, "deltas[:, 0]"),
        "label 0 is the first class: do not subtract 1": (
            OWN,
            "deltas[np.arange(len(labels)), labels - 1]",
        ),
        "every RoI has its own label": (OWN, "deltas[:, labels[0]]"),
        "the own class's deltas count, not the mean of all classes": (OWN, "deltas.mean(axis=1)"),
        "the own class's deltas count, not the largest of all": (OWN, "deltas.max(axis=1)"),
        "the boxes are not clipped to the image": (CLIP, "boxes"),
        "boxes are clipped at the image's right and bottom too": (CLIP, "np.maximum(boxes, 0)"),
        "boxes are clipped at the image's left and top too": (
            CLIP,
            "np.minimum(boxes, [width, height, width, height])",
        ),
        "the image ends at its width, not at width - 1": (
            CLIP,
            "np.clip(boxes, 0, [width - 1, height - 1, width - 1, height - 1])",
        ),
        "height and width are swapped: im_shape is (height, width)": (
            "height, width = im_shape",
            "width, height = im_shape",
        ),
        "x is clipped at the width, y at the height": [
            (CLIP, "np.clip(boxes, 0, width)"),
            (CLIP, "np.clip(boxes, 0, height)"),
            (CLIP, "np.clip(boxes, 0, max(height, width))"),
        ],
        "the RoIs are clipped, the boxes must be": (
            "    own = ",
            "    rois = np.clip(rois, 0, np.tile(im_shape[::-1], 2))\n    own = ",
            CLIP,
            "boxes",
        ),
        "dw and dh are logarithms: take exp": [
            (GROW, "w = w * (1 + dw)\n    h = h * (1 + dh)"),
            (GROW, "w = w * dw\n    h = h * dh"),
        ],
        "dx and dy move the centre, not the corner": (
            MOVE,
            "x = rois[:, 0] + dx * w\n    y = rois[:, 1] + dy * h",
        ),
        "dx and dy are in sizes of the RoI, not in pixels": (
            MOVE,
            "x = rois[:, 0] + w / 2 + dx\n    y = rois[:, 1] + h / 2 + dy",
        ),
        "dx and dy are in sizes of the RoI, not of the new box": (
            f"{MOVE}\n    {GROW}",
            "x = rois[:, 0] + w / 2\n    y = rois[:, 1] + h / 2\n"
            f"    {GROW}\n    x, y = x + dx * w, y + dy * h",
        ),
        "x and y are swapped": ("dx, dy, dw, dh = ", "dy, dx, dh, dw = "),
        "the new width stands half on either side of the centre": [
            (STACK, "[x, y, x + w, y + h]"),
            (STACK, "[x - w, y - h, x + w, y + h]"),
        ],
        "widths are x2 - x1, without + 1": (
            "    w = rois[:, 2]",
            "    rois = rois + [0, 0, 1, 1]\n    w = rois[:, 2]",
        ),
    },
    "best_per_class": {
        "the background class is counted": ("probs.shape[1] - 1", "probs.shape[1]"),
        "background is the last column, not the first": [
            ("range(probs.shape[1] - 1)", "range(1, probs.shape[1])"),
            ("range(probs.shape[1] - 1)", "range(1, probs.shape[1])", "[label,", "[label - 1,"),
        ],
        "scores below the threshold are kept": (
            "probs[row, label] > threshold",
            "probs[row, label] >= 0",
        ),
        "a score must be above the threshold, not equal to it": ("> threshold", ">= threshold"),
        "these are probabilities already: no second softmax": (
            "    detections = []\n",
            "    detections = []\n"
            "    probs = np.exp(probs) / np.exp(probs).sum(axis=1, keepdims=True)\n",
        ),
        "these are probabilities already: no sigmoid": (
            "    detections = []\n",
            "    detections = []\n    probs = 1 / (1 + np.exp(-probs))\n",
        ),
        "each row adds up to 1 with its background: do not divide anew without it": (
            "    detections = []\n",
            "    detections = []\n"
            "    probs = probs[:, :-1] / probs[:, :-1].sum(axis=1, keepdims=True)\n"
            "    probs = np.concatenate([probs, 0 * probs[:, :1]], axis=1)\n",
        ),
        "classes do not suppress each other: keep the best of each": (
            "    return detections",
            "    detections.sort(key=lambda f: -probs[f[1], f[0]])\n    return detections[:1]",
        ),
        "a RoI may count for several classes, not only for its best one": [
            (ENOUGH, f"{ENOUGH[:-1]} and probs[row].argmax() == label:"),
            (ENOUGH, f"{ENOUGH[:-1]} and probs[row, :-1].argmax() == label:"),
            (
                """
                found = []
                best = probs[:, :-1].argmax(axis=1)
                for label in range(probs.shape[1] - 1):
                    rows = [r for r in range(len(probs)) if best[r] == label]
                    row = max(rows, key=lambda r: probs[r, label], default=None)
                    if row is not None and probs[row, label] > threshold:
                        found.append([label, row])
                return found
                """,
            ),
        ],
        "a RoI may be the best of several classes": (
            ENOUGH,
            f"{ENOUGH[:-1]} and row not in [r for _, r in detections]:",
        ),
        "label goes first, then row": (
            "detections.append([label, row])",
            "detections.append([row, label])",
        ),
        "labels count from 0": (
            "detections.append([label, row])",
            "detections.append([label + 1, row])",
        ),
        "give the row, not its score": ("[label, row])", "[label, probs[row, label]])"),
        "give label and row, not the label alone": (
            "detections.append([label, row])",
            "detections.append(label)",
        ),
        "give label and row, not the row alone": (
            "detections.append([label, row])",
            "detections.append(row)",
        ),
        "by rising label, not by falling score": (
            "    return detections",
            "    return sorted(detections, key=lambda f: -probs[f[1], f[0]])",
        ),
        "suppression leaves one box of a class": (
            """
            return [
                [label, row]
                for label in range(probs.shape[1] - 1)
                for row in range(len(probs))
                if probs[row, label] > threshold
            ]
            """,
        ),
        "the best of a class stays, not the first above the threshold": (
            "row = int(probs[:, label].argmax())",
            "row = int((probs[:, label] > threshold).argmax())",
        ),
        "a detection for every class, not one for every RoI": (
            "    detections = []\n",
            "    best = probs[:, :-1].argmax(axis=1)\n"
            "    return [[int(c), row] for row, c in enumerate(best)]\n",
        ),
    },
}
