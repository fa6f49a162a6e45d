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
    best member, with its 95 % interval. p: the largest of the paired tests against each member. n: samples.
    """

    best: int
    means: tuple[float, ...]
    mean: float
    difference: Interval
    p: float
    n: int

    @property
    def gained(self) -> bool:
        """Whether the combination is significantly better than each of its members."""
        from dsum_bench.statistics import ALPHA

        return self.difference.mean > 0 and self.p < ALPHA

    def __str__(self) -> str:
        gap = difference(self.difference.mean, self.difference.low, self.difference.high)
        told = f"{gap}, p = {self.p:.4f}, {self.n} samples"
        return f"gain over the best member: {told}" if self.gained else f"{NO_GAIN} over the best member: {told}"


def benefit(members: Sequence[Values], combined: Values) -> Benefit:
    """Test a combination's scores against those of its members.

    Which member is the best is not known, only which has the highest mean here. To be better than the best is to be
    better than each, so all paired tests must find it: their largest p needs no further correction for the number of
    members (intersection-union test, Berger 1982).

    members: scores of each, by sample in the same order.
    """
    from dsum_bench.statistics import compare

    pairs = [compare(combined, member) for member in members]
    means = tuple(sum(map(float, member)) / len(member) for member in members)
    best = max(range(len(members)), key=lambda i: means[i])
    mean = sum(map(float, combined)) / len(combined)
    return Benefit(best, means, mean, pairs[best].difference, max(pair.p for pair in pairs), pairs[best].n)
