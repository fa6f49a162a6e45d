"""Agreement against published and hand-worked values and against scipy."""

from __future__ import annotations

from math import isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from dsum_bench.combining.agreement import (
    Unit,
    agreement,
    alpha_between,
    by_scores,
    kendall_tau,
    krippendorff_alpha,
    majority,
    opinions,
)
from dsum_bench.combining.votes import Vote

_ = nan
OBSERVERS = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3),
    (_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _),
)
"""Krippendorff (2011), "Computing Krippendorff's alpha-reliability", section C."""


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_published_example_of_alpha(level: str, alpha: float) -> None:
    assert krippendorff_alpha(OBSERVERS, level) == pytest.approx(alpha, abs=5e-4)  # type: ignore[arg-type]


def test_published_example_of_two_observers_and_two_values() -> None:
    """The same, section A: ten units, alpha 0.095."""
    ratings = ((0, 1, 0, 0, 0, 0, 0, 0, 1, 0), (1, 1, 1, 0, 0, 1, 0, 0, 0, 0))
    assert krippendorff_alpha(ratings, "nominal") == pytest.approx(0.095, abs=5e-4)


@pytest.mark.parametrize("ratings", [[], [[]], [[1, 1], [1, 1]], [[1, _], [_, 2]], [[_, _], [_, _]]])
def test_alpha_without_variation_is_nan(ratings: list[list[float]]) -> None:
    assert isnan(krippendorff_alpha(ratings, "ordinal"))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=30))
def test_tau_is_scipys(pairs: list[tuple[int, int]]) -> None:
    x, y = zip(*pairs, strict=True)
    expected = kendalltau(x, y).statistic
    assert kendall_tau(x, y) == pytest.approx(expected, nan_ok=True)


def test_a_judge_that_changes_its_mind_with_the_order_sees_a_tie() -> None:
    found = opinions(
        [
            Vote("j", "s1", "a", "b", "first"),
            Vote("j", "s1", "b", "a", "first"),
            Vote("j", "s2", "a", "b", "second"),
            Vote("j", "s2", "b", "a", "first"),
            Vote("j", "s3", "a", "b", "first"),
            Vote("j", "s3", "b", "a", "tie"),
        ]
    )
    assert found == {"j": {("s1", ("a", "b")): 0.0, ("s2", ("a", "b")): -1.0, ("s3", ("a", "b")): 1.0}}


def unit(number: int) -> Unit:
    return f"s{number}", ("a", "b")


def test_the_majority_decides_and_an_even_vote_is_a_tie() -> None:
    voters = [{unit(0): 1.0, unit(1): 1.0}, {unit(0): 1.0, unit(1): -1.0}, {unit(0): -1.0}]
    assert majority(voters) == {unit(0): 1.0, unit(1): 0.0}


def test_a_metric_prefers_what_it_scores_higher() -> None:
    scores = {"a": {"s0": 2.0, "s1": 1.0, "s2": 1.0}, "b": {"s0": 1.0, "s1": 1.0, "s3": 5.0}}
    assert by_scores(scores, [unit(i) for i in range(4)]) == {unit(0): 1.0, unit(1): 0.0}


def test_agreement_worked_by_hand() -> None:
    """Five pairs, one a tie: three alike and one unlike of the four that are decided."""
    people = {unit(0): 1.0, unit(1): 1.0, unit(2): -1.0, unit(3): -1.0, unit(4): 0.0, unit(9): 1.0}
    judge = {unit(0): 1.0, unit(1): 1.0, unit(2): -1.0, unit(3): 1.0, unit(4): 1.0}
    found = agreement("j", judge, people, ({"a": 1.0, "b": 0.0, "c": 2.0}, {"a": 3.0, "b": 4.0, "d": 0.0}))
    assert (found.rater, found.pairs) == ("j", 5)
    assert found.same == pytest.approx(75)
    assert found.tau == pytest.approx((3 - 1) / 4)
    assert found.ranking == pytest.approx(-1)


def test_those_who_always_agree_have_an_alpha_of_one() -> None:
    voter = {unit(0): 1.0, unit(1): -1.0, unit(2): 0.0}
    assert alpha_between([voter, voter, {unit(0): 1.0}]) == pytest.approx(1)
