"""Slides: headings with a paragraph, pictures below them, and nothing else."""

import json
import re

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


def test_every_notebook_has_a_deck_in_both_languages_without_code(tmp_path, capsys):
    out = tmp_path / "new" / "slides"
    assert main([str(out)]) == 0
    names = {path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
    answer = max(solution("iou").split("\n"), key=len)
    decks = {}
    for language in ("en", "zh"):
        assert {path.name for path in (out / language).iterdir()} == names
        made = cells((out / language / "02_anchors.ipynb").read_text(encoding="utf-8"))
        assert len(made) > 10 and {cell["cell_type"] for cell in made} == {"markdown"}
        assert answer not in "".join(cell["source"] for cell in made)
        decks[language] = [cell["source"] for cell in made]
    assert main([]) == 2 and "usage" in capsys.readouterr().err
    # the same slides with the same pictures, and no heading left in English
    pictures = {name: [s.partition("<img")[2] for s in made] for name, made in decks.items()}
    assert pictures["en"] == pictures["zh"] and any(pictures["en"])
    assert all(re.search("[\u4e00-\u9fff]", text.partition("\n")[0]) for text in decks["zh"])
    assert not any(re.search("[\u4e00-\u9fff]", text) for text in decks["en"])
