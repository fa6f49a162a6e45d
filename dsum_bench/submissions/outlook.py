"""What local and public scores say of hidden ones.

    local    L = m + e_L         e_L ~ N(0, S / n_local)
    quality  q = a + b m + g     g   ~ N(0, t^2)
    public   P = q + e_P         e_P ~ N(0, b^2 (S + r D) / n_public)
    private  V = q + e_V         e_V ~ N(0, b^2 (S + r D) / n_private)

S is the covariance of the submissions' scores over dialogues, from the local ones: runs that are good at the same
dialogues go up and down together, and how hard a part is concerns all of them. D is what two of them do not share; the
board has other references, hence r. m has mean and spread w of its own, so that the best of many is not taken at its
face value. What is not known, b, t, w and r, is averaged over a grid by how well it explains L and P; a and the mean
of m have flat priors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from dsum_bench.statistics.distributions import normal_two_sided

Floats = npt.NDArray[np.float64]

SLOPES = np.linspace(0.4, 1.6, 9)
SLOPE_PRIOR = (1.0, 0.3)
OWN = (0.1, 0.4, 0.8, 1.6)
"""Points by which the official score may differ from the local one for one submission alone, t above."""
SPREADS = (0.3, 0.7, 1.5, 3.0, 6.0)
REFERENCES = (0.0, 1.0, 2.0, 4.0)
"""Noise of the board's own references, r above."""
FLAT = 1e4
DRAWS = 4_000
SEED = 42
LEVEL = 0.9
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Prospect:
    """What is to be expected of one submission's private score: its mean and 90 % interval. best: probability that it
    is the best of all submissions."""

    mean: float
    low: float
    high: float
    best: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What can be said of all submissions.

    prospects: in their order. chosen: places of those to hand in, the likelier best first. slope, slope_low,
    slope_high: points of the board for a point here, with 90 % interval. smallest: the smallest true difference
    between two submissions, in points of the board, that the public part shows with 80 % power; for the pair in the
    middle.
    """

    prospects: tuple[Prospect, ...]
    chosen: tuple[int, ...]
    slope: float
    slope_low: float
    slope_high: float
    smallest: float


def outlook(local: Floats, public: Sequence[float], n_public: int, n_private: int, choose: int = 2) -> Outlook:
    """What public scores and local ones say of the private ones.

    Args:
        local: scores by submission and sample, shape (submissions, samples), at least two of both.
        public: score of each submission on the public part. n_public, n_private: dialogues of the two parts.
        choose: how many submissions count in the end; those are chosen whose best is expected to be highest.

    Raises:
        ValueError: fewer than two submissions or samples.
    """
    local = np.asarray(local, dtype=np.float64)
    if local.ndim != 2 or min(local.shape) < 2 or len(local) != len(public):
        raise ValueError(f"two submissions and two samples are needed at least, not shape {local.shape}")
    here, there = local.mean(axis=1), np.asarray(public, dtype=np.float64)
    shared = np.cov(local)
    apart = np.eye(len(here)) * _apart(shared)
    grid = [
        Point(slope, own, spread, slope**2 * (shared + noise * apart))
        for slope, own, spread, noise in product(SLOPES, OWN, SPREADS, REFERENCES)
    ]
    found = [_explained(point, here, there, shared / local.shape[1], n_public) for point in grid]
    weights = np.exp(np.array([f[0] for f in found]) - max(f[0] for f in found))
    weights /= weights.sum()
    draws = _drawn(weights, grid, found, n_private)
    slopes = np.array([point.slope for point in grid])
    slope = float(weights @ slopes)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    best = np.bincount(draws.argmax(axis=1), minlength=len(here)) / len(draws)
    prospects = tuple(
        Prospect(float(mean), float(least), float(most), float(chance))
        for mean, least, most, chance in zip(draws.mean(axis=0), low, high, best, strict=True)
    )
    ends = [float(v) for v in _quantiles(slopes, weights, (tail, 1 - tail))]
    return Outlook(prospects, _chosen(draws, choose), slope, ends[0], ends[1], slope * smallest(shared, n_public))


@dataclass(frozen=True, slots=True)
class Point:
    """One guess at what is not known. board: covariance over dialogues of the board's scores, square."""

    slope: float
    own: float
    spread: float
    board: Floats


def _apart(shared: Floats) -> float:
    """Variance over dialogues that two submissions do not share, each; of the pair in the middle."""
    pairs = np.diag(shared)[:, None] + np.diag(shared)[None, :] - 2 * shared
    return float(np.median(pairs[np.triu_indices(len(shared), 1)])) / 2


def smallest(shared: Floats, n: int) -> float:
    """The true difference between two runs that n dialogues show with 80 % power, for the pair in the middle."""
    reach = normal_two_sided(0.05) + normal_two_sided(2 * (1 - POWER))
    return float(np.sqrt(2 * _apart(shared) / n) * reach)


def _explained(point: Point, here: Floats, there: Floats, noise: Floats, n_public: int) -> tuple[float, Floats, Floats]:
    """How well a point of the grid explains the scores, as a logarithm, and mean and covariance of q given it. noise:
    covariance of the local means."""
    k = len(here)
    ones, eye = np.ones((k, k)), np.eye(k)
    prior = point.spread**2 * eye + FLAT * ones
    seen = prior + noise
    gain = np.linalg.solve(seen, prior).T
    centre = float(here.mean())
    middle = centre + gain @ (here - centre)
    left = prior - gain @ prior
    quality = point.slope**2 * left + point.own**2 * eye + FLAT * ones
    expected = point.slope * middle
    total = quality + point.board / n_public
    second = np.linalg.solve(total, quality).T
    mean = expected + second @ (there - expected)
    rest = quality - second @ quality
    fits = _log_density(here - centre, seen) + _log_density(there - expected, total)
    prior_slope = -(((point.slope - SLOPE_PRIOR[0]) / SLOPE_PRIOR[1]) ** 2) / 2
    return fits + prior_slope, mean, rest


def _log_density(gap: Floats, covariance: Floats) -> float:
    sign, size = np.linalg.slogdet(covariance)
    return float(-(gap @ np.linalg.solve(covariance, gap) + size) / 2) if sign > 0 else -np.inf


def _drawn(
    weights: Floats,
    grid: Sequence[Point],
    found: Sequence[tuple[float, Floats, Floats]],
    n_private: int,
) -> Floats:
    """Private scores as they may turn out, shape (DRAWS, submissions)."""
    generator = np.random.default_rng(SEED)
    counts = generator.multinomial(DRAWS, weights)
    parts = []
    for point, (_, mean, rest), count in zip(grid, found, counts, strict=True):
        if count:
            covariance = rest + point.board / n_private
            parts.append(generator.multivariate_normal(mean, (covariance + covariance.T) / 2, count, method="eigh"))
    return np.concatenate(parts)


def _chosen(draws: Floats, count: int) -> tuple[int, ...]:
    """The submissions whose best is highest on average."""
    k = draws.shape[1]
    groups = combinations(range(k), min(count, k))
    best = max(groups, key=lambda group: float(draws[:, group].max(axis=1).mean()))
    return tuple(sorted(best, key=lambda i: -float(draws[:, i].mean())))


def _quantiles(values: Floats, weights: Floats, at: Sequence[float]) -> Floats:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    return values[order][np.searchsorted(reached, np.asarray(at) - 1e-12)]
