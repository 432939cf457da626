"""Find this bug: every bug of a hunt shows in the clues, and a wrong guess is told a number."""

import paddle
import pytest

from maskrcnn_edu.teaching.bugs.catalog import BUGS
from maskrcnn_edu.teaching.bugs.release import release, released
from maskrcnn_edu.teaching.exercises.check import check
from maskrcnn_edu.teaching.exercises.hunts import HUNTS, clues, hunt

SEEDS = range(30)


@pytest.fixture(scope="module")
def clues_of():
    """Name of a bug -> the clues while it is out; "" -> without a bug."""
    made = {"": clues()}
    for name in BUGS:
        with release(name):
            made[name] = clues()
    return made


def culprit(name, seed):
    with hunt(name, seed):
        return released()[0]


def seed_for(name, bug):
    return next(seed for seed in SEEDS if culprit(name, seed) == bug)


@pytest.mark.parametrize("name", HUNTS)
def test_the_seed_chooses_the_bug(name):
    assert {culprit(name, seed) for seed in SEEDS} == set(HUNTS[name])
    assert culprit(name, "my class") == culprit(name, "my class")
    assert not released()


def test_clues_are_the_same_every_time_and_use_up_no_random_number(clues_of):
    paddle.seed(5)
    expected = paddle.rand([3]).tolist()
    paddle.seed(5)
    assert clues() == clues_of[""]
    assert paddle.rand([3]).tolist() == expected


@pytest.mark.parametrize("bug", [bug for bugs in HUNTS.values() for bug in bugs])
def test_the_clues_tell_the_bug_from_all_others(bug, clues_of):
    others = [name for name in ("", *BUGS) if name != bug and clues_of[name] == clues_of[bug]]
    assert not others


@pytest.mark.parametrize(("name", "bug"), [(n, b) for n, bugs in HUNTS.items() for b in bugs])
def test_right_guesses(name, bug):
    seed = seed_for(name, bug)
    module = BUGS[bug].places[0].split(":")[0]
    for guess in (bug, module, module.split(".")[-1], module.replace(".", "/") + ".py"):
        verdict = check(name, guess, seed)
        assert verdict.is_right and BUGS[bug].title in verdict and BUGS[bug].story in verdict


def test_a_wrong_bug_is_told_what_it_would_change():
    seed = seed_for("hunt_1", "anchors_xy_swapped")
    verdict = check("hunt_1", "anchors_half_stride", seed)
    assert verdict == (
        "not yet: with anchors_half_stride the centre of anchor 10 would be [8, 4], here: [2, 6]"
    )


def test_a_wrong_file_or_a_bug_without_a_trace_is_told_what_has_changed():
    seed = seed_for("hunt_1", "anchors_xy_swapped")
    for guess in ("mask/targets.py", "crowds_are_objects"):
        verdict = check("hunt_1", guess, seed)
        assert verdict.startswith("not yet: not ")
        assert verdict.endswith("the centre of anchor 10, [6, 2] without a bug, here: [2, 6]")


def test_no_guess_a_strange_one_and_one_too_early():
    assert check("hunt_2", None) == check("hunt_2", ...) == "not attempted"
    assert "did you mean masks_transposed?" in check("hunt_2", "mask_transposed")
    assert check("hunt_2", 7).startswith("there is no bug '7' and none in such a file; known are")
    with hunt("hunt_1", seed_for("hunt_1", "anchors_xy_swapped")):
        assert check("hunt_2", "crowds_are_objects") == (
            "not yet: ask again after the block, when the bug is caught"
        )
    assert "hunt_3" in check("hunt_4", None)
