"""A race: candidates are scored on growing parts of the samples, and those that are behind stop.

Successive halving (Karnin, Koren and Somekh 2013; Jamieson and Talwalkar 2016) with a test: who is behind the leader
by more than chance stops at once, and a share of the field stops in every round, so that the race never generates more
than its budget. How often it finds the winner of the full sweep: results/reference/race.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt

from dsum_bench.statistics.distributions import t_p

Floats = npt.NDArray[np.float64]
Why = Literal["won", "behind", "budget", "failed"]
Scores = Callable[[Sequence[int], int], Mapping[int, Floats]]
"""From candidates and a number of samples to the scores of each on the first so many; who failed is left out."""

BUDGETS = ((8, 0.4), (5, 0.5), (4, 0.6), (0, 0.75))
"""Share of what the full sweep would generate that a race generates at most, for so many candidates or more. Of few
candidates the last two are a large part, and which of two close ones wins shows only on most of the samples."""
FIRST, LEAST = 16, 16
"""The first round has a sixteenth of the samples, and this many at least."""
SMALLEST = ceil(LEAST / min(share for _, share in BUDGETS))
"""Of fewer samples the first round alone could be more than the budget."""
ALPHA = 0.05
"""How often the best candidate may be stopped as behind, in all rounds together."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How one candidate's race ended.

    why: ``won``; ``behind``, told apart from the leader; ``budget``, not among those that a round has room for, and not
    told apart; ``failed``. n: samples it was scored on. mean: over them. behind: points below the leader on the same
    samples; p: one-sided, corrected for all rivals and rounds.
    """

    candidate: int
    why: Why
    n: int
    mean: float
    behind: float = 0.0
    p: float = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A whole race. ended: the winner first, then in the reverse order of stopping, the better first. sizes: samples of
    each round that was run. generated: samples of all candidates together."""

    ended: tuple[Ended, ...]
    sizes: tuple[int, ...]
    generated: int

    @property
    def winner(self) -> Ended | None:
        """None where every candidate failed."""
        return next((e for e in self.ended if e.why == "won"), None)


@dataclass(frozen=True, slots=True)
class RaceRow:
    """One candidate of a race. point: of a sweep, '' without one. The rest is as of ``Ended``."""

    run_id: str
    model: str
    point: str
    why: Why
    n: int
    mean: float
    behind: float
    p: float


@dataclass(frozen=True, slots=True)
class RaceTable:
    """A race: the winner first. sizes: samples of the rounds that were run. generated: samples of all candidates, of
    those that the full sweep would generate."""

    metric: str
    samples: int
    sizes: tuple[int, ...]
    generated: int
    full: int
    rows: tuple[RaceRow, ...]


def rounds(samples: int) -> tuple[int, ...]:
    """Samples of each round: doubled from a sixteenth, all of them in the last."""
    sizes = [max(LEAST, ceil(samples / FIRST))]
    while sizes[-1] * 2 < samples:
        sizes.append(sizes[-1] * 2)
    return (*(n for n in sizes if n < samples), samples)


def budget_of(candidates: int) -> float:
    """The share of the full sweep that a race of so many candidates generates at most."""
    return next(share for least, share in BUDGETS if candidates >= least)


def places(candidates: int, sizes: Sequence[int], budget: float) -> tuple[int, ...]:
    """How many candidates each round has room for, all of them in the first: about a constant share of those of the
    round before, and as many as the budget allows."""
    whole = budget * candidates * sizes[-1]

    def cost(room: Sequence[int]) -> int:
        steps = zip(room, sizes, (0, *sizes), strict=False)
        return sum(k * (n - before) for k, n, before in steps if k > 1)  # one alone has won

    def field(share: float) -> list[int]:
        return [max(round(candidates * share**r), 1) for r in range(len(sizes))]

    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(field(middle)) <= whole else (low, middle)
    room = field(low)
    raised = True
    while raised:  # rounding has left some of the budget
        raised = False
        for r in range(1, len(room)):
            more = [*room[:r], room[r] + 1, *room[r + 1 :]]
            if more[r] <= more[r - 1] and cost(more) <= whole:
                room, raised = more, True
    return tuple(room)


def race(candidates: int, samples: int, scores: Scores, budget: float | None = None) -> Outcome:
    """Let candidates race over samples in an order that is given.

    Where the next round has room for fewer than two, the best two share what is left of the budget.

    budget: share of the full sweep; None for that of so many candidates.
    """
    share = budget_of(candidates) if budget is None else budget
    sizes = rounds(samples)
    room = (*places(candidates, sizes, share)[1:], 1)
    looks = max(len(sizes) - 1, 1)
    alive, ended, run, generated = list(range(candidates)), list[Ended](), list[int](), 0
    n, last = sizes[0], False
    while True:
        generated += len(alive) * (n - (run[-1] if run else 0))
        run.append(n)
        found = scores(alive, n)
        gone = [Ended(c, "failed", n, 0.0) for c in alive if c not in found]
        alive = sorted(found, key=lambda c: -float(found[c].mean()))
        last = last or n == samples
        most = room[len(run) - 1]
        rest = min(int(share * candidates * samples - generated) // 2, samples - n) if most < 2 else 0
        stopped = _stopped(alive, found, n, looks, 2 if rest else most, last)
        ended = [*stopped, *gone, *ended]
        alive = [c for c in alive if c not in {e.candidate for e in stopped}]
        if len(alive) < 2:
            break
        n, last = (n + rest, True) if rest else (sizes[len(run)], False)
    winners = [Ended(c, "won", run[-1], float(found[c].mean())) for c in alive]
    return Outcome((*winners, *ended), tuple(run), generated)


def _stopped(
    alive: Sequence[int], found: Mapping[int, Floats], n: int, looks: int, most: int, last: bool
) -> list[Ended]:
    """Who stops after a round, the better first. alive: the leader first."""
    stopped = []
    for place, candidate in enumerate(alive[1:], 1):
        gap = found[alive[0]] - found[candidate]
        p = min(_one_sided(gap) * looks * (len(alive) - 1), 1.0)
        why: Why = "behind" if p < ALPHA else "budget"
        if why == "behind" or place >= most or last:
            stopped.append(Ended(candidate, why, n, float(found[candidate].mean()), float(gap.mean()), p))
    return stopped


def _one_sided(gap: Floats) -> float:
    """p of a mean gap above 0, by Student's t."""
    if gap.size < 2:
        return 1.0
    error = float(gap.std(ddof=1)) / sqrt(gap.size)
    if error == 0:
        return 0.0 if gap.mean() > 0 else 1.0
    t = float(gap.mean()) / error
    return t_p(abs(t), gap.size - 1) / 2 if t > 0 else 1.0


def race_table(
    outcome: Outcome, names: Sequence[tuple[str, str]], runs: Mapping[tuple[str, str], str], samples: int, metric: str
) -> RaceTable:
    """An outcome with the names of its candidates, model and point, and the keys of their last runs."""
    rows = tuple(
        RaceRow(runs.get(names[e.candidate], ""), *names[e.candidate], e.why, e.n, e.mean, e.behind, e.p)
        for e in outcome.ended
    )
    return RaceTable(metric, samples, outcome.sizes, outcome.generated, len(names) * samples, rows)
