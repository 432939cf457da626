"""Mistakes in the exercises of 07_mask_targets."""

GRID = "x = box[0] + centres * (box[2] - box[0])\n    y = box[1] + centres * (box[3] - box[1])"
INSIDE = "(in_y[:, None] & in_x[None, :]).astype(int)"
CELLS = "(points - corner) / sides * m"
TESTS = (
    "in_x = (x > rectangle[0]) & (x < rectangle[2])\n"
    "    in_y = (y > rectangle[1]) & (y < rectangle[3])"
)

MISTAKES = {
    "rasterize_rectangle": {
        "the grid starts at the box's corner, not at the image's": (
            GRID,
            "x = centres * (box[2] - box[0])\n    y = centres * (box[3] - box[1])",
        ),
        "the grid covers the box, not the image: cells are not pixels": (
            GRID,
            "x = box[0] + centres * m\n    y = box[1] + centres * m",
        ),
        "the grid covers the RoI's box, not the object's": (
            "    centres =",
            "    box = rectangle\n    centres =",
        ),
        "each axis has its own cell size": [
            (GRID, GRID.replace("(box[3] - box[1])", "(box[2] - box[0])")),
            (GRID, GRID.replace("(box[2] - box[0])", "(box[3] - box[1])")),
        ],
        "you forgot the half cell: the centre decides, not the corner": (
            "(np.arange(m) + 0.5) / m",
            "np.arange(m) / m",
        ),
        "the centre decides, not the lower right corner": (
            "(np.arange(m) + 0.5) / m",
            "(np.arange(m) + 1) / m",
        ),
        "the first centre is half a cell from the border, and so is the last": (
            "(np.arange(m) + 0.5) / m",
            "np.linspace(0, 1, m)",
        ),
        "the centre decides, not half of the cell's area": (
            """
            edges = np.arange(m + 1) / m
            xs = np.clip(box[0] + edges * (box[2] - box[0]), rectangle[0], rectangle[2])
            ys = np.clip(box[1] + edges * (box[3] - box[1]), rectangle[1], rectangle[3])
            area = (box[2] - box[0]) * (box[3] - box[1]) / m**2
            return (np.diff(ys)[:, None] * np.diff(xs) / area >= 0.5).astype(int)
            """,
        ),
        "a cell is 0 or 1, its covered share does not count": (
            """
            edges = np.arange(m + 1) / m
            xs = np.clip(box[0] + edges * (box[2] - box[0]), rectangle[0], rectangle[2])
            ys = np.clip(box[1] + edges * (box[3] - box[1]), rectangle[1], rectangle[3])
            return np.diff(ys)[:, None] * np.diff(xs) * m**2 / (
                (box[2] - box[0]) * (box[3] - box[1]))
            """,
        ),
        "a cell that is only touched is 0: its centre decides": (
            TESTS,
            "gx, gy = (box[2] - box[0]) / m / 2, (box[3] - box[1]) / m / 2\n"
            "    in_x = (x + gx > rectangle[0]) & (x - gx < rectangle[2])\n"
            "    in_y = (y + gy > rectangle[1]) & (y - gy < rectangle[3])",
        ),
        "a cell need not be covered as a whole: its centre decides": (
            TESTS,
            "gx, gy = (box[2] - box[0]) / m / 2.001, (box[3] - box[1]) / m / 2.001\n"
            "    in_x = (x - gx > rectangle[0]) & (x + gx < rectangle[2])\n"
            "    in_y = (y - gy > rectangle[1]) & (y + gy < rectangle[3])",
        ),
        "x and y are swapped: a mask is indexed by row, then column": (
            "in_y[:, None] & in_x[None, :]",
            "in_x[:, None] & in_y[None, :]",
        ),
        "both x and y must be inside, not one of them": ("] & in_x[", "] | in_x["),
        "inside is 1, outside is 0": (INSIDE, "1 - (in_y[:, None] & in_x[None, :])"),
        "a rectangle has four sides: x1 < x < x2, y1 < y < y2": [
            (TESTS, "in_x = x > rectangle[0]\n    in_y = y > rectangle[1]"),
            (TESTS, "in_x = x < rectangle[2]\n    in_y = y < rectangle[3]"),
        ],
        "the rectangle is x1, y1, x2, y2, not x, y, width, height": (
            "    centres =",
            "    a, b, c, d = rectangle\n    rectangle = [a, b, a + c, b + d]\n    centres =",
        ),
        "the box is x1, y1, x2, y2, not x, y, width, height": (
            GRID,
            "x = box[0] + centres * box[2]\n    y = box[1] + centres * box[3]",
        ),
        "fill it, the outline is not enough": (
            f"return {INSIDE}",
            f"filled = {INSIDE}\n"
            "    padded = np.pad(filled, 1)\n"
            "    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2]\n"
            "    return filled & ~(inner & padded[1:-1, 2:])",
        ),
    },
    "outline_in_cells": {
        "the box's corner is not subtracted": ("(points - corner)", "points"),
        "the box's corner is subtracted before the scaling, in pixels": (
            CELLS,
            "points / sides * m - corner",
        ),
        "the box's corner is subtracted, not added": ("points - corner", "points + corner"),
        "the box's corner becomes 0, not its centre": ("- corner", "- corner - sides / 2"),
        "x and y are swapped: width goes with x, height with y": (
            "[box[2] - box[0], box[3] - box[1]]",
            "[box[3] - box[1], box[2] - box[0]]",
        ),
        "the outline is x, y, x, y, ...": [
            (f"({CELLS})", f"({CELLS})[:, ::-1]"),
            (f"({CELLS}).reshape(-1)", f"({CELLS}).T.reshape(-1)"),
        ],
        "each side has its own scale: the grid is square, the box is not": [
            ("/ sides * m", "/ sides.max() * m"),
            ("/ sides * m", "/ sides.min() * m"),
            ("/ sides * m", "/ sides[0] * m"),
        ],
        "the scale is m / side, upside down": (CELLS, "(points - corner) * sides / m"),
        "widths are x2 - x1, without + 1": ("/ sides * m", "/ (sides + 1) * m"),
        "a box is x1, y1, x2, y2, not x, y, width, height": (
            "[box[2] - box[0], box[3] - box[1]]",
            "[box[2], box[3]]",
        ),
        "the last corner is m, not m - 1": ("/ sides * m", "/ sides * (m - 1)"),
        "the cells are not counted: the box ends at m, not at 1": ("/ sides * m", "/ sides"),
        "the outline is moved, and then stretched to m cells": ("/ sides * m", ""),
        "a corner is a corner, without half a cell": [
            ("/ sides * m)", "/ sides * m - 0.5)"),
            ("/ sides * m)", "/ sides * m + 0.5)"),
        ],
        "what lies outside of the box stays outside: do not clip": (
            f"({CELLS})",
            f"np.clip({CELLS}, 0, m)",
        ),
    },
}
