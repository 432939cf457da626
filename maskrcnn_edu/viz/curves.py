"""How the losses fell and the AP rose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from maskrcnn_edu.system.language import say
from maskrcnn_edu.viz.style import PALETTE

LOSSES = ("loss_rpn_cls", "loss_rpn_reg", "loss_bbox_cls", "loss_bbox_reg", "loss_mask")
LOSS_COLOURS = dict(zip(LOSSES, PALETTE[:3] + PALETTE[5:]))
"""Those of every picture; PALETTE's yellow would not be seen on white."""
SMOOTHING = 9  # logged steps that a point of a curve averages


def draw_curves(steps: Sequence[dict], evaluations: Sequence[dict]) -> Figure:
    """Loss curves, and AP on the validation images, on one axis of steps.

    Args:
        steps: `maskrcnn_edu.training.run_folder.History.steps`.
        evaluations: `maskrcnn_edu.training.run_folder.History.evaluations`.

    Returns:
        A figure with one line for each of `LOSSES` (moving means), and below it lines
        ``segm_AP`` and ``bbox_AP``.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    at = [s["step"] for s in steps]
    for name, colour in LOSS_COLOURS.items():
        upper.plot(at, _smooth([s[name] for s in steps]), label=name, color=colour)
    upper.set(title=say("losses (moving mean)"), ylim=(0, None))
    looks = [e["step"] for e in evaluations]
    for name, colour, marker in (("segm_AP", PALETTE[2], "o"), ("bbox_AP", PALETTE[6], "s")):
        lower.plot(looks, [e[name] for e in evaluations], marker, ls="-", label=name, color=colour)
    lower.set(xlabel=say("step"), title=say("AP on validation images"), ylim=(0, 1))
    for axes in (upper, lower):
        axes.legend(fontsize=11, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def _smooth(values: Sequence[float]) -> np.ndarray:
    """Moving mean that is shorter at the ends, so that the curve begins where the data does."""
    if not values:
        return np.zeros(0)
    window = np.ones(min(SMOOTHING, len(values)))
    ones = np.ones(len(values))
    return np.convolve(values, window, "same") / np.convolve(ones, window, "same")
