"""Every range at its ends, and how a refused value is named."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_type_hints

import pytest

from maskrcnn_edu.model import checks
from maskrcnn_edu.model.bbox.head import BBoxHead, TwoFCHead
from maskrcnn_edu.model.bbox.postprocess import RCNNBox
from maskrcnn_edu.model.checks import Checked, Count, Positive, Share, check, checked, in_order

TINY = 1e-9


@pytest.mark.parametrize(
    ("kind", "possible", "impossible"),
    [
        ("Count", [1, 2, 10**9], [0, -1]),
        ("CountOrAll", [-1, 1, 2], [0, -2]),
        ("Whole", [0, 1], [-1]),
        ("FromMinus1", [-1, 0, 2], [-2]),
        ("ZeroOrOne", [0, 1], [-1, 2]),
        ("NotNegative", [0, TINY, 1e9], [-TINY]),
        ("Positive", [TINY, 1e9], [0, -1, math.inf]),
        ("AtMost1", [-5, 0, 1], [1 + TINY]),
        ("Share", [0, 0.5, 1], [-TINY, 1 + TINY]),
        ("ShareAbove0", [TINY, 1], [0, -0.5, 1 + TINY]),
        ("ShareBetween", [TINY, 1 - TINY], [0, 1, -0.5, 1.5]),
        ("ShareOrOff", [-1, 0, 1], [-0.5, -2, 1 + TINY]),
    ],
)
def test_a_range_at_its_ends(kind, possible, impossible):
    (allowed,) = getattr(checks, kind).__metadata__
    assert all(allowed.includes(value) for value in possible)
    assert not any(allowed.includes(value) for value in [*impossible, math.nan])


@dataclass(frozen=True)
class Part(Checked):
    count: Count = 1
    share: Share | None = None
    sizes: Positive | Sequence[Positive] | Sequence[Sequence[Positive]] = 1.0
    anything: float = 0.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"share": 2}, "share must be 0 .. 1, got 2"),
        ({"sizes": -1.0}, "sizes must be above 0, got -1.0"),
        ({"sizes": (1, 2, 0)}, "sizes.2 must be above 0, got 0"),
        ({"sizes": [[1], [2, -3]]}, "sizes.1.1 must be above 0, got -3"),
    ],
)
def test_what_is_refused_is_named(values, message):
    with pytest.raises(ValueError) as caught:
        Part(**values)
    assert str(caught.value) == message


def test_null_and_what_has_no_range_may_be_anything():
    assert Part(share=None, anything=-7).anything == -7
    assert Part(sizes=[[1, 2], [3]]).sizes == [[1, 2], [3]]


def test_a_constructor_is_checked_before_it_runs():
    class Layer:
        @checked
        def __init__(self, side: Count, *, share: Share = 0.5, **others: float):
            self.given = (side, share, others)

    assert Layer(2, share=1, more=-1).given == (2, 1, {"more": -1})
    assert get_type_hints(Layer.__init__) == {"side": int, "share": float, "others": float}
    for wrong in ({"side": 0}, {"side": 1, "share": -1}):
        with pytest.raises(ValueError, match="must be"):
            Layer(**wrong)
    with pytest.raises(ValueError, match="side must be at least 1, got -2"):
        Layer(-2)


def test_the_place_comes_first():
    with pytest.raises(ValueError, match=r"^here\.0\.count must be at least 1"):
        check(Part, {"count": 0}, "here.0.")


def test_order():
    in_order(low=1, high=1)
    with pytest.raises(ValueError, match=r"low \(2\) must not exceed high \(1\)"):
        in_order(low=2, high=1)
    with pytest.raises(ValueError, match="must not exceed"):
        in_order(low=math.nan, high=1)


@pytest.mark.parametrize("make", [
    lambda weights: RCNNBox(weights),
    lambda weights: BBoxHead(TwoFCHead(8, 8), 8, bbox_weight=weights),
])  # fmt: skip
@pytest.mark.parametrize("weights", [(1.0, 2.0, 3.0), (1.0,) * 5, ()])
def test_a_list_of_the_wrong_length_is_refused(make, weights):
    with pytest.raises(ValueError, match=r"must be 4 numbers, got \["):
        make(weights)
