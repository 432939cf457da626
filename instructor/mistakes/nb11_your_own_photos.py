"""Mistakes in the exercises of 11_your_own_photos."""

FIRST = "scale = short / min(height, width)"
LIMIT = "scale = min(scale, limit / max(height, width))"
SIDES = "[int(height * scale + 0.5), int(width * scale + 0.5)]"
MULTIPLE = "math.ceil(side / stride) * stride"
LARGEST = "height = max(h for h, w in shapes)\n    width = max(w for h, w in shapes)"

MISTAKES = {
    "resized_shape": {
        "the longer side has a limit": (f"    {LIMIT}\n", ""),
        "of the two scales take the smaller one": ("scale = min(scale,", "scale = max(scale,"),
        "the limit is no target: the shorter side becomes short if it can": (
            LIMIT,
            "scale = limit / max(height, width)",
        ),
        "short is for the shorter side": [
            (f"{FIRST}\n    {LIMIT}", "scale = short / max(height, width)"),
            (FIRST, "scale = short / max(height, width)"),
            (FIRST, "scale = short / height"),
            (FIRST, "scale = short / width"),
        ],
        "the limit is for the longer side": [
            (LIMIT, "scale = min(scale, limit / width)"),
            (LIMIT, "scale = min(scale, limit / height)"),
        ],
        "the limit is for the new side, not for the old one": (
            LIMIT,
            "scale = limit / max(height, width) if max(height, width) > limit else scale",
        ),
        "small images are enlarged, too": (LIMIT, f"{LIMIT}\n    scale = min(scale, 1)"),
        "an image keeps its shape: both sides have one scale": [
            (
                SIDES,
                "[min(int(s * short / min(height, width) + 0.5), limit) for s in (height, width)]",
            ),
            (SIDES, "[short, limit]"),
            (SIDES, "[limit, short]"),
            (SIDES, "[short, limit] if height < width else [limit, short]"),
            (SIDES, "[short, short]"),
        ],
        "the scale is new / old, not old / new": (
            f"{FIRST}\n    {LIMIT}",
            "scale = max(min(height, width) / short, max(height, width) / limit)",
        ),
        "height goes first, then width": (
            SIDES,
            "[int(width * scale + 0.5), int(height * scale + 0.5)]",
        ),
        "height goes first, then width, whichever is shorter": (
            SIDES,
            f"sorted({SIDES})",
        ),
        "sides are rounded to the nearest pixel, not down": (
            SIDES,
            "[int(height * scale), int(width * scale)]",
        ),
        "sides are rounded to the nearest pixel, not up": (
            SIDES,
            "[math.ceil(height * scale), math.ceil(width * scale)]",
        ),
        "sides are whole pixels: round them": (SIDES, "[height * scale, width * scale]"),
    },
    "padded_shape": {
        "round up, or the largest image is cut": ("math.ceil(", "math.floor("),
        "round up, not to the nearest multiple": ("math.ceil(", "round("),
        "a side that is a multiple already stays": (MULTIPLE, "(side // stride + 1) * stride"),
        "round up to the next multiple, not to the one after it": (
            MULTIPLE,
            f"{MULTIPLE} + stride",
        ),
        "the sides are not made multiples of the stride": (MULTIPLE, "side"),
        "a multiple of the stride, not the side plus the stride": (MULTIPLE, "side + stride"),
        "give pixels, not cells: times the stride": (MULTIPLE, "math.ceil(side / stride)"),
        "give the size, not what is added to it": (MULTIPLE, f"{MULTIPLE} - side"),
        "a multiple of the stride, not a power of 2": (
            MULTIPLE,
            "max(2 ** math.ceil(math.log2(side)), stride)",
        ),
        "all images must fit, not only the first": (LARGEST, "height, width = shapes[0]"),
        "all images must fit, not only the last": (LARGEST, "height, width = shapes[-1]"),
        "all images must fit, not only the smallest": (
            LARGEST,
            LARGEST.replace("max", "min"),
        ),
        "all images must fit, not only one of mean size": (
            LARGEST,
            "height, width = np.mean(shapes, axis=0)",
        ),
        "the images do not lie side by side: the largest counts, not the sum": (
            LARGEST,
            LARGEST.replace("max", "sum"),
        ),
        "the image need not be square: each side has its own maximum": (
            "for side in (height, width)]",
            "for side in (max(height, width),) * 2]",
        ),
        "the largest height and width may be of different images": [
            (LARGEST, "height, width = max(shapes, key=lambda s: s[0] * s[1])"),
            (LARGEST, "height, width = max(shapes)"),
        ],
        "height goes first, then width": ("in (height, width)]", "in (width, height)]"),
        "both sides are made multiples, not only one": [
            (f"[{MULTIPLE} for side in (height, width)]",
             "[math.ceil(height / stride) * stride, width]"),
            (f"[{MULTIPLE} for side in (height, width)]",
             "[height, math.ceil(width / stride) * stride]"),
        ],
    },
}  # fmt: skip
