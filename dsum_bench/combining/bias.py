"""Whether votes follow the place or the length of a summary instead of what it says. Needs numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb, erfc, exp

from dsum_bench.combining.strength import Strength
from dsum_bench.combining.votes import Vote
from dsum_bench.statistics import Interval, mean_interval

LEVEL = 0.05
MOST_EXACT = 1000
"""Units up to which a sign test sums binomial coefficients; above, the normal distribution is as good."""

Unit = tuple[str, str, tuple[str, str]]
"""Voter, dialogue and pair of runs: its votes, in one order or both, are one observation."""


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Whether the place decides.

    share: of the votes that are not ties, how many, in per cent, are for the summary shown first; 50 without bias.
    both: pairs that were shown in both orders; same: with the same winner in both; flipped: with another winner.
    p: two-sided sign test over pairs of which the first, or the second, place won more often.
    """

    votes: int
    share: Interval
    both: int
    same: int
    flipped: int
    p: float

    @property
    def found(self) -> bool:
        """Whether there is a bias, at 5 %."""
        return self.p < LEVEL


@dataclass(frozen=True, slots=True)
class LengthBias:
    """Whether the longer summary wins more often than its run does.

    share: of the votes for one of two summaries of different length, how many, in per cent, are for the longer one.
    expected: how many would be, from the strengths of the runs alone. excess: the difference, with its interval.
    """

    votes: int
    share: float
    expected: float
    excess: Interval

    @property
    def found(self) -> bool:
        """Whether there is a bias, at 5 %."""
        return not self.excess.low <= 0 <= self.excess.high


def position_bias(votes: Sequence[Vote]) -> PositionBias | None:
    """None where every vote is a tie."""
    units: dict[Unit, list[Vote]] = {}
    for vote in votes:
        units.setdefault((vote.voter, vote.sample_id, vote.pair), []).append(vote)
    decided = [[v for v in unit if v.choice != "tie"] for unit in units.values()]
    shares = [100 * sum(v.choice == "first" for v in unit) / len(unit) for unit in decided if unit]
    if not shares:
        return None
    both = [unit for unit in units.values() if len({v.first for v in unit}) == 2]
    same = sum(len({v.winner for v in unit}) == 1 for unit in both)
    flipped = sum({v.choice for v in unit} in ({"first"}, {"second"}) for unit in both)
    return PositionBias(
        sum(map(len, decided)),
        _interval(shares, 0.0, 100.0),
        len(both),
        same,
        flipped,
        sign_test(sum(s > 50 for s in shares), sum(s < 50 for s in shares)),
    )


def length_bias(
    votes: Sequence[Vote], ranking: Sequence[Strength], lengths: Mapping[tuple[str, str], int]
) -> LengthBias | None:
    """None where no two summaries differ in length.

    A run that writes longer summaries than another throughout cannot be told from a better one: its strength holds
    both. What is seen is whether the longer of two summaries wins more often than its run wins otherwise.

    Args:
        lengths: characters of a summary, by run and sample id; votes on summaries that are not there are left out.
    """
    strength = {s.run: s.log.mean for s in ranking}
    units: dict[Unit, list[tuple[bool, float]]] = {}
    for vote in votes:
        first, second = (lengths.get((run, vote.sample_id)) for run in (vote.first, vote.second))
        if first is None or second is None or first == second or vote.winner is None:
            continue
        longer, shorter = (vote.first, vote.second) if first > second else (vote.second, vote.first)
        expected = 1 / (1 + exp(strength[shorter] - strength[longer]))
        units.setdefault((vote.voter, vote.sample_id, vote.pair), []).append((vote.winner == longer, expected))
    if not units:
        return None
    seen = [pair for unit in units.values() for pair in unit]
    excess = [100 * sum(won - expected for won, expected in unit) / len(unit) for unit in units.values()]
    share = 100 * sum(won for won, _ in seen) / len(seen)
    return LengthBias(
        len(seen), share, 100 * sum(expected for _, expected in seen) / len(seen), _interval(excess, -100.0, 100.0)
    )


def sign_test(more: int, fewer: int) -> float:
    """Two-sided p of a sign test (Conover 1999, 3.4): how often a fair coin falls as unevenly."""
    n, most = more + fewer, max(more, fewer)
    if n == 0 or more == fewer:
        return 1.0
    if n > MOST_EXACT:
        return erfc((2 * most - 1 - n) / (2 * n) ** 0.5)
    return min(1.0, 2 * sum(comb(n, k) for k in range(most, n + 1)) / float(2**n))


def _interval(values: Sequence[float], least: float, most: float) -> Interval:
    found = mean_interval(values)
    return Interval(found.mean, max(least, found.low), min(most, found.high))
