"""Scrubbers hold all frames, need nothing from outside, and are the same every time."""

import base64
import io
import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from maskrcnn_edu.teaching.widgets.microscope import png_bytes
from maskrcnn_edu.teaching.widgets.scrubber import Scrubber, html_scrubber


def png_file(shade, size=(40, 30)):
    file = io.BytesIO()
    Image.new("RGB", size, (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def figure(count):
    made = Figure(figsize=(2, 2))
    made.subplots().plot(range(count))
    return made


def embedded(page):
    return [base64.b64decode(d) for d in re.findall(r"base64,([^\"]+)\"", page.data)]


def test_all_frames_are_in_the_page_in_order():
    frames = [png_file(10), png_file(200), figure(3)]
    page = html_scrubber(frames, ["a", "b", "c"])
    assert embedded(page) == [frames[0], frames[1], png_bytes(frames[2])]
    assert re.findall(r'alt="(\w)"', page.data) == ["a", "b", "c"]
    assert 'max="2"' in page.data


def test_the_page_needs_nothing_from_outside():
    text = html_scrubber([png_file(1), png_file(2)], ["a", "b"]).data
    assert (
        "<script" not in text
        and "http" not in text
        and "//" not in re.sub('base64,[^"]+', "", text)
    )
    assert "url(" not in text and "@import" not in text
    assert all(source.startswith("data:image/") for source in re.findall(r'src="([^"]+)', text))


def test_every_frame_has_its_button_its_rule_and_its_number():
    text = html_scrubber([png_file(i) for i in range(3)], ["a", "b", "c"], name="run-1").data
    for i in range(3):
        assert text.count(f'id="run-1-{i}"') == text.count(f'for="run-1-{i}"') == 1
        assert f"#run-1-{i}:checked~.frames img:nth-child({i + 1})" in text
    assert text.count(" checked>") == 1
    assert re.findall(r"\.value=(\d)", text) == ["0", "1", "2"]


def test_the_slider_is_hidden_until_a_script_shows_it():
    text = html_scrubber([png_file(1)], ["a"]).data
    (control,) = re.findall(r'<input class="slider"[^>]*>', text)
    assert control.endswith(" hidden>") and "oninput=" in control
    assert ".slider').hidden=false" in text


def test_one_frame_is_enough():
    assert len(embedded(html_scrubber([png_file(1)], ["only"]))) == 1
    scrubber = Scrubber([png_file(1)], ["only"])
    assert [f["label"] for f in scrubber.sweep()] == ["only"]


def test_the_same_frames_make_the_same_page():
    pages = [html_scrubber([figure(3), figure(4)], ["a", "b"]).data for _ in range(2)]
    assert pages[0] == pages[1]
    assert pages[0] != html_scrubber([figure(3), figure(5)], ["a", "b"]).data


def test_wide_frames_are_shrunk_and_labels_escaped():
    page = html_scrubber([png_file(1, (1600, 400))], ['<b> & "c"'])
    with Image.open(io.BytesIO(embedded(page)[0])) as shown:
        assert shown.size == (800, 200)
    assert "<b>" not in page.data and "&lt;b&gt; &amp; &quot;c&quot;" in page.data


def test_jpeg_is_smaller_for_photos():
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(file, "PNG")
    (made,) = embedded(html_scrubber([file.getvalue()], ["a"], jpeg=True))
    assert made.startswith(b"\xff\xd8") and len(made) < len(file.getvalue())


@pytest.mark.parametrize("build", [html_scrubber, Scrubber])
def test_frames_and_labels_must_agree(build):
    with pytest.raises(ValueError, match="at least one"):
        build([], [])
    with pytest.raises(ValueError, match="1 frames, but 2 labels"):
        build([png_file(1)], ["a", "b"])


@pytest.mark.parametrize("name", ["", "1a", "a b", 'a"', "a#b"])
def test_the_name_must_be_an_id(name):
    with pytest.raises(ValueError, match="name must be"):
        html_scrubber([png_file(1)], ["a"], name=name)


def test_the_slider_of_a_live_notebook_moves_picture_and_label():
    scrubber = Scrubber([png_file(1), png_file(2)], ["a", "b"])
    assert (scrubber.image.value, scrubber.label.value) == (png_file(1), "a")
    scrubber.slider.value = 1
    assert (scrubber.image.value, scrubber.label.value) == (png_file(2), "b")


def test_a_sweep_shows_every_frame_and_returns():
    scrubber = Scrubber([png_file(1), png_file(1), png_file(2)], ["a", "b", "c"])
    scrubber.slider.value = 1
    assert scrubber.sweep() == [
        {"frame": 0, "label": "a", "size": (40, 30), "changed": True},
        {"frame": 1, "label": "b", "size": (40, 30), "changed": False},
        {"frame": 2, "label": "c", "size": (40, 30), "changed": True},
    ]
    assert (scrubber.slider.value, scrubber.label.value) == (1, "b")
    assert scrubber.sweep() == scrubber.sweep()
