"""Prose is translated passage by passage; code, formulas and tables keep their shape."""

import json

import pytest

from maskrcnn_edu.teaching.translation import (
    blocks,
    is_prose,
    passages,
    prose_of,
    translate_markdown,
    translate_notebook,
    translated,
)

TEXT = """\
# A title

A paragraph that
goes on, with `code`.

- one item
  that goes on
- another item

```
code that stays

and its blank line
```

$$a = b$$

| size | count |
|---|---:|
| small | 3 |
"""


def test_passages_are_what_one_translates_at_once():
    found = [passage for block in blocks(TEXT) for passage in passages(block)]
    assert found == [
        ("# ", "A title"),
        ("", "A paragraph that goes on, with `code`."),
        ("- ", "one item that goes on"),
        ("- ", "another item"),
        *(("```", ""), ("code that stays", ""), ("", ""), ("and its blank line", ""), ("```", "")),
        ("$$a = b$$", ""),
        ("", "| size | count |"),
        ("", "|---|---:|"),
        ("", "| small | 3 |"),
    ]


@pytest.mark.parametrize(
    ("passage", "expected"),
    [
        ("a word", True),
        ("`only_code`, $x_{ab}$: 3", False),
        ("[link](address.md)", True),
        ("![](images/stages.png)", False),
        ("|---|---:|", False),
        ("```\nwords in code\n```", False),
    ],
)
def test_prose_has_a_word_outside_code_and_formulas(passage, expected):
    assert is_prose(passage) is expected


def test_marks_code_and_formulas_stay_where_they_are():
    assert translate_markdown(TEXT, str.upper) == (
        "# A TITLE\n\nA PARAGRAPH THAT GOES ON, WITH `CODE`.\n\n"
        "- ONE ITEM THAT GOES ON\n- ANOTHER ITEM\n\n"
        "```\ncode that stays\n\nand its blank line\n```\n\n$$a = b$$\n\n"
        "| SIZE | COUNT |\n|---|---:|\n| SMALL | 3 |"
    )


def test_comments_in_code_and_remarks_in_a_list_of_files_are_passages():
    code = "```bash\nmake test  # all of them\n# in a fresh clone\nrun a#b  c\n```"
    assert translate_markdown(code, str.upper) == (
        "```bash\nmake test  # ALL OF THEM\n# IN A FRESH CLONE\nrun a#b  c\n```"
    )
    files = "```\ndata/   five photographs\n  coins.py   one of them\nmake test\n```"
    assert translate_markdown(files, str.upper) == (
        "```\ndata/   FIVE PHOTOGRAPHS\n  coins.py   ONE OF THEM\nmake test\n```"
    )


def test_code_without_blank_lines_around_it_is_not_joined_to_the_text():
    text = "so:\n```sh\nmake demo\nmake test\n```\nand then"
    assert translate_markdown(text, str.upper) == (
        "SO:\n\n```sh\nmake demo\nmake test\n```\n\nAND THEN"
    )


def test_wrapping_a_text_anew_changes_no_passage(tmp_path):
    (tmp_path / "a.md").write_text("one two\nthree\n\nfour", encoding="utf-8")
    (tmp_path / "b.md").write_text("one\ntwo three\n\n\nfour\n", encoding="utf-8")
    assert prose_of(tmp_path / "a.md") == ["one two three", "four"] == prose_of(tmp_path / "b.md")


def notebook(*cells: tuple[str, str]) -> str:
    return json.dumps({"cells": [{"cell_type": kind, "source": [text]} for kind, text in cells]})


def test_a_notebooks_code_stays_but_for_the_language_it_draws_in():
    text = notebook(("markdown", "a word"), ("code", "x = 'a word'"), ("code", "y = 1"))
    cells = json.loads(translate_notebook(text, str.upper, "zh"))["cells"]
    assert ["".join(cell["source"]) for cell in cells] == [
        "A WORD", "%env MASKRCNN_EDU_LANG=zh\nx = 'a word'", "y = 1",
    ]  # fmt: skip


def test_a_passage_without_a_sound_translation_is_refused(tmp_path):
    text, catalogue = tmp_path / "a.md", tmp_path / "a.po"
    text.write_text("## one\n\ntwo\n", encoding="utf-8")
    known = 'msgid "one"\nmsgstr "一"\n\n'
    catalogue.write_text(f'{known}msgid "two"\nmsgstr "二"\n', encoding="utf-8")
    assert translated(text, catalogue, "zh") == "## 一\n\n二\n"
    for lacking in ("", 'msgid "two"\nmsgstr ""\n', '#, fuzzy\nmsgid "two"\nmsgstr "二"\n'):
        catalogue.write_text(known + lacking, encoding="utf-8")
        with pytest.raises(ValueError, match=r"a\.po has no translation of 'two'"):
            translated(text, catalogue, "zh")
