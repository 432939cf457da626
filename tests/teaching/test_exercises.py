"""The exercises: blank, right, wrong in known ways, wrong in unknown ways, and broken."""

import ast
import re

import numpy as np
import paddle
import pytest

from maskrcnn_edu.teaching.exercises.check import EXERCISES, NOT_ATTEMPTED, Verdict, cell, check
from maskrcnn_edu.teaching.exercises.compare import difference, shown
from maskrcnn_edu.teaching.exercises.exercise import Exercise, compiled

NAMES = list(EXERCISES)
MISTAKES = [(name, mistake) for name in NAMES for mistake in EXERCISES[name].mistakes]
NOTEBOOKS = (
    "00_tour", "01_data", "02_anchors", "03_rpn", "04_bbox_assigner", "05_roi_align",
    "06_bbox_head", "07_mask_targets", "08_mask_head", "09_train", "10_evaluate",
    "11_your_own_photos",
)  # fmt: skip


def strip(source):
    """What nbgrader's ClearSolutions does to a cell."""
    lines, inside = [], False
    for line in source.split("\n"):
        if "### BEGIN SOLUTION" in line:
            indent, inside = re.match(r"\s*", line).group(), True
            lines += [indent + "# YOUR CODE HERE", indent + "raise NotImplementedError()"]
        elif "### END SOLUTION" in line:
            inside = False
        elif not inside:
            lines.append(line)
    return "\n".join(lines)


# ---- every exercise --------------------------------------------------------------


def test_two_for_every_notebook():
    assert [e.notebook for e in EXERCISES.values()] == [n for n in NOTEBOOKS for _ in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_blank(name):
    assert check(name, None) == check(name, ...) == NOT_ATTEMPTED
    assert check(name, compiled(name, EXERCISES[name].stub)) == NOT_ATTEMPTED
    assert check(name, lambda *arguments: None) == NOT_ATTEMPTED
    assert check(name, lambda *arguments: ...) == NOT_ATTEMPTED


@pytest.mark.parametrize("name", NAMES)
def test_the_model_answer_is_what_the_package_computes(name):
    exercise = EXERCISES[name]
    verdict = check(name, compiled(name, exercise.solution))
    assert verdict == f"right: {exercise.shows}" and verdict.is_right


@pytest.mark.parametrize(("name", "mistake"), MISTAKES)
def test_every_known_mistake_is_named(name, mistake):
    verdict = check(name, compiled(name, EXERCISES[name].wrong[mistake]))
    first, details = verdict.split("\n")
    assert first == f"not yet: {mistake}"
    assert details.startswith("for ") and "expected" in details
    assert not verdict.is_right


@pytest.mark.parametrize("name", NAMES)
def test_a_function_that_raises(name):
    def broken(*arguments):
        raise KeyError("lost")

    verdict = check(name, broken)
    assert verdict.startswith("not yet: it raised KeyError: 'lost'\nfor ")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["a word", 17.5, [[1], [2, 3]], {"a": 1}, object(), b"x"])
def test_any_value_gets_a_message(name, value):
    verdict = check(name, lambda *arguments: value)
    assert verdict.startswith("not yet: for ") and "expected" in verdict


@pytest.mark.parametrize("name", NAMES)
def test_the_cell_is_in_nbgraders_form(name):
    source = cell(name)
    assert source.startswith(f"def {name}(") and source.endswith("### END SOLUTION")
    assert source.count("### BEGIN SOLUTION") == 1 and max(map(len, source.split("\n"))) <= 78
    assert check(name, compiled(name, source)).is_right
    student = strip(source)
    assert EXERCISES[name].solution.split("\n")[-2] not in student
    assert ast.get_docstring(ast.parse(student).body[0])
    assert check(name, compiled(name, student)) == NOT_ATTEMPTED


@pytest.mark.parametrize("name", NAMES)
def test_texts(name):
    exercise = EXERCISES[name]
    assert len(exercise.mistakes) >= 2 and list(exercise.wrong) == list(exercise.mistakes)
    for text in (exercise.task, exercise.shows, *exercise.mistakes):
        assert text.isascii() and "\n" not in text
    assert exercise.task.endswith((".", "?")) and exercise.shows.endswith(".")


# ---- answers that nobody wrote down before ---------------------------------------


def test_a_mistake_is_known_by_its_numbers_not_by_its_words():
    def iou(a, b):
        (ax, ay, ar, ab), (bx, by, br, bb) = a, b
        w = max(0, min(ar, br) - max(ax, bx) + 1)
        h = max(0, min(ab, bb) - max(ay, by) + 1)
        union = (ar - ax + 1) * (ab - ay + 1) + (br - bx + 1) * (bb - by + 1) - w * h
        return w * h / union

    assert check("iou", iou).startswith("not yet: widths are x2 - x1, without + 1\n")


def nearest_left(feature, x, y):
    row, column = int(np.floor(y)), int(np.floor(x))
    patch = np.asarray(feature)[row : row + 2, column : column + 2]
    return np.array([1 - y % 1, y % 1]) @ patch @ np.array([1 - x % 1, x % 1])


def divided(rois, objects, weights):
    def as_centers(b):
        return (b[:, :2] + b[:, 2:]) / 2, b[:, 2:] - b[:, :2]

    (c, s), (oc, os) = as_centers(rois), as_centers(objects)
    return np.concatenate([(oc - c) / s, np.log(os / s)], axis=1) / np.array(weights)


def with_background(probs, threshold):
    best = enumerate(probs.argmax(axis=0).tolist())
    return [(label, row) for label, row in best if probs[row, label] > threshold]


def plain_precision(hits, objects):
    pairs = [(sum(hits[:i]), i) for i in range(1, len(hits) + 1)]
    levels = [i / 100 for i in range(101)]
    at = [next((t / i for t, i in pairs if t / objects >= level), 0.0) for level in levels]
    return sum(at) / 101


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("bilinear", nearest_left, "you forgot the half pixel"),
        ("regression_targets", divided, "multiplied by the weights, not divided"),
        ("best_per_class", with_background, "the background class is counted"),
        ("average_precision", plain_precision, "precision is the best at this recall or a higher"),
        ("labels_of", lambda ids, seen: [ids.index(i) for i in seen], "the ids are not sorted"),
        ("pyramid_level", lambda box, side: 4, "yours is 4, expected 3"),
        ("greedy_nms", lambda b, s, t: np.argsort(-s), "nothing is removed"),
    ],
)
def test_other_peoples_mistakes(name, answer, words):
    verdict = check(name, answer)
    assert verdict.startswith("not yet: ") and words in verdict


def test_an_unknown_mistake_shows_input_value_and_expected_value():
    verdict = check("iou", lambda a, b: 0.25)
    assert verdict == (
        "not yet: for a = [0, 0, 4, 4], b = [2, 1, 6, 4]: yours is 0.25, expected 0.27273"
    )


def test_an_answer_may_be_a_tensor_or_a_list():
    solution = EXERCISES["decode_deltas"].answer
    assert check("decode_deltas", lambda a, d: solution(a, d).tolist()).is_right
    assert check("decode_deltas", lambda a, d: paddle.to_tensor(solution(a, d))).is_right


def test_an_answer_that_spoils_its_arguments_spoils_no_case():
    def draw_sample(labels, number, fg_share, background):
        result = EXERCISES["draw_sample"].answer(labels, number, fg_share, background)
        labels[:] = 0
        return result

    assert check("draw_sample", draw_sample).is_right
    assert check("draw_sample", draw_sample).is_right


def test_one_argument_too_few_and_leaving_python():
    assert "TypeError" in check("iou", lambda a: 0)
    assert "it raised SystemExit" in check("iou", lambda a, b: exit())
    assert "ZeroDivisionError: division by zero\nfor a = " in check("iou", lambda a, b: 1 / 0)


def test_an_exception_without_words():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def answer(a, b):
        raise Mute

    assert "Mute" in check("iou", answer)


def test_no_function_and_no_such_exercise():
    assert check("iou", 0.5) == "not yet: hand over the function itself, as in check('iou', iou)"
    assert check("iuo", None) == "there is no exercise 'iuo'; is it iou?"
    assert check([1], None).startswith("there is no exercise '[1]'; is it ")
    assert check("", None).startswith("there is no exercise ''; is it stage_shapes, ")


def test_a_verdict_shows_without_quotes():
    assert repr(Verdict("right: yes")) == "right: yes"
    assert not hasattr(Verdict, "_repr_markdown_")


def test_checking_prints_nothing_warns_nothing_and_draws_no_random_number(capfd, recwarn):
    paddle.seed(5)
    expected = paddle.rand([3]).tolist()
    paddle.seed(5)
    for name in ("stage_shapes", "who_learns", "own_mask_loss", "average_precision"):
        check(name, EXERCISES[name].answer)
        check(name, lambda *arguments: 0)
    assert paddle.rand([3]).tolist() == expected
    assert capfd.readouterr() == ("", "") and not list(recwarn)


# ---- comparing -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected", "text"),
    [
        ([1, 2], np.array([1.0, 2.0]), ""),
        ([1, 2], [1, 3], "at [1] yours is 2, expected 3"),
        ([1, 2], [1, 2, 3], "yours is [1, 2] of shape [2], expected [1, 2, 3] of shape [3]"),
        ([], np.zeros([0, 4]), ""),
        ({"a": [1]}, {"a": [1]}, ""),
        ({"a": [1]}, {"a": [2]}, "a: at [0] yours is 1, expected 2"),
        ({"b": 1}, {"a": 1}, "your keys are ['b'], expected ['a']"),
        ([[1], [2, 3]], ([1], [2, 4]), "part 1: at [1] yours is 3, expected 4"),
        (["x"], ["x", "y"], "yours is ['x'] of shape [1], expected ['x', 'y'] of shape [2]"),
        (float("nan"), 1.0, "yours is nan, expected 1"),
        (True, 1, ""),
    ],
)
def test_differences(value, expected, text):
    assert difference(value, expected, 1e-6) == text


def test_shown_values_stay_short():
    class Rude:
        def __repr__(self):
            raise RuntimeError

    assert shown(Rude()) == "a Rude"
    assert len(shown(list(range(1000)))) < 420
    assert shown(paddle.to_tensor([1.5])) == "[1.5]"


def test_a_mistake_must_change_something():
    def three() -> int:
        """Three."""
        return 3

    with pytest.raises(ValueError, match="the answer does not contain 'four'"):
        Exercise("00_tour", "Count.", three, three, [()], {"four": ("four", "4")}, "You count.")
