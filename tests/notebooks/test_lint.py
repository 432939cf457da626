"""What every committed notebook must be: executed, quiet, portable, small, and whole."""

import ast
import json
import re
from pathlib import Path

import pytest

from maskrcnn_edu.teaching.exercises.check import EXERCISES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
LARGEST = 1_500_000  # bytes
WIDEST = 78  # columns of code: what JupyterLab shows beside a file browser
OPENING = """%matplotlib inline
import warnings

warnings.filterwarnings("ignore")  # Paddle warns while it is imported

import """

FORBIDDEN = {
    r"\binteract\(|interactive_output|clear_output|display_id|Output\(": "nbval cannot run it",
    r"\.cuda\(|gpu:0|set_device": "the device is chosen by setup_notebook()",
    r";\s*$": "a trailing semicolon hides the value in JupyterLab, but not from nbval",
    r"# *NBVAL_\w+[^\w\n]": "nbval knows a marker only if it stands alone on its line",
    r"\btqdm\b": "a progress bar on stderr fails a strict run",
}

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def content(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path):
    return [c for c in content(path)["cells"] if c["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def test_every_cell_was_executed_in_order(path):
    counts = [c["execution_count"] for c in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


def test_no_errors_warnings_or_traces_of_this_machine(path):
    for cell in code_cells(path):
        for output in cell["outputs"]:
            assert output["output_type"] != "error", source(cell)
            assert output.get("name") != "stderr", source(cell)
            text = json.dumps({k: v for k, v in output.get("data", {}).items() if "image" not in k})
            text += "".join(output.get("text", []))
            assert not re.search(r"Place\(|/home/|/tmp/|/root/|site-packages|<\w+ at 0x", text)


def test_nothing_that_does_not_survive_a_strict_run(path):
    for cell in code_cells(path):
        for pattern, why in FORBIDDEN.items():
            assert not re.search(pattern, source(cell), re.MULTILINE), f"{why}: {source(cell)}"


def test_it_begins_like_all_others(path):
    first = source(code_cells(path)[0])
    assert first.startswith(OPENING) and "\nsetup_notebook()" in first
    opening = "".join(content(path)["cells"][0]["source"])
    assert opening.startswith("# ") and "document" in opening.lower()


def test_its_parts(path):
    text = "".join(source(c) for c in content(path)["cells"] if c["cell_type"] == "markdown")
    for part in ("will be able to", "Exercise 1", "Exercise 2", "Something to change", "Read next"):
        assert part.lower() in text.lower(), part


def test_exercises_are_in_nbgraders_form(path):
    solved = [c for c in code_cells(path) if "### BEGIN SOLUTION" in source(c)]
    assert len(solved) == 2
    for cell in solved:
        assert source(cell).index("### BEGIN SOLUTION") < source(cell).index("### END SOLUTION")
        # nbgrader takes solutions out of cells that say so only
        assert cell["metadata"]["nbgrader"]["solution"] is True
    assert len({cell["metadata"]["nbgrader"]["grade_id"] for cell in solved}) == 2
    names = [re.match(r"def (\w+)\(", source(cell)).group(1) for cell in solved]
    assert names == [e.name for e in EXERCISES.values() if e.notebook == path.stem]
    checks = [c for c in code_cells(path) if "check(" in source(c)]
    assert len(checks) >= 2


def test_every_figure_is_followed_by_its_facts(path):
    """nbval does not compare pictures, so numbers about them are printed."""
    for cell in code_cells(path):
        drawn = [o for o in cell["outputs"] if any("image/" in kind for kind in o.get("data", {}))]
        if drawn:
            assert re.search(r"figure_facts\(|figure_boxes\(|print\(|sweep\(", source(cell)), (
                source(cell)
            )


def test_code_parses_and_the_file_is_small(path):
    for cell in code_cells(path):
        ast.parse(re.sub(r"^%.*$", "", source(cell), flags=re.MULTILINE))
        assert [line for line in source(cell).split("\n") if len(line) > WIDEST] == []
    assert path.stat().st_size < LARGEST


def test_the_files_that_it_names_are_there(path):
    for cell in content(path)["cells"]:
        if cell["cell_type"] == "markdown":
            for name in re.findall(r"`([\w/.-]+/[\w.-]+\.(?:py|yml|md))`", source(cell)):
                assert (ROOT / name).is_file(), name
