"""The numbers in docs/classroom.md: what the package's own stages say to the questions."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from instructor.answers import NOTEBOOKS
from instructor.editions import POINTS, exercises
from maskrcnn_edu.data.rle import decode, parse
from maskrcnn_edu.teaching.exercises.check import EXERCISES

PAGE = (Path(__file__).parents[2] / "docs" / "classroom.md").read_text(encoding="utf-8")
MAP = np.array([[1.0, 3.0], [5.0, 7.0]])
WARM_UP = (500, 0.01, 8, 2, 1000, 0.1)


def section(number):
    """Questions and answers of a notebook, in one line."""
    text = re.search(rf"^### {number} .*?(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)[0]
    return " ".join(text.split())


def sample(foreground):
    labels = np.array([0] * foreground + [6] * 500)
    return [len(rows) for rows in EXERCISES["draw_sample"].truth(labels, 64, 0.25, 6)]


def corner(where):
    return EXERCISES["paste_one"].truth(np.ones((14, 14)), [10, 10, 150, 150], 160, 160)[where]


CASES = [
    ("01", "labels_of", ([20, 3, 7], [20, 3, 7]), [2, 0, 1], "2, 0 and 1"),
    ("02", "iou", ([0, 0, 40, 40], [10, 10, 30, 30]), 0.25, "0.25"),
    ("03", "decode_deltas", (np.array([[0.0, 0, 10, 20]]), np.array([[0.1, 0, math.log(2), 0]])),
     [[-4, 0, 16, 20]], "[-4, 0, 16, 20]"),
    ("05", "bilinear", (MAP, 1.0, 1.0), 4, "4, the mean"),
    ("05", "bilinear", (MAP, 0.75, 0.5), 1.5, "1.5, a quarter"),
    ("06", "regression_targets",
     (np.array([[0.0, 0, 20, 10]]), np.array([[2.0, -5, 22, 15]]), [10, 10, 5, 5]),
     [[1, 0, 0, 3.47]], "(1, 0, 0, 5 ln 2 = 3.47)"),
    ("07", "rasterize_rectangle", ([5, 0, 15, 10], [0, 0, 20, 20], 4),
     [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]], "columns 1 and 2 of rows 0 and 1"),
    ("09", "learning_rate", WARM_UP, 0.001375, "0.001375"),
    ("10", "average_precision", ([1, 0, 1], 2), 0.835, "0.835"),
    ("11", "resized_shape", (600, 800, 800, 1333), [800, 1067], "800 x 1067"),
    ("11", "padded_shape", ([(800, 1067)], 32), [800, 1088], "800 x 1088"),
]  # fmt: skip


@pytest.mark.parametrize(("notebook", "name", "arguments", "answer", "words"), CASES)
def test_answers_that_a_stage_computes(notebook, name, arguments, answer, words):
    np.testing.assert_allclose(EXERCISES[name].truth(*arguments), answer, atol=5e-3)
    assert words in section(notebook)


def test_answers_that_take_two_looks():
    anchors = EXERCISES["anchor_grid"].truth(2, 7, 16, [32], [4.0], 0.5)
    assert anchors[13].tolist() == [96, -8, 112, 56] and "[96, -8, 112, 56]" in section("02")
    assert (sample(40), sample(10)) == ([16, 48], [10, 54])
    assert "16 and 48; 10 and 54" in section("04")
    level = EXERCISES["pyramid_level"].truth
    assert [level([0, 0, side, side], 112) for side in (56, 111, 112)] == [3, 3, 4]
    assert (corner((10, 10)), corner((10, 80)), corner((9, 80))) == (0, 1, 0)
    parts = EXERCISES["who_learns"].truth
    assert parts("loss_mask", True) == ["features", "bbox_head", "mask_head"]
    assert parts("loss_mask", False) == ["features", "mask_head"]
    assert round(math.log(7), 2) == 1.95 and "ln 7 = 1.95" in section("06")


def test_the_runs_of_a_small_mask():
    runs = parse({"size": [3, 2], "counts": [1, 1, 1, 2, 1]}, 3, 2)
    mask = decode(runs, 3, 2).astype(int)
    assert mask.tolist() == [[0, 1], [1, 1], [0, 0]] and "1, 1, 1, 2, 1" in section("01")


def test_every_notebook_has_three_questions_and_its_points():
    for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb")):
        number = path.name[:2]
        assert len(re.findall(r"(?<= )\d\. \*", section(number))) == 3, number
        total = sum(POINTS[name] for name in exercises(path.read_text(encoding="utf-8")))
        assert re.search(rf"^\| {number} .* {total} \|$", PAGE, re.MULTILINE), number
