"""python -m instructor.slides OUT: a slide show of each notebook's headings and stored pictures.

Writes notebooks, in English into ``OUT/en`` and in Chinese into ``OUT/zh``, that ``jupyter
nbconvert --to slides`` turns into pages: a slide for each heading with its first paragraph and
formulas, and below it one for each picture. There is no code on them, so no answer.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from instructor.answers import NOTEBOOKS
from maskrcnn_edu.teaching.student import as_file
from maskrcnn_edu.teaching.translation import translated
from tools.catalogues import catalogue_of

_HEADING = re.compile(r"^#{1,3} (.+)$", re.MULTILINE)
PICTURE = """#### {title}

<img src="data:image/png;base64,{data}" style="width: 100%; height: 560px; object-fit: contain">"""


def deck(notebook: str) -> str:
    """The slides of a notebook, text of an ipynb file like the notebook itself."""
    content = json.loads(notebook)
    slides, title = [], ""
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            texts = headings("".join(cell["source"]))
            slides += [_slide(text, "slide") for text in texts]
            title = _HEADING.match(texts[-1])[1] if texts else title
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                data = "".join("".join(output["data"]["image/png"]).split())
                slides.append(_slide(PICTURE.format(title=title, data=data), "subslide"))
    content["cells"] = [{"id": f"slide-{i}", **cell} for i, cell in enumerate(slides)]
    content["metadata"].pop("widgets", None)
    return as_file(content)


def headings(markdown: str) -> list[str]:
    """Every heading of a text with the paragraph below it; a table or a list is none."""
    starts = [found.start() for found in _HEADING.finditer(markdown)]
    parts = [markdown[a:b].strip() for a, b in zip(starts, [*starts[1:], None])]
    return ["\n\n".join(_beginning(part.split("\n\n"))) for part in parts]


def _beginning(blocks: list[str]) -> list[str]:
    """A heading, its paragraph, which may stand right below it, and the formulas that follow."""
    stands_alone = "\n" not in blocks[0]
    is_prose = len(blocks) > 1 and not re.match(r"[-|>`]|\d+\. ", blocks[1])
    count = 2 if stands_alone and is_prose else 1
    while count < len(blocks) and blocks[count].startswith("$$"):
        count += 1
    return blocks[:count]


def _slide(text: str, kind: str) -> dict:
    metadata = {"slideshow": {"slide_type": kind}}
    return {"cell_type": "markdown", "metadata": metadata, "source": text}


def main(arguments: list[str] | None = None) -> int:
    """Write the decks into a folder, one for each language."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if len(arguments) != 1:
        print("usage: python -m instructor.slides OUT", file=sys.stderr)
        return 2
    out = Path(arguments[0])
    for language in ("en", "zh"):
        (out / language).mkdir(parents=True, exist_ok=True)
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        english = path.read_text(encoding="utf-8")
        chinese = translated(path, catalogue_of(path), "zh")
        (out / "en" / path.name).write_text(deck(english), encoding="utf-8")
        (out / "zh" / path.name).write_text(deck(chinese), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
