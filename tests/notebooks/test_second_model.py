"""The notebooks run from the first cell to the last with the course's other model."""

from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs_with_the_pyramid(path, run_with_pyramid):
    run_with_pyramid(path.name)
