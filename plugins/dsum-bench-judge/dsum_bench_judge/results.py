"""What a judge found: marks with intervals, and what was asked, missed and paid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan

from dsum_bench.adapters.parsing import without_thoughts
from dsum_bench.combining.agreement import kendall_tau
from dsum_bench.combining.tally import Tally
from dsum_bench.statistics import Interval, mean_interval
from dsum_bench_judge.asking import Asked
from dsum_bench_judge.prompts import CRITERIA, read_choice, read_marks
from dsum_bench_judge.questions import Marks, Material

OVERALL = "overall"


@dataclass(frozen=True, slots=True)
class Marked:
    """One run. means: criterion, and ``overall``, the mean of all -> mean of n samples with its 95 % interval."""

    run: str
    n: int
    means: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Cost:
    """Questions, and the tokens that the server counted for them, answers from the cache included.

    asked: in this call. kept: answered by an earlier one. unanswered: without an answer. unread: with an answer in
    which no verdict could be found. price: of all tokens, in the currency that prices were given in; None without.
    """

    questions: int
    asked: int
    kept: int
    unanswered: int
    unread: int
    prompt_tokens: int
    new_tokens: int
    price: float | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """All that one call found. length_tau: Kendall's tau-b between overall mark and length of a summary, the mean over
    the runs; NaN where marks or lengths do not differ."""

    judge: str
    dialogues: int
    marked: tuple[Marked, ...]
    length_tau: float
    tally: Tally | None
    cost: Cost


def marked(marks: Marks) -> tuple[Marked, ...]:
    """Runs by their overall mark, the best first; those without any mark are left out."""
    found = []
    for run, of_run in marks.items():
        rows = list(of_run.values())
        if rows:
            means = {c: mean_interval([float(row[c]) for row in rows]) for c in CRITERIA}
            means[OVERALL] = mean_interval([overall(row) for row in rows])
            found.append(Marked(run, len(rows), means))
    return tuple(sorted(found, key=lambda m: -m.means[OVERALL].mean))


def overall(row: Mapping[str, int]) -> float:
    """The mean of one sample's marks."""
    return sum(row[c] for c in CRITERIA) / len(CRITERIA)


def length_tau(marks: Marks, given: Material) -> float:
    """How marks go with length, within runs: longer summaries of one run against its shorter ones."""
    taus = [
        kendall_tau([overall(row) for row in rows.values()], [float(len(given.summaries[run][i])) for i in rows])
        for run, rows in marks.items()
    ]
    known = [tau for tau in taus if not isnan(tau)]
    return sum(known) / len(known) if known else nan


def price(prices: Sequence[float], prompt_tokens: int, new_tokens: int) -> float | None:
    """What tokens cost. prices: of a million prompt tokens and of a million output tokens; empty when not known."""
    return (prices[0] * prompt_tokens + prices[1] * new_tokens) / 1e6 if prices else None


def cost_of(found: Asked, markings: int, prices: Sequence[float]) -> Cost:
    """What was asked, missed and paid. markings: how many of the questions, the first ones, are for marks."""
    unread = sum(
        answer is not None and (read_marks if i < markings else read_choice)(without_thoughts(answer.text)) is None
        for i, answer in enumerate(found.answers)
    )
    return Cost(
        questions=len(found.answers),
        asked=found.asked,
        kept=found.kept,
        unanswered=sum(answer is None for answer in found.answers),
        unread=unread,
        prompt_tokens=found.prompt_tokens,
        new_tokens=found.new_tokens,
        price=price(prices, found.prompt_tokens, found.new_tokens),
    )


def judgement(judge: str, given: Material, marks: Marks, tally: Tally | None, cost: Cost) -> Judgement:
    """All that was found, put together."""
    return Judgement(judge, len(given.dialogues), marked(marks), length_tau(marks, given), tally, cost)
