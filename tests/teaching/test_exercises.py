"""The exercises: blank, right, wrong in known ways, wrong in unknown ways, and broken."""

import ast
import importlib
import inspect
import json
import signal
import threading
import time
from pathlib import Path

import numpy as np
import paddle
import pytest

from instructor.answers import cells, compiled, mistakes, solution, stub, wrong_answers
from instructor.make_mistakes import results_of_mistakes
from maskrcnn_edu.teaching.exercises import outcome
from maskrcnn_edu.teaching.exercises.check import EXERCISES, MISTAKES, Verdict, check
from maskrcnn_edu.teaching.exercises.compare import difference, shown
from maskrcnn_edu.teaching.exercises.exercise import HIDDEN_CASES, SEED_VARIABLE

NAMES = list(EXERCISES)
WRONG = [(name, words, source) for name in NAMES for words, source in wrong_answers(name)]
NOTEBOOKS = (
    "00_tour", "01_data", "02_anchors", "03_rpn", "04_bbox_assigner", "05_roi_align",
    "06_bbox_head", "07_mask_targets", "08_mask_head", "09_train", "10_evaluate",
    "11_your_own_photos",
)  # fmt: skip


def right(name):
    return compiled(name, solution(name))


# ---- every exercise --------------------------------------------------------------


def test_two_for_every_notebook():
    assert [e.notebook for e in EXERCISES.values()] == [n for n in NOTEBOOKS for _ in range(2)]
    assert list(cells()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_blank(name):
    assert check(name, None) == check(name, ...) == "not attempted"
    assert check(name, compiled(name, stub(name))) == "not attempted"
    assert check(name, lambda *arguments: None) == "not attempted"
    assert check(name, lambda *arguments: ...) == "not attempted"


@pytest.mark.parametrize("name", NAMES)
def test_the_right_answer_is_what_the_package_computes(name):
    exercise = EXERCISES[name]
    verdict = check(name, right(name))
    assert verdict == f"right: {exercise.shows}" and verdict.is_right
    assert list(inspect.signature(right(name)).parameters) == exercise.arguments


@pytest.mark.parametrize(("name", "words", "source"), WRONG)
def test_every_known_mistake_is_named(name, words, source):
    verdict = check(name, compiled(name, source))
    first, details = verdict.split("\n")
    assert first == f"not yet: {words}"
    assert details.startswith("for ") and "expected" in details
    assert not verdict.is_right


@pytest.mark.parametrize("name", NAMES)
def test_the_file_of_mistakes_is_up_to_date(name):
    """If not: ``python -m instructor.make_mistakes``. It also refuses mistakes that are alike."""
    stored = json.loads(MISTAKES.read_text(encoding="utf-8"))[name]
    made = results_of_mistakes(EXERCISES[name])
    assert list(stored) == list(made)
    for words, versions in made.items():
        assert len(stored[words]) == len(versions)
        for old, new in zip(stored[words], versions):
            pairs = list(zip(old, new, strict=True))
            assert not any((a is None) != (b is None) for a, b in pairs), words
            assert not any(difference(a, b, 1e-9) for a, b in pairs if b is not None), words


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
    assert verdict.startswith("not yet: ") and "expected" in verdict and "for " in verdict


@pytest.mark.parametrize("name", NAMES)
def test_the_cell_is_in_nbgraders_form(name):
    source = cells()[name]
    assert source.startswith(f"def {name}(") and source.endswith("### END SOLUTION")
    assert source.count("### BEGIN SOLUTION") == 1 and max(map(len, source.split("\n"))) <= 78
    assert solution(name).split("\n")[-2] not in stub(name)
    assert ast.get_docstring(ast.parse(stub(name)).body[0])


@pytest.mark.parametrize("name", NAMES)
def test_texts(name):
    shows = EXERCISES[name].shows
    assert len(mistakes(name)) >= 10 and shows.endswith(".")
    for text in (shows, *mistakes(name)):
        assert text.isascii() and "\n" not in text and len(text) <= 100


@pytest.mark.parametrize("name", NAMES)
def test_no_answer_is_in_the_package(name):
    package = Path(outcome.__file__).parent
    text = "".join(p.read_text(encoding="utf-8") for p in package.glob("*.py"))
    body = solution(name).split('"""')[2]
    longest = max((line.strip() for line in body.split("\n")), key=len)
    assert longest not in text and f"def {name}(" not in text


# ---- hidden cases ----------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_the_right_answer_is_right_in_hidden_cases(name, seed):
    exercise = EXERCISES[name]
    cases = exercise.hidden_cases(f"class of {seed}")
    assert len(cases) == (0 if exercise.draw_case is None else HIDDEN_CASES)
    for case in cases:
        expected = exercise.truth(*case)
        assert not difference(right(name)(*case), expected, exercise.tolerance), case


def by_heart(a, b):
    """The results of the cases that everybody can see, and nothing else."""
    cases = EXERCISES["iou"].cases
    known = {str(case): right("iou")(*case) for case in cases}
    return known.get(str((a, b)), 0.125)


def test_what_was_learnt_by_heart_fails_in_hidden_cases():
    first = check("iou", by_heart)
    assert first.startswith("not yet: right in the first cases, but not in all\nfor a = ")
    assert "yours is 0.125, expected " in first
    assert first == check("iou", by_heart, seed=0) == check("iou", by_heart, seed="0")
    assert first != check("iou", by_heart, seed="my class") != check("iou", by_heart, seed=7)


def test_the_seed_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv(SEED_VARIABLE, "my class")
    assert check("iou", by_heart) == check("iou", by_heart, seed="my class")
    assert check("iou", right("iou")).is_right


# ---- answers that nobody wrote down before ---------------------------------------


def test_an_unknown_mistake_shows_input_value_and_expected_value():
    verdict = check("iou", lambda a, b: 0.25)
    assert verdict == (
        "not yet: for a = [0, 0, 4, 4], b = [2, 1, 6, 4]: yours is 0.25, expected 0.27273"
    )


def test_numbers_that_are_all_off_by_the_same():
    answer = right("outline_in_cells")
    verdict = check("outline_in_cells", lambda *a: answer(*a) + 0.25)
    assert verdict.startswith("not yet: all numbers are too large by 0.25\n")
    verdict = check("outline_in_cells", lambda *a: 3 * answer(*a))
    assert verdict.startswith("not yet: all numbers are 3 times the right\n")
    verdict = check("learning_rate", lambda *a: -right("learning_rate")(*a))
    assert verdict.startswith("not yet: the sign is wrong\n")


def test_an_answer_may_be_a_tensor_or_a_list():
    answer = right("decode_deltas")
    assert check("decode_deltas", lambda a, d: answer(a, d).tolist()).is_right
    assert check("decode_deltas", lambda a, d: paddle.to_tensor(answer(a, d))).is_right


def test_an_answer_may_compute_with_paddle():
    def iou(a, b):
        a, b = paddle.to_tensor(a), paddle.to_tensor(b)
        sides = (paddle.minimum(a[2:], b[2:]) - paddle.maximum(a[:2], b[:2])).clip(min=0)
        areas = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()
        return sides.prod() / (areas - sides.prod())

    assert check("iou", iou).is_right


def test_an_answer_that_spoils_its_arguments_spoils_no_case():
    def draw_sample(labels, number, fg_share, background):
        result = right("draw_sample")(labels, number, fg_share, background)
        labels[:] = 0
        return result

    assert check("draw_sample", draw_sample).is_right
    assert check("draw_sample", draw_sample).is_right


def test_functions_of_the_package_are_no_answers():
    verdict = check("iou", EXERCISES["iou"].truth)
    assert verdict == "not yet: this is a function of the package; write your own"


def test_what_cannot_be_called():
    words = "not yet: hand over the function itself, as in check('iou', iou): "
    assert check("iou", 0.5) == f"{words}0.5 is none"
    assert check("iou", "iou") == f"{words}'iou' is none"
    verdict = check("iou", lambda a, b, c: 0)
    assert verdict == ("not yet: it is called with 2 arguments (a, b); yours takes 3 (a, b, c)")


def test_no_such_exercise():
    assert check("iuo", None) == "there is no exercise 'iuo'; did you mean iou?"
    assert check([1], None).startswith("there is no exercise '[1]'; known are stage_shapes, ")


def test_a_verdict_shows_without_quotes():
    assert repr(Verdict("right: yes")) == "right: yes"
    assert not hasattr(Verdict, "_repr_markdown_")


# ---- answers that do something else than return ----------------------------------


def test_nothing_is_returned():
    def iou(a, b):
        both = list(a)
        both.append(b)

    verdict = check("iou", iou)
    assert verdict.startswith("not yet: it returns None: is a return missing?\nfor a = ")


def test_a_stub_with_something_in_it_is_attempted():
    def iou(a, b):
        print(a, b)
        raise NotImplementedError

    assert check("iou", iou).startswith("not yet: it raised NotImplementedError")


def test_a_path_without_return():
    def iou(a, b):
        if a[2] > b[0] and a[3] > b[1]:
            return right("iou")(a, b)

    verdict = check("iou", iou)
    assert verdict.startswith("not yet: it returns None: is a return missing?\nfor a = [0, 0, 2")


def test_what_an_answer_prints_is_seen(capsys):
    def iou(a, b):
        print("here", a)
        return right("iou")(a, b)

    assert check("iou", iou).is_right
    printed = capsys.readouterr().out
    assert printed.count("here") == len(EXERCISES["iou"].cases) + HIDDEN_CASES


def test_an_exception_without_words():
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError

    def answer(a, b):
        raise Mute

    assert "Mute" in check("iou", answer)
    assert "ZeroDivisionError: division by zero\nfor a = " in check("iou", lambda a, b: 1 / 0)


def test_a_loop_is_stopped_and_does_not_go_on(monkeypatch):
    monkeypatch.setattr(outcome, "TIME_LIMIT", 0.2)
    rounds = [0]

    def iou(a, b):
        while True:
            rounds[0] += 1

    assert check("iou", iou).startswith("not yet: it did not end within 0.2 seconds")
    before = rounds[0]
    time.sleep(0.1)
    assert rounds[0] == before > 0


def test_what_cannot_be_stopped_is_left_alone(monkeypatch):
    monkeypatch.setattr(outcome, "TIME_LIMIT", 0.1)
    monkeypatch.setattr(outcome, "PATIENCE", 0.1)
    begin = time.monotonic()
    assert "did not end" in check("iou", lambda a, b: time.sleep(3))
    assert time.monotonic() - begin < 2


def test_ctrl_c_ends_the_check_and_the_answer():
    """A real one, unlike a KeyboardInterrupt that the answer raises."""
    before_us = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
    started, rounds = threading.Event(), [0]

    def iou(a, b):
        started.set()
        while True:
            rounds[0] += 1

    def press():
        started.wait()
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=press).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            check("iou", iou)
    finally:
        signal.signal(signal.SIGINT, before_us)
    before = rounds[0]
    time.sleep(0.1)
    assert rounds[0] == before > 0


def test_checking_prints_nothing_warns_nothing_and_draws_no_random_number(capfd, recwarn):
    paddle.seed(5)
    expected = paddle.rand([3]).tolist()
    paddle.seed(5)
    for name in ("stage_shapes", "who_learns", "own_mask_loss", "average_precision"):
        assert check(name, right(name)).is_right
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


# ---- the instructor's side -------------------------------------------------------


def test_a_mistake_must_change_something(monkeypatch):
    module = importlib.import_module("instructor.mistakes.nb02_anchors")
    monkeypatch.setitem(module.MISTAKES["iou"], "none", ("no such text", ""))
    with pytest.raises(ValueError, match="'none': the answer does not contain 'no such text'"):
        list(wrong_answers("iou"))
    monkeypatch.setitem(module.MISTAKES["iou"], "none", ("max(0.0, ", "max(0, "))
    with pytest.raises(ValueError, match="'none': right in all cases"):
        results_of_mistakes(EXERCISES["iou"])
    twice = module.MISTAKES["iou"]["divide by the union, not by the larger box"]
    monkeypatch.setitem(module.MISTAKES["iou"], "none", twice)
    with pytest.raises(ValueError, match="'none' is like 'divide by the union, not by the larger"):
        results_of_mistakes(EXERCISES["iou"])
