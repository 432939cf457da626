"""What the site is made of: notebooks without kernel and marks, the reference's pages, links.

Sphinx itself is not run here, it takes a minute; `make site` ends with the same checks.
"""

import ast
import base64
import io
import json
import re
import shutil
import subprocess

import pytest
from PIL import Image

from maskrcnn_edu.teaching.student import BEGIN
from tools.sweeps import ROOT, VIEW, keep, sweep, with_recorders
from tools.website import (
    LANGUAGES,
    SITE,
    WORDS,
    faults,
    html_sweep,
    main,
    note_below_title,
    page,
    public_names,
    reference,
    stage,
)

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def outputs(notebook):
    return [o for cell in notebook["cells"] for o in cell.get("outputs", [])]


# ---- notebooks -------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_pages_have_no_widget_no_mark_and_folded_answers(path):
    notebook = read(path)
    shown = page(notebook, {}, "../sweeps", "en")
    text = json.dumps(shown)
    assert VIEW not in text and "NBVAL_" not in text and BEGIN not in text
    assert "widgets" not in shown["metadata"]
    answers = [c for c in notebook["cells"] if BEGIN in "".join(c["source"])]
    folded = [c for c in shown["cells"] if c["metadata"].get("tags") == ["hide-input"]]
    tasks = [c for c in shown["cells"] if "raise NotImplementedError" in "".join(c["source"])]
    assert len(answers) == len(folded) == len(tasks) == 2
    assert all(c["outputs"] == [] for c in tasks)
    assert len(shown["cells"]) == len(notebook["cells"]) + 2
    assert json.dumps(read(path)) == json.dumps(notebook)  # nothing was changed in place


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_without_a_recording_a_widget_is_its_stored_pictures(path):
    notebook = read(path)
    widgets = sum(VIEW in o.get("data", {}) for o in outputs(notebook))
    before, after = images(notebook), images(page(notebook, {}, "", "en"))
    assert len(after) >= len(before) + widgets
    beginnings = {"image/png": b"\x89PNG", "image/jpeg": b"\xff\xd8\xff"}
    assert all(data.startswith(beginnings[kind]) for kind, data in after)


def images(notebook):
    """(MIME type, bytes) of every picture that a notebook's cells have put out."""
    pairs = [pair for o in outputs(notebook) for pair in o.get("data", {}).items()]
    return [(kind, base64.b64decode("".join(d))) for kind, d in pairs if kind.startswith("image/")]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_with_a_widget_gets_a_recorder_behind_it(path, tmp_path):
    notebook = read(path)
    cells = with_recorders(notebook, tmp_path)["cells"]
    asked = [i for i, cell in enumerate(cells) if "sweeps.record(" in "".join(cell["source"])]
    assert all(VIEW in json.dumps(cells[i - 1]["outputs"]) for i in asked)
    assert len(asked) == json.dumps(notebook["cells"]).count(VIEW)


# ---- sweeps ----------------------------------------------------------------------


def red(value):
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


def microscope():
    """A slider and a list; the picture is as red as 50 times the one and 10 times the other."""
    widgets = pytest.importorskip("maskrcnn_edu.teaching.widgets.microscope")

    class Red(widgets.Microscope):
        def draw(self, a, b):
            return a, b

        def _show(self, _change=None):
            self.image.value = red(int(50 * self.values["a"] + 10 * self.values["b"]))

    controls = {"a": widgets.slider("how <red>", 1.0, 0.0, 3.0, 1.0)}
    return Red({**controls, "b": widgets.dropdown("more", [("none", 0), ("some", 2)], 2)})


def test_a_sweep_moves_each_control_and_the_others_stay(tmp_path):
    scope = microscope()
    found = sweep(scope, tmp_path)
    reds = [[Image.open(tmp_path / f).getpixel((9, 9))[0] for f in c["frames"]]
            for c in found["controls"]]  # fmt: skip
    want = [[20, 70, 120, 170], [50, 70]]
    assert all(abs(r - w) < 4 for rs, ws in zip(reds, want) for r, w in zip(rs, ws))
    described = [(c["name"], c["kind"], c["labels"], c["start"]) for c in found["controls"]]
    assert described == [("how <red>", "range", ["0", "1", "2", "3"], 1),
                         ("more", "select", ["none", "some"], 1)]  # fmt: skip
    assert scope.values == {"a": 1.0, "b": 2} and found["still"] is None
    assert len(list(tmp_path.iterdir())) == 5  # the picture of the start is one file


def test_frames_are_a_sweep_already(tmp_path):
    scrubber = pytest.importorskip("maskrcnn_edu.teaching.widgets.scrubber")
    (control,) = sweep(scrubber.Scrubber([red(0), red(200)], ["first", "last"]), tmp_path)[
        "controls"
    ]
    assert control["labels"] == ["first", "last"] and control["start"] == 0
    assert control["frames"] == [keep(red(0), tmp_path), keep(red(200), tmp_path)]


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_the_page_of_a_sweep_shows_the_start_and_names_all_frames(tmp_path, language):
    found = sweep(microscope(), tmp_path)
    text = html_sweep(found, "../sweeps/x", language)
    start = found["controls"][0]["frames"][1]
    assert f'<img class="frame" alt="" src="../sweeps/x/{start}">' in text
    assert "how &lt;red&gt;" in text and WORDS[language]["note"] in text
    lists = [json.loads(t.replace("&quot;", '"')) for t in re.findall(r'data-frames="(.+?)"', text)]
    assert lists == [[f"../sweeps/x/{f}" for f in c["frames"]] for c in found["controls"]]
    assert re.findall(r'<option value="(\d)"( selected)?', text) == [("0", ""), ("1", " selected")]


# ---- reference, other texts ------------------------------------------------------


def test_the_reference_has_every_module_and_each_page_can_be_reached():
    pages = reference()
    files = [p for p in (ROOT / "maskrcnn_edu").rglob("*.py") if p.name != "__main__.py"]
    text = "\n".join(pages.values())
    assert len(set(re.findall(r"automodule:: (\S+)", text))) == len(files) - 1  # not the whole
    assert set(re.findall(r"^   (mask\S+)$", text, re.M)) == set(pages) - {"index"}
    assert len(pages) == sum(p.name == "__init__.py" for p in files)


def test_public_names_are_those_of_the_source():
    names = public_names()
    assert len(names) == len(set(names)) > 600
    assert "maskrcnn_edu.model.rpn.head.RPNHead.get_loss" in names
    assert not [n for n in names if "._" in n]


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_every_page_is_staged_and_what_is_english_says_so(tmp_path, language):
    texts = tmp_path / "texts"
    (texts / "notebooks").mkdir(parents=True)
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        (texts / "notebooks" / path.name).write_bytes(path.read_bytes())
    (texts / "README.md").write_text("# title\n\nown text\n")
    out = tmp_path / "out"
    stage(texts, out, language, None)
    english = WORDS[language].get("english", "\0")
    assert (out / "README.md").read_text() == "# title\n\nown text\n"
    assert (english in (out / "CHANGELOG.md").read_text()) == (language != "en")
    assert (english in (out / "api" / "index.rst").read_text()) == (language != "en")
    assert english not in (out / "docs" / "glossary.md").read_text()
    assert "(docs/images/stages.webp)" in (out / "index.md").read_text()
    assert (out / "docs" / "images" / "stages.webp").stat().st_size < 200_000
    there = {p.relative_to(out).with_suffix("").as_posix() for p in out.rglob("*") if p.is_file()}
    trees = re.findall(
        r"```{toctree}\n(?::[^\n]*\n)*\n(.+?)```", (out / "index.md").read_text(), re.S
    )
    names = re.sub(r"^.+ <(.+)>$", r"\1", "\n".join(trees), flags=re.M)  # title <page>
    named = names.replace("notebooks/[0-9]*", " ".join(
        f"notebooks/{p.stem}" for p in NOTEBOOKS)).split()  # fmt: skip
    pages = {name for name in there if not name.startswith("docs/images")}
    assert {n for n in pages if not n.startswith("api/")} - {"index"} == set(named) - {"api/index"}
    assert set(named) <= there


def test_the_note_stands_below_the_title():
    assert note_below_title("# a\n\nb\n", "*n*\n\n") == "# a\n\n*n*\n\nb\n"
    assert note_below_title("# a\n\nb\n", "") == "# a\n\nb\n"


QUERIES = {
    "RPN 的提议框, NMS_2": ["RPN", "的提", "提议", "议框", "NMS_2"],
    "delta2bbox 锚框": ["delta2bbox", "锚框"],
    "框": ["框"],
}


def search_class():
    """The nodes of the class that splits Chinese, in conf.py, which only Sphinx can import."""
    tree = ast.parse((SITE / "conf.py").read_text(encoding="utf-8"))
    (found,) = [n for n in tree.body if getattr(n, "name", "") == "SearchPairs"]
    return found.body


def test_chinese_is_indexed_in_pairs():
    wanted = [
        n for n in search_class() if isinstance(n, ast.FunctionDef) or "_words" in ast.dump(n)
    ]
    names = {"re": re}
    body = ast.unparse(ast.Module(wanted, [])).replace("\n", "\n    ")
    exec(f"class Pairs:\n    {body}", names)
    assert {query: names["Pairs"]().split(query) for query in QUERIES} == QUERIES


@pytest.mark.skipif(shutil.which("node") is None, reason="nothing here runs JavaScript")
def test_chinese_is_asked_for_in_pairs():
    (code,) = [n.value.value for n in search_class() if "js_splitter_code" in ast.dump(n)]
    code += f"console.log(JSON.stringify({json.dumps(list(QUERIES))}.map(splitQuery)))"
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == list(QUERIES.values())


# ---- faults ----------------------------------------------------------------------


def built(tmp_path, body):
    """A site of two pages, and a reference that names everything."""
    ids = "".join(f'<p id="{name}">' for name in public_names())
    (tmp_path / "en" / "api").mkdir(parents=True)
    (tmp_path / "en" / "api" / "index.html").write_text(ids)
    (tmp_path / "en" / "a.html").write_text(f'<h1 id="top">{body}</h1>')
    return faults(tmp_path, ["en"])


@pytest.mark.parametrize(
    "body",
    [
        '<a href="a.html#top">', '<a href="#top">', '<a href="api/index.html">',
        '<a href="https://example.org/x">', '<img src="data:image/png;base64,AA">',
        '<a href="../zh/a.html">',
    ],
)  # fmt: skip
def test_a_site_without_faults(tmp_path, body):
    assert built(tmp_path, body) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="b.html">', "b.html leads nowhere"),
        ('<a href="a.html#bottom">', "a.html#bottom leads nowhere"),
        ('<a href="../b.html">', "../b.html leads nowhere"),
        ('<script src="https://example.org/x.js"></script>', "loads https://example.org/x.js"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "loads //example.org/x.css"),
        ('<input data-frames="[&quot;x.webp&quot;]">', "x.webp leads nowhere"),
    ],
)
def test_faults_are_found(tmp_path, body, fault):
    assert built(tmp_path, body) == [f"en/a.html: {fault}"]


def test_a_name_that_the_reference_lacks_is_found(tmp_path):
    built(tmp_path, "")
    place = tmp_path / "en" / "api" / "index.html"
    place.write_text(place.read_text().replace('"maskrcnn_edu.model.boxes.nms"', '"x"'))
    assert faults(tmp_path, ["en"]) == ["api: lacks maskrcnn_edu.model.boxes.nms"]


def test_a_text_without_translation_stops_the_chinese_edition(tmp_path, monkeypatch, capsys):
    def translate(_folder):
        raise ValueError("README.po has no translation of 'new words'")

    monkeypatch.setattr("tools.catalogues.build", translate)
    assert main([str(tmp_path), "--language", "zh", "--stored"]) == 1
    said = capsys.readouterr().err.strip()
    assert said.endswith("has no translation of 'new words'") and "\n" not in said
    assert not (tmp_path / "zh").exists()


def test_chinese_pictures_need_a_font(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("tools.catalogues.build", lambda folder: [])
    monkeypatch.setattr("tools.website.chinese_fonts", lambda: ())
    assert main([str(tmp_path), "--language", "zh"]) == 1
    assert "install Noto Sans CJK" in capsys.readouterr().err


def test_what_stops_the_chinese_edition_is_said_first_and_the_english_one_is_made(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("tools.website.chinese_fonts", lambda: ())
    monkeypatch.setattr("tools.website.faults", lambda out, languages: [])
    made = []

    def build(language, *_rest):
        made.append(language)
        assert "zh cannot be made" in capsys.readouterr().err

    monkeypatch.setattr("tools.website.build", build)
    assert main([str(tmp_path)]) == 1
    assert made == ["en"]
