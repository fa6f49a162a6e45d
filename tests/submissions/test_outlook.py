"""What public scores say of hidden ones: against a joint Gaussian conditioned by brute force, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dsum_bench.submissions import outlook as module
from dsum_bench.submissions.outlook import FLAT, Point, outlook, smallest


def local(k: int = 6, n: int = 200, seed: int = 0, quality: float = 1.0) -> np.ndarray:
    """Scores of k submissions: dialogues differ in how hard they are, submissions in quality."""
    generator = np.random.default_rng(seed)
    hard = generator.normal(45, 12, n)
    return hard + generator.normal(0, 6, (k, n)) + generator.normal(0, quality, k)[:, None]


def test_one_guess_is_what_conditioning_the_joint_normal_gives() -> None:
    scores = local(k=4)
    k, n, n_public = 4, scores.shape[1], 100
    shared = np.cov(scores)
    here, there = scores.mean(axis=1), np.array([41.0, 43.5, 42.0, 44.0])
    slope, own, spread = 0.8, 0.7, 1.3
    board = slope**2 * shared
    fits, mean, rest = module._explained(Point(slope, own, spread, board), here, there, shared / n, n_public)
    ones, eye = np.ones((k, k)), np.eye(k)
    quality = spread**2 * eye + FLAT * ones  # of m
    of_q = slope**2 * quality + own**2 * eye + FLAT * ones
    seen = np.block([[quality + shared / n, slope * quality], [slope * quality, of_q + board / n_public]])
    with_q = np.hstack([slope * quality, of_q])
    # Flat priors have no mean; one near the scores makes the rounding small.
    start = np.concatenate([np.full(k, here.mean()), np.full(k, slope * here.mean())])
    gain = with_q @ np.linalg.inv(seen)
    expected = slope * here.mean() + gain @ (np.concatenate([here, there]) - start)
    assert mean == pytest.approx(expected, abs=0.02)
    assert rest == pytest.approx(of_q - gain @ with_q.T, abs=0.02)
    # The logarithm leaves out a constant, which all guesses share.
    both = np.concatenate([here, there])
    other = module._explained(Point(slope, 1.5, spread, board), here, there, shared / n, n_public)[0]
    of_other = slope**2 * quality + 1.5**2 * eye + FLAT * ones
    alike = np.block([[quality + shared / n, slope * quality], [slope * quality, of_other + board / n_public]])
    told = [stats.multivariate_normal(start, covariance).logpdf(both) for covariance in (seen, alike)]
    assert fits - other == pytest.approx(told[0] - told[1], abs=0.02)


def test_intervals_hold_what_they_say() -> None:
    inside = []
    for seed in range(40):
        generator = np.random.default_rng([7, seed])
        quality = generator.normal(0, 1, 6)

        def part(n: int, quality: np.ndarray = quality, generator: np.random.Generator = generator) -> np.ndarray:
            return generator.normal(45, 12, n) + generator.normal(0, 6, (6, n)) + quality[:, None]

        here, public, private = part(400), part(250).mean(axis=1), part(249).mean(axis=1)
        found = outlook(here, list(public), 250, 249)
        inside += [p.low <= v <= p.high for p, v in zip(found.prospects, private, strict=True)]
    # Submissions of one study go up and down together: about 40 independent ones, of which 90 % are 36.
    assert np.mean(inside) >= 0.8


def test_a_lucky_public_score_is_not_taken_at_its_face_value() -> None:
    scores = local(quality=0.0)
    scores[0] -= 2.0 + scores[0].mean() - scores[1:].mean()
    public = [46.0, 45.0, 45.0, 45.0, 45.0, 45.0]
    found = outlook(scores, public, 250, 249)
    assert found.prospects[0].mean < 46.0 - 0.3
    assert sum(p.best for p in found.prospects) == pytest.approx(1)


def test_two_that_are_clearly_better_are_chosen_and_the_better_one_first() -> None:
    scores = local(quality=0.0)
    scores[4] += 6
    scores[2] += 9
    public = list(scores.mean(axis=1))
    assert outlook(scores, public, 250, 249).chosen == (2, 4)
    assert outlook(scores, public, 250, 249, choose=1).chosen == (2,)
    assert len(outlook(scores, public, 250, 249, choose=9).chosen) == 6


def test_the_slope_is_found_where_the_scores_show_it() -> None:
    scores = local(k=12, n=2000, quality=6.0)
    means = scores.mean(axis=1)
    for slope in (0.55, 1.3):
        found = outlook(scores, list(10 + slope * means), 5000, 5000)
        assert found.slope_low <= slope + 0.1 and slope - 0.1 <= found.slope_high
        assert found.slope == pytest.approx(slope, abs=0.15)


def test_the_smallest_difference_is_that_of_a_paired_test_with_the_power() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(0, 12, 4000) + generator.normal(0, 5, (2, 4000))
    found = smallest(np.cov(scores), 250)
    assert found == pytest.approx(np.std(scores[0] - scores[1], ddof=1) / 250**0.5 * (1.959964 + 0.841621), rel=1e-5)
    # Power by simulation: a true difference of this size is significant four times in five.
    hits = [stats.ttest_1samp(generator.normal(found, np.sqrt(50), 250), 0).pvalue < 0.05 for _ in range(1000)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.05)


def test_too_little_is_refused() -> None:
    for scores, public in ((local(1), [1.0]), (local(3, n=1), [1.0, 2.0, 3.0]), (local(3), [1.0, 2.0])):
        with pytest.raises(ValueError, match="two submissions and two samples"):
            outlook(scores, public, 250, 249)
