"""What all microscopes promise, with one that is small enough to see through."""

import io

import ipywidgets
import PIL.Image
import pytest
from matplotlib.figure import Figure

from maskrcnn_edu.teaching.widgets.microscope import (
    MAX_WIDTH,
    Microscope,
    as_jpeg,
    checkbox,
    choices,
    dropdown,
    picture_widget,
    png_bytes,
    slider,
)
from maskrcnn_edu.viz.figure_facts import marked_artists

PNG = b"\x89PNG\r\n\x1a\n"


class Dots(Microscope):
    """Draws as many dots as the slider says."""

    def __init__(self):
        super().__init__({"count": slider("count", 2, 1, 3, 1), "red": checkbox("red", False)})

    def draw(self, count, red):
        figure = Figure(figsize=(2, 2))
        dots = figure.subplots().scatter(range(int(count)), range(int(count)), gid="dots")
        dots.set_color("red" if red else "blue")
        return figure

    def summary(self, figure):
        (dots,) = marked_artists(figure, "dots")
        return {"dots": len(dots.get_offsets()), "redness": float(dots.get_facecolor()[0, 0])}


def test_moving_a_control_changes_the_picture():
    scope = Dots()
    before = scope.image.value
    assert bytes(before[:8]) == PNG
    scope.controls["count"].value = 3
    after = scope.image.value
    assert bytes(after[:8]) == PNG and after != before
    scope.controls["count"].value = 2
    assert scope.image.value == before


def test_a_sweep_visits_every_value_and_returns():
    scope = Dots()
    before = scope.image.value
    assert scope.sweep() == [
        {"moved": "count", "to": 1.0, "dots": 1, "redness": 0.0},
        {"moved": "count", "to": 2.0, "dots": 2, "redness": 0.0},
        {"moved": "count", "to": 3.0, "dots": 3, "redness": 0.0},
        {"moved": "red", "to": False, "dots": 2, "redness": 0.0},
        {"moved": "red", "to": True, "dots": 2, "redness": 1.0},
    ]
    assert scope.values == {"count": 2.0, "red": False}
    assert scope.image.value == before
    assert scope.sweep() == scope.sweep()


def test_a_sweep_finds_a_callback_that_fails():
    scope = Dots()
    scope.draw = lambda count, red: 1 / 0
    with pytest.raises(ZeroDivisionError):
        scope.sweep()


def test_the_widget_holds_the_controls_and_the_picture():
    scope = Dots()
    assert scope.widget.children == (*scope.controls.values(), scope.image)


def test_values_of_every_kind_of_control():
    assert choices(slider("a", 0.3, 0.1, 0.5, 0.1)) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert choices(ipywidgets.IntSlider(min=2, max=6, step=2)) == [2, 4, 6]
    assert choices(dropdown("b", [7, 14], 7)) == [7, 14]
    assert choices(ipywidgets.Dropdown(options=[("small", 7), ("large", 28)])) == [7, 28]
    assert choices(checkbox("c", True)) == [False, True]
    with pytest.raises(TypeError, match="Text"):
        choices(ipywidgets.Text())


def test_a_picture_is_never_too_wide_and_repeats():
    figure = Figure(figsize=(20, 2))
    made = png_bytes(figure)
    assert int.from_bytes(made[16:20], "big") == MAX_WIDTH
    assert made == png_bytes(figure)


@pytest.mark.parametrize(("inches", "pixels"), [(5, 720), (8, 800), (15, 900)])
def test_a_photograph_is_wide_enough_and_never_too_wide(inches, pixels):
    shown = as_jpeg(Figure(figsize=(inches, 2)))
    with PIL.Image.open(io.BytesIO(shown.data)) as image:
        assert (image.format, image.width) == ("JPEG", pixels)


def test_a_picture_is_not_stretched_to_the_page_and_leaves_the_screen_room_for_its_controls():
    layout = picture_widget().layout
    assert (layout.width, layout.align_self, layout.object_fit) == ("auto", "flex-start", "contain")
    assert layout.max_height == "75vh"


@pytest.mark.parametrize("method", ["draw", "summary"])
def test_the_base_says_what_a_subclass_must_say(method):
    class Bare(Microscope):
        pass

    with pytest.raises(NotImplementedError, match="Bare"):
        getattr(Bare.__new__(Bare), method)(*[None] * (method == "summary"))
