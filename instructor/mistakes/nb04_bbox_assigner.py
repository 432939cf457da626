"""Mistakes in the exercises of 04_bbox_assigner."""

DX = "dx = (objects[:, 0] + ow / 2 - rois[:, 0] - rw / 2) / rw"
DY = "dy = (objects[:, 1] + oh / 2 - rois[:, 1] - rh / 2) / rh"
LOGS = "dw = np.log(ow / rw)\n    dh = np.log(oh / rh)"
QUOTA = "int(number * fg_share)"
FILL = "[: number - len(fg)]"

MISTAKES = {
    "draw_sample": {
        "foreground has no quota": (f"[: {QUOTA}]", "[:number]"),
        "foreground is not cut at all": (f"[: {QUOTA}]", ""),
        "the quota is a share of the number asked for, not of the foreground found": (
            QUOTA,
            "int(len(foreground) * fg_share)",
        ),
        "the quota is a share of the number asked for, not of all RoIs": (
            QUOTA,
            "int(len(labels) * fg_share)",
        ),
        "at most this share: round down": [
            (QUOTA, "int(np.ceil(number * fg_share))"),
            (QUOTA, "round(number * fg_share)"),
        ],
        "fg_share is the foreground's share, not the background's": (
            QUOTA,
            "int(number * (1 - fg_share))",
        ),
        "background fills the places that foreground leaves free": [
            (FILL, f"[: number - {QUOTA}]"),
            (FILL, "[: int(number * (1 - fg_share))]"),
        ],
        "background fills all places that are left, it has no ratio to the foreground": [
            (FILL, "[: len(fg)]"),
            (FILL, "[: int(len(fg) * (1 - fg_share) / fg_share)]"),
        ],
        "-1 is not trained on, it is no foreground": (" & (labels != -1)", ""),
        "-1 is not trained on, it is no background": (
            "np.flatnonzero(labels == background)",
            "np.flatnonzero((labels == background) | (labels == -1))",
        ),
        "label 0 is a class, not background": [
            ("(labels != background) &", "(labels > 0) & (labels != background) &"),
            ("(labels != background) &", "(labels > 0) &", "labels == background", "labels == 0"),
        ],
        "background is not foreground": (
            "(labels != background) & (labels != -1)",
            "labels >= 0",
        ),
        "the number is that of both together, not of the background": (FILL, "[:number]"),
        "all background was taken; number limits both together": (FILL, ""),
        "take the first ones, not the last ones": [
            (
                "    return fg, bg",
                f"    fg = foreground[-{QUOTA} :]\n"
                "    bg = np.flatnonzero(labels == background)[-(number - len(fg)) :]\n"
                "    return fg, bg",
            ),
        ],
    },
    "regression_targets": {
        "dw and dh are logarithms": [
            (LOGS, "dw = ow / rw\n    dh = oh / rh"),
            (LOGS, "dw = ow / rw - 1\n    dh = oh / rh - 1"),
            (LOGS, "dw = ow - rw\n    dh = oh - rh"),
        ],
        "dw and dh are logarithms, not exponentials": (
            LOGS,
            "dw = np.exp(ow / rw)\n    dh = np.exp(oh / rh)",
        ),
        "the logarithm is the natural one": [
            (LOGS, LOGS.replace("np.log", "np.log2")),
            (LOGS, LOGS.replace("np.log", "np.log10")),
        ],
        "the logarithm is of object / RoI, not of RoI / object": (
            LOGS,
            "dw = np.log(rw / ow)\n    dh = np.log(rh / oh)",
        ),
        "the targets are multiplied by the weights, not divided": (" * weights", " / weights"),
        "the weights are missing": (" * weights", ""),
        "the weights' order is that of dx, dy, dw, dh": (" * weights", " * weights[::-1]"),
        "each delta has its own weight": (" * weights", " * weights[0]"),
        "dx and dy are in sizes of the RoI, not of the object": (
            DX,
            DX[:-2] + "ow",
            DY,
            DY[:-2] + "oh",
        ),
        "dx and dy are in sizes of the RoI, not in pixels": (DX, DX[:-5], DY, DY[:-5]),
        "dx is in widths, dy in heights": (DX, DX[:-2] + "rh", DY, DY[:-2] + "rw"),
        "dx and dy go from centre to centre, not from corner to corner": (
            DX,
            "dx = (objects[:, 0] - rois[:, 0]) / rw",
            DY,
            "dy = (objects[:, 1] - rois[:, 1]) / rh",
        ),
        "the targets are of centre and size, not of two corners": (
            """
            w, h = (rois[:, 2:] - rois[:, :2]).T
            return (objects - rois) / np.stack([w, h, w, h], axis=1) * weights
            """,
        ),
        "the way goes from the RoI to the object, not back": [
            ("    rw = rois", "    rois, objects = objects, rois\n    rw = rois"),
            (DX, DX.replace("(", "-("), DY, DY.replace("(", "-(")),
        ],
        "x and y are swapped": [
            ("[dx, dy, dw, dh]", "[dy, dx, dh, dw]"),
            (
                "np.stack([dx, dy, dw, dh], axis=1) * weights",
                "(np.stack([dx, dy, dw, dh], axis=1) * weights)[:, [1, 0, 3, 2]]",
            ),
        ],
        "the order is dx, dy, dw, dh": [
            ("[dx, dy, dw, dh]", "[dw, dh, dx, dy]"),
            ("[dx, dy, dw, dh]", "[dx, dw, dy, dh]"),
            ("[dx, dy, dw, dh]", "[dx, dy, dh, dw]"),
        ],
        "widths are x2 - x1, without + 1": (
            "    rw = rois",
            "    rois, objects = rois + [0, 0, 1, 1], objects + [0, 0, 1, 1]\n    rw = rois",
        ),
        "a box is x1, y1, x2, y2, not x, y, width, height": (
            "rois[:, 2] - rois[:, 0]",
            "rois[:, 2]",
            "rois[:, 3] - rois[:, 1]",
            "rois[:, 3]",
            "objects[:, 2] - objects[:, 0]",
            "objects[:, 2]",
            "objects[:, 3] - objects[:, 1]",
            "objects[:, 3]",
        ),
    },
}
