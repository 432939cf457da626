"""The notebooks run from the first cell to the last with the course's other model."""

from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from maskrcnn_edu.data.shapes import write_shapes
from maskrcnn_edu.teaching.course import VARIABLE, load_course

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
CELL_TIMEOUT = 300  # seconds
STEPS = 2  # of training in a cell that is meant to be watched


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_with_the_pyramid(path, tmp_path, monkeypatch):
    run_with({}, path, tmp_path, monkeypatch)


def test_a_small_dataset_is_enough_to_train_with(tmp_path, monkeypatch):
    """Fewer images than a cell would show, on either side."""
    write_shapes(tmp_path / "few", train=6, val=3, size=64)
    files = {split: {"json": str(tmp_path / f"few/annotations/instances_{split}.json"),
                     "images": str(tmp_path / "few" / split)}
             for split in ("train", "val")}  # fmt: skip
    (path,) = FOLDER.glob("09_*.ipynb")
    run_with({"dataset": files, "rows": [0, 1]}, path, tmp_path, monkeypatch)


def run_with(changes, path, tmp_path, monkeypatch):
    """Run a notebook whole, with the pyramid and so changed a course."""
    values = {**load_course("shapes_fpn").settings.values, "steps": STEPS, **changes}
    file = tmp_path / "short_fpn.yml"
    file.write_text(yaml.safe_dump(values))
    monkeypatch.setenv(VARIABLE, str(file))
    monkeypatch.setenv("MASKRCNN_EDU_DEVICE", "cpu")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("print(course.name)"))
    where = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=CELL_TIMEOUT, resources=where).execute()  # raises errors
    # what the cell before left for later may come as well
    said = [output.get("text", "") for output in notebook.cells[-1].outputs]
    assert "short_fpn\n" in said  # and not the course of the stored outputs
