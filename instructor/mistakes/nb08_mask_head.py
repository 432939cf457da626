"""Mistakes in the exercises of 08_mask_head."""

OWN = "logits[np.arange(len(labels)), labels]"
SIGMOID = "probs = 1 / (1 + np.exp(-own))"
LOSS = "np.where(targets == 1, -np.log(probs), -np.log(1 - probs))"
CELLS = (
    "(px - box[0]) / (box[2] - box[0]) * m - 0.5\n"
    "    cy = (py - box[1]) / (box[3] - box[1]) * m - 0.5"
)
RESULT = "(share_y @ mask @ share_x.T >= 0.5).astype(int)"
PIXELS = "np.arange(width) + 0.5, np.arange(height) + 0.5"

MISTAKES = {
    "own_mask_loss": {
        "the other classes' masks have no loss: pick the own class": [
            (f"    own = {OWN}", "    own, targets = logits, targets[:, None]"),
            (
                f"    own = {OWN}",
                "    own = logits\n"
                "    both = np.zeros(logits.shape)\n"
                "    both[np.arange(len(labels)), labels] = targets\n"
                "    targets = both",
            ),
        ],
        "the first class's mask is taken, not the own class's": (OWN, "logits[:, 0]"),
        "label 0 is the first class: do not subtract 1": (OWN, OWN.replace("labels]", "labels-1]")),
        "every RoI has its own label": (OWN, "logits[:, labels[0]]"),
        "the own class's logits count, not the largest of all classes": (
            OWN,
            "logits.max(axis=1)",
        ),
        "the own class's logits count, not the mean of all classes": (OWN, "logits.mean(axis=1)"),
        "the classes do not compete: sigmoid, not softmax": (
            SIGMOID,
            "probs = np.exp(own) / np.exp(logits).sum(axis=1)",
        ),
        "the cells do not compete: sigmoid of each, not softmax over all": (
            SIGMOID,
            "probs = np.exp(own) / np.exp(own).sum(axis=(1, 2), keepdims=True)",
        ),
        "logits are no probabilities: take the sigmoid": (
            SIGMOID,
            "probs = np.clip(own, 1e-7, 1 - 1e-7)",
        ),
        "one sigmoid is enough": (SIGMOID, f"{SIGMOID}\n    probs = 1 / (1 + np.exp(-probs))"),
        "it is the mean of all cells, not their sum": ("loss.mean()", "loss.sum()"),
        "it is the mean of all cells, not a sum over each mask": (
            "loss.mean()",
            "loss.sum(axis=(1, 2)).mean()",
        ),
        "it is the mean over the RoIs too, not their sum": (
            "loss.mean()",
            "loss.mean(axis=(1, 2)).sum()",
        ),
        "cells outside the object count as well": [
            ("-np.log(1 - probs))", "0.0)"),
            ("loss.mean()", "loss[targets == 1].mean()"),
        ],
        "cells inside the object count as well": ("-np.log(probs),", "0.0,"),
        "0 and 1 are swapped, in the targets or by the sign within the sigmoid": (
            "targets == 1",
            "targets == 0",
        ),
        "the loss is minus the logarithm": ("return loss.mean()", "return -loss.mean()"),
        "the logarithm is the natural one": [("np.log(", "np.log2("), ("np.log(", "np.log10(")],
        "it is the cross-entropy, not the squared difference": (LOSS, "(probs - targets) ** 2"),
        "it is the cross-entropy, not the absolute difference": (
            LOSS,
            "np.abs(probs - targets)",
        ),
        "it is the cross-entropy, not Dice": (
            "loss.mean()",
            "1 - 2 * (probs * targets).sum() / (probs.sum() + targets.sum())",
        ),
        "the loss is computed of probabilities, not of masks of 0 and 1": (
            SIGMOID,
            "probs = np.where(own > 0, 1 - 1e-7, 1e-7)",
        ),
    },
    "paste_one": {
        "you forgot the half pixel: a pixel's centre is at + 0.5": (
            PIXELS,
            "np.arange(width), np.arange(height)",
        ),
        "you forgot the half cell: the first cell's centre is at 0.5": (
            CELLS,
            CELLS.replace(" - 0.5", ""),
        ),
        "you forgot the half pixel and the half cell": (
            PIXELS,
            "np.arange(width), np.arange(height)",
            CELLS,
            CELLS.replace(" - 0.5", ""),
        ),
        "the corners of the mask lie on the box, not the centres of its cells": (
            CELLS,
            CELLS.replace("m - 0.5", "(m - 1)"),
        ),
        "x and y are swapped: a mask is indexed by row, then column": (
            "share_y @ mask @ share_x.T",
            "share_y @ mask.T @ share_x.T",
        ),
        "the mask belongs at its box, not in the image's corner": (
            CELLS,
            CELLS.replace("(px - box[0])", "px").replace("(py - box[1])", "py"),
        ),
        "the mask covers its box, not the whole image": (
            "    m = len(mask)",
            "    box = [0, 0, width, height]\n    m = len(mask)",
        ),
        "the box lies between pixels: do not round it": [
            ("    m = len(mask)", "    box = np.round(box)\n    m = len(mask)"),
            ("    m = len(mask)", "    box = np.floor(box)\n    m = len(mask)"),
        ],
        "a box is x1, y1, x2, y2, not x, y, width, height": (
            CELLS,
            CELLS.replace("(box[2] - box[0])", "box[2]").replace("(box[3] - box[1])", "box[3]"),
        ),
        "widths are x2 - x1, without + 1": (
            CELLS,
            CELLS.replace("- box[0]) *", "- box[0] + 1) *").replace(
                "- box[1]) *", "- box[1] + 1) *"
            ),
        ),
        "the result is 0 or 1: compare with 0.5": (RESULT, "share_y @ mask @ share_x.T"),
        "first enlarge, then compare with 0.5": (
            "    m = len(mask)",
            "    mask = (mask >= 0.5).astype(float)\n    m = len(mask)",
        ),
        "the values between cells count: bilinear, not the nearest cell": (
            "np.maximum(0, 1 - np.abs(cx[:, None] - np.arange(m)))",
            "(np.floor(cx[:, None] + 0.5) == np.arange(m)).astype(float)",
            "np.maximum(0, 1 - np.abs(cy[:, None] - np.arange(m)))",
            "(np.floor(cy[:, None] + 0.5) == np.arange(m)).astype(float)",
        ),
        "a pixel is 1 from a value of 0.5 up: >=, not >": (">= 0.5", "> 0.5"),
        "the limit is half: a pixel with any value is not enough": (">= 0.5", "> 0"),
        "outside of the mask is 0: its border does not go on": (
            "    # share",
            "    cx, cy = np.clip(cx, 0, m - 1), np.clip(cy, 0, m - 1)\n    # share",
        ),
        "the border does not go on: towards it the values fall to 0": (
            "    # share",
            "    fx, fy = np.clip(cx, 0, m - 1), np.clip(cy, 0, m - 1)\n"
            "    inside = (np.abs(cy + 0.5 - m / 2) <= m / 2)[:, None] & (\n"
            "        np.abs(cx + 0.5 - m / 2) <= m / 2)\n"
            "    fx = np.maximum(0, 1 - np.abs(fx[:, None] - np.arange(m)))\n"
            "    fy = np.maximum(0, 1 - np.abs(fy[:, None] - np.arange(m)))\n"
            "    return ((fy @ mask @ fx.T >= 0.5) & inside).astype(int)\n"
            "    # share",
        ),
    },
}
