"""Are two runs different? Intervals and paired tests over the samples both have summarised. Needs numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
SEED = 42
LEVEL = 0.95
CHUNK = 4_000_000
"""Numbers drawn at a time, which bounds the memory: 32 MB."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Run a against run b on the same n samples; difference is the mean of a - b with its interval.

    p: two-sided, of the permutation test. wins: samples on which a is better; losses: on which b is.
    """

    n: int
    difference: Interval
    p: float
    wins: int
    ties: int
    losses: int


def bootstrap_interval(
    values: Sequence[float], resamples: int = RESAMPLES, seed: int = SEED, level: float = LEVEL
) -> Interval:
    """Percentile bootstrap interval of a mean (Efron and Tibshirani 1993, chapter 13).

    Args:
        values: one per sample, shape (samples,), at least one.
    """
    return bootstrap_intervals([values], resamples, seed, level)[0]


def bootstrap_intervals(
    runs: Sequence[Sequence[float]], resamples: int = RESAMPLES, seed: int = SEED, level: float = LEVEL
) -> list[Interval]:
    """The intervals of several means over the same samples, resampled by the same draws.

    How often each sample is drawn is multinomial, so that a resample of all runs is one row of a matrix product.

    Args:
        runs: shape (runs, samples), at least one sample.
    """
    data = np.asarray(runs, dtype=np.float64)
    samples = data.shape[1]
    # Centred, so that a constant has an interval of no width in spite of rounding.
    centre = data.mean(axis=1)
    spread = (data - centre[:, None]).T / samples
    even = np.full(samples, 1 / samples)
    means = np.concatenate(
        [
            counts.astype(np.float64) @ spread
            for counts in _chunks(resamples, samples, seed, lambda r, s: r.multinomial(samples, even, size=s[0]))
        ]
    )
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return [Interval(float(m), float(m + a), float(m + b)) for m, a, b in zip(centre, low, high, strict=True)]


def permutation_p(differences: Sequence[float], resamples: int = RESAMPLES, seed: int = SEED) -> float:
    """Two-sided paired permutation test: had the two runs been exchanged on any sample, how often would the mean
    difference be at least as large? Signs are drawn at random, and the observed ones count as one draw (Phipson
    and Smyth 2010), so that p is never 0.

    Args:
        differences: a - b per sample, shape (samples,), at least one.
    """
    data = np.asarray(differences, dtype=np.float64)
    observed = abs(data.mean())
    # The same sum in another order may differ in its last digits; that must not make a tie a smaller value.
    bound = observed - 1e-12 * max(1.0, float(np.abs(data).max()))
    extreme = sum(
        int((np.abs((signs * data).mean(axis=1)) >= bound).sum())
        for signs in _chunks(resamples, data.size, seed, lambda r, s: r.integers(0, 2, size=s) * 2.0 - 1.0)
    )
    return (extreme + 1) / (resamples + 1)


def compare(a: Sequence[float], b: Sequence[float], resamples: int = RESAMPLES, seed: int = SEED) -> Paired:
    """Run a against run b, whose values stand in the same order of samples.

    Raises:
        ValueError: nothing to compare, or not the same number of values.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"paired values are needed, not {len(a)} and {len(b)}")
    data = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return Paired(
        n=data.size,
        difference=bootstrap_interval(data.tolist(), resamples, seed),
        p=permutation_p(data.tolist(), resamples, seed),
        wins=int((data > 0).sum()),
        ties=int((data == 0).sum()),
        losses=int((data < 0).sum()),
    )


def _chunks(
    resamples: int, samples: int, seed: int, draw: Callable[[np.random.Generator, tuple[int, int]], npt.NDArray[Any]]
) -> Iterator[npt.NDArray[Any]]:
    """Draws of shape (rows, samples) that add up to all resamples, a bounded number at a time."""
    generator = np.random.default_rng(seed)
    rows = max(1, CHUNK // samples)
    for start in range(0, resamples, rows):
        yield draw(generator, (min(rows, resamples - start), samples))
