"""Student's t and the studentised range against scipy."""

from __future__ import annotations

from math import inf

import pytest
from scipy import stats

from dsum_bench.statistics.distributions import normal_two_sided, range_critical, range_p, t_critical, t_p

FREEDOMS = (1, 2, 3, 5, 15, 49, 498, 12_459)


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_t_is_scipys(freedom: int) -> None:
    for t in (0.0, 1e-9, 0.3, 1.0, 2.0, 3.0, 6.0, 20.0, 100.0):
        assert t_p(t, freedom) == t_p(-t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-9, abs=1e-15)
    for p in (0.5, 0.2, 0.05, 0.01, 1e-4, 1e-8):
        assert t_critical(p, freedom) == pytest.approx(stats.t.isf(p / 2, freedom), rel=1e-8)
    assert t_p(inf, freedom) == 0


@pytest.mark.parametrize("count", [2, 3, 10, 50, 200, 1000])
def test_the_range_is_scipys(count: int) -> None:
    for q in (0.1, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0):
        assert range_p(q, count) == pytest.approx(stats.studentized_range.sf(q, count, inf), abs=1e-7)
    assert range_critical(0.05, count) == pytest.approx(stats.studentized_range.ppf(0.95, count, inf), rel=1e-7)
    assert range_p(inf, count) == pytest.approx(0, abs=1e-12)


def test_the_normal_is_scipys() -> None:
    for p in (1.0, 0.5, 0.05, 1e-9):
        assert normal_two_sided(p) == pytest.approx(stats.norm.isf(p / 2), abs=1e-9)
    assert normal_two_sided(0) == inf
