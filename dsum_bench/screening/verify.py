"""Do the stored ROUGE scores stand up to the packages whose definitions they follow?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from statistics import fmean
from typing import Literal

from dsum_bench.errors import UserError
from dsum_bench.metrics.bounds import scored_part
from dsum_bench.metrics.choose import build, parse_metric
from dsum_bench.metrics.packages import Recompute, Values, recompute
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import Registry
from dsum_bench.spec import Sample
from dsum_bench.store import reader

MEASURES = ("rouge1", "rouge2", "rougeL")
CLOSE = 1e-9


PAIRS = 1_000_000
"""Pairs of a summary's and a reference's tokens up to which a package is asked. Both keep a table of all pairs, `rouge`
some 200 bytes for each: 1,000,000 take about 0.2 GB and half a second."""

Verdict = Literal["agree", "differ", "ours", "long"]
Progress = Callable[[int, int], None]
"""Told after every run and metric: how many are done, and of how many."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of one run and metric.

    agree, differ: samples. ours: samples of which the package gives no value, so that the tool's own definition
    stands. long: samples with more than PAIRS pairs of tokens, of which it was not asked. problem: why nothing could be
    compared, else ''.
    """

    run_id: str
    model: str
    metric: str
    agree: int = 0
    differ: int = 0
    ours: int = 0
    long: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class StoredScores:
    """One run to be verified on one metric. signature: of the scores that are stored."""

    run_id: str
    model: str
    metric: str
    signature: str
    dataset: str
    split: str


@dataclass(frozen=True, slots=True)
class PackageScorer:
    """A metric as its package has it. tokens: of a summary, and of a reference; the latter are kept, since references
    come again with every run."""

    signature: str
    tokens: Callable[[str], list[str]]
    reference_tokens: Callable[[str], list[str]]
    package: Recompute


def verify(
    database: Path, registry: Registry, plugins: Plugins, progress: Progress = lambda done, total: None
) -> Iterator[Verification]:
    """Compute every stored ROUGE score again, of finished runs with averaged references, by the packages.

    One run is in memory at a time, and what takes a package too long is left out and counted.
    """

    @cache
    def definition(metric: str) -> PackageScorer:
        scorer = build(plugins, metric)
        assert scorer.tokenizer is not None
        kept = lru_cache(maxsize=4096)(scorer.tokenizer)
        return PackageScorer(scorer.signature, scorer.tokenizer, kept, recompute(parse_metric(metric).metric))

    @cache
    def references(dataset: str, split: str) -> Mapping[str, Sequence[str]]:
        return {s.id: s.references for s in _samples(registry, plugins, dataset, split)}

    jobs = list(_jobs(database))
    for done, job in enumerate(jobs, start=1):
        try:
            used = definition(job.metric)
            if used.signature != job.signature:
                raise UserError(f"it was scored with {job.signature}, but this installation has {used.signature}")
            yield _compared(job, database, references(job.dataset, job.split), used)
        except UserError as error:
            yield Verification(job.run_id, job.model, job.metric, problem=str(error))
        progress(done, len(jobs))


def _jobs(database: Path) -> Iterator[StoredScores]:
    for metric in reader.metrics(database):
        choice = parse_metric(metric)
        if choice.metric not in ("rouge", "rouge-score") or choice.variant:
            continue
        for board in reader.boards(database, metric):
            for row in board.rows:
                yield StoredScores(row.run_id, row.model, metric, board.signature, board.dataset, board.split)


def _samples(registry: Registry, plugins: Plugins, dataset: str, split: str) -> tuple[Sample, ...]:
    from dsum_bench.datasets.load import load

    if dataset not in registry.datasets:
        raise UserError(f"dataset '{dataset}' is no longer in the registry")
    return load(registry.dataset(dataset), plugins, split)


def _compared(
    job: StoredScores, database: Path, references: Mapping[str, Sequence[str]], definition: PackageScorer
) -> Verification:
    counts = Counter[Verdict]()
    for stored in reader.samples(database, job.run_id, job.metric):
        if stored.sample_id not in references:
            raise UserError(f"its sample '{stored.sample_id}' is no longer in the data")
        theirs = [definition.reference_tokens(text) for text in references[stored.sample_id]]
        counts[_verdict(definition, scored_part(stored.summary), theirs, stored.scores)] += 1
    found = (counts["agree"], counts["differ"], counts["ours"], counts["long"])
    return Verification(job.run_id, job.model, job.metric, *found)


def _verdict(
    definition: PackageScorer, summary: str, references: Sequence[Sequence[str]], scores: Mapping[str, float]
) -> Verdict:
    ours = definition.tokens(summary)
    if any(len(ours) * len(theirs) > PAIRS for theirs in references):
        return "long"
    found = [definition.package(ours, theirs) for theirs in references]
    values = [v for v in found if v is not None]
    if len(values) < len(found):
        return "ours"
    return "agree" if _alike(values, scores) else "differ"


def _alike(values: Sequence[Values], scores: Mapping[str, float]) -> bool:
    means = [fmean(column) for column in zip(*values, strict=True)]
    return all(abs(mean - scores[m]) <= CLOSE * 100 for m, mean in zip(MEASURES, means, strict=True))
