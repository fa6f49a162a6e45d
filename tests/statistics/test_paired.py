"""Intervals and paired tests against scipy, brute force, simulation and hand-worked cases."""

from __future__ import annotations

from itertools import product
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dsum_bench.statistics import (
    ALPHA,
    FEWEST,
    compare,
    mean_interval,
    mean_intervals,
    p_values,
    paired,
    surely_apart,
    surely_apart_by_t,
)

values = st.lists(st.floats(0, 100).map(lambda v: round(v, 3)), min_size=2, max_size=30)
ties = st.lists(st.integers(-3, 6).map(float), min_size=1, max_size=20)


def zeros(data: list[float]) -> list[float]:
    return [0.0] * len(data)


# -- a mean -------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_mean_is_scipys() -> None:
    runs = np.random.default_rng(1).gamma(2.0, 10.0, size=(3, 16))
    for found, data in zip(mean_intervals(runs.tolist()), runs, strict=True):
        low, high = stats.t.interval(0.95, 15, data.mean(), stats.sem(data))
        assert (found.mean, found.low, found.high) == pytest.approx((data.mean(), low, high), rel=1e-9)


def test_a_constant_has_an_interval_of_no_width_and_one_sample_none() -> None:
    constant = mean_interval([33.3] * 7)
    assert constant.high - constant.low == 0 and constant.mean == pytest.approx(33.3)
    assert mean_interval([5.0]) == paired.Interval(5.0, -inf, inf)


def test_few_samples_are_covered_as_often_as_said() -> None:
    # Scores of 16 dialogues: skewed, with zeros. The percentile bootstrap of version 0.1.0 covered 91 to 92 %.
    draw = np.random.default_rng(7)
    pool = np.concatenate([100 * draw.beta(2, 4, 900), np.zeros(100)])
    studies = pool[draw.integers(0, pool.size, (4000, 16))]
    covered = sum(i.low <= pool.mean() <= i.high for i in mean_intervals(studies.tolist()))
    # Three standard deviations of a binomial count about 94 % of 4,000.
    assert covered >= 0.94 * 4000 - 45


# -- a difference -----------------------------------------------------------------------------------------------


def brute_force_p(data: list[float], shift: float) -> float:
    """Share of all 2 ** n signs under which the sum of the shifted differences is at least as large."""
    moved = np.array(data) - shift
    signs = np.array(list(product((-1, 1), repeat=len(data))))
    return float((np.abs(signs @ moved) >= abs(moved.sum()) - 1e-9).mean())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-3, 6).map(float), min_size=1, max_size=9), st.integers(-4, 7))
def test_p_and_interval_are_those_of_counting_all_signs(data: list[float], shift: int) -> None:
    found = compare(data, zeros(data))
    assert found.exact and found.p == pytest.approx(brute_force_p(data, 0.0))
    # The interval holds exactly the shifts that the same test does not reject.
    inside = found.difference.low <= shift <= found.difference.high
    assert inside == (brute_force_p(data, float(shift)) >= ALPHA - 1e-12)


def test_p_of_many_samples_is_scipys() -> None:
    draw = np.random.default_rng(2)
    for shift in (0.0, 0.3, 0.8):
        a = draw.normal(30 + shift, 5, size=60)
        b = a - shift + draw.normal(0, 2, size=60)
        theirs = stats.permutation_test(
            (a, b),
            lambda x, y, axis: np.abs(np.mean(x - y, axis=axis)),
            permutation_type="samples",
            alternative="greater",
            vectorized=True,
            n_resamples=10_000,
            rng=np.random.default_rng(11),
        ).pvalue
        found = compare(a.tolist(), b.tolist(), seed=4)
        assert not found.exact and found.p == pytest.approx(theirs, abs=0.02)
        low, high = stats.t.interval(0.95, 59, (a - b).mean(), stats.sem(a - b))
        # For normal differences the inverted permutation test is nearly Student's t.
        assert (found.difference.low, found.difference.high) == pytest.approx((low, high), abs=0.05 * (high - low))


@settings(max_examples=200, deadline=None)
@given(st.one_of(values, ties))
def test_interval_and_p_never_contradict_each_other(data: list[float]) -> None:
    found = compare(data, zeros(data), draws=400)
    assert (found.p < ALPHA) == (not found.difference.low <= 0 <= found.difference.high)
    assert found.difference.low <= found.difference.mean <= found.difference.high and 0 < found.p <= 1


def test_four_samples_show_nothing_and_six_do() -> None:
    # Of the 16 ways to set four signs, + + + + and - - - - are as extreme: p = 2 / 16, however large the difference.
    found = compare([71.0, 80.0, 75.0, 90.0], [30.0, 40.0, 50.0, 48.0])
    assert (found.p, found.exact) == (2 / 16, True)
    assert (found.difference.low, found.difference.high) == (-inf, inf)
    for n in range(1, 9):
        assert (compare([50.0 + i for i in range(n)], [0.0] * n).p < ALPHA) == (n >= FEWEST)


def test_no_difference_is_no_evidence() -> None:
    same = [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0]
    found = compare(same, same)
    assert (found.p, found.difference.mean) == (1.0, 0.0)
    assert (found.difference.low, found.difference.high) == pytest.approx((0.0, 0.0), abs=1e-9)
    assert (found.wins, found.ties, found.losses) == (0, 7, 0)


def test_wins_ties_and_losses_by_hand() -> None:
    found = compare([5.0, 1.0, 7.0, 2.0], [4.0, 1.0, 9.0, 1.0])
    assert (found.n, found.wins, found.ties, found.losses) == (4, 2, 1, 1)
    assert found.difference.mean == 0.0


@settings(max_examples=25, deadline=None)
@given(values)
def test_swapping_the_runs_turns_the_difference_round(a: list[float]) -> None:
    b = [100 - v for v in reversed(a)]
    here, there = compare(a, b, draws=300), compare(b, a, draws=300)
    assert here.difference.mean == pytest.approx(-there.difference.mean)
    assert here.difference.low == pytest.approx(-there.difference.high, abs=1e-9)
    assert here.p == there.p
    assert (here.wins, here.losses) == (there.losses, there.wins)


def test_memory_is_bounded_and_results_do_not_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    data = np.random.default_rng(0).normal(1, 5, size=70).tolist()
    whole = compare(data, zeros(data))
    monkeypatch.setattr(paired, "CHUNK", 5_000)
    assert compare(data, zeros(data)) == whole


def test_unpaired_values_are_refused() -> None:
    for a, b in (([], []), ([1.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="paired values are needed"):
            compare(a, b)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 10_000), st.floats(0, 3))
def test_many_pairs_have_the_p_of_compare(n: int, pairs: int, seed: int, shift: float) -> None:
    gaps = np.round(np.random.default_rng(seed).normal(shift, 1, (pairs, n)), 1)
    alone = [compare(gap, np.zeros(n)).p for gap in gaps]
    assert p_values(gaps).tolist() == pytest.approx(alone)
    for sure, p in zip(surely_apart(gaps), alone, strict=True):
        assert p < ALPHA or not sure


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 60), st.integers(0, 10_000), st.floats(0, 3))
def test_what_is_sure_by_the_differences_is_sure_by_their_t(n: int, seed: int, shift: float) -> None:
    gaps = np.random.default_rng(seed).normal(shift, 1, (5, n))
    t = stats.ttest_1samp(gaps, 0.0, axis=1).statistic
    assert surely_apart_by_t(np.asarray(t), n).tolist() == surely_apart(gaps).tolist()


def test_a_difference_without_spread_is_sure_from_eight_samples_on() -> None:
    for n in (2, 7, 8, 500):
        assert surely_apart_by_t(np.array([inf, -inf, 0.0]), n).tolist() == [n >= 8, n >= 8, False]
        assert surely_apart(np.ones((1, n))).tolist() == [n >= 8]
