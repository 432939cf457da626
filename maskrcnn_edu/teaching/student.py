"""The student's edition of a notebook: all of it, but the answers.

Only the standard library is needed: building the package makes it too (`setup.py`).
"""

from __future__ import annotations

import json
import re

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"  # what nbgrader looks for
STUB = "# YOUR CODE HERE\nraise NotImplementedError()"  # what it puts there

_ANSWER = re.compile(rf"^( *){BEGIN}\n.*?{END}$", re.MULTILINE | re.DOTALL)
_CHECK = re.compile(r"^check\(", re.MULTILINE)


def without_answers(notebook: str) -> str:
    """The student's edition of a notebook.

    Exercises are unattempted, which the checker says without an error, so that Run All
    reaches the end. What these cells, the checker's and those that call an answer have
    printed is gone; other cells keep their pictures.

    Args:
        notebook: text of an ipynb file; one without answers stays as it is.

    Raises:
        ValueError: an answer begins and does not end, or the other way round.
    """
    content = json.loads(notebook)
    calling = let_run_all_go_on(content)
    for cell in _code_cells(content):
        source = "".join(cell["source"])
        if BEGIN in source or END in source:
            cell["source"] = stub(source).splitlines(keepends=True)
        if BEGIN in source or _CHECK.search(source) or cell in calling:
            cell.update(outputs=[], execution_count=None)
    return as_file(content)


def let_run_all_go_on(notebook: dict) -> list[dict]:
    """Tag the cells that call an answer, so that Jupyter goes on if it is not there yet.

    Returns:
        these cells.
    """
    answers: list[str] = []
    calling = []
    for cell in _code_cells(notebook):
        source = "".join(cell["source"])
        if BEGIN in source:
            answers += re.findall(r"^def (\w+)\(", source, re.MULTILINE)
        elif any(re.search(rf"\b{name}\(", source) for name in answers):
            cell["metadata"]["tags"] = ["raises-exception"]
            calling.append(cell)
    return calling


def _code_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def stub(source: str) -> str:
    """Source text of a cell -> the same, with nbgrader's stub in the place of the answer.

    Raises:
        ValueError: an answer begins and does not end, or the other way round.
    """
    left = _ANSWER.sub(lambda found: _indented(found[1]), source)
    if BEGIN in left or END in left:
        raise ValueError(f"{BEGIN} and {END} do not match in\n{source}")
    return left


def _indented(spaces: str) -> str:
    return "\n".join(spaces + line for line in STUB.split("\n"))


def as_file(notebook: dict) -> str:
    """Text of a notebook's file, written as Jupyter does."""
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
