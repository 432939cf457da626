"""Slides: headings with a paragraph, pictures below them, and nothing else."""

import json

from instructor.answers import NOTEBOOKS, solution
from instructor.slides import deck, headings, main


def cells(text):
    return json.loads(text)["cells"]


def test_a_heading_keeps_its_paragraph_but_no_table_and_no_list():
    text = "before\n\n## One\n\nIts words.\n\nMore.\n\n### Two\n\n| a |\n|---|\n\n## Three\nwords"
    assert headings(text) == ["## One\n\nIts words.", "### Two", "## Three\nwords"]
    assert headings("no heading") == []
    assert headings("# A\n\nWith:\n\n$$x$$\n\nwhere") == ["# A\n\nWith:\n\n$$x$$"]


def test_pictures_stand_below_their_heading():
    picture = {"output_type": "display_data", "data": {"image/png": "AB\nC=\n"}, "metadata": {}}
    printed = {"output_type": "stream", "name": "stdout", "text": "1"}
    made = {
        "cells": [
            {"cell_type": "markdown", "source": ["## One\n", "\n", "Words."]},
            {"cell_type": "code", "source": "draw()", "outputs": [printed, picture, picture]},
            {"cell_type": "code", "source": "print(1)", "outputs": [printed]},
        ],
        "metadata": {"widgets": {}},
    }
    one, two, three = cells(deck(json.dumps(made)))
    assert (
        one["source"] == "## One\n\nWords."
        and one["metadata"]["slideshow"]["slide_type"] == "slide"
    )
    assert two["source"] == three["source"]
    assert two["source"].startswith('#### One\n\n<img src="data:image/png;base64,ABC="')
    assert two["metadata"]["slideshow"]["slide_type"] == "subslide"


def test_every_notebook_has_a_deck_without_code(tmp_path, capsys):
    assert main([str(tmp_path / "new" / "slides")]) == 0
    names = {path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
    assert {path.name for path in (tmp_path / "new" / "slides").iterdir()} == names
    made = cells((tmp_path / "new" / "slides" / "02_anchors.ipynb").read_text(encoding="utf-8"))
    assert len(made) > 10 and {cell["cell_type"] for cell in made} == {"markdown"}
    answer = max(solution("iou").split("\n"), key=len)
    assert answer not in "".join(cell["source"] for cell in made)
    assert main([]) == 2 and "usage" in capsys.readouterr().err
