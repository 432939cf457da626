"""The editions for a class: what students get holds no answer, and the tests do give points."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from instructor import editions
from instructor.answers import NOTEBOOKS, compiled, solution, stub, wrong_answers
from maskrcnn_edu.teaching.exercises.check import EXERCISES
from maskrcnn_edu.teaching.student import as_file, without_answers

TEXTS = {
    path.stem: path.read_text(encoding="utf-8") for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
}
NAMES = list(EXERCISES)


def cells(text):
    return json.loads(text)["cells"]


def source(cell):
    return "".join(cell["source"])


def code(text, **outputs):
    outputs = [{"output_type": "stream", "name": "stdout", "text": text} for text in outputs]
    return {"cell_type": "code", "execution_count": 7, "id": "x", "metadata": {},
            "outputs": outputs, "source": text.splitlines(keepends=True)}  # fmt: skip


def notebook(*made):
    return as_file({"cells": list(made), "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


# ---- the student's edition -------------------------------------------------------

ANSWER = (
    "def f(a):\n    b = a\n    ### BEGIN SOLUTION\n    b = 2\n    return b\n    ### END SOLUTION"
)


def test_an_answer_and_what_came_of_it_are_gone_and_nothing_else():
    made = notebook(
        code("print('kept')", kept=1), code(ANSWER, gone=1), code('check("f", f)', gone=1)
    )
    kept, answer, check = cells(without_answers(made))
    assert kept == cells(made)[0]
    blank = "def f(a):\n    b = a\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert (source(answer), answer["outputs"], answer["execution_count"]) == (blank, [], None)
    assert (source(check), check["outputs"], check["execution_count"]) == (
        'check("f", f)', [], None,
    )  # fmt: skip
    assert without_answers(without_answers(made)) == without_answers(made)


@pytest.mark.parametrize("mark", ["### BEGIN SOLUTION", "### END SOLUTION"])
def test_an_answer_that_has_no_end_is_not_handed_out(mark):
    with pytest.raises(ValueError, match="do not match"):
        without_answers(notebook(code(ANSWER.replace(mark, "pass"))))


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_is_in_the_students_edition(name):
    made = without_answers(TEXTS[EXERCISES[name].notebook])
    (blank,) = [source(c) for c in cells(made) if source(c).startswith(f"def {name}(")]
    assert blank + "\n" == stub(name)
    answer = solution(name).split('"""')[2].strip("\n")
    assert answer not in "\n".join(source(c) for c in cells(made))


@pytest.mark.parametrize("name", TEXTS)
def test_all_else_stays_as_it_is(name):
    before, after = cells(TEXTS[name]), cells(without_answers(TEXTS[name]))
    mine = editions.exercises(TEXTS[name])
    theirs = tuple(
        f"{word}{n}{end}" for n in mine for word, end in (("def ", "("), ('check("', '"'))
    )
    assert len(after) == len(before) and len(mine) == 2
    for old, new in zip(before, after):
        assert new == old or source(old).startswith(theirs) or "tags" in new["metadata"]


def test_run_all_goes_on_where_an_answer_is_called():
    made = notebook(
        code("f = 1"), code(ANSWER), code("print(f(2))", gone=1), code('check("f", f)', gone=1),
        code("print(of(2))", kept=1),
    )  # fmt: skip
    after = cells(without_answers(made))
    assert [c["metadata"].get("tags") for c in after] == [
        None,
        None,
        ["raises-exception"],
        None,
        None,
    ]
    assert [len(c["outputs"]) for c in after] == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("name", TEXTS)
def test_no_other_cell_needs_an_answer(name):
    made = json.loads(without_answers(TEXTS[name]))["cells"]
    answers = set()
    for cell in made:
        if cell["cell_type"] != "code" or "tags" in cell["metadata"]:
            continue
        tree = ast.parse(re.sub(r"^%.*$", "", source(cell), flags=re.MULTILINE))
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        is_check = source(cell).startswith("check(")
        assert is_check or not used & answers, source(cell)
        answers |= {n.name for n in tree.body if isinstance(n, ast.FunctionDef)} & {
            *editions.exercises(TEXTS[name])
        }


# ---- nbgrader's edition ----------------------------------------------------------


def graded(name):
    """Locked cells of an exercise's notebook, by their grade_id; a seed is `secret`."""
    made = cells(editions.graded(TEXTS[EXERCISES[name].notebook], "secret"))
    found = {c["metadata"]["nbgrader"]["grade_id"]: c for c in made if "nbgrader" in c["metadata"]}
    assert len(found) == sum("nbgrader" in c["metadata"] for c in made)  # ids are unique
    return found


def points(name, answer):
    """What nbgrader would give: none where the cell raises."""
    cell = graded(name)[f"test_{name}"]
    try:
        exec(source(cell), {} if answer is None else {name: answer})
    except (AssertionError, NameError):
        return 0
    return cell["metadata"]["nbgrader"]["points"]


@pytest.mark.parametrize("name", NAMES)
def test_points_for_the_right_answer_only(name):
    assert points(name, compiled(name, solution(name))) == editions.POINTS[name] > 0
    assert points(name, compiled(name, stub(name))) == 0
    assert points(name, compiled(name, next(wrong_answers(name))[1])) == 0
    assert points(name, None) == 0  # the cell was removed


def test_no_points_for_what_was_learnt_by_heart():
    exercise = EXERCISES["iou"]
    cases = [*exercise.cases, *exercise.hidden_cases("0")]
    known = {str(case): float(exercise.truth(*case)) for case in cases}

    def by_heart(a, b):
        return known.get(str((a, b)), 0.125)

    seen, hidden = source(graded("iou")["test_iou"]).split("### BEGIN HIDDEN TESTS")
    exec(seen, {"iou": by_heart})  # every student can have these cases
    with pytest.raises(AssertionError, match="but not in all"):
        exec(seen + hidden, {"iou": by_heart})
    assert "secret" in hidden and "secret" not in seen


@pytest.mark.parametrize("name", NAMES)
def test_what_frames_an_exercise_is_locked(name):
    made = graded(name)
    assert {"title", "imports", f"text_{name}", f"test_{name}"} <= set(made)
    for grade_id, cell in made.items():
        notes = cell["metadata"]["nbgrader"]
        assert notes["locked"] is (grade_id not in NAMES) is not notes["solution"]
        assert notes["grade"] is grade_id.startswith("test_")


def test_the_sum_of_points(capsys, tmp_path):
    assert editions.main([str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["00_tour", "stage_shapes", "4"]
    assert len(lines) == len(NAMES) + 2 and lines[-2].split() == ["sum", "100"]
    assert sum(int(line.split()[-1]) for line in lines[:-2]) == 100


def test_an_exercise_without_points_and_the_seed_of_everybody(tmp_path):
    (tmp_path / "x.ipynb").write_text(notebook(code(ANSWER)), encoding="utf-8")
    with pytest.raises(ValueError, match="no points for f"):
        editions.editions(tmp_path, "secret")
    with pytest.raises(ValueError, match="0 is the seed that everybody has"):
        editions.editions(NOTEBOOKS, "0")
    with pytest.raises(ValueError, match="no notebooks"):
        editions.editions(tmp_path / "nowhere", "secret")


# ---- writing ---------------------------------------------------------------------


def test_the_files_are_the_same_every_time():
    made = editions.editions(NOTEBOOKS, "secret")
    assert made == editions.editions(NOTEBOOKS, "secret")
    assert sum(name.startswith("student/") for name in made) == len(TEXTS) + 1  # start.ipynb
    assert {Path(name).parts[1] for name in made if name.startswith("source/")} == set(TEXTS)


def test_what_was_changed_stays(tmp_path):
    out = tmp_path / "out"
    editions.write(out, {"student/a": "1", "student/b": "1"})
    (out / "gradebook.db").write_text("nbgrader's")
    editions.write(out, {"student/a": "2"})  # the course has changed, and b is no more
    assert (out / "student/a").read_text() == "2" and not (out / "student/b").exists()
    (out / "student/a").write_text("mine")
    with pytest.raises(ValueError, match="over what was changed: student/a in "):
        editions.write(out, {"other": "3", "student/a": "3"})
    assert (out / "student/a").read_text() == "mine" and not (out / "other").exists()
    assert (out / "gradebook.db").read_text() == "nbgrader's"


def test_a_folder_of_others_stays(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("x")
    assert editions.main([str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said == f"instructor.editions: {tmp_path} has files of others; name a new folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


# ---- nbgrader itself -------------------------------------------------------------


@pytest.mark.skipif(not importlib.util.find_spec("nbgrader"), reason="nbgrader is not installed")
def test_nbgrader_gives_these_points(tmp_path):
    short = json.loads(TEXTS["02_anchors"])
    first = code("import math\nimport numpy as np\n"
                 "from maskrcnn_edu.teaching.exercises.check import check")  # fmt: skip
    parts = [c for c in short["cells"] if source(c).startswith(("def ", "check("))]
    short["cells"] = [short["cells"][0], first, *(c for c in parts if "nbval" not in source(c))]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "short.ipynb").write_text(json.dumps(short))
    course = tmp_path / "out"
    editions.write(course, editions.editions(tmp_path / "in", "secret"))
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    env["JUPYTER_DATA_DIR"] = str(tmp_path / "jupyter")

    def nbgrader(*words):
        command = [sys.executable, "-m", "nbgrader", *words]
        done = subprocess.run(command, cwd=course, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    nbgrader("generate_assignment", "short")
    release = (course / "release" / "short" / "short.ipynb").read_text(encoding="utf-8")
    assert "SOLUTION" not in release and "secret" not in release
    wrong = next(wrong_answers("anchor_grid"))[1]
    submissions = {
        "right": {"anchor_grid": solution("anchor_grid"), "iou": solution("iou")},
        "wrong": {"anchor_grid": wrong, "iou": solution("iou")},
        "missing": {},
    }
    for student, answers in submissions.items():
        made = json.loads(release)
        for cell in made["cells"]:
            name = cell["metadata"].get("nbgrader", {}).get("grade_id")
            cell["source"] = answers.get(name, cell["source"])
        folder = course / "submitted" / student / "short"
        folder.mkdir(parents=True)
        (folder / "short.ipynb").write_text(json.dumps(made))
    nbgrader("autograde", "short")

    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course}/gradebook.db") as gradebook:
        scores = {s: gradebook.find_submission("short", s).score for s in submissions}
        assert gradebook.find_assignment("short").max_score == 8
    assert scores == {"right": 8, "wrong": 3, "missing": 0}
