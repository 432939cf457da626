"""Do the tests notice? Lets out every bug of the zoo, one by one, and runs the tests.

    python tools/mutation.py [--bug NAME ...] [--tests PATH ...] [--notebooks]

Prints a Markdown table of who noticed: the tests that turned red, and the notebooks of which
a cell prints other numbers. What a notebook prints of a function's source does not count,
nor does an exception: it would be as loud if the package were right and its words had
changed. First everything runs without a bug: who is red anyway notices nothing. Ends with 1
if a bug survives (with --notebooks: the tests or the notebooks), with 2 if something could
not be run.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from maskrcnn_edu.teaching.bugs.bug import Bug
from maskrcnn_edu.teaching.bugs.catalog import BUGS
from maskrcnn_edu.teaching.bugs.release import ENVIRONMENT_VARIABLE

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"]
TEST_OPTIONS = ["-x", "-p", "mutation_plugin"]  # one red test is enough
CELL_TIMEOUT = 120  # seconds
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?|\bnan\b|\binf\b")
RED_LINE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
GREEN, RED = 0, 1  # pytest's exit codes; larger ones mean that it could not run
STARTUP = """from maskrcnn_edu.teaching.bugs.release import release_from_environment

release_from_environment()
"""


class CannotRun(Exception):
    """pytest or a notebook ended without an answer, or is red without a bug."""


@dataclass(frozen=True)
class Row:
    """What became of one bug: ``tests`` and ``notebooks`` say it in the table's words.

    ``survived`` is True if no test, or no notebook that was asked, noticed.
    """

    bug: Bug
    tests: str
    notebooks: str
    survived: bool


# ---- tests -----------------------------------------------------------------------


def run_tests(paths: list[str], bug: str) -> list[str]:
    """Names of the tests that are red while the bug is out.

    Args:
        paths: test files, from the repository's root.
        bug: name of the bug, or "" for none.

    Raises:
        CannotRun: pytest did not come to an answer.
    """
    search = os.pathsep.join([str(ROOT / "tools"), os.environ.get("PYTHONPATH", "")])
    variables = {
        "OMP_NUM_THREADS": "1",
        **os.environ,
        "PYTHONPATH": search.rstrip(os.pathsep),
        ENVIRONMENT_VARIABLE: bug,
    }
    command = [*PYTEST, *TEST_OPTIONS, *paths]
    made = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    if made.returncode not in (GREEN, RED):
        raise CannotRun(f"{bug or 'no bug'}: pytest ended with {made.returncode}\n{made.stdout}")
    red = RED_LINE.findall(made.stdout)
    if made.returncode == RED and not red:
        raise CannotRun(f"{bug or 'no bug'}: red without a name\n{made.stdout}")
    return red


# ---- notebooks -------------------------------------------------------------------


def ask_notebook(path: str, bug: str) -> str:
    """What a notebook notices of a bug; empty if no number that it prints changes.

    Args:
        path: from the repository's root.
        bug: name of the bug.

    Returns:
        The first cell that prints another number, the stored and the new number.
    """
    stored = nbformat.read(ROOT / path, as_version=4)
    with contextlib.closing(executed(stored, ROOT / path, bug)) as cells:
        return first_changed_number(stored, cells)


def executed(stored: NotebookNode, path: Path, bug: str) -> Iterator[NotebookNode]:
    """The code cells as they come out while the bug is out, up to the first that raises.

    The kernel meets the bug in a startup file.

    Args:
        stored: the notebook.
        path: its file; it runs in that folder.
        bug: name of the bug, or "" for none.
    """
    notebook = copy.deepcopy(stored)
    with tempfile.TemporaryDirectory() as folder:
        startup = Path(folder) / "profile_default" / "startup" / "00-bug.py"
        startup.parent.mkdir(parents=True)
        startup.write_text(STARTUP, encoding="utf-8")
        variables = {
            **os.environ,
            "OMP_NUM_THREADS": "1",  # as the stored numbers were made
            "MASKRCNN_EDU_DEVICE": "cpu",
            "IPYTHONDIR": folder,
            ENVIRONMENT_VARIABLE: bug,
        }
        where = {"metadata": {"path": str(path.parent)}}
        client = NotebookClient(notebook, timeout=CELL_TIMEOUT, resources=where)
        with client.setup_kernel(env=variables), contextlib.suppress(CellExecutionError):
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type == "code":
                    yield client.execute_cell(cell, index)


def first_changed_number(stored: NotebookNode, cells: Iterable[NotebookNode]) -> str:
    """``cell 7: 0.5 -> 0.25`` for the first code cell whose printed numbers differ, or ``""``.

    Cells that print source text are passed over, and so are those that ``cells``, because
    one raised, does not come to.
    """
    printers = source_printers(stored)
    for number, (before, after) in enumerate(zip(code_cells(stored), cells)):
        if prints_source(before.source, printers):
            continue
        for old, now in zip_longest(numbers(before), numbers(after), fillvalue="nothing"):
            if old != now:
                return f"cell {number}: {old} -> {now}"
    return ""


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that are run, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def numbers(cell: NotebookNode) -> list[str]:
    """The numbers that a cell prints, in order: of its text, not of images and widgets."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and output.name == "stdout":
            texts.append(output.text)
        elif list(output.get("data", {})) == ["text/plain"]:
            texts.append(output.data["text/plain"])
    return NUMBER.findall("\n".join(texts))


def source_printers(notebook: NotebookNode) -> set[str]:
    """Names of the notebook's own functions that look up a source text."""
    names = {"getsource", "diff"}
    for cell in code_cells(notebook):
        for node in ast.walk(parsed(cell.source)):
            if isinstance(node, ast.FunctionDef) and called_names(node) & names:
                names.add(node.name)
    return names


def prints_source(code: str, printers: set[str]) -> bool:
    """Whether a cell calls one of the functions that look up a source text."""
    return bool(called_names(parsed(code)) & printers)


def called_names(node: ast.AST) -> set[str]:
    """The names of the functions and methods that are called in it."""
    calls = [n.func for n in ast.walk(node) if isinstance(n, ast.Call)]
    return {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}


def parsed(code: str) -> ast.Module:
    """A cell's code without its ``%`` lines."""
    return ast.parse(re.sub(r"^%.*$", "", code, flags=re.MULTILINE))


def notebook_paths(bug: Bug) -> tuple[list[str], list[str]]:
    """The bug's notebooks from the repository's root: those that exist, and those missing."""
    paths = [f"notebooks/{stem}.ipynb" for stem in bug.notebooks]
    there = [p for p in paths if (ROOT / p).exists()]
    return there, [p for p in paths if p not in there]


# ---- the table -------------------------------------------------------------------


def check_green(bugs: list[Bug], tests: list[str] | None, notebooks: bool) -> None:
    """Run without a bug everything that will run with one.

    Raises:
        CannotRun: something is red already.
    """
    red = run_tests(tests or sorted({t for b in bugs for t in b.tests}), "")
    if notebooks:
        for path in sorted({p for b in bugs for p in notebook_paths(b)[0]}):
            stored = nbformat.read(ROOT / path, as_version=4)
            cells = list(executed(stored, ROOT / path, ""))
            all_ran = len(cells) == len(code_cells(stored))
            change = first_changed_number(stored, cells) if all_ran else "raises"
            red += [f"{path}: {change}"] if change else []
    if red:
        raise CannotRun(f"red without a bug: {', '.join(red)}")


def try_bug(bug: Bug, tests: list[str] | None, notebooks: bool) -> Row:
    """Let out one bug and see who notices."""
    red_tests = run_tests(tests or list(bug.tests), bug.name)
    names = "<br>".join(f"`{t.removeprefix('tests/')}`" for t in red_tests) or "**none**"
    if not notebooks:
        return Row(bug, names, "not asked", not red_tests)
    there, missing = notebook_paths(bug)
    answers = {path: ask_notebook(path, bug.name) for path in there}
    lines = [f"{Path(path).stem}, {answer or '**no number**'}" for path, answer in answers.items()]
    lines += [f"{Path(path).stem}: not there" for path in missing]
    return Row(bug, names, "<br>".join(lines), not (red_tests and any(answers.values())))


def table_row(row: Row) -> str:
    """One line of the table."""
    story = row.bug.story.replace("|", "/")
    return f"| {row.bug.title} (`{row.bug.name}`) | {story} | {row.tests} | {row.notebooks} |"


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bug", nargs="+", choices=list(BUGS), metavar="NAME", default=list(BUGS))
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="instead of each bug's own")
    parser.add_argument("--notebooks", action="store_true", help="ask the notebooks as well")
    return parser.parse_args()


def main() -> int:
    """Run the command; the answer is its exit code."""
    asked = arguments()
    bugs = [BUGS[name] for name in asked.bug]
    survivors = []
    try:
        check_green(bugs, asked.tests, asked.notebooks)
        print("| bug | story | tests that turned red | notebooks that print other numbers |")
        print("|---|---|---|---|")
        for bug in bugs:
            row = try_bug(bug, asked.tests, asked.notebooks)
            print(table_row(row), flush=True)
            survivors += [bug.name] if row.survived else []
    except CannotRun as error:
        print(error, file=sys.stderr)
        return 2
    print(f"\n{len(bugs) - len(survivors)} of {len(bugs)} bugs were noticed by all who were asked.")
    if survivors:
        print(f"Survived: {', '.join(survivors)}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
