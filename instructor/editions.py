"""python -m instructor.editions OUT: the notebooks as a class needs them.

    OUT/student     without answers, pictures kept: to hand out
    OUT/solutions   as they are
    OUT/source      for nbgrader, whose course folder OUT is: one assignment a notebook

What was written can be made again over itself, but never over a file that was changed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

from instructor.answers import NOTEBOOKS
from maskrcnn_edu.teaching.student import BEGIN, as_file, let_run_all_go_on, without_answers

POINTS = {
    "stage_shapes": 4,
    "detection_origin": 5,
    "labels_of": 2,
    "scale_annotation": 4,
    "anchor_grid": 5,
    "iou": 3,
    "decode_deltas": 4,
    "greedy_nms": 6,
    "draw_sample": 4,
    "regression_targets": 4,
    "bilinear": 5,
    "pyramid_level": 3,
    "decode_own_class": 5,
    "best_per_class": 4,
    "rasterize_rectangle": 4,
    "outline_in_cells": 3,
    "own_mask_loss": 4,
    "paste_one": 6,
    "who_learns": 3,
    "learning_rate": 3,
    "match_detections": 6,
    "average_precision": 6,
    "resized_shape": 4,
    "padded_shape": 3,
}
"""Exercise -> points, by what there is to think of; 100 in all."""

MANIFEST = "editions.json"
HIDDEN_SEED = "the instructor's"
CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "maskrcnn_edu"
c.Execute.timeout = 300  # seconds a cell; one of them trains
c.OverwriteCells.add_missing_cells = True  # a test that a student removed
"""
TEST = """\
# {name}: {points} points
from maskrcnn_edu.teaching.exercises.check import check as grade

verdict = grade("{name}", {name})
assert verdict.is_right, verdict
### BEGIN HIDDEN TESTS
verdict = grade("{name}", {name}, seed={seed!r})
assert verdict.is_right, verdict
### END HIDDEN TESTS"""


# ---- nbgrader's edition ----------------------------------------------------------


def graded(notebook: str, seed: str) -> str:
    """nbgrader's source of a notebook: after every check a test that gives points.

    Title, imports and the exercises' texts are locked; outputs are gone, as nbgrader takes
    them away. The checks stay free: nbgrader can put a removed test back behind an answer,
    but not behind another locked cell.

    Args:
        notebook: text of an ipynb file.
        seed: of the hidden cases that count beside those of the check.
    """
    content = json.loads(notebook)
    content["metadata"].pop("widgets", None)
    let_run_all_go_on(content)
    cells = content["cells"]
    _lock(cells[0], "title")
    _lock(next(cell for cell in cells if cell["cell_type"] == "code"), "imports")
    for cell in cells:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    for name in exercises(notebook):
        answer = next(i for i, c in enumerate(cells) if _text(c).startswith(f"def {name}("))
        check = next(i for i, c in enumerate(cells) if _text(c).startswith(f'check("{name}"'))
        if cells[answer - 1]["cell_type"] == "markdown":
            _lock(cells[answer - 1], f"text_{name}")
        cells.insert(check + 1, test_cell(name, seed))
    return as_file(content)


def exercises(notebook: str) -> list[str]:
    """The names of the functions that a notebook leaves to the learner, in their order."""
    sources = [_text(cell) for cell in json.loads(notebook)["cells"]]
    return [re.match(r"def (\w+)\(", s)[1] for s in sources if BEGIN in s]


def test_cell(name: str, seed: str) -> dict:
    """The cell that gives an exercise's points; Run All goes on behind it."""
    source = TEST.format(name=name, points=POINTS[name], seed=seed)
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": f"test-{name}",
        "metadata": {"tags": ["raises-exception"]},
        "outputs": [],
        "source": source.splitlines(keepends=True),
    }
    _lock(cell, f"test_{name}")
    cell["metadata"]["nbgrader"] |= {"grade": True, "points": POINTS[name]}
    return cell


def _lock(cell: dict, grade_id: str) -> None:
    cell["metadata"]["nbgrader"] = {
        "grade": False,
        "grade_id": grade_id,
        "locked": True,
        "schema_version": 3,
        "solution": False,
        "task": False,
    }


def _text(cell: dict) -> str:
    return "".join(cell["source"])


# ---- all editions ----------------------------------------------------------------


def editions(notebooks: Path, seed: str) -> dict[str, str]:
    """Path below OUT -> content, of all files.

    Args:
        notebooks: folder of the notebooks with their answers.
        seed: of the hidden cases, any text.

    Raises:
        ValueError: there are no notebooks, an exercise has no points, or the hidden cases
            would be those that everybody gets.
    """
    if seed == "0":
        raise ValueError("0 is the seed that everybody has; choose another")
    paths = sorted(notebooks.glob("*.ipynb"))
    if not paths:
        raise ValueError(f"{notebooks} has no notebooks")
    files = {"nbgrader_config.py": CONFIG}
    for path in paths:
        text = path.read_text(encoding="utf-8")
        try:
            files[f"student/{path.name}"] = without_answers(text)
        except ValueError as error:  # no notebook, or an answer without end
            raise ValueError(f"{path}: {error}") from None
        files[f"solutions/{path.name}"] = text
        missing = [name for name in exercises(text) if name not in POINTS]
        if missing:
            raise ValueError(f"no points for {', '.join(missing)}: see POINTS in {__file__}")
        if exercises(text):
            files[f"source/{path.stem}/{path.name}"] = graded(text, seed)
    return files


def points_table(notebooks: Path) -> str:
    """Notebook, exercise and points, line by line, and their sum."""
    lines, total = [], 0
    for path in sorted(notebooks.glob("*.ipynb")):
        for name in exercises(path.read_text(encoding="utf-8")):
            lines.append(f"{path.stem:22} {name:22} {POINTS[name]:3}")
            total += POINTS[name]
    return "\n".join([*lines, f"{'sum':45} {total:3}"])


def write(out: Path, files: dict[str, str]) -> None:
    """Write all files, or none.

    Raises:
        ValueError: the folder is somebody else's, or a file was changed.
    """
    manifest = out / MANIFEST
    known = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    if not known and out.is_dir() and any(out.iterdir()):
        raise ValueError(f"{out} has files of others; name a new folder")
    new = {name: _digest(content.encode()) for name, content in files.items()}
    there = [name for name in {**known, **new} if (out / name).is_file()]
    now = {name: _digest((out / name).read_bytes()) for name in there}
    changed = [name for name in there if now[name] not in (known.get(name), new.get(name))]
    if changed:
        raise ValueError(
            f"nothing is written over what was changed: {', '.join(changed)} in {out}; "
            "name a new folder"
        )
    for name, content in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content.encode())
    for name in set(there) - set(new):  # the course has it no more
        (out / name).unlink()
    manifest.write_bytes((json.dumps(new, indent=1) + "\n").encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Write the editions and print what can be earned."""
    parser = argparse.ArgumentParser(prog="instructor.editions", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "out", metavar="OUT", type=Path, help="a new folder, or one of this command"
    )
    parser.add_argument("--notebooks", metavar="DIR", type=Path, default=NOTEBOOKS)
    parser.add_argument(
        "--seed", default=HIDDEN_SEED, help="of the hidden tests: any text, best kept to yourself"
    )
    options = parser.parse_args(arguments)
    try:
        write(options.out, editions(options.notebooks, options.seed))
    except (ValueError, OSError) as error:
        print(f"instructor.editions: {error}", file=sys.stderr)
        return 2
    print(points_table(options.notebooks))
    print(f"student, solutions and source are in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
