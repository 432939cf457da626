"""Mistakes in the exercises of 05_roi_align."""

POINT = "px, py = x - 0.5, y - 0.5"
SHARES = "fx, fy = px - left, py - top"
SIDE = "math.sqrt((box[2] - box[0]) * (box[3] - box[1]))"

MISTAKES = {
    "bilinear": {
        "you forgot the half pixel: a pixel's centre is at + 0.5": (POINT, "px, py = x, y"),
        "both x and y have a half pixel": [
            (POINT, "px, py = x - 0.5, y"),
            (POINT, "px, py = x, y - 0.5"),
        ],
        "the half pixel is subtracted, not added": (POINT, "px, py = x + 0.5, y + 0.5"),
        "x and y are swapped: a feature map is indexed by row, then column": (
            POINT,
            "px, py = y - 0.5, x - 0.5",
        ),
        "the nearer pixel has the larger share": (
            SHARES,
            "fx, fy = 1 - (px - left), 1 - (py - top)",
        ),
        "the nearer pixel has the larger share, in x as well": (
            SHARES,
            "fx, fy = 1 - (px - left), py - top",
        ),
        "the nearer pixel has the larger share, in y as well": (
            SHARES,
            "fx, fy = px - left, 1 - (py - top)",
        ),
        "x has its own share, and y its own": [
            (SHARES, "fy, fx = px - left, py - top"),
            (SHARES, "fx = fy = px - left"),
            (SHARES, "fx = fy = py - top"),
        ],
        "the value lies between four pixels; do not take the nearest one": [
            (SHARES, "fx, fy = round(px - left), round(py - top)"),
            (POINT, "px, py = x, y", SHARES, "fx, fy = round(px - left), round(py - top)"),
        ],
        "the value lies between four pixels; do not take the one at the top left": [
            (SHARES, "fx = fy = 0"),
        ],
        "the value lies between pixels in y as well as in x": [
            (SHARES, "fx, fy = px - left, 0"),
            (SHARES, "fx, fy = 0, py - top"),
        ],
        "the shares count: it is not the mean of four pixels": [
            (SHARES, "fx = fy = 0.5"),
            (POINT, "px, py = x, y", SHARES, "fx = fy = 0.5"),
        ],
        "it is not the largest of the four pixels": (
            "    return (1 - fy)",
            "    return feature[top : top + 2, left : left + 2].max()\n    return (1 - fy)",
        ),
        "the four shares are products and add up to 1": (
            "    return (1 - fy)",
            "    a, b, c, d = feature[top : top + 2, left : left + 2].ravel()\n"
            "    return (a * (2 - fx - fy) + b * (1 + fx - fy) + c * (1 - fx + fy)\n"
            "            + d * (fx + fy)) / 4\n"
            "    return (1 - fy)",
        ),
    },
    "pyramid_level": {
        "round down, not to the nearest level": ("math.floor(", "round("),
        "round down, not up": ("math.floor(", "math.ceil("),
        "a level is a whole number: round down": ("math.floor(", "("),
        "there are levels 2 to 5 only": ("min(max(level, 2), 5)", "level"),
        "there is no level below 2": ("min(max(level, 2), 5)", "min(level, 5)"),
        "there is no level above 5": ("min(max(level, 2), 5)", "max(level, 2)"),
        "the lowest level is 2, not 0": ("min(max(level, 2), 5)", "min(max(level, 0), 5)"),
        "a square of canonical_size goes to level 4: add 4": ("4 + math", "math"),
        "give the level, 2 to 5, not its place in a list": (
            "min(max(level, 2), 5)",
            "min(max(level, 2), 5) - 2",
        ),
        "what counts is the root of the area, not the longer side": (
            SIDE,
            "max(box[2] - box[0], box[3] - box[1])",
        ),
        "what counts is the root of the area, not the shorter side": (
            SIDE,
            "min(box[2] - box[0], box[3] - box[1])",
        ),
        "what counts is the root of the area, not the mean of the sides": (
            SIDE,
            "(box[2] - box[0] + box[3] - box[1]) / 2",
        ),
        "what counts is the root of the area, not one of the sides": [
            (SIDE, "box[2] - box[0]"),
            (SIDE, "box[3] - box[1]"),
        ],
        "what counts is the root of the area, not the area": [
            (SIDE, "(box[2] - box[0]) * (box[3] - box[1])"),
            (SIDE, "(box[2] - box[0]) * (box[3] - box[1]) / canonical_size"),
        ],
        "a box is x1, y1, x2, y2, not x, y, width, height": (SIDE, "math.sqrt(box[2] * box[3])"),
        "widths are x2 - x1, without + 1": (
            SIDE,
            "math.sqrt((box[2] - box[0] + 1) * (box[3] - box[1] + 1))",
        ),
        "canonical_size is an argument, not always 224": ("side / canonical_size", "side / 224"),
        "large boxes go to high levels: the ratio is upside down": (
            "side / canonical_size",
            "canonical_size / side",
        ),
        "a level is a factor of 2: the logarithm is that of base 2": [
            ("math.log2(", "math.log("),
            ("math.log2(", "math.log10("),
        ],
    },
}
