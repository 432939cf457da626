"""Mistakes in the exercises of 00_tour."""

MISTAKES = {
    "stage_shapes": {
        "background has a score too: there are C + 1": ("6 + 1]", "6]"),
        "background has no mask": ("[rois, 6, 14, 14]", "[rois, 7, 14, 14]"),
        "height comes before width": ("[n, 48, h, w]", "[n, 48, w, h]"),
        "channels come before height and width": ("[n, 48, h, w]", "[n, h, w, 48]"),
        "a feature map has 48 channels, not the image's 3": ("[n, 48, h, w]", "[n, 3, h, w]"),
        "the finest feature has stride 4, it is smaller than the image": (
            "[n, 48, h, w]",
            "[n, 48, height, width]",
        ),
        "the anchors of all levels count, not only the finest one's": (
            "for h, w in grids)",
            "for h, w in grids[:1])",
        ),
        "there are five levels, stride 64 is one of them": (
            "[4, 8, 16, 32, 64]",
            "[4, 8, 16, 32]",
        ),
        "a cell has 6 anchors, not one": ("sum(6 * h * w", "sum(h * w"),
        "half a cell at the border is a cell: round up": [
            ("(math.ceil(height / s), math.ceil(width / s))", "(height // s, width // s)"),
            ("math.ceil", "round"),
        ],
        "an anchor has one score, not one for object and one for background": (
            '"rpn scores": [n, anchors]',
            '"rpn scores": [n, anchors, 2]',
        ),
        "the four deltas of an anchor are an axis of their own": (
            "[n, anchors, 4]",
            "[n, anchors * 4]",
        ),
        "the RPN does not know classes: an anchor has one score and four deltas": (
            '"rpn scores": [n, anchors]',
            '"rpn scores": [n, anchors, 6]',
        ),
        "rois counts the RoIs of all images together": [
            ("[rois, 6 + 1]", "[n, rois, 6 + 1]", "[rois, 6, 14", "[n, rois, 6, 14"),
            ("[rois, 6 + 1]", "[n * rois, 6 + 1]", "[rois, 6, 14", "[n * rois, 6, 14"),
        ],
        "the mask head doubles the 7 x 7 cells": ("14, 14]", "7, 7]"),
        "there is one mask for every class": [
            ("[rois, 6, 14, 14]", "[rois, 14, 14]"),
            ("[rois, 6, 14, 14]", "[rois, 1, 14, 14]"),
        ],
    },
    "detection_origin": {
        "roi_index is a row of the proposals; look its anchor up": (
            "rest = anchor_index[roi_index]",
            "rest = roi_index",
        ),
        "rows of the proposals count from 0": ("[roi_index]", "[roi_index - 1]"),
        "row and column are swapped": ("cell // w, cell % w", "cell % w, cell // w"),
        "a row has w cells, not h": [
            ("cell // w, cell % w", "cell // h, cell % h"),
            ("cell // w, cell % w", "cell // h, cell % w"),
            ("cell // w, cell % w", "cell % h, cell // h"),
        ],
        "a cell has several anchors: divide by their number first": (
            "cell = rest // shapes",
            "cell = rest",
        ),
        "the shape is the fastest index: row, then column, then shape": (
            "cell = rest // shapes",
            "cell = rest % (h * w)",
            "rest % shapes",
            "rest // (h * w)",
        ),
        "the anchors of the levels before are not subtracted": (
            "    h, w = grids[level]",
            "    rest = anchor_index[roi_index]\n    h, w = grids[level]",
        ),
        "a level ends before its number of anchors: >=, not >": ("rest >=", "rest >"),
        "levels count from 0": ("[level, cell", "[level + 1, cell"),
        "each level has its own number of shapes": (
            "level_sizes[level] // (h * w)",
            "level_sizes[0] // (grids[0][0] * grids[0][1])",
        ),
        "each level has its own grid": ("grids[level]", "grids[0]"),
        "level, row, column, shape: the shape goes last": (
            "cell // w, cell % w, rest % shapes]",
            "rest % shapes, cell // w, cell % w]",
        ),
    },
}
