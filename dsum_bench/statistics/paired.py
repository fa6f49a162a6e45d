"""One run by itself, and one run against another: intervals and paired tests over samples. Needs numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, inf

import numpy as np
import numpy.typing as npt

from dsum_bench.statistics.distributions import t_critical

ALPHA = 0.05
"""Level of every test; intervals hold 1 - ALPHA."""

FEWEST = 6
"""Samples from which on a paired test can find a difference at all: of the 2 ** n ways to set n signs, two are as
extreme as the most extreme one, and 2 / 2 ** 5 is more than 5 %."""

EXACT = 16
"""Samples up to which all ways to exchange two runs are counted instead of drawn."""

DRAWS = 10_000
SEED = 42
CERTAIN = 2.72

CHUNK = 500_000
"""Numbers drawn at a time: 4 MB, which stay in a processor's cache."""

Values = Sequence[float] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its confidence interval, whose ends are infinite where too few samples bound nothing."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Run a against run b on the same n samples; difference is the mean of a - b with its 95 % interval.

    p: two-sided, of the permutation test; below 0.05 exactly where the interval does not hold 0. exact: whether all
    permutations were counted. wins: samples on which a is better; losses: on which b is.
    """

    n: int
    difference: Interval
    p: float
    exact: bool
    wins: int
    ties: int
    losses: int


def mean_interval(values: Values) -> Interval:
    """Student's t interval of a mean. values: one per sample, shape (samples,), at least one."""
    return mean_intervals([values])[0]


def mean_intervals(runs: Sequence[Values]) -> list[Interval]:
    """Student's t intervals of several means over the same samples.

    On scores at n = 16 it covers the true mean as often as it says, which a percentile bootstrap does not
    (results/reference/statistics.md).

    Args:
        runs: shape (runs, samples), at least one sample. One sample alone gives an infinite interval.
    """
    data = np.asarray(runs, dtype=np.float64)
    n = data.shape[1]
    means = data.mean(axis=1)
    if n < 2:
        return [Interval(float(m), -inf, inf) for m in means]
    # Centred on its first value, so that a constant has an interval of no width in spite of rounding.
    spread = (data - data[:, :1]).std(axis=1, ddof=1)
    half = t_critical(ALPHA, n - 1) * spread / np.sqrt(n)
    return [Interval(float(m), float(m - h), float(m + h)) for m, h in zip(means, half, strict=True)]


def compare(a: Values, b: Values, draws: int = DRAWS, seed: int = SEED) -> Paired:
    """Run a against run b, whose values stand in the same order of samples.

    The test asks: had the two runs been exchanged on any of the samples, how often would the means be at least as far
    apart? The interval holds every shift of a that the same test, with the same exchanges, does not reject. An
    exchange S cannot tell a shift from the differences where the shift lies between the mean difference over S and
    that over all other samples, so test and interval are counts of the same segments (the typical values of Hartigan
    1969; Garthwaite 1996). Up to 16 samples all exchanges are counted; above, 10,000 are drawn, of which the one that
    was observed counts as one (Phipson and Smyth 2010).

    Raises:
        ValueError: nothing to compare, or not the same number of values.
    """
    if len(a) != len(b) or not len(a):
        raise ValueError(f"paired values are needed, not {len(a)} and {len(b)}")
    data = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    n, mean = data.size, float(data.mean())
    exact = n <= EXACT
    low, high = _segments(data, _all_exchanges(n) if exact else _drawn_exchanges(n, draws - 1, seed))
    total = low.size + 1
    # As many segments as may lie to one side of a shift that is rejected; the one observed holds every shift.
    allowed = ceil(ALPHA * total - 1e-9) - 1
    interval = Interval(
        mean,
        float(np.partition(low, allowed - 1)[allowed - 1]) if allowed > 0 else -inf,
        float(np.partition(high, -allowed)[-allowed]) if allowed > 0 else inf,
    )
    return Paired(
        n=n,
        difference=interval,
        p=(1 + int(((low <= 0) & (high >= 0)).sum())) / total,
        exact=exact,
        wins=int((data > 0).sum()),
        ties=int((data == 0).sum()),
        losses=int((data < 0).sum()),
    )


def p_values(differences: Sequence[Values] | npt.NDArray[np.float64], seed: int = SEED) -> npt.NDArray[np.float64]:
    """The p of ``compare`` for many pairs of runs over the same samples, by the same exchanges.

    Args:
        differences: a - b, shape (pairs, samples), at least one sample.
    """
    data = np.asarray(differences, dtype=np.float64)
    n = data.shape[1]
    total = data.sum(axis=1)
    # An exchange turns the signs of its samples: the sum loses them twice.
    bound = np.abs(total) - 2 * n * 1e-12 * np.maximum(1.0, np.abs(data).max(axis=1))
    extreme, drawn = np.ones(len(data)), 1
    for rows in _all_exchanges(n) if n <= EXACT else _drawn_exchanges(n, DRAWS - 1, seed):
        extreme += (np.abs(total - 2 * (rows @ data.T)) >= bound).sum(axis=0)
        drawn += len(rows)
    return extreme / drawn


def surely_apart(differences: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Pairs of which ``compare`` finds the difference whatever its exchanges are: beyond 2.72, Hoeffding's bound
    2 * exp(-x ** 2 / 2) for |sum of d| / sqrt(sum of d ** 2) is below 5 %.

    Args:
        differences: shape (pairs, samples).
    """
    size = np.sqrt(np.einsum("ij,ij->i", differences, differences))  # no copy of what may be large
    return np.asarray(np.abs(differences.sum(axis=1)) > CERTAIN * size)


def surely_apart_by_t(t: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.bool_]:
    """``surely_apart`` of pairs whose paired t over n samples is known, without their differences.

    By t ** 2 = (n - 1) * x ** 2 / (n - x ** 2), of x = |sum of d| / sqrt(sum of d ** 2).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.abs(t) * np.sqrt(n / (n - 1 + t * t))
    return np.asarray(np.where(np.isinf(t), np.sqrt(n), x) > CERTAIN)


def _segments(
    data: npt.NDArray[np.float64], exchanges: Iterator[npt.NDArray[np.float64]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Ends of the segment between the mean over the samples exchanged and that over the others, for each exchange.

    exchanges: of shape (rows, samples), 1 where a sample is exchanged, else 0.
    """
    lows, highs = [], []
    n, total = data.size, data.sum()
    # The same sum in another order may differ in its last digits; that must not end a segment before a tie.
    slack = 1e-12 * max(1.0, float(np.abs(data).max()))
    for rows in exchanges:
        count, inside = rows.sum(axis=1), rows @ data
        with np.errstate(divide="ignore", invalid="ignore"):
            one, other = inside / count, (total - inside) / (n - count)
        none = (count == 0) | (count == n)
        lows.append(np.where(none, -inf, np.minimum(one, other) - slack))
        highs.append(np.where(none, inf, np.maximum(one, other) + slack))
    return np.concatenate(lows), np.concatenate(highs)


def _all_exchanges(n: int) -> Iterator[npt.NDArray[np.float64]]:
    """Every exchange but none at all. To exchange all other samples instead is the same, so the last one never is."""
    numbers = np.arange(1, 2 ** (n - 1))
    yield (numbers[:, None] >> np.arange(n) & 1).astype(np.float64)


def _drawn_exchanges(n: int, draws: int, seed: int) -> Iterator[npt.NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    rows, words = max(1, CHUNK // n), -(-n // 64)
    for start in range(0, draws, rows):
        drawn = generator.integers(0, 2**64, (min(rows, draws - start), words), dtype=np.uint64).astype("<u8")
        yield np.unpackbits(drawn.view(np.uint8), axis=1, count=n).astype(np.float64)
