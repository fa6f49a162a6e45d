"""What can be told apart on a leaderboard, against scipy."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from store_runs import SIGNATURE, make_run, measures, open_store, positions, scored

from dsum_bench.store.groups import critical_t, differ, groups
from dsum_bench.store.writer import ScoredOutput


@pytest.mark.parametrize(("freedom", "off"), [(1, 1e-8), (2, 1e-8), (3, 6e-3), (5, 1e-3), (10, 1e-4), (498, 1e-6)])
def test_critical_values_are_scipys(freedom: int, off: float) -> None:
    assert critical_t(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=off)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=12, max_size=60))
def test_the_verdict_is_scipys(pairs: list[tuple[float, float]]) -> None:
    a, b = [x for x, _ in pairs], [y for _, y in pairs]
    differences = [x - y for x, y in pairs]
    if max(differences) - min(differences) < 1e-6:
        return
    p = stats.ttest_rel(a, b).pvalue
    if abs(p - 0.05) > 1e-3:
        assert differ(a, b) == (p < 0.05)


def test_what_cannot_be_tested_is_not_told_apart() -> None:
    assert not differ([1.0], [2.0])
    assert not differ([], [])
    assert not differ([1.0, 2.0], [1.0, 2.0])
    assert differ([1.0, 2.0], [2.0, 3.0])


def test_groups_of_runs_in_a_database(tmp_path: Path) -> None:
    noise = random.Random(7)
    n = 60
    values = {}
    with open_store(tmp_path / "dsum.db") as store:
        keys = {}
        for name, base in (("a", 50.0), ("b", 49.9), ("c", 40.0), ("d", 39.9)):
            keys[name] = store.open_run(make_run(name, n=n), "model")
            scores = [measures(base + noise.gauss(0, 3)) for _ in range(n)]
            rows = [ScoredOutput(scored(i).output, {SIGNATURE: score}) for i, score in enumerate(scores)]
            values[name] = [score["mean"] for score in scores]
            store.add(keys[name], rows, positions(n))
            store.close_run(keys[name], "done")
    found = groups(tmp_path / "dsum.db", SIGNATURE, "mean", [keys[k] for k in "abcd"])
    assert stats.ttest_rel(values["a"], values["b"]).pvalue > 0.05 > stats.ttest_rel(values["a"], values["c"]).pvalue
    assert stats.ttest_rel(values["c"], values["d"]).pvalue > 0.05
    assert [found[keys[k]] for k in "abcd"] == [0, 0, 1, 1]
