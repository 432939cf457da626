"""Mistakes in the exercises of 02_anchors."""

CENTRES = "x = (column + offset) * stride\n            y = (row + offset) * stride"
SIDES = "aw = size / math.sqrt(ratio)\n                    ah = size * math.sqrt(ratio)"
WIDTH = "max(0.0, min(a[2], b[2]) - max(a[0], b[0]))"
HEIGHT = "max(0.0, min(a[3], b[3]) - max(a[1], b[1]))"
UNION = "(area_a + area_b - both)"

MISTAKES = {
    "anchor_grid": {
        "you forgot the half cell: the offset moves the centre": (
            CENTRES,
            "x = column * stride\n            y = row * stride",
        ),
        "the offset is in cells, not in pixels: multiply it by the stride": (
            CENTRES,
            "x = column * stride + offset\n            y = row * stride + offset",
        ),
        "the offset goes right and down, it is not subtracted": (
            CENTRES,
            "x = (column - offset) * stride\n            y = (row - offset) * stride",
        ),
        "the offset is an argument, it need not be half a cell": (
            CENTRES,
            "x = (column + 0.5) * stride\n            y = (row + 0.5) * stride",
        ),
        "the offset moves both x and y": [
            ("(row + offset)", "row"),
            ("(column + offset)", "column"),
        ],
        "a cell is stride pixels wide: multiply by the stride": (
            CENTRES,
            "x = column + offset\n            y = row + offset",
        ),
        "x and y are swapped: a column has an x, a row has a y": (
            CENTRES,
            "x = (row + offset) * stride\n            y = (column + offset) * stride",
        ),
        "the ratio is height / width, not width / height": (
            SIDES,
            "aw = size * math.sqrt(ratio)\n                    ah = size / math.sqrt(ratio)",
        ),
        "the area must stay size * size whatever the ratio": [
            (SIDES, "aw = size\n                    ah = size * ratio"),
            (SIDES, "aw = size / ratio\n                    ah = size"),
            (SIDES, "aw = size * ratio\n                    ah = size"),
        ],
        "a side changes by the root of the ratio, so that the area stays": [
            (SIDES, "aw = size / ratio\n                    ah = size * ratio"),
            (SIDES, "aw = size * ratio\n                    ah = size / ratio"),
        ],
        "a size is a side, not an area": (
            SIDES,
            "aw = math.sqrt(size / ratio)\n                    ah = math.sqrt(size * ratio)",
        ),
        "a size is in pixels, not in cells": (
            SIDES,
            "aw = size * stride / math.sqrt(ratio)\n"
            "                    ah = size * stride * math.sqrt(ratio)",
        ),
        "every ratio has its own box: a square is not all": (SIDES, "aw = ah = size"),
        "rows go first: row, column, shape": (
            "for row in range(h):\n        for column in range(w):",
            "for column in range(w):\n        for row in range(h):",
        ),
        "sizes go first: size, then ratio": (
            "for size in sizes:\n                for ratio in ratios:",
            "for ratio in ratios:\n                for size in sizes:",
        ),
        "cells go first: row, column, then shape": (
            """
            boxes = []
            for size in sizes:
                for ratio in ratios:
                    half = size / math.sqrt(ratio) / 2, size * math.sqrt(ratio) / 2
                    for row in range(h):
                        for column in range(w):
                            x, y = (column + offset) * stride, (row + offset) * stride
                            box = [x - half[0], y - half[1], x + half[0], y + half[1]]
                            boxes.append(box)
            return np.array(boxes)
            """,
        ),
        "every size with every ratio, not in pairs": (
            "for ratio in ratios:",
            "for ratio in ratios[sizes.index(size) : sizes.index(size) + 1]:",
        ),
        "widths are half on either side of the centre": (
            "[x - aw / 2, y - ah / 2, x + aw / 2, y + ah / 2]",
            "[x - aw, y - ah, x + aw, y + ah]",
        ),
        "the centre is the middle of the box, not its corner": (
            "[x - aw / 2, y - ah / 2, x + aw / 2, y + ah / 2]",
            "[x, y, x + aw, y + ah]",
        ),
        "widths are x2 - x1, without - 1": (
            "x + aw / 2, y + ah / 2]",
            "x + aw / 2 - 1, y + ah / 2 - 1]",
        ),
        "anchors may reach beyond the image: do not clip them": (
            "np.array(anchors)",
            "np.maximum(np.array(anchors), 0)",
        ),
        "anchors may reach beyond the image: do not leave them out": (
            "anchors.append(box)",
            "anchors.extend([box] if min(box) >= 0 else [])",
            "np.array(anchors)",
            "np.array(anchors).reshape(-1, 4)",
        ),
    },
    "iou": {
        "widths are x2 - x1, without + 1": [
            (
                "    width =",
                "    a = [a[0], a[1], a[2] + 1, a[3] + 1]\n"
                "    b = [b[0], b[1], b[2] + 1, b[3] + 1]\n"
                "    width =",
            ),
            (" - max(a[0], b[0])", " - max(a[0], b[0]) + 1", " - max(a[1]", " + 1 - max(a[1]"),
            ("(a[2] - a[0])", "(a[2] - a[0] + 1)", "(b[2] - b[0])", "(b[2] - b[0] + 1)"),
        ],
        "what both cover is counted twice in the union": (UNION, "(area_a + area_b)"),
        "divide by the union, not by the mean of the areas (that is Dice)": (
            UNION,
            "((area_a + area_b) / 2)",
        ),
        "boxes that do not touch overlap by 0: two negative sides make a positive area": [
            (WIDTH, WIDTH[9:-1], HEIGHT, HEIGHT[9:-1]),
            (WIDTH, WIDTH[9:-1], HEIGHT, HEIGHT[9:-1], "width * height", "max(0, width * height)"),
        ],
        "a side of what both cover is at least 0: max(0, ...), not abs": (
            WIDTH,
            f"abs({WIDTH[9:]}",
            HEIGHT,
            f"abs({HEIGHT[9:]}",
        ),
        "both sides of what both cover are at least 0, not only its width": (
            HEIGHT,
            HEIGHT[9:-1],
        ),
        "both sides of what both cover are at least 0, not only its height": (
            WIDTH,
            WIDTH[9:-1],
        ),
        "divide by the union, not by the smaller box": (UNION, "min(area_a, area_b)"),
        "divide by the union, not by the larger box": (UNION, "max(area_a, area_b)"),
        "divide by the union, not by one of the boxes": [(UNION, "area_a"), (UNION, "area_b")],
        "divide by the union, not by the box around both": (
            UNION,
            "((max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1])))",
        ),
        "the overlap is a share: divide by the union": (f" / {UNION}", ""),
        "the union is divided by what both cover, upside down": (
            f"both / {UNION}",
            f"{UNION} / both if both else 0.0",
        ),
        "boxes have an area: the overlap in x times that in y": (
            "both = width * height",
            "both = width + height",
        ),
        "x and y are mixed up: a box is x1, y1, x2, y2": (
            "    width =",
            "    a, b = [a[i] for i in (0, 2, 1, 3)], [b[i] for i in (0, 2, 1, 3)]\n    width =",
        ),
        "a box is x1, y1, x2, y2, not x, y, width, height": [
            (
                "    width =",
                "    a = [a[0], a[1], a[0] + a[2], a[1] + a[3]]\n"
                "    b = [b[0], b[1], b[0] + b[2], b[1] + b[3]]\n"
                "    width =",
            ),
            (
                "(a[2] - a[0]) * (a[3] - a[1])",
                "a[2] * a[3]",
                "(b[2] - b[0]) * (b[3] - b[1])",
                "b[2] * b[3]",
            ),
        ],
        "a box is x1, y1, x2, y2, not centre and size": (
            "    width =",
            "    a = [a[0] - a[2] / 2, a[1] - a[3] / 2, a[0] + a[2] / 2, a[1] + a[3] / 2]\n"
            "    b = [b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2]\n"
            "    width =",
        ),
        "what both cover begins at the larger x1 and ends at the smaller x2": (
            WIDTH,
            "max(0.0, max(a[2], b[2]) - min(a[0], b[0]))",
            HEIGHT,
            "max(0.0, max(a[3], b[3]) - min(a[1], b[1]))",
        ),
    },
}
