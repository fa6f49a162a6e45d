"""Do the stored ROUGE scores stand up to the packages whose definitions they follow?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from dsum_bench.errors import UserError
from dsum_bench.metrics.choose import build, parse_metric
from dsum_bench.metrics.packages import Recompute, Values, recompute
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import Registry
from dsum_bench.spec import Sample
from dsum_bench.store import reader

MEASURES = ("rouge1", "rouge2", "rougeL")
CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of one run and metric.

    agree, differ: samples. ours: samples of which the package gives no value, so that the tool's own definition
    stands. problem: why nothing could be compared, else ''.
    """

    run_id: str
    model: str
    metric: str
    agree: int = 0
    differ: int = 0
    ours: int = 0
    problem: str = ""


def verify(database: Path, registry: Registry, plugins: Plugins) -> Iterator[Verification]:
    """Compute every stored ROUGE score again, of finished runs with averaged references, by the packages."""
    cuts: dict[str, Callable[[str], list[str]]] = {}
    for metric in reader.metrics(database):
        choice = parse_metric(metric)
        if choice.metric not in ("rouge", "rouge-score") or choice.variant:
            continue
        for board in reader.boards(database, metric):
            for row in board.rows:
                try:
                    scorer = build(plugins, metric)
                    if scorer.signature != board.signature:
                        raise UserError(f"it was scored with {board.signature}, and here is {scorer.signature}")
                    assert scorer.tokenizer is not None
                    cut = cuts.setdefault(metric, scorer.tokenizer)
                    samples = _samples(registry, plugins, board.dataset, board.split)
                    stored = reader.samples(database, row.run_id, metric)
                    references = {s.id: s.references for s in samples}
                    mine = {s.sample_id: (s.summary, s.scores) for s in stored}
                    yield _compared(row.run_id, row.model, metric, mine, references, cut, recompute(choice.metric))
                except UserError as error:
                    yield Verification(row.run_id, row.model, metric, problem=str(error))


def _samples(registry: Registry, plugins: Plugins, dataset: str, split: str) -> tuple[Sample, ...]:
    from dsum_bench.datasets.load import load

    if dataset not in registry.datasets:
        raise UserError(f"dataset '{dataset}' is not in the registry any more")
    return load(registry.dataset(dataset), plugins, split)


def _compared(
    run_id: str,
    model: str,
    metric: str,
    mine: Mapping[str, tuple[str, Mapping[str, float]]],
    references: Mapping[str, Sequence[str]],
    cut: Callable[[str], list[str]],
    package: Recompute,
) -> Verification:
    agree = differ = ours = 0
    for sample_id, (summary, scores) in mine.items():
        if sample_id not in references:
            raise UserError(f"its sample '{sample_id}' is not in the data any more")
        theirs = [package(cut(summary), cut(text)) for text in references[sample_id]]
        values = [v for v in theirs if v is not None]
        if len(values) < len(theirs):
            ours += 1
        elif _alike(values, scores):
            agree += 1
        else:
            differ += 1
    return Verification(run_id, model, metric, agree, differ, ours)


def _alike(values: Sequence[Values], scores: Mapping[str, float]) -> bool:
    means = [fmean(column) for column in zip(*values, strict=True)]
    return all(abs(mean - scores[m]) <= CLOSE * 100 for m, mean in zip(MEASURES, means, strict=True))
