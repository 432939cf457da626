"""How `pytest --nbval notebooks/` runs: this environment's Python, one thread, on the CPU."""

import os

CELL_TIMEOUT = 120  # seconds
collect_ignore = ["zh"]  # the same cells (make chinese)


def pytest_configure(config):
    os.environ["OMP_NUM_THREADS"] = "1"  # sums are split over threads: last bits would differ
    os.environ.setdefault("MASKRCNN_EDU_DEVICE", "cpu")
    config.option.nbval_current_env = True  # not a kernel of that name from somewhere else
    config.option.nbval_cell_timeout = CELL_TIMEOUT
