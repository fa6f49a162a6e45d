"""Intervals and paired tests against scipy, simulation and hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dsum_bench.statistics import bootstrap_interval, bootstrap_intervals, compare, permutation_p

values = st.lists(st.floats(0, 100).map(lambda v: round(v, 3)), min_size=2, max_size=30)


def test_the_interval_is_scipys() -> None:
    data = np.random.default_rng(1).gamma(2.0, 10.0, size=200)
    ours = bootstrap_interval(data.tolist(), seed=3)
    theirs = stats.bootstrap(
        (data,), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(5)
    ).confidence_interval
    # Both are random: quantiles of 10,000 means have a standard error of about 2 % of the interval's width.
    width = theirs.high - theirs.low
    assert ours.mean == pytest.approx(data.mean())
    assert ours.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.06 * width)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    draw = np.random.default_rng(7)
    covered = 0
    for seed in range(400):
        found = bootstrap_interval(draw.normal(50, 15, size=100).tolist(), resamples=500, seed=seed)
        covered += found.low <= 50 <= found.high
    # 95 % of 400 is 380; a binomial count lies within 4.4 standard deviations (19), and the percentile method is
    # known to fall a little short at this size.
    assert 355 <= covered <= 397


def test_p_is_scipys() -> None:
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
        assert permutation_p((a - b).tolist(), seed=4) == pytest.approx(theirs, abs=0.02)


def test_p_of_few_samples_is_the_exact_one() -> None:
    # Of the 16 ways to set four signs, + + + + and - - - - are as extreme: p = 2 / 16.
    assert permutation_p([1.0, 2.0, 3.0, 4.0]) == pytest.approx(2 / 16, abs=0.01)


def test_no_difference_is_no_evidence() -> None:
    found = compare([10.0, 20.0, 30.0], [10.0, 20.0, 30.0])
    assert (found.p, found.difference.mean, found.difference.low, found.difference.high) == (1.0, 0.0, 0.0, 0.0)
    assert (found.wins, found.ties, found.losses) == (0, 3, 0)


def test_wins_ties_and_losses_by_hand() -> None:
    found = compare([5.0, 1.0, 7.0, 2.0], [4.0, 1.0, 9.0, 1.0])
    assert (found.n, found.wins, found.ties, found.losses) == (4, 2, 1, 1)
    assert found.difference.mean == 0.0


@settings(max_examples=25, deadline=None)
@given(values)
def test_swapping_the_runs_turns_the_difference_round(a: list[float]) -> None:
    b = [100 - v for v in reversed(a)]
    here, there = compare(a, b, resamples=300), compare(b, a, resamples=300)
    assert here.difference.mean == pytest.approx(-there.difference.mean)
    assert here.difference.low == pytest.approx(-there.difference.high, abs=1e-9)
    assert here.p == there.p
    assert (here.wins, here.losses) == (there.losses, there.wins)
    assert here.difference.low <= here.difference.mean + 1e-9 and 0 < here.p <= 1


def test_memory_is_bounded_and_results_do_not_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import dsum_bench.statistics as statistics

    data = np.random.default_rng(0).normal(1, 5, size=50).tolist()
    whole = bootstrap_interval(data), permutation_p(data)
    monkeypatch.setattr(statistics, "CHUNK", 5_000)
    assert (bootstrap_interval(data), permutation_p(data)) == whole


def test_unpaired_values_are_refused() -> None:
    for a, b in (([], []), ([1.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="paired values are needed"):
            compare(a, b)


def test_fifty_runs_of_499_samples_within_two_seconds() -> None:
    from time import thread_time

    runs = np.random.default_rng(3).normal(30, 10, (50, 499))
    start = thread_time()
    found = bootstrap_intervals(runs.tolist())
    assert thread_time() - start < 2  # of this thread alone: other tests run beside it
    # By the central limit theorem: the mean and 1.96 standard errors either side.
    errors = runs.std(axis=1) / np.sqrt(499)
    assert [i.low for i in found] == pytest.approx((runs.mean(axis=1) - 1.96 * errors).tolist(), abs=0.1)
    assert [i.high for i in found] == pytest.approx((runs.mean(axis=1) + 1.96 * errors).tolist(), abs=0.1)
