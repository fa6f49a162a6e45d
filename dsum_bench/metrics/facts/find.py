"""Everything in a summary that can be looked up in its dialogue, each with how well the dialogue bears it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp
from typing import Literal

from dsum_bench.dialogue import TAG
from dsum_bench.metrics.facts.names import names
from dsum_bench.metrics.facts.polarity import doubt
from dsum_bench.metrics.facts.predicates import predicates
from dsum_bench.metrics.facts.quantities import TIMES, quantities, weak
from dsum_bench.metrics.facts.reading import Reading
from dsum_bench.metrics.facts.speakers import CLASH, claims, clashes, evidence
from dsum_bench.metrics.facts.spelling import has_name
from dsum_bench.metrics.morphemes import Morpheme

Kind = Literal["numbers", "times", "names", "tags", "polarity", "speakers"]
KINDS: tuple[Kind, ...] = ("numbers", "times", "names", "tags", "polarity", "speakers")


@dataclass(frozen=True, slots=True)
class Fact:
    """kind: what sort of fact. text: as the summary has it. start: its first character there.

    support: evidence for it (positive) or against it, in units of log odds; a number, time, name or tag is either in
    the dialogue (+inf) or not (-inf).
    """

    kind: Kind
    text: str
    start: int
    support: float


SURE = float("inf")


def facts(summary: str, reading: Reading) -> list[Fact]:
    """What a summary says that a dialogue can tell."""
    morphemes = reading.analyser(summary)
    return [
        *_quantities(summary, reading),
        *_names(summary, morphemes, reading),
        *_tags(summary, reading),
        *_polarity(morphemes, summary, reading),
        *_speakers(summary, morphemes, reading),
    ]


def _found(there: bool) -> float:
    return SURE if there else -SURE


def _quantities(summary: str, reading: Reading) -> Iterator[Fact]:
    for q in quantities(summary):
        if not weak(q):
            kind: Kind = "times" if q.kind in TIMES else "numbers"
            yield Fact(kind, q.text, q.start, _found(reading.known.supports(q)))


def _names(summary: str, morphemes: Sequence[Morpheme], reading: Reading) -> Iterator[Fact]:
    for name, start in names(summary, morphemes, reading.analyser):
        yield Fact("names", name, start, _found(has_name(reading.lower, name, reading.proper)))


def _tags(summary: str, reading: Reading) -> Iterator[Fact]:
    for tag in TAG.finditer(summary):
        yield Fact("tags", tag.group(), tag.start(), _found(tag.group() in reading.text))


def _polarity(morphemes: Sequence[Morpheme], summary: str, reading: Reading) -> Iterator[Fact]:
    for predicate in predicates(morphemes):
        against = doubt(predicate, morphemes, reading)
        if against is not None:
            morpheme = morphemes[predicate.index]
            yield Fact("polarity", predicate.stem, morpheme.start, -against)


def _speakers(summary: str, morphemes: Sequence[Morpheme], reading: Reading) -> Iterator[Fact]:
    if len(reading.speakers) < 2:
        return
    for claim in claims(summary, morphemes, reading.names):
        if claim.speaker in reading.speakers:
            yield Fact("speakers", claim.text, claim.start, evidence(claim, reading))
    for name in clashes(summary, reading):
        yield Fact("speakers", name, summary.index(name), -CLASH)


PRIOR: dict[Kind, float] = {"polarity": 1.5, "speakers": 0.0}
"""Log odds before any evidence: most of what summaries say is not turned round; of two speakers either may be meant."""


def degree(kind: Kind, found: Sequence[Fact]) -> float:
    """The facts of one kind as a number between 0 and 1: the share that the dialogue has, of what it has or has not;
    else the probability that the evidence adds up to. Without any fact 1, or the probability before any evidence."""
    if kind not in PRIOR:
        return sum(f.support > 0 for f in found) / len(found) if found else 1.0
    total = PRIOR[kind] + sum(f.support for f in found)
    return 1 / (1 + exp(-max(-50.0, min(50.0, total))))
