"""The golden cases themselves: nothing in the folder may go unnoticed."""

from __future__ import annotations

import numpy as np
import pytest

from . import formula
from .differences import DIFFERENCES, rules_for
from .golden import COMMITTED, COMPONENTS, DIRECTORY, WHOLE, Case, components

needs_committed = pytest.mark.skipif(DIRECTORY != COMMITTED, reason="about our own cases only")
PREFIXES = {
    ("heads", "rpn_head_train"): "golden.rpn_head.",
    ("heads", "two_fc"): "golden.two_fc.",
    ("heads", "mask_feat_gn"): "golden.mask_feat_gn.",
    ("heads", "fpn"): "golden.fpn.",
    ("small_rcnn", "bbox_head"): "golden.bbox_head.",
    ("small_rcnn", "mask_head"): "golden.mask_head.",
}


def all_cases() -> list[Case]:
    return [case for part in components().values() for case in part.cases]


@pytest.mark.parametrize("name", components())
def test_component_is_known_and_complete(name):
    assert name in COMPONENTS or name.startswith(WHOLE), "there is no test for this component"
    part = components()[name]
    weights_only = {case for component, case in PREFIXES if component == "small_rcnn"}
    stored = {array.split("/")[0] for array in part.archive.files}
    assert stored - set(part.meta) - weights_only == set(), "arrays without a description"
    for case in part.cases:
        assert bool(case.outputs) != bool(case.raises), case


def test_directory_has_cases():
    assert all_cases()


@needs_committed
def test_committed_cases_have_every_component():
    whole = {"whole_c4", "whole_c4_b2", "whole_fpn", "whole_fpn_b2"}
    assert set(components()) == whole | set(COMPONENTS)


@needs_committed
def test_committed_cases_use_every_rule():
    used = {rule.name for case in all_cases() for rule in rules_for(case)}
    assert {d.name for d in DIFFERENCES} == used


@pytest.mark.parametrize("component, case", PREFIXES)
def test_formula_gives_the_stored_weights(component, case):
    if component not in components():
        pytest.skip(f"{component} is not in this directory")
    weights = components()[component].arrays(f"{case}/sd/")
    for name, value in weights.items():
        ours = formula.weight(PREFIXES[component, case] + name, value.shape)
        np.testing.assert_array_equal(ours, value, err_msg=name)


def test_formula_of_every_kind():
    """Numbers that were written down once, of the kinds that no small layer has."""
    mean = formula.weight("backbone.res2.res2a.branch2a.norm._mean", (3,))
    variance = formula.weight("backbone.res2.res2a.branch2a.norm._variance", (1000,))
    assert np.abs(mean).max() < 0.5
    assert variance.min() >= 0.8 and variance.max() <= 1.2 and variance.dtype == np.float32
    background = formula.weight("bbox_head.bbox_score.bias", (81,))
    assert background[-1] > 5 > background[:-1].max()
