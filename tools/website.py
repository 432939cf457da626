"""The site: the course, the guides and the reference as pages that need no kernel and no server.

    python -m tools.website OUT [--language en] [--language zh] [--stored]

Writes OUT/en and OUT/zh; OUT/work holds what they are made of. The Chinese one cannot be made
while a text has no translation (python -m tools.catalogues check), or without a font with Chinese
letters: this is said before the work begins, and the English one is made. Sliders are
recorded (tools/sweeps.py), which runs each notebook once after it has changed; with --stored
the page shows the picture that is stored instead. At the end all links are followed.
"""

from __future__ import annotations

import argparse
import ast
import html
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image

from maskrcnn_edu.system.fonts import chinese_fonts
from maskrcnn_edu.teaching.student import BEGIN, as_file, stub
from maskrcnn_edu.viz.fonts import INSTALL
from tools import catalogues
from tools.sweeps import QUALITY, ROOT, VIEW, Sweep, recorded

SITE = ROOT / "docs" / "site"
LANGUAGES = {"en": "en", "zh": "zh_CN"}  # folder -> Sphinx's name
WORDS = {
    "en": {
        "note": "Recorded: a control that moves puts the others back. In JupyterLab, with a "
        "kernel, they move together.",
        "frame": "picture",
    },
    "zh": {
        "note": "录制的结果：移动一个控件时，其余控件回到原位。"
        "在 JupyterLab 中运行内核时，它们可以一起移动。",
        "frame": "画面",
        "english": "*本页目前只有英文。*\n\n",
    },
}
API = """Every public name of the package, from its docstrings, folder by folder. The names of the
document can be imported from ``maskrcnn_edu`` itself."""
_HIDDEN = re.compile(r"^(# NBVAL_\w+|%env MASKRCNN_EDU_LANG=\w+|### (BEGIN|END) SOLUTION) *\n?",
                     re.MULTILINE)  # fmt: skip
_MARKS = re.compile(r"^ *### (BEGIN|END) SOLUTION *\n?", re.MULTILINE)

# ---- notebooks ---------------------------------------------------------------------


def page(notebook: dict, sweeps: Mapping[int, Sweep], folder: str, language: str) -> dict:
    """A notebook as its page shows it: answers folded, marks of the tests gone, widgets recorded.

    Args:
        notebook: content of an ipynb file, with outputs.
        sweeps: number of a cell -> what was recorded of its widget.
        folder: where a page finds the sweeps' pictures.
        language: ``en`` or ``zh``.
    """
    state = notebook["metadata"].get("widgets", {})
    state = next(iter(state.values()), {}).get("state", {})
    cells = []
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            if BEGIN in source:
                cells.append(_code(f"task-{number}", stub(source)))
                cell = {**cell, "metadata": {**cell["metadata"], "tags": ["hide-input"]}}
            cell = {**cell, "source": _HIDDEN.sub("", _MARKS.sub("", source))}
            shown = html_sweep(sweeps[number], folder, language) if number in sweeps else None
            cell["outputs"] = [o for output in cell["outputs"]
                               for o in _without_widget(output, state, shown)]  # fmt: skip
        cells.append(cell)
    metadata = {k: v for k, v in notebook["metadata"].items() if k != "widgets"}
    return {**notebook, "cells": cells, "metadata": metadata}


def _code(name: str, source: str) -> dict:
    return {"cell_type": "code", "id": name, "metadata": {}, "source": source, "outputs": [],
            "execution_count": None}  # fmt: skip


def _without_widget(output: dict, state: dict, shown: str | None) -> list[dict]:
    """An output; one that is a widget is replaced by what was recorded, or by its pictures."""
    view = output.get("data", {}).get(VIEW)
    if view is None:
        return [output]
    data = [{"text/html": shown}] if shown else pictures(view["model_id"], state)
    return [{"output_type": "display_data", "metadata": {}, "data": d} for d in data]


def pictures(model: str, state: dict) -> Iterator[dict[str, str]]:
    """The pictures below a widget, as its stored state has them: MIME type -> base64."""
    for buffer in state[model].get("buffers", []):
        if buffer["path"] == ["value"]:
            yield {f"image/{state[model]['state']['format']}": buffer["data"]}
    for child in state[model]["state"].get("children", []):
        yield from pictures(child.removeprefix("IPY_MODEL_"), state)


def html_sweep(sweep: Sweep, folder: str, language: str) -> str:
    """Controls and picture of a recorded sweep; static/sweep.js moves them."""
    words = WORDS[language]
    frame = sweep["controls"][0]
    images = [f'<img class="frame" alt="" src="{folder}/{frame["frames"][frame["start"]]}">']
    if sweep["still"]:
        images.insert(0, f'<img alt="" src="{folder}/{sweep["still"]}">')
    rows = "".join(_html_control(c, folder, words) for c in sweep["controls"])
    note = f'<p class="note">{words["note"]}</p>' if len(sweep["controls"]) > 1 else ""
    several = " two" if len(images) > 1 else ""
    return (
        f'<div class="sweep"><div class="controls">{rows}</div>'
        f'<div class="pictures{several}">{"".join(images)}</div>{note}</div>'
    )


def _html_control(control: Sweep, folder: str, words: Mapping[str, str]) -> str:
    def attribute(values: list[str]) -> str:
        return html.escape(json.dumps(values, ensure_ascii=False))

    frames = attribute([f"{folder}/{name}" for name in control["frames"]])
    labels, start = control["labels"], control["start"]
    data = (f'data-frames="{frames}" data-labels="{attribute(labels)}" data-start="{start}" '
            'autocomplete="off"')  # fmt: skip
    name = html.escape(control["name"] or words["frame"])
    if control["kind"] == "range":
        field = f'<input type="range" min="0" max="{len(labels) - 1}" value="{start}" {data}>'
        field += f"<output>{html.escape(labels[start])}</output>"
        return f"<label><span>{name}</span>{field}</label>"
    options = "".join(
        f'<option value="{i}"{" selected" * (i == start)}>{html.escape(label)}</option>'
        for i, label in enumerate(labels)
    )
    return f"<label><span>{name}</span><select {data}>{options}</select><span></span></label>"


# ---- the reference -----------------------------------------------------------------


def modules() -> list[str]:
    """Every module of the package by its name, packages before what is in them."""
    files = sorted((ROOT / "maskrcnn_edu").rglob("*.py"), key=lambda p: (p.parent, p.name))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def reference(note: str = "") -> dict[str, str]:
    """Pages of the API reference: name of the file -> reStructuredText.

    A package has a page: its text, its modules one below another, and links to the packages
    that are in it. The first page begins with a note.
    """
    names = modules()
    packages = {name for name in names if any(n.startswith(f"{name}.") for n in names)}
    pages = {}
    for name in names:
        package = name if name in packages else name.rpartition(".")[0]
        title = name.removeprefix("maskrcnn_edu.") if name != "maskrcnn_edu" else "API"
        text = f"{title}\n{('=' if name in packages else '-') * len(title)}\n\n"
        # the names that the package itself offers are documented where they stand
        text += f"{note}{API}\n" if name == "maskrcnn_edu" else f".. automodule:: {name}\n"
        if name in packages:
            inside = sorted(n for n in packages if n.rpartition(".")[0] == name)
            lines = "".join(f"   {n}\n" for n in inside)
            text += f"\n.. toctree::\n   :maxdepth: 1\n\n{lines}" if inside else ""
        key = "index" if package == "maskrcnn_edu" else package
        pages[key] = f"{pages[key]}\n\n{text}" if key in pages else text
    return pages


@lru_cache
def public_names() -> tuple[str, ...]:
    """Every public class, function and method, as the reference's pages have to name it."""
    found: list[str] = []
    for name in modules():
        path = ROOT.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name != "maskrcnn_edu":
            found += _definitions(ast.parse(path.read_text(encoding="utf-8")), name)
    return tuple(found)


def _definitions(node: ast.AST, prefix: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        kinds = (ast.ClassDef, ast.FunctionDef)
        if isinstance(child, kinds) and not child.name.startswith("_"):
            yield f"{prefix}.{child.name}"
            if isinstance(child, ast.ClassDef):
                yield from _definitions(child, f"{prefix}.{child.name}")


# ---- gather and build --------------------------------------------------------------


def stage(texts: Path, out: Path, language: str, recordings: Path | None) -> None:
    """Put everything that Sphinx reads into a folder.

    Args:
        texts: README.md, docs/ and notebooks/ in that language; what is not there is taken in
            English, and says so.
        out: the folder; what was there goes.
        language: ``en`` or ``zh``.
        recordings: a folder for each notebook's recorded sweeps; None for stored pictures.
    """
    shutil.rmtree(out, ignore_errors=True)
    (out / "api").mkdir(parents=True)
    index = (SITE / ("index.md" if language == "en" else f"index.{language}.md")).read_text(
        encoding="utf-8"
    )
    (out / "index.md").write_text(_smaller(index), encoding="utf-8")
    (out / "docs" / "images").mkdir(parents=True)
    for path in (ROOT / "docs" / "images").glob("*.png"):  # as WebP, a fifth of the size
        place = out / "docs" / "images" / path.name
        Image.open(path).convert("RGB").save(place.with_suffix(".webp"), quality=QUALITY)
    guides = [p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").glob("*.md")]
    for name in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", *guides]:
        there = (texts / name).is_file()
        text = (texts / name if there else ROOT / name).read_text(encoding="utf-8")
        note = "" if there or name in catalogues.BILINGUAL else WORDS[language].get("english", "")
        (out / name).write_text(_smaller(note_below_title(text, note)), encoding="utf-8")
    for name, text in reference(WORDS[language].get("english", "")).items():
        (out / "api" / f"{name}.rst").write_text(text, encoding="utf-8")
    (out / "notebooks").mkdir()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        _stage_notebook(texts / "notebooks" / path.name, out, language, recordings)


def _smaller(text: str) -> str:
    """A text that shows the smaller pictures."""
    return re.sub(r"(\(docs/images/\w+)\.png\)", r"\1.webp)", text)


def note_below_title(text: str, note: str) -> str:
    """A text with a note behind its first heading."""
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{note}{rest.lstrip()}" if note else text


def _stage_notebook(path: Path, out: Path, language: str, recordings: Path | None) -> None:
    """Its page; in another language than English with what the recorded run showed."""
    sweeps, source = {}, path
    if recordings and _runs(path, language):
        folder = recordings / path.stem
        sweeps = recorded(path, folder)
        source = path if language == "en" else folder / "executed.ipynb"
    content = json.loads(source.read_text(encoding="utf-8"))
    shown = page(content, sweeps, f"../sweeps/{path.stem}", language)
    (out / "notebooks" / path.name).write_text(as_file(shown), encoding="utf-8")


def _runs(path: Path, language: str) -> bool:
    """Whether a notebook has to be run: for its widgets, or for its pictures' words."""
    text = path.read_text(encoding="utf-8")
    return VIEW in text or (language != "en" and '"cell_type": "code"' in text)


def sphinx(staged: Path, out: Path, language: str) -> None:
    """Make the pages; a warning is an error, after all have been made."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-j", "2",
               "-b", "html",
               "-c", SITE, "-d", staged.parent / f"doctrees-{language}",
               "-D", f"language={LANGUAGES[language]}", staged, out]  # fmt: skip
    subprocess.run([str(word) for word in command], check=True, cwd=ROOT)
    shutil.rmtree(out.parent / "jupyter_execute", ignore_errors=True)  # myst-nb's, no page
    for template in (out / "_static").glob("*macros.html"):  # the theme's, no page
        template.unlink()


def texts_of(language: str, out: Path, stored: bool) -> Path:
    """The folder with an edition's texts; the Chinese ones are written.

    Raises:
        ValueError: no translation, or no font for the words in the pictures.
    """
    if language == "en":
        return ROOT
    if not stored and not chinese_fonts():
        raise ValueError(f"its pictures need a font with Chinese letters; install {INSTALL}")
    texts = out / "work" / f"texts-{language}"
    shutil.rmtree(texts, ignore_errors=True)
    catalogues.build(texts)
    return texts


def build(language: str, texts: Path, out: Path, stored: bool) -> None:
    """One edition, from its texts to its pages."""
    work = out / "work"
    recordings = None if stored else work / "sweeps" / language
    if recordings:
        notebooks = [p for p in sorted((texts / "notebooks").glob("*.ipynb")) if _runs(p, language)]
        with ProcessPoolExecutor(max_workers=2) as pool:
            list(pool.map(recorded, notebooks, [recordings / p.stem for p in notebooks]))
    stage(texts, work / language, language, recordings)
    sphinx(work / language, out / language, language)
    for picture in recordings.rglob("*.webp") if recordings else ():
        place = out / language / "sweeps" / picture.relative_to(recordings)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, place)


# ---- what the pages lead to --------------------------------------------------------


class _Page(HTMLParser):
    """Addresses and ids of a page; what it loads by itself is listed apart."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values[key] for key in ("id", "name") if values.get(key)}
        if values.get("href"):
            loads = tag == "link" and values.get("rel") not in ("next", "prev", "author", "search")
            (self.loads if loads else self.links).append(values["href"])
        if values.get("src"):
            self.loads.append(values["src"])
        self.loads += json.loads(values.get("data-frames") or "[]")


def faults(out: Path, languages: list[str]) -> list[str]:
    """What is amiss with pages that were built, a line each.

    Links within the site that lead nowhere, anything that a page loads from elsewhere, and
    public names that the reference lacks.
    """
    pages = {p.resolve(): _Page(p.read_text(encoding="utf-8"))
             for language in languages for p in (out / language).rglob("*.html")}  # fmt: skip
    found = []
    for path, content in pages.items():
        where = path.relative_to(out.resolve())
        found += [f"{where}: loads {url}" for url in content.loads
                  if urlsplit(url).netloc]  # fmt: skip
        for url in {*content.links, *content.loads}:
            parts = urlsplit(url)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if parts.scheme or parts.netloc or _other_edition(target, out, languages):
                continue
            known = pages[target].ids if target in pages else None
            lacks_id = parts.fragment and known is not None and unquote(parts.fragment) not in known
            if not target.exists() or lacks_id:
                found.append(f"{where}: {url} leads nowhere")
    ids = {i for path, content in pages.items() if path.parent.name == "api" for i in content.ids}
    return found + [f"api: lacks {name}" for name in public_names() if name not in ids]


def _other_edition(target: Path, out: Path, languages: list[str]) -> bool:
    """Whether it is a page of an edition that was not asked for."""
    others = set(LANGUAGES) - set(languages)
    return any(target.is_relative_to((out / language).resolve()) for language in others)


def main(arguments: list[str] | None = None) -> int:
    """Make the editions, one after another, and follow their links."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--language", action="append", choices=list(LANGUAGES))
    parser.add_argument("--stored", action="store_true", help="no recorded sweeps")
    options = parser.parse_args(arguments)
    languages, texts = options.language or list(LANGUAGES), {}
    for language in languages:
        try:
            texts[language] = texts_of(language, options.out, options.stored)
        except ValueError as error:
            print(f"{options.out / language} cannot be made: {error}", file=sys.stderr)
    for language, folder in texts.items():
        begun = time.monotonic()
        try:
            build(language, folder, options.out, options.stored)
        except subprocess.CalledProcessError as error:  # a warning of Sphinx
            print(f"{options.out / language} was not finished: {error}", file=sys.stderr)
            return 1
        print(f"{options.out / language}: {time.monotonic() - begun:.0f} s")
    found = faults(options.out, list(texts)) if texts else []
    print("\n".join(found), file=sys.stderr)
    return int(bool(found) or len(texts) < len(languages))


if __name__ == "__main__":
    sys.exit(main())
