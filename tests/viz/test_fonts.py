"""Names are text, in every script, and stay inside the picture."""

import warnings

import numpy as np
import pytest
from matplotlib import rcParams
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from maskrcnn_edu.system import language
from maskrcnn_edu.viz import fonts
from maskrcnn_edu.viz.labels import draw_label
from maskrcnn_edu.viz.style import canvas


def drawn(text, box, size=(60, 200)):
    """The label that is drawn, and its frame and the picture's, in pixels of the screen."""
    figure, axes = canvas(np.zeros([*size, 3], np.uint8))
    draw_label(axes, box, text, "white")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    (label,) = axes.texts
    return label, label.get_window_extent(renderer), axes.get_window_extent(renderer)


@pytest.mark.parametrize("name", ["$$ note", "US$ coin AU$", "\\frac$x_$", "a$^$"])
def test_a_name_is_no_formula(name):
    label, _, _ = drawn(name, [1, 30, 9, 40])
    assert label.get_text() == name and not label.get_parse_math()


@pytest.mark.parametrize("x", [-20, 0, 100, 150, 195, 300])
def test_labels_stay_inside_the_picture(x):
    _, text, picture = drawn("a long name of a class 0.99", [x, 30, x + 20, 50])
    assert picture.x0 - 1 <= text.x0 and text.x1 <= picture.x1 + 1


def test_letters_that_no_font_has_are_one_line(monkeypatch):
    monkeypatch.setattr(fonts, "chinese_fonts", lambda: ())
    assert fonts.font_advice(["cat", "caf\u00e9", "50% $x"]) == ""
    said = fonts.font_advice(["\u77e9\u5f62", "\u5706\u5f62"])  # three letters, one of them twice
    assert said.startswith("no font here has \u5706\u5f62\u77e9: ") and "fonts-noto-cjk" in said


def test_installed_fonts_are_asked_after_the_usual_one(monkeypatch):
    monkeypatch.setattr(fonts, "chinese_fonts", lambda: ("Noto Sans CJK SC",))
    assert fonts.as_text("\u5706")["fontfamily"][-1] == "Noto Sans CJK SC"
    assert fonts.as_text("cat") == {"parse_math": False}


def test_pictures_in_chinese_have_their_letters(monkeypatch):
    """Every letter of the table, in a font that is installed here."""
    if not fonts.chinese_fonts():
        pytest.skip(f"no font with Chinese letters is installed: {fonts.INSTALL}")
    monkeypatch.setitem(rcParams, "font.family", ["sans-serif"])
    monkeypatch.setenv(language.VARIABLE, "zh")
    fonts.use_letters_of_the_language()
    assert fonts.font_advice(language.words("zh").values()) == ""
    axes = Figure().subplots()
    title = axes.set_title(language.say("feature map"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a letter that it draws as a box
        FigureCanvasAgg(axes.figure).draw()
    assert title.get_text() == "特征图"


def test_pictures_in_english_keep_the_usual_font(monkeypatch):
    monkeypatch.setitem(rcParams, "font.family", ["sans-serif"])
    monkeypatch.delenv(language.VARIABLE, raising=False)
    fonts.use_letters_of_the_language()
    assert rcParams["font.family"] == ["sans-serif"]
