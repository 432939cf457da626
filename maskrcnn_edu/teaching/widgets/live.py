"""Watch a model train: the losses of one stage, and the picture of that stage, drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import ipywidgets
from matplotlib.figure import Figure

from maskrcnn_edu.config.build import build_optimizer
from maskrcnn_edu.config.yaml_files import Config
from maskrcnn_edu.data.loader import BatchLoader
from maskrcnn_edu.model.mask_rcnn import MaskRCNN
from maskrcnn_edu.system.language import say
from maskrcnn_edu.teaching.recorder import undisturbed
from maskrcnn_edu.teaching.widgets.microscope import picture_widget, png_bytes
from maskrcnn_edu.training.loop import Budget, train_steps
from maskrcnn_edu.viz.curves import LOSS_COLOURS

LOOKS = 8


class LiveTraining:
    """A progress bar, loss curves, and a picture that change while the whole model trains.

    Display ``widget`` first, then call `run`. The last state stays in the saved notebook.

    Args:
        model: what trains; every weight of it that is not frozen.
        batches: what it is trained with.
        config: names the optimizer and the learning rate.
        steps: how long.
        losses: names of the losses whose curves are drawn.
        picture: model (prediction mode, no gradients, nothing that it does stays) -> figure.

    Attributes:
        widget: what to display.
        history: after `run` the losses of every step, all of them.
        frames: PNG bytes of the picture, before the first step and after some.
        labels: "step N" of each frame.
        figure: the last picture.
    """

    def __init__(
        self, model: MaskRCNN, batches: BatchLoader, config: Config, steps: int,
        losses: Sequence[str], picture: Callable[[MaskRCNN], Figure],
    ):  # fmt: skip
        self.model, self.batches, self.config, self.steps = model, batches, config, steps
        self.losses, self.picture = tuple(losses), picture
        self.history: list[dict[str, float]] = []
        self.frames: list[bytes] = []
        self.labels: list[str] = []
        self.bar = ipywidgets.IntProgress(min=0, max=steps, description=say("steps"))
        self.curves, self.image = picture_widget("50%"), picture_widget("50%")
        self.widget = ipywidgets.VBox([self.bar, ipywidgets.HBox([self.curves, self.image])])

    def run(self) -> None:
        """Train, and look `LOOKS` times on the way; the model is left in prediction mode."""
        every = max(1, self.steps // LOOKS)
        self._look(0)
        moves = build_optimizer(self.config, self.model)
        for step in train_steps(self.model, self.batches, Budget(steps=self.steps), *moves):
            self.history.append(step.losses())
            self.bar.value = step.step
            if step.step % every == 0 or step.step == self.steps:
                self._look(step.step)
        self.model.eval()

    def _look(self, step: int) -> None:
        with undisturbed(self.model):
            self.model.eval()
            self.figure = self.picture(self.model)
        self.frames.append(png_bytes(self.figure))
        self.labels.append(say("step {n}").format(n=step))
        self.image.value = self.frames[-1]
        self.curves.value = png_bytes(self.draw_curves())

    def draw_curves(self) -> Figure:
        """The losses so far, one line each."""
        figure = Figure(figsize=(4.2, 3.8), layout="constrained")
        axes = figure.subplots()
        for name in self.losses:
            values = [step[name] for step in self.history]
            axes.plot(range(1, len(values) + 1), values, color=LOSS_COLOURS[name], label=name)
        axes.set(xlim=(0, self.steps), ylim=(0, None))
        axes.set(xlabel=say("step"), title=say("loss of each step"))
        figure.legend(fontsize=11, loc="outside lower center")
        return figure
