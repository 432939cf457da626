"""Precision against recall: the curves whose area is AP."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from maskrcnn_edu.system.language import say
from maskrcnn_edu.viz.style import HEAT, PALETTE

COLOURS, STYLES = (*PALETTE[:3], *PALETTE[4:]), ("-", "--", ":")
MOST_NAMES = len(COLOURS) * len(STYLES)
"""So many classes get a colour (no yellow: it is not seen on white) and style of their own, and a
name in the legend."""


def draw_precision_recall(
    precision: np.ndarray, class_names: Sequence[str], thresholds: Sequence[float], what: str
) -> Figure:
    """Precision at every recall: of each class, and for each IoU that counts as found.

    Args:
        precision: [T, R, C], at R recalls from 0 to 1; -1 for a class without objects.
        class_names: C names.
        thresholds: T IoUs.
        what: is compared, for the titles (masks or boxes).

    Returns:
        A figure with a line for each class with objects at the first threshold on the left, and
        the mean over classes for each threshold on the right; labels say the mean precision.
    """
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    recalls = np.linspace(0, 1, precision.shape[1])
    known = [c for c in range(len(class_names)) if precision[0, 0, c] >= 0]
    for k, c in enumerate(known):
        curve, style = precision[0, :, c], STYLES[k // len(COLOURS) % len(STYLES)]
        label = f"{class_names[c]} {curve.mean():.2f}"
        left.plot(recalls, curve, ls=style, color=COLOURS[k % len(COLOURS)], label=label)
    for t, threshold in enumerate(thresholds if known else ()):
        curve = precision[t][:, known].mean(axis=1)
        colour = colormaps[HEAT](t / len(thresholds))
        right.plot(recalls, curve, color=colour, label=f"IoU {threshold:.2f}: {curve.mean():.2f}")
    title = say("{what}, each class at IoU {t:.2f}").format(what=what, t=thresholds[0])
    left.set(title=title, ylabel=say("precision"))
    right.set(title=say("{what}, mean over classes").format(what=what))
    for axes, lines in ((left, len(known)), (right, len(known) and 1)):
        axes.set(xlabel=say("recall"), xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        if 0 < lines <= MOST_NAMES:
            axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure
