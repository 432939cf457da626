"""Mistakes in the exercises of 01_data."""

SCALES = "sy = new_size[0] / old_size[0]\n    sx = new_size[1] / old_size[1]"

MISTAKES = {
    "labels_of": {
        "the labels start at 0; background is the last one": (
            "ids.index(c) for",
            "ids.index(c) + 1 for",
        ),
        "the ids are not sorted": ("sorted(category_ids)", "list(category_ids)"),
        "the order is that of rising ids, not of falling ones": (
            "sorted(category_ids)",
            "sorted(category_ids, reverse=True)",
        ),
        "ids are numbers, do not sort them as text": (
            "sorted(category_ids)",
            "sorted(category_ids, key=str)",
        ),
        "labels follow the ids, not the order in which annotations come": (
            "sorted(category_ids)",
            "list(dict.fromkeys(annotated))",
        ),
        "a category without annotations has a label too": (
            "sorted(category_ids)",
            "sorted(set(annotated))",
        ),
        "one label for every annotation, not for every category": [
            ("for c in annotated", "for c in category_ids"),
            ("[ids.index(c) for c in annotated]", "list(range(len(ids)))"),
        ],
        "each annotation has its own label, even if the class was there before": (
            "for c in annotated",
            "for c in dict.fromkeys(annotated)",
        ),
        "an id is no label: ids have gaps": ("ids.index(c) for", "c for"),
        "an id minus one is no label: ids have gaps": ("ids.index(c) for", "c - 1 for"),
        "an id minus the lowest id is no label: ids have gaps": (
            "ids.index(c) for",
            "c - ids[0] for",
        ),
    },
    "scale_annotation": {
        "x and y are swapped: sizes are (height, width)": (
            SCALES,
            "sx = new_size[0] / old_size[0]\n    sy = new_size[1] / old_size[1]",
        ),
        "the scale is new / old, not old / new": (
            SCALES,
            "sy = old_size[0] / new_size[0]\n    sx = old_size[1] / new_size[1]",
        ),
        "each axis has its own scale": [
            (SCALES, "sy = sx = new_size[0] / old_size[0]"),
            (SCALES, "sy = sx = new_size[1] / old_size[1]"),
            (SCALES, f"{SCALES}\n    sx = sy = min(sx, sy)"),
        ],
        "the scale is a ratio: divide by the old size": (SCALES, "sy, sx = new_size"),
        "bbox is x, y, width, height; return corners": ("x + w, y + h]", "w, h]"),
        "width and height are scaled too": (
            "np.array([x, y, x + w, y + h]) * [sx, sy, sx, sy]",
            "np.array([x * sx, y * sy, x * sx + w, y * sy + h])",
        ),
        "the polygon moves, and so must the box": (" * [sx, sy, sx, sy]", ""),
        "the box moves, and so must the polygon": (
            "    moved[0::2] *= sx\n    moved[1::2] *= sy\n",
            "",
        ),
        "the box is the given one; it need not touch the polygon": (
            "    moved = np",
            "    xs, ys = polygon[0::2] * sx, polygon[1::2] * sy\n"
            "    corners = np.array([xs.min(), ys.min(), xs.max(), ys.max()])\n"
            "    moved = np",
        ),
        "the polygon's numbers are x, y, x, y, ...": (
            "moved[0::2] *= sx\n    moved[1::2] *= sy",
            "moved[0::2] *= sy\n    moved[1::2] *= sx",
        ),
        "the polygon's y are scaled as well as its x": ("    moved[1::2] *= sy\n", ""),
        "the corner is x + width, not x + width - 1": ("x + w, y + h]", "x + w - 1, y + h - 1]"),
        "x and y of bbox are its corner, not its centre": (
            "[x, y, x + w, y + h]",
            "[x - w / 2, y - h / 2, x + w / 2, y + h / 2]",
        ),
    },
}
