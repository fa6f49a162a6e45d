"""Votes counted: rankings of people and of each judge, their biases, and how far they agree with each other and with
every metric of the store. Needs numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

from dsum_bench.combining.agreement import (
    Agreement,
    Opinion,
    Unit,
    agreement,
    alpha_between,
    by_scores,
    majority,
    opinions,
)
from dsum_bench.combining.bias import LengthBias, PositionBias, length_bias, position_bias
from dsum_bench.combining.strength import Strength, strengths
from dsum_bench.combining.votes import Vote
from dsum_bench.errors import UserError
from dsum_bench.store import reader

PEOPLE = "people"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store knows of the runs that were voted on.

    lengths: characters of a summary, by run and sample id. scores: ``rouge@mecab mean`` -> run -> sample id -> score.
    unknown: runs that the store does not have, and why.
    """

    lengths: Mapping[tuple[str, str], int]
    scores: Mapping[str, Mapping[str, Mapping[str, float]]]
    unknown: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Poll:
    """What one judge, or all people together, found. alpha: Krippendorff's, between people; NaN for one voter."""

    name: str
    voters: int
    votes: int
    dialogues: int
    ranking: tuple[Strength, ...]
    position: PositionBias | None
    length: LengthBias | None
    alpha: float


@dataclass(frozen=True, slots=True)
class Tally:
    """All polls, people first. agreements: poll -> how the polls after it, and every metric, agree with it."""

    polls: tuple[Poll, ...]
    agreements: Mapping[str, tuple[Agreement, ...]]
    unknown: Mapping[str, str]


def tally(votes: Sequence[Vote], stored: Stored) -> Tally:
    """Count votes. Raises ValueError when there are none."""
    by_poll: dict[str, list[Vote]] = {}
    for vote in sorted(votes, key=lambda v: v.is_judge):
        by_poll.setdefault(vote.voter if vote.is_judge else PEOPLE, []).append(vote)
    if not by_poll:
        raise ValueError("there are no votes")
    polls = tuple(_poll(name, given, stored) for name, given in by_poll.items())
    minds = {name: majority(list(opinions(given).values())) for name, given in by_poll.items()}
    ranks = {poll.name: {s.run: s.log.mean for s in poll.ranking} for poll in polls}
    names = list(minds)
    agreements = {}
    for place, name in enumerate(names):
        units = list(minds[name])
        raters = {other: (minds[other], ranks[other]) for other in names[place + 1 :]}
        raters |= {m: (by_scores(scores, units), _means(scores, units)) for m, scores in stored.scores.items()}
        found = [agreement(rater, mind, minds[name], (rank, ranks[name])) for rater, (mind, rank) in raters.items()]
        agreements[name] = tuple(f for f in found if f.pairs)
    return Tally(polls, agreements, stored.unknown)


def _poll(name: str, votes: Sequence[Vote], stored: Stored) -> Poll:
    ranking = tuple(strengths(votes))
    voters: list[Opinion] = list(opinions(votes).values())
    return Poll(
        name,
        len(voters),
        len(votes),
        len({v.sample_id for v in votes}),
        ranking,
        position_bias(votes),
        length_bias(votes, ranking, stored.lengths),
        alpha_between(voters) if len(voters) > 1 else nan,
    )


def _means(scores: Mapping[str, Mapping[str, float]], units: Sequence[Unit]) -> dict[str, float]:
    """Mean score of each run on the dialogues that were voted on."""
    asked = {sample_id for sample_id, _ in units}
    mine = {run: [v for s, v in values.items() if s in asked] for run, values in scores.items()}
    return {run: sum(values) / len(values) for run, values in mine.items() if values}


def stored(database: Path, runs: Sequence[str]) -> Stored:
    """Lengths and scores of runs, named as ``reader.run`` takes them. A run that is not there is left out, and said."""
    lengths: dict[tuple[str, str], int] = {}
    scores: dict[str, dict[str, dict[str, float]]] = {}
    unknown: dict[str, str] = {}
    for name in dict.fromkeys(runs):
        try:
            record = reader.run(database, name)
        except UserError as error:
            unknown[name] = str(error)
            continue
        for metric in dict.fromkeys(s.metric for s in record.scores):
            for sample in reader.samples(database, record.row.run_id, metric):
                lengths[name, sample.sample_id] = len(sample.summary)
                for measure, value in _told(sample.scores).items():
                    of_run = scores.setdefault(f"{metric} {measure}", {}).setdefault(name, {})
                    of_run[sample.sample_id] = value
    return Stored(lengths, scores, unknown)


def _told(scores: Mapping[str, float]) -> Mapping[str, float]:
    """The measure ``mean`` where there is one, which says what the others do; else all."""
    return {"mean": scores["mean"]} if "mean" in scores else scores
