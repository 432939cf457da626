"""Do the tests notice? Lets out every bug of the zoo, one by one, and runs the tests.

    python tools/mutation.py [--bug NAME ...] [--tests PATH ...] [--notebooks]

Prints a Markdown table of who turned red. First the same tests run without a bug: a test
that is red anyway notices nothing. Ends with 1 if a bug survives (with --notebooks: the
tests or the notebooks), with 2 if something could not be run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from maskrcnn_edu.teaching.bugs.bug import Bug
from maskrcnn_edu.teaching.bugs.catalog import BUGS
from maskrcnn_edu.teaching.bugs.release import ENVIRONMENT_VARIABLE

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no"]
TEST_OPTIONS = ["-x", "-p", "mutation_plugin"]  # one red test is enough
NOTEBOOK_OPTIONS = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "120"]
RED_LINE = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
GREEN, RED = 0, 1  # pytest's exit codes; larger ones mean that it could not run
STARTUP = """from maskrcnn_edu.teaching.bugs.release import release_from_environment

release_from_environment()
"""


class CannotRun(Exception):
    """pytest ended without an answer, or the tests are red without a bug."""


@dataclass(frozen=True)
class Row:
    """What became of one bug: ``tests`` and ``notebooks`` say it in the table's words.

    ``survived`` is True if no test, or no notebook that was asked, turned red.
    """

    bug: Bug
    tests: str
    notebooks: str
    survived: bool


def run(paths: list[str], options: list[str], bug: str, environment: dict[str, str]) -> list[str]:
    """Names of the tests that are red while the bug is out.

    Args:
        paths: test files or notebooks, from the repository's root.
        options: further options of pytest.
        bug: name of the bug, or "" for none.
        environment: variables to set, besides the bug's.

    Raises:
        CannotRun: pytest did not come to an answer.
    """
    variables = {"OMP_NUM_THREADS": "1", **os.environ, **environment, ENVIRONMENT_VARIABLE: bug}
    command = [*PYTEST, *options, *paths]
    made = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    if made.returncode not in (GREEN, RED):
        raise CannotRun(f"{bug or 'no bug'}: pytest ended with {made.returncode}\n{made.stdout}")
    red = RED_LINE.findall(made.stdout)
    if made.returncode == RED and not red:
        raise CannotRun(f"{bug or 'no bug'}: red without a name\n{made.stdout}")
    return red


def run_tests(paths: list[str], bug: str) -> list[str]:
    """The tests that turn red; see `run`."""
    path = os.pathsep.join([str(ROOT / "tools"), os.environ.get("PYTHONPATH", "")])
    return run(paths, TEST_OPTIONS, bug, {"PYTHONPATH": path.rstrip(os.pathsep)})


def run_notebooks(paths: list[str], bug: str) -> list[str]:
    """The cells that turn red, the first of each notebook.

    A cell that prints a function's source notices every other function in its place; that
    is no merit, and does not count. Their kernels meet the bug in a startup file.
    """
    with tempfile.TemporaryDirectory() as folder:
        startup = Path(folder) / "profile_default" / "startup" / "00-bug.py"
        startup.parent.mkdir(parents=True)
        startup.write_text(STARTUP, encoding="utf-8")
        cells = []
        for path in paths:
            red = run([path], NOTEBOOK_OPTIONS, bug, {"IPYTHONDIR": folder})
            cells += [cell for cell in red if not bug or not prints_source(cell)][:1]
    return cells


def prints_source(cell: str) -> bool:
    """Whether ``notebooks/NAME.ipynb::Cell N`` shows the text of a function."""
    path, _, number = cell.partition("::Cell ")
    notebook = json.loads((ROOT / path).read_text(encoding="utf-8"))
    code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    return "getsource" in "".join(code[int(number)]["source"])


def notebook_paths(bug: Bug) -> tuple[list[str], list[str]]:
    """The bug's notebooks from the repository's root: those that exist, and those missing."""
    paths = [f"notebooks/{stem}.ipynb" for stem in bug.notebooks]
    there = [p for p in paths if (ROOT / p).exists()]
    return there, [p for p in paths if p not in there]


def check_green(bugs: list[Bug], tests: list[str] | None, notebooks: bool) -> None:
    """Run without a bug everything that will run with one.

    Raises:
        CannotRun: something is red already.
    """
    red = run_tests(tests or sorted({t for b in bugs for t in b.tests}), "")
    if notebooks:
        red += run_notebooks(sorted({p for b in bugs for p in notebook_paths(b)[0]}), "")
    if red:
        raise CannotRun(f"red without a bug: {', '.join(red)}")


def try_bug(bug: Bug, tests: list[str] | None, notebooks: bool) -> Row:
    """Let out one bug and see who notices."""
    red_tests = run_tests(tests or list(bug.tests), bug.name)
    if not notebooks:
        return Row(bug, _names(red_tests), "not asked", not red_tests)
    there, missing = notebook_paths(bug)
    red_cells = run_notebooks(there, bug.name)
    told = [_names(red_cells)] if there else []
    told += [f"{Path(p).stem}: not there" for p in missing]
    return Row(bug, _names(red_tests), "<br>".join(told), not (red_tests and red_cells))


def _names(red: list[str]) -> str:
    short = [name.removeprefix("tests/").removeprefix("notebooks/") for name in red]
    return "<br>".join(f"`{name}`" for name in short) or "**none**"


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
        print("| bug | story | tests that turned red | notebooks that turned red |")
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
