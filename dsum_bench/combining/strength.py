"""How strong runs are by the votes between them (Bradley and Terry 1952), with intervals. Needs numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsum_bench.combining.votes import Vote
from dsum_bench.statistics import Interval

Floats = npt.NDArray[np.float64]

PRIOR = 1.0
"""Games that each run plays, half of them won, against one of mean strength, so that a run that won every vote has a
strength too. With a hundred votes a run it moves a rate by less than a point."""
DRAWS = 1000
SEED = 42
TOLERANCE = 1e-9
STEPS = 200
LONGEST_STEP = 2.0


@dataclass(frozen=True, slots=True)
class Strength:
    """One run. rate: how often, in per cent, it would be preferred to another of the runs, on average.

    log: the logarithm of its strength, less the mean of all runs. wins, ties, losses: votes.
    """

    run: str
    rate: Interval
    log: Interval
    wins: int
    ties: int
    losses: int


def strengths(votes: Sequence[Vote], draws: int = DRAWS, seed: int = SEED) -> list[Strength]:
    """The runs that were voted on, the strongest first.

    A tie is half a win of each. Intervals (95 %) are of the percentile bootstrap over dialogues, since votes on one
    dialogue are not independent of each other.

    Raises:
        ValueError: no votes.
    """
    if not votes:
        raise ValueError("there are no votes")
    runs = sorted({run for vote in votes for run in vote.pair})
    by_sample = _wins(votes, runs)
    whole = by_sample.sum(axis=0)
    logs = bradley_terry(whole, PRIOR)
    size = len(by_sample)
    counts = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), size=draws).astype(np.float64)
    resampled = bradley_terry((counts @ by_sample.reshape(size, -1)).reshape(draws, len(runs), len(runs)), PRIOR)
    log_ends = np.quantile(resampled, [0.025, 0.975], axis=0)
    rate, rate_ends = rates(logs), np.quantile(rates(resampled), [0.025, 0.975], axis=0)
    found = [
        Strength(
            run,
            Interval(float(rate[i]), float(rate_ends[0, i]), float(rate_ends[1, i])),
            Interval(float(logs[i]), float(log_ends[0, i]), float(log_ends[1, i])),
            sum(v.winner == run for v in votes),
            sum(run in v.pair and v.winner is None for v in votes),
            sum(run in v.pair and v.winner not in (run, None) for v in votes),
        )
        for i, run in enumerate(runs)
    ]
    return sorted(found, key=lambda s: -s.log.mean)


def bradley_terry(wins: Floats, prior: float = 0.0) -> Floats:
    """Logarithms of the strengths that make these wins most likely, their mean 0.

    By Newton's method; the likelihood is concave in the logarithms. The prior is that of Caron and Doucet (2012) seen
    as games against a player of strength 1.

    Args:
        wins: how often row was preferred to column, shape (..., runs, runs); the diagonal is not read.
        prior: games of each run against a player of mean strength, half of them won. With 0 every run must be
            connected to every other by a chain of wins, or strengths run away.

    Returns:
        shape (..., runs).
    """
    count = wins.shape[-1]
    data = np.asarray(wins, dtype=np.float64) * (1 - np.eye(count))
    games = data + np.swapaxes(data, -1, -2)
    won = data.sum(axis=-1) + prior / 2
    logs = np.zeros(won.shape)
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(logs[..., None, :] - logs[..., :, None]))
        alone = 1 / (1 + np.exp(-logs))
        gradient = won - (games * chance).sum(axis=-1) - prior * alone
        curvature = games * chance * (1 - chance)
        diagonal = curvature.sum(axis=-1) + prior * alone * (1 - alone)
        hessian = diagonal[..., None] * np.eye(count) - curvature
        if prior == 0:
            hessian = hessian + 1 / count  # all strengths may be multiplied alike; this holds their mean
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        logs = logs + np.clip(step, -LONGEST_STEP, LONGEST_STEP)
        if np.abs(step).max() < TOLERANCE:
            break
    centred: Floats = logs - logs.mean(axis=-1, keepdims=True)
    return centred


def rates(logs: Floats) -> Floats:
    """How often each run is preferred to another one, in per cent, on average over the others.

    Args:
        logs: as ``bradley_terry`` gives them, shape (..., runs).
    """
    count = logs.shape[-1]
    beats = 1 / (1 + np.exp(logs[..., None, :] - logs[..., :, None]))
    others: Floats = 100 * (beats.sum(axis=-1) - 0.5) / max(1, count - 1)
    return others


def _wins(votes: Sequence[Vote], runs: Sequence[str]) -> Floats:
    """Shape (dialogues, runs, runs): how often row was preferred to column; half of a tie counts on each side."""
    place = {run: i for i, run in enumerate(runs)}
    samples = {sample_id: i for i, sample_id in enumerate(dict.fromkeys(v.sample_id for v in votes))}
    wins = np.zeros((len(samples), len(runs), len(runs)))
    for vote in votes:
        first, second = place[vote.first], place[vote.second]
        share = {"first": 1.0, "second": 0.0, "tie": 0.5}[vote.choice]
        wins[samples[vote.sample_id], first, second] += share
        wins[samples[vote.sample_id], second, first] += 1 - share
    return wins
