"""Scrubbers: move through a row of images, with a kernel or without one."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence

import ipywidgets
from IPython.display import HTML
from matplotlib.figure import Figure
from PIL import Image

from maskrcnn_edu.system.language import say
from maskrcnn_edu.teaching.widgets.microscope import MAX_WIDTH, Summary, picture_widget, png_bytes

JPEG_QUALITY = 85
Frame = Figure | bytes


def html_scrubber(
    frames: Sequence[Frame], labels: Sequence[str], name: str = "scrubber", jpeg: bool = False
) -> HTML:
    """Frames to scrub through in a saved notebook or an exported page, without a kernel.

    The page holds everything: the frames as base64, a row of radio buttons of which
    the style sheet shows the chosen one's frame, and a slider that moves the buttons.
    Where scripts are removed, the slider stays hidden and the buttons still work.

    Args:
        frames: figures or PNG files; shrunk to 800 pixels' width if wider.
        labels: what to call each frame.
        name: id of the scrubber, different for every scrubber of one page: a letter,
            then letters, digits, ``-`` and ``_``.
        jpeg: store the frames as JPEG, which is smaller for photographs, less sharp for
            lines.

    Raises:
        ValueError: no frames, another number of labels, or a name that is no id.
    """
    _check(frames, labels)
    if not re.fullmatch(r"[A-Za-z][\w-]*", name, re.ASCII):
        raise ValueError(f"name must be a letter, then letters, digits, - or _, got {name!r}")
    parts = [
        f'<div id="{name}" class="scrubber">',
        _style(name, len(frames)),
        _slider(len(frames)),
        *(_button(name, i, label) for i, label in enumerate(labels)),
        '<div class="frames">',
        *(_image_tag(frame, label, jpeg) for frame, label in zip(frames, labels)),
        "</div>",
        "</div>",
    ]
    return HTML("\n".join(parts))


def _check(frames: Sequence[Frame], labels: Sequence[str]) -> None:
    if not frames:
        raise ValueError("a scrubber needs at least one frame")
    if len(frames) != len(labels):
        raise ValueError(f"{len(frames)} frames, but {len(labels)} labels")


def _style(name: str, count: int) -> str:
    """Hide all frames, then show the one whose button is chosen."""
    shown = ",".join(f"#{name}-{i}:checked~.frames img:nth-child({i + 1})" for i in range(count))
    return (
        f"<style>#{name} .frames img{{display:none;max-width:100%}}"
        f"{shown}{{display:block!important}}"
        f"#{name} label{{margin-right:0.8em}}"
        f"#{name} .slider{{display:block;width:100%;max-width:{MAX_WIDTH}px}}"
        f"#{name} .slider[hidden]{{display:none}}</style>"
    )


def _slider(count: int) -> str:
    """A slider that chooses a button. Hidden until a script shows that scripts run."""
    move = "this.parentNode.querySelectorAll('[type=radio]')[this.value].checked=true"
    return (
        f'<input class="slider" type="range" min="0" max="{count - 1}" step="1" value="0" '
        f'aria-label="{say("frame")}" oninput="{move}" hidden>'
    )


def _button(name: str, index: int, label: str) -> str:
    follow = f"this.parentNode.querySelector('.slider').value={index}"
    checked = " checked" if index == 0 else ""
    return (
        f'<input type="radio" id="{name}-{index}" name="{name}" onchange="{follow}"{checked}>'
        f'<label for="{name}-{index}">{html.escape(label)}</label>'
    )


def _image_tag(frame: Frame, label: str, jpeg: bool) -> str:
    """One frame; when it has loaded, scripts run, so the slider can be shown."""
    data = base64.b64encode(_encoded(frame, jpeg)).decode("ascii")
    kind = "jpeg" if jpeg else "png"
    reveal = "this.closest('.scrubber').querySelector('.slider').hidden=false"
    return (
        f'<img alt="{html.escape(label)}" onload="{reveal}" src="data:image/{kind};base64,{data}">'
    )


def _encoded(frame: Frame, jpeg: bool) -> bytes:
    """A frame as a PNG or JPEG file of at most `MAX_WIDTH` pixels' width."""
    png = png_bytes(frame) if isinstance(frame, Figure) else frame
    with Image.open(io.BytesIO(png)) as image:
        fits = image.width <= MAX_WIDTH
        if fits and not jpeg:
            return png
        if not fits:
            height = round(image.height * MAX_WIDTH / image.width)
            image = image.convert("RGB").resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        if jpeg:
            image.convert("RGB").save(file, "JPEG", quality=JPEG_QUALITY, optimize=True)
        else:
            image.save(file, "PNG", optimize=True)
    return file.getvalue()


class Scrubber:
    """The same with `ipywidgets`, for a notebook whose kernel runs.

    Args:
        frames: figures or PNG files; shrunk to 800 pixels' width if wider.
        labels: what to call each frame.

    Attributes:
        widget: what to display.

    Raises:
        ValueError: no frames, or another number of labels.
    """

    def __init__(self, frames: Sequence[Frame], labels: Sequence[str]):
        _check(frames, labels)
        self.frames = [_encoded(frame, jpeg=False) for frame in frames]
        self.labels = list(labels)
        self.slider = ipywidgets.IntSlider(
            value=0, min=0, max=len(frames) - 1, description=say("frame"), readout=False
        )
        self.label = ipywidgets.Label()
        self.image = picture_widget()
        row = ipywidgets.HBox([self.slider, self.label])
        self.widget = ipywidgets.VBox([row, self.image])
        self._show()
        self.slider.observe(self._show, names="value")

    def sweep(self) -> list[Summary]:
        """Show every frame and return to the present one.

        Returns:
            For every frame its number, its label, the size of the image shown in
            pixels, and whether it differs from the frame before.
        """
        start, summaries, last = self.slider.value, [], None
        for index in range(len(self.frames)):
            self.slider.value = index
            shown = self.image.value
            with Image.open(io.BytesIO(shown)) as image:
                size = image.size
            summary = {"frame": index, "label": self.label.value, "size": size}
            summaries.append({**summary, "changed": shown != last})
            last = shown
        self.slider.value = start
        return summaries

    def _show(self, _change: object = None) -> None:
        self.image.value = self.frames[self.slider.value]
        self.label.value = self.labels[self.slider.value]
