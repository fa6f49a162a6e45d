"""All pairs of a board at once: against Tukey's test, brute force and simulation; and never against ``compare``."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import combinations, pairwise
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dsum_bench.statistics import ALPHA, AllPairs, compare, groups

Board = list[list[float]]


@st.composite
def boards(draw: st.DrawFn) -> Board:
    """Few or many samples, with ties, twins, constants and runs that stand out."""
    runs, n = draw(st.integers(2, 5)), draw(st.sampled_from([1, 2, 4, 5, 6, 7, 9, 20, 99, 100, 120]))
    seed, step = draw(st.integers(0, 10_000)), draw(st.sampled_from([0.0, 0.5, 2.0, 8.0]))
    generator = np.random.default_rng(seed)
    values = np.round(generator.normal(30, draw(st.sampled_from([0.0, 1.0, 10.0])), (runs, n)))
    values += step * generator.integers(0, 3, (runs, 1))
    if draw(st.booleans()):
        values[-1] = values[0]
    board: Board = values[np.argsort(-values.mean(axis=1), kind="stable")].tolist()
    return board


@settings(max_examples=150, deadline=None)
@given(boards())
def test_board_and_compare_never_contradict_each_other(board: Board) -> None:
    tests = AllPairs(board, draws=199)
    numbers = groups(tests)
    assert numbers[0] == 0 and all(b - a in (0, 1) for a, b in pairwise(numbers))
    for i, j in combinations(range(len(board)), 2):
        told, found, alone = bool(tests.apart(i, [j])[0]), tests.pair(i, j), compare(board[i], board[j])
        assert told == (found.p < ALPHA)
        assert told == (not found.difference.low <= 0 <= found.difference.high)
        assert found.p >= alone.p
        assert found.difference.low <= alone.difference.low and alone.difference.high <= found.difference.high
        if i == numbers.index(numbers[i]) and numbers[i] < numbers[j]:
            assert told, "a blank line lies between a run and the first of a block above, which are not told apart"
    if len(board) == 2:
        assert tests.pair(0, 1) == alone


def test_many_samples_are_tested_as_by_tukey() -> None:
    # Of equal spread and independent, so that Tukey's test of the same samples, unpaired, tests the same.
    values = np.random.default_rng(5).normal(30, 10, (4, 400))
    values -= values.mean(axis=1, keepdims=True)
    values += np.array([[32.0], [31.0], [30.3], [30.0]])
    theirs = stats.tukey_hsd(*values)
    ours = AllPairs(values)
    for i, j in combinations(range(4), 2):
        assert ours.pair(i, j).p == pytest.approx(theirs.pvalue[i, j], abs=0.03)


def test_few_samples_are_tested_by_permuting_labels() -> None:
    values = np.random.default_rng(8).normal(30, 5, (3, 12)) + np.array([[6.0], [1.0], [0.0]])
    tests = AllPairs(values)
    draw = np.random.default_rng(1)
    largest = []
    for _ in range(2000):
        shuffled = np.array([draw.permutation(column) for column in values.T]).T
        largest.append(
            max(abs(stats.ttest_rel(shuffled[i], shuffled[j]).statistic) for i, j in combinations(range(3), 2))
        )
    for i, j in combinations(range(3), 2):
        t = abs(stats.ttest_rel(values[i], values[j]).statistic)
        p = np.mean(np.array(largest) >= t)
        of_range = stats.studentized_range.sf(sqrt(2) * stats.norm.isf(stats.t.sf(t, 11)), 3, inf)
        assert tests.pair(i, j).p == pytest.approx(max(p, of_range, compare(values[i], values[j]).p), abs=0.03)


@pytest.mark.parametrize(("runs", "n"), [(10, 16), (10, 120), (30, 120)])
def test_hardly_a_board_without_differences_has_a_blank_line(runs: int, n: int) -> None:
    # Every run takes each score at random from the same three systems. By the rule of version 0.1.0 more than half of
    # such boards with ten runs had one, and all of those with fifty.
    draw = np.random.default_rng(3)
    wrong = 0
    for _ in range(150):
        systems = np.clip(draw.normal(30, 12, (3, n)) + draw.normal(0, 15, n), 0, 100)
        values = np.take_along_axis(systems, draw.integers(0, 3, (runs, n)), axis=0)
        values = values[np.argsort(-values.mean(axis=1))]
        wrong += max(groups(AllPairs(values, draws=199))) > 0
    assert wrong <= 15  # 5 % of 150 are 7.5, and three standard deviations more are 15


def test_the_smallest_difference_is_found_in_four_cases_of_five() -> None:
    draw = np.random.default_rng(4)
    found = []
    for _ in range(60):
        values = draw.normal(30, 10, (5, 150)) + draw.normal(0, 10, 150)
        tests = AllPairs(values)
        smallest = tests.smallest()
        assert smallest is not None and smallest.least <= smallest.middle <= smallest.most
        # By hand: the critical t and the point that four of five exceed, times the spread of a difference.
        critical = stats.t.isf(stats.norm.sf(stats.studentized_range.ppf(0.95, 5, inf) / sqrt(2)), 149)
        spread = np.median([np.std(values[i] - values[j], ddof=1) for i, j in combinations(range(5), 2)])
        assert smallest.middle == pytest.approx((critical + stats.t.isf(0.2, 149)) * spread / sqrt(150), rel=1e-6)
        shifted = values + smallest.middle * (np.arange(5) == 0)[:, None]
        found.append(AllPairs(shifted).apart(0, range(1, 5)).mean())
    assert np.mean(found) == pytest.approx(0.8, abs=0.12)


def test_a_group_ends_where_all_below_are_told_apart_from_its_first() -> None:
    noise = np.random.default_rng(6).normal(0, 1, (4, 60))
    wide = np.random.default_rng(7).normal(0, 40, 60)
    near, far = [50.0, 49.9, 40.0, 39.9], [50.0, 45.0, 44.5, 20.0]
    assert groups(AllPairs(noise + np.array(near)[:, None])) == [0, 0, 1, 1]
    values = noise + np.array(far)[:, None]
    values[2] += wide - wide.mean()  # so noisy that nothing can be said of it
    tests = AllPairs(values[np.argsort(-values.mean(axis=1))])
    assert list(tests.apart(0, [1, 2, 3])) == [True, False, True]
    assert groups(tests) == [0, 0, 0, 1]


def test_too_few_samples_or_runs() -> None:
    far = [[90.0 + i, 91.0, 92.0, 93.0] for i in range(3)] + [[1.0, 2.0, 3.0, 4.0]]
    tests = AllPairs(far)
    assert groups(tests) == [0, 0, 0, 0] and tests.smallest() is None and tests.critical == inf
    assert (tests.pair(0, 3).difference.low, tests.pair(0, 3).difference.high) == (-inf, inf)
    assert AllPairs([[5.0] * 9, [5.0] * 9, [5.0] * 9]).smallest() is None
    with pytest.raises(ValueError, match="at least two runs"):
        AllPairs([[1.0, 2.0]])


def test_the_work_does_not_grow_with_the_pairs() -> None:
    """Calls of functions, since seconds depend on the machine: numpy takes all 19,900 pairs at once."""
    values = np.random.default_rng(3).normal(30, 10, (200, 500)) + np.linspace(20, 0, 200)[:, None]
    values = values[np.argsort(-values.mean(axis=1))]

    def calls(runs: int) -> int:
        critical = AllPairs(values[:runs]).critical  # an integral of its own, kept for the next that asks
        assert critical > 3
        counted = Counter[str]()
        sys.setprofile(lambda _, event, __: counted.update([event]))
        numbers = groups(AllPairs(values[:runs]))
        sys.setprofile(None)
        assert runs < 200 or max(numbers) >= 2
        return counted["call"] + counted["c_call"]

    # One call a pair would be 18,675 more.
    assert calls(200) < calls(50) + 1_000
