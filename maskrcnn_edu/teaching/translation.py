"""Prose in another language: a text's passages, looked up in a gettext catalogue.

A passage is what one translates at once: a heading, a paragraph, an item of a list, a row of a
table, a comment in a piece of code. Code, formulas that stand alone and everything that a
notebook runs stay as they are, so there is one set of code cells for all languages. The
catalogues are ``docs/locale/zh_CN/``; ``tools/catalogues.py`` keeps them. They are read with
Babel, which comes with JupyterLab.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

_FENCE = re.compile(r"^\s*(```|~~~)")
_MARK = re.compile(r"^(\s*(?:#+|[-*]|\d+\.|>)\s+)(?=\S)")  # of a heading, an item, a quotation
_COMMENT = re.compile(r"^((?:.*\s)?#\s+)(\S.*)$")
_ASIDE = re.compile(
    r"^(\s*\S+\s{2,}(?:#\s+)?)(\S.*)$"
)  # of a list of files, in a fence of no language
_NO_PROSE = re.compile(r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|<!--.*?-->|\]\([^)]*\)", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z]{2}")


def translate_markdown(text: str, translate: Callable[[str], str]) -> str:
    """The text with every passage of prose replaced by ``translate(passage)``."""
    return "\n\n".join(
        "\n".join(
            mark + (translate(passage) if is_prose(passage) else passage)
            for mark, passage in passages(block)
        )
        for block in blocks(text)
    )


def blocks(text: str) -> Iterator[str]:
    """What blank lines part; a piece of code between fences is one, and stays whole."""
    lines: list[str] = []
    fenced = False
    for line in text.split("\n"):
        fence = bool(_FENCE.match(line))
        if lines and not fenced and (fence or not line.strip()):
            yield "\n".join(lines)
            lines = []
        if line.strip() or fenced:
            lines.append(line)
        if fence and fenced:
            yield "\n".join(lines)
            lines = []
        fenced ^= fence
    if lines:
        yield "\n".join(lines)


def passages(block: str) -> list[tuple[str, str]]:
    """A block's passages, each with the mark (``## ``, ``- ``) that stands before it.

    The lines of a passage are joined, so that wrapping a text anew changes no passage. Of
    code, the comments are passages and what stands before them is the mark.
    """
    if _FENCE.match(block):
        remark = _ASIDE if block.partition("\n")[0].strip() == "```" else _COMMENT
        remarks = ((line, remark.match(line)) for line in block.split("\n"))
        return [found.groups() if found else (line, "") for line, found in remarks]
    if block.startswith("$$"):
        return [(block, "")]
    found: list[tuple[str, str]] = []
    for line in block.split("\n"):
        mark = _MARK.match(line)
        starts = mark or line.lstrip().startswith("|")
        if found and not starts and not found[-1][1].startswith("|"):
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}")
        else:
            head = mark.group(1) if mark else ""
            found.append((head, line[len(head) :].rstrip()))
    return found


def is_prose(passage: str) -> bool:
    """Whether there is a word in it that is neither code nor formula nor a link's address."""
    return bool(_LETTERS.search(_NO_PROSE.sub("", passage)))


def translate_notebook(notebook: str, translate: Callable[[str], str], language: str) -> str:
    """A notebook's Markdown cells translated; its code cells draw in that language.

    Args:
        notebook: text of an ipynb file.
        translate: gives a passage's translation.
        language: as ``MASKRCNN_EDU_LANG`` has it; set in the first cell of code.
    """
    content = json.loads(notebook)
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            text = translate_markdown("".join(cell["source"]), translate)
            cell["source"] = text.splitlines(keepends=True)
    first = next((c for c in content["cells"] if c["cell_type"] == "code"), None)
    if first:
        first["source"] = [f"%env MASKRCNN_EDU_LANG={language}\n", *first["source"]]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def prose_of(path: Path) -> list[str]:
    """All passages of prose in a file of Markdown or a notebook, each once, in order."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    found = (passage for block in blocks(text) for _, passage in passages(block))
    return list(dict.fromkeys(filter(is_prose, found)))


def translated(path: Path, catalogue: Path, language: str) -> str:
    """A file of Markdown, or a notebook, in another language.

    Raises:
        ImportError: Babel is not installed.
        ValueError: a passage has no translation, or one of an older text; names the catalogue.
    """
    messages = read_catalogue(catalogue)

    def translate(passage: str) -> str:
        if passage not in messages:
            raise ValueError(f"{catalogue} has no translation of {passage[:60]!r}")
        return messages[passage]

    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        return translate_notebook(text, translate, language)
    return translate_markdown(text, translate) + "\n"


def read_catalogue(path: Path) -> Mapping[str, str]:
    """The translations of a ``.po`` file that are there and not marked as fuzzy."""
    from babel.messages.pofile import read_po

    with path.open("rb") as file:
        catalogue = read_po(file, locale="zh_CN", abort_invalid=True)
    return {m.id: m.string for m in catalogue if m.id and m.string and not m.fuzzy}
