"""docs/items.md: what the document names can be seen in the notebooks, where the table says."""

import json
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT.parent / "shared" / "document" / "maskrcnn-source-walkthrough.md"
TABLE = (ROOT / "docs" / "items.md").read_text(encoding="utf-8")
FEWEST = 66  # items of the document that were counted
HEADING = re.compile(r"^(#{1,6}) +(.+?) *$", re.MULTILINE)


def rows():
    """(section, name, notebook, heading, how, the word to look for) of every row."""
    lines = [line for line in TABLE.splitlines() if line.startswith("| ")]
    for line in lines[1:]:
        section, item, seen, how, word = (c.strip() for c in line.strip("|").split("|"))
        name = re.match(r"`([^`]+)`", item)[1]
        number, heading = seen.split(", ", 1)
        yield section, name, number, heading, how, word.strip("`") or name


ROWS = list(rows())
IDS = [f"{row[2]}-{row[1]}-{row[4]}" for row in ROWS]


def headed(text):
    """(depth, heading, text below it, up to the next heading) of a text in Markdown."""
    found = list(HEADING.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    return [(len(m[1]), m[2], text[m.end() : end]) for m, end in zip(found, ends)]


def parts(cell):
    """What a code cell says: its source, its text, and whether it made an image."""
    outputs = [{"text/plain": o.get("text", ""), **o.get("data", {})} for o in cell["outputs"]]
    text = "".join("".join(o["text/plain"]) for o in outputs)
    return "".join(cell["source"]), text, any("image/" in kind for o in outputs for kind in o)


@cache
def notebook(number):
    """heading -> (Markdown below it, its code cells) of one notebook."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    below, heading = {}, None
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            below[heading][1].append(parts(cell))
            continue
        text = "".join(cell["source"])
        first = HEADING.search(text)
        if heading is not None:
            below[heading][0].append(text[: first.start()] if first else text)
        for _, heading, rest in headed(text):
            assert heading not in below, f"{path.name} has two headings {heading!r}"
            below[heading] = ([rest], [])
    return below


def has(text, word):
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def is_seen(markdown, cells, how, word):
    """Whether a heading's cells show a word in the way that a row claims."""
    if how == "named":
        return any(has(text, word) for text in markdown)
    kinds = {
        "picture": lambda source, text, image: image and (has(source, word) or has(text, word)),
        "printed": lambda source, text, image: has(text, word),
        "changed": lambda source, text, image: has(source, word),
    }
    return any(kinds[how](*cell) for cell in cells)


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_item_is_seen_there(row):
    _, _, number, heading, how, word = row
    assert is_seen(*notebook(number)[heading], how, word), row


def test_there_are_enough_rows_and_none_twice():
    assert len({row[:2] for row in ROWS}) >= FEWEST
    assert len(set(ROWS)) == len(ROWS)


@pytest.mark.parametrize("how", ["picture", "printed", "changed", "named"])
def test_what_is_not_there_is_not_seen(how):
    """The look-up itself: a longer word, and the wrong place, do not count."""
    shown = ([" `depth` "], [("depth = 1", "depth 1", True)])
    assert is_seen(*shown, how, "depth")
    assert not is_seen(*shown, how, "dept")
    elsewhere = {
        "picture": (["depth"], [("depth", "depth", False), ("", "", True)]),
        "printed": (["depth"], [("depth", "depths", True)]),
        "changed": (["depth"], [("", "depth", True)]),
        "named": ([], [("depth", "depth", True)]),
    }
    assert not is_seen(*elsewhere[how], how, "depth")


def section_text(document, path):
    """The text of "RPN Head: forward": the section forward below RPN Head, with its own below."""
    sections = headed(document)
    start, last = -1, 1
    for name in path.split(": "):
        at = range(start + 1, len(sections))
        start = next(i for i in at if sections[i][1] == name and sections[i][0] > last)
        last = sections[start][0]
    after = [i for i in range(start + 1, len(sections)) if sections[i][0] <= last]
    return "".join(s[2] for s in sections[start : after[0] if after else None])


@pytest.mark.skipif(not DOCUMENT.is_file(), reason="the document is not here")
@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_section_of_the_document_has_the_name(row):
    document = re.sub(r"```.*?```", hide_comments, DOCUMENT.read_text("utf-8"), flags=re.DOTALL)
    # no \w on its sides: the document writes names into Chinese text without spaces
    assert re.search(
        rf"(?<![A-Za-z0-9_]){re.escape(row[1])}(?![A-Za-z0-9_])", section_text(document, row[0])
    ), row


def hide_comments(code):
    """A block of code without what looks like a heading."""
    return re.sub(r"^#+ ", "", code[0], flags=re.MULTILINE)
