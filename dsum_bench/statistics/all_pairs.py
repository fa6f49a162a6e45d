"""All pairs of many runs, tested at once so that hardly a board shows a difference where there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, inf, sqrt

import numpy as np
import numpy.typing as npt

from dsum_bench.statistics.distributions import (
    normal_two_sided,
    range_critical,
    range_p,
    t_critical,
    t_p,
)
from dsum_bench.statistics.paired import ALPHA, FEWEST, SEED, Interval, Paired, Values, compare, surely_apart_by_t
from dsum_bench.statistics.paired import DRAWS as PAIR_DRAWS

Floats = npt.NDArray[np.float64]

PERMUTED_BELOW = 100
"""Samples below which labels are permuted, too; from there on the range of normal variables is as good as exact."""

DRAWS = 1_999
FEWEST_DRAWS = 199
WORK = 8_000_000
"""Pairs of runs to look at over all draws, which bounds the time: about 0.2 s."""

POWER = 0.8


@dataclass(frozen=True, slots=True)
class Smallest:
    """The smallest true difference that a test finds with 80 % power: of the pair in the middle, and of the pairs with
    the least and the most spread."""

    middle: float
    least: float
    most: float


class AllPairs:
    """Every pair of K runs over the same n samples, with a family-wise error of at most 5 % over all pairs.

    Each pair's t is its mean difference over the standard error of that difference. How large the largest |t| of all
    pairs gets where no run is better than another is that of the studentised range (Tukey 1953), to which each pair's t
    is brought by its own p. Below 100 samples a pair must also pass the largest |t| under permutation of the runs'
    labels within each sample (max-t, Westfall and Young 1993; Romano and Wolf 2005), which is exact where no run
    differs, but too bold among noisy runs that share a board with quiet ones. With two runs all of this is the test of
    ``compare``. A pair that ``compare`` does not tell apart by itself is never told apart here.

    How often it is wrong, and what it finds: results/reference/statistics.md.

    Args:
        values: shape (runs, samples), at least two runs, samples in the same order for all.
        draws: permutations at most.
    """

    def __init__(self, values: Sequence[Values] | Floats, seed: int = SEED, draws: int = DRAWS) -> None:
        self.values: Floats = np.asarray(values, dtype=np.float64)
        if self.values.ndim != 2 or len(self.values) < 2 or not self.values.shape[1]:
            raise ValueError(f"at least two runs over the same samples are needed, not shape {self.values.shape}")
        self._seed = seed
        self._compared: dict[tuple[int, int], Paired] = {}
        self._draws = min(max(WORK // len(self.values) ** 2, FEWEST_DRAWS), draws)

    @property
    def runs(self) -> int:
        return len(self.values)

    @property
    def n(self) -> int:
        """Samples of each run."""
        return int(self.values.shape[1])

    @property
    def pairs(self) -> int:
        return self.runs * (self.runs - 1) // 2

    @property
    def permuted(self) -> bool:
        """Whether labels were permuted, besides the studentised range."""
        return self.runs > 2 and self.n < PERMUTED_BELOW

    @cached_property
    def critical(self) -> float:
        """The |t| that a pair must exceed to be told apart; infinite where there are too few samples."""
        if self.n < FEWEST:
            return inf
        if self.runs == 2:
            return t_critical(ALPHA, self.n - 1)
        of_range = t_critical(range_p(range_critical(ALPHA, self.runs), 2), self.n - 1)
        if not self.permuted:
            return of_range
        largest = self._largest
        return max(of_range, float(largest[-(ceil(ALPHA * (largest.size + 1) - 1e-9) - 1)]))

    def smallest(self) -> Smallest | None:
        """What these samples can show; None where they can show nothing, or the runs do not differ on any."""
        errors = self._errors[np.triu_indices(self.runs, 1)]
        errors = np.sort(errors[errors > 0])
        if self.critical == inf or not errors.size:
            return None
        reach = self.critical + t_critical(2 * (1 - POWER), self.n - 1)
        # Not np.median, which loads numpy.ma.
        middle = (errors[(errors.size - 1) // 2] + errors[errors.size // 2]) / 2
        return Smallest(float(middle * reach), float(errors[0] * reach), float(errors[-1] * reach))

    def apart(self, first: int, others: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Whether each of the others is told apart from the first."""
        index = np.asarray(others, dtype=np.intp)
        if self.runs == 2:
            return np.array([self.alone(first, i).p < ALPHA for i in others])
        t = np.abs(self._t[first, index])
        found: npt.NDArray[np.bool_] = t > self.critical
        for k in np.flatnonzero(found & ~surely_apart_by_t(t, self.n)):
            found[k] = self.alone(first, int(index[k])).p < ALPHA
        return found

    def pair(self, a: int, b: int) -> Paired:
        """Run a against run b with interval and p corrected for all pairs; they agree with ``apart``."""
        alone = self.alone(a, b)
        if self.runs == 2:
            return alone
        half = self.critical * float(self._errors[a, b])
        mean = alone.difference.mean
        low, high = (mean - half, mean + half) if self.critical < inf else (-inf, inf)
        return replace(
            alone,
            difference=Interval(mean, min(low, alone.difference.low), max(high, alone.difference.high)),
            p=max(alone.p, self._p(abs(float(self._t[a, b])))),
            exact=False,
        )

    def corrected_p(self, a: int, b: int) -> float:
        """p of a pair by the test of all pairs: that of ``pair`` wherever the pair's own permutation test, which takes
        a hundred times as long, does not find a larger one."""
        if self.runs == 2:
            return self.alone(a, b).p
        return max(self._p(abs(float(self._t[a, b]))), 1 / (PAIR_DRAWS + 1))

    def alone(self, a: int, b: int) -> Paired:
        """Run a against run b as if they were the only two."""
        if (a, b) not in self._compared:
            self._compared[a, b] = compare(self.values[a], self.values[b], seed=self._seed)
        return self._compared[a, b]

    def _p(self, t: float) -> float:
        """How often the largest |t| of all pairs is at least this where no run is better."""
        if self.n < 2:
            return 1.0
        of_range = range_p(sqrt(2) * normal_two_sided(t_p(t, self.n - 1)), self.runs)
        if not self.permuted:
            return of_range
        return max(of_range, (1 + int((self._largest >= t).sum())) / (self._largest.size + 1))

    @cached_property
    def _both(self) -> tuple[Floats, Floats]:
        return _statistics(self.values)

    @property
    def _errors(self) -> Floats:
        """Standard errors of the mean differences, shape (runs, runs)."""
        return self._both[1]

    @cached_property
    def _t(self) -> Floats:
        difference, error = self._both
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(error > 0, difference / error, np.where(difference == 0, 0.0, np.sign(difference) * inf))

    @cached_property
    def _largest(self) -> Floats:
        """The largest |t| of all pairs in each draw, sorted."""
        generator = np.random.default_rng(self._seed)
        # A little less, so that a draw which only sums in another order is a tie.
        found = [_largest_t(generator.permuted(self.values, axis=0)) * (1 - 1e-9) for _ in range(self._draws)]
        return np.sort(np.array(found))


def groups(pairs: AllPairs) -> list[int]:
    """Number of the block of each run, from 0, of runs that stand in the order of their means, the best first.

    A new block begins where that run and all below it are told apart from the first run of the block in hand.
    """
    found: list[int] = []
    for number, (start, end) in enumerate(_ranges(pairs)):
        found += [number] * (end - start)
    return found


def _ranges(pairs: AllPairs) -> Iterator[tuple[int, int]]:
    start = 0
    while start < pairs.runs:
        below = range(start + 1, pairs.runs)
        together = np.flatnonzero(~pairs.apart(start, below)) if below else np.array([], dtype=np.intp)
        end = start + 1 + (int(together[-1]) + 1 if together.size else 0)
        yield start, end
        start = end


def _statistics(values: Floats) -> tuple[Floats, Floats]:
    """Mean differences and their standard errors, each of shape (runs, runs)."""
    n = values.shape[1]
    means = values.mean(axis=1)
    centred = values - means[:, None]
    products = centred @ centred.T
    own = np.diag(products)
    squares = own[:, None] + own[None, :] - 2 * products
    # Rounding leaves a trace of two runs that do not differ; it must not become a t.
    squares[squares <= 1e-12 * (own[:, None] + own[None, :]) + 1e-18] = 0
    difference = means[:, None] - means[None, :]
    difference[np.abs(difference) <= 1e-12 * np.abs(means).max(initial=1.0)] = 0
    return difference, np.sqrt(squares / (max(n - 1, 1) * n))


def _largest_t(values: Floats) -> float:
    difference, error = _statistics(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > 0, np.abs(difference) / error, np.where(difference == 0, 0.0, inf))
    return float(t.max())
