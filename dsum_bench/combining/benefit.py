"""Whether a combination is better than the best of what it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsum_bench.figures import difference

if TYPE_CHECKING:
    from dsum_bench.statistics import Interval, Values

NO_GAIN = "no gain"


@dataclass(frozen=True, slots=True)
class Benefit:
    """A combination against the best of its members on the same samples.

    best: place of that member. means: of the members, in order; mean: of the combination. difference: combination less
    best member, with its 95 % interval; p of the paired test. Both are corrected for all pairs of members and
    combination. n: samples.
    """

    best: int
    means: tuple[float, ...]
    mean: float
    difference: Interval
    p: float
    n: int

    @property
    def gained(self) -> bool:
        """Whether the combination is significantly better than every single member can be said to be."""
        from dsum_bench.statistics import ALPHA

        return self.difference.mean > 0 and self.p < ALPHA

    def __str__(self) -> str:
        gap = difference(self.difference.mean, self.difference.low, self.difference.high)
        told = f"{gap}, p = {self.p:.4f}, {self.n} samples"
        return f"gain over the best member: {told}" if self.gained else f"{NO_GAIN} over the best member: {told}"


def benefit(members: Sequence[Values], combined: Values) -> Benefit:
    """Test a combination's scores against those of its best member.

    members: scores of each, by sample in the same order. The best is the one with the highest mean here, which favours
    it: a combination that is no better than its members seems worse than the best of them.
    """
    from dsum_bench.statistics import AllPairs

    tests = AllPairs([*members, combined])
    means = tests.values.mean(axis=1)
    best = int(means[:-1].argmax())
    pair = tests.pair(len(members), best)
    return Benefit(best, tuple(map(float, means[:-1])), float(means[-1]), pair.difference, pair.p, tests.n)
