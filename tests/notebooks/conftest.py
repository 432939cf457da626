"""Run a notebook whole, with a course of one's own."""

from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from maskrcnn_edu.teaching.course import VARIABLE, load_course

FOLDER = Path(__file__).parents[2] / "notebooks"
CELL_TIMEOUT = 300  # seconds
STEPS = 2  # of training in a cell that is meant to be watched


@pytest.fixture
def run_with_pyramid(tmp_path, monkeypatch):
    """A function: a notebook's name, and what is changed of the course with the pyramid."""

    def run(name, changes=()):
        values = {**load_course("shapes_fpn").settings.values, "steps": STEPS, **dict(changes)}
        file = tmp_path / "short_fpn.yml"
        file.write_text(yaml.safe_dump(values))
        monkeypatch.setenv(VARIABLE, str(file))
        monkeypatch.setenv("MASKRCNN_EDU_DEVICE", "cpu")
        notebook = nbformat.read(FOLDER / name, as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell("print(course.name)"))
        where = {"metadata": {"path": str(FOLDER)}}
        NotebookClient(notebook, timeout=CELL_TIMEOUT, resources=where).execute()  # raises errors
        # what the cell before left for later may come as well
        said = [output.get("text", "") for output in notebook.cells[-1].outputs]
        assert "short_fpn\n" in said  # and not the course of the stored outputs

    return run
