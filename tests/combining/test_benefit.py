"""Gain is told against the best member, and hardly ever where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dsum_bench.combining.benefit import benefit


def test_a_clear_gain_is_one_and_its_p_is_the_largest_against_any_member() -> None:
    generator = np.random.default_rng(1)
    base = generator.normal(40, 12, 200)
    members = [base + generator.normal(shift, noise, 200) for shift, noise in ((0, 3), (1, 3), (5, 40))]
    combined = members[1] + generator.normal(2, 2, 200)
    found = benefit(members, combined)
    assert found.best == 1
    assert found.difference.mean == pytest.approx(float(np.mean(combined - members[1])))
    alone = stats.ttest_rel(combined, members[1]).confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx((alone.low, alone.high), abs=0.05)
    # Against the noisy member nothing is sure, so a gain over each is not.
    noisy = stats.ttest_rel(combined, members[2]).pvalue
    assert found.p == pytest.approx(noisy, abs=0.02) and not found.gained
    sure = benefit(members[:2], combined)
    assert sure.gained and str(sure).startswith("gain over the best member: +")


def test_a_loss_and_the_same_are_no_gain() -> None:
    values = np.random.default_rng(2).normal(40, 12, 100)
    assert str(benefit([values], values - 3)).startswith("no gain over the best member: -3.00")
    assert not benefit([values], values).gained


def test_choosing_at_random_is_hardly_ever_called_a_gain() -> None:
    # results/reference/combining.md has 1,000 of them; these are enough to see a rate of a tenth or more.
    generator = np.random.default_rng(3)
    claimed = 0
    for _ in range(150):
        members = generator.normal(40, 12, 60) + generator.normal(0, 6, (4, 60))
        combined = members[generator.integers(0, 4, 60), np.arange(60)]
        claimed += benefit(list(members), combined).gained
    assert claimed <= 9
