"""Bradley-Terry strengths against published estimates and scipy's maximum, intervals against simulated coverage."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from dsum_bench.combining.strength import bradley_terry, rates, strengths
from dsum_bench.combining.votes import Vote

TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
WINS = np.array(
    [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ],
    dtype=float,
)
"""American League, East, 1987: Agresti, Categorical Data Analysis (2002), table 10.10."""
ABILITIES = (1.581, 1.436, 1.294, 1.248, 1.108, 0.684, 0.0)
"""Their logarithms of strength less Baltimore's, as printed there (table 10.11)."""


def test_published_example() -> None:
    logs = bradley_terry(WINS)
    assert logs - logs[-1] == pytest.approx(ABILITIES, abs=1e-3)
    assert logs.mean() == pytest.approx(0)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5), st.integers(0, 10_000), st.sampled_from([0.5, 1.0, 3.0]))
def test_the_strengths_are_those_of_the_largest_likelihood(count: int, seed: int, prior: float) -> None:
    wins = np.random.default_rng(seed).integers(0, 6, (count, count)).astype(float)
    np.fill_diagonal(wins, 0)

    def minus(logs: np.ndarray) -> float:
        gaps = logs[:, None] - logs
        played = (wins * np.logaddexp(0, -gaps)).sum()
        return float(played + prior / 2 * (np.logaddexp(0, -logs) + np.logaddexp(0, logs)).sum())

    best = minimize(minus, np.zeros(count), method="BFGS", options={"gtol": 1e-9}).x
    assert bradley_terry(wins, prior) == pytest.approx(best - best.mean(), abs=1e-4)


def test_many_are_fitted_at_once_as_one_by_one() -> None:
    several = np.stack([WINS, WINS.T, WINS + 1])
    assert bradley_terry(several, 1.0) == pytest.approx(np.stack([bradley_terry(w, 1.0) for w in several]), abs=1e-7)


def test_a_rate_is_the_mean_chance_against_the_others() -> None:
    logs = np.log([1.0, 2.0, 4.0])
    assert rates(logs) == pytest.approx(
        [100 * (1 / 3 + 1 / 5) / 2, 100 * (2 / 3 + 1 / 3) / 2, 100 * (4 / 5 + 2 / 3) / 2]
    )


def votes(winner: str, loser: str, count: int, start: int = 0) -> list[Vote]:
    return [Vote("p", f"s{start + i}", winner, loser, "first") for i in range(count)]


def test_a_run_that_won_every_vote_has_a_strength_and_counts() -> None:
    best, worst = strengths([*votes("a", "b", 20), Vote("p", "s20", "b", "a", "tie")])
    assert (best.run, best.wins, best.ties, best.losses) == ("a", 20, 1, 0)
    assert (worst.run, worst.wins, worst.ties, worst.losses) == ("b", 0, 1, 20)
    assert 50 < best.rate.low <= best.rate.mean <= best.rate.high < 100
    assert best.rate.mean + worst.rate.mean == pytest.approx(100)


def test_names_and_order_of_votes_change_nothing() -> None:
    given = [*votes("a", "b", 5), *votes("b", "a", 3, 5), *votes("b", "c", 4)]
    turned = [Vote(v.voter, v.sample_id, v.second, v.first, "second") for v in given]
    assert strengths(given) == strengths(turned)


def test_intervals_hold_the_true_rate_about_as_often_as_they_say() -> None:
    """100 simulated polls of three runs on 60 dialogues, votes of a dialogue drawn anew."""
    truth = rates(np.array([0.5, 0.0, -0.5]))
    draw = np.random.default_rng(3)

    def vote(sample: int, i: int, j: int) -> Vote:
        wins = draw.random() < 1 / (1 + np.exp(-0.5 * (j - i)))
        return Vote("p", f"s{sample}", "abc"[i], "abc"[j], "first" if wins else "second")

    held = 0
    for _ in range(100):
        given = [vote(s, i, j) for s in range(60) for i, j in combinations(range(3), 2)]
        found = {s.run: s.rate for s in strengths(given, draws=400)}
        held += sum(found[r].low <= truth[i] <= found[r].high for i, r in enumerate("abc"))
    assert 0.9 <= held / 300 <= 0.985
