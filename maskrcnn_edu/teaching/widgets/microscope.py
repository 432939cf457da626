"""What all microscopes share: controls beside a figure that is drawn anew when one moves."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import ipywidgets
from IPython.display import Image
from matplotlib.figure import Figure

MAX_WIDTH = 800  # pixels; GitHub and JupyterLab show no more in one column
DPI = 100.0
JPEG_WIDTHS, JPEG_QUALITY = (720, 900), 65  # pixels, of 100
Summary = dict[str, Any]


class Microscope:
    """Controls, and a figure that follows them.

    A subclass says how to draw and what to read from a drawing. The figure is an
    `ipywidgets.Image` whose bytes a callback replaces: unlike `interact` or `Output`,
    this leaves nothing in the cell's output, is the same on every run, and is kept in
    the saved notebook.

    Args:
        controls: name of each parameter of ``draw`` -> the widget that sets it.

    Attributes:
        widget: what to display.
        figure: the figure shown now.
    """

    def __init__(self, controls: Mapping[str, ipywidgets.DOMWidget]):
        self.controls = dict(controls)
        self.image = picture_widget()
        self.widget = ipywidgets.VBox([*self.controls.values(), self.image])
        self._show()
        for control in self.controls.values():
            control.observe(self._show, names="value")

    @property
    def values(self) -> dict[str, Any]:
        """Where the controls stand now."""
        return {name: control.value for name, control in self.controls.items()}

    def draw(self, **values: Any) -> Figure:
        """The figure for these values of the controls."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to draw")

    def summary(self, figure: Figure) -> Summary:
        """Numbers read from the artists of a drawing, not from what was computed for it."""
        raise NotImplementedError(f"{type(self).__name__} does not say what to read")

    def sweep(self) -> list[Summary]:
        """Move every control through all its values, one after another, and back.

        A notebook that only shows a widget never runs its callback; this does.

        Returns:
            For every value of every control: which was moved, to what, and the summary of
            the figure that this gave while all other controls stood where they were.
        """
        summaries = []
        for name, control in self.controls.items():
            before = control.value
            for value in choices(control):
                control.value = value
                summaries.append({"moved": name, "to": value, **self.summary(self.figure)})
            control.value = before
        return summaries

    def _show(self, _change: Any = None) -> None:
        self.figure = self.draw(**self.values)
        self.image.value = png_bytes(self.figure)


def slider(name: str, value: float, low: float, high: float, step: float) -> ipywidgets.FloatSlider:
    """A slider that reports where it is let go, not every place it passes."""
    return ipywidgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        description=name,
        continuous_update=False,
        style={"description_width": "initial"},
    )


def dropdown(name: str, options: list[Any], value: Any) -> ipywidgets.Dropdown:
    """A list to choose from."""
    wide = {"width": "max-content"}  # as its longest choice, which is cut off otherwise
    style = {"description_width": "initial"}
    return ipywidgets.Dropdown(
        options=options, value=value, description=name, style=style, layout=wide
    )


def checkbox(name: str, value: bool) -> ipywidgets.Checkbox:
    """A switch."""
    return ipywidgets.Checkbox(value=value, description=name, indent=False)


def choices(control: ipywidgets.DOMWidget) -> list[Any]:
    """All values that a check box, a list or a slider can take, in order.

    Raises:
        TypeError: a widget with values that cannot be listed.
    """
    if isinstance(control, ipywidgets.Checkbox):
        return [False, True]
    if hasattr(control, "options"):
        # ipywidgets keeps lists as they were given: values, or pairs (text, value)
        return [o[1] if isinstance(o, tuple) else o for o in control.options]
    if isinstance(control, (ipywidgets.IntSlider, ipywidgets.FloatSlider)):
        steps = round((control.max - control.min) / control.step)
        # rounded, because 0.1 + 2 * 0.1 is not 0.3
        return [round(control.min + i * control.step, 6) for i in range(steps + 1)]
    raise TypeError(f"the values of a {type(control).__name__} cannot be listed")


def picture_widget(width: str = "auto") -> ipywidgets.Image:
    """A picture that is still empty; in its own size, and never higher than the screen.

    Without these a box of widgets makes it as wide as the page, and the controls scroll away.
    """
    layout = ipywidgets.Layout(
        width=width, max_height="75vh", align_self="flex-start", object_fit="contain"
    )
    return ipywidgets.Image(format="png", layout=layout)


def png_bytes(figure: Figure) -> bytes:
    """A figure as PNG, at most `MAX_WIDTH` pixels wide; the same bytes every time."""
    dpi = min(DPI, MAX_WIDTH / figure.get_figwidth())
    file = io.BytesIO()
    # the version of matplotlib would otherwise be part of the file
    figure.savefig(file, format="png", dpi=dpi, metadata={"Software": None})
    return file.getvalue()


def as_jpeg(figure: Figure) -> Image:
    """A figure that shows a photograph, to be displayed: PNG would take several times as much."""
    file = io.BytesIO()
    low, high = (width / figure.get_figwidth() for width in JPEG_WIDTHS)
    dpi = min(max(low, DPI), high)
    figure.savefig(file, format="jpeg", dpi=dpi, pil_kwargs={"quality": JPEG_QUALITY})
    return Image(file.getvalue(), format="jpeg")
