"""Score stored summaries with further metrics; nothing is generated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dsum_bench.errors import plugin_code
from dsum_bench.metrics.base import Metric
from dsum_bench.metrics.bounds import scored_part
from dsum_bench.screening.sweep import checked_values
from dsum_bench.spec import Sample
from dsum_bench.store.records import RunRecord
from dsum_bench.store.samples import stored_samples
from dsum_bench.store.writer import Busy, Store


@dataclass(frozen=True, slots=True)
class Rescored:
    """One run. scored: samples that got scores; reason: why it got none, '' where nothing was in the way."""

    run_id: str
    model: str
    scored: int
    reason: str = ""


def rescore(
    store: Store,
    records: Sequence[RunRecord],
    metrics: Mapping[str, Metric],
    told: Callable[[Rescored], None] = lambda _: None,
) -> list[Rescored]:
    """Give every sample of some runs the scores of metrics that it lacks.

    metrics: by what a user types for them. told: hears of each run when it is through.
    """
    for choice, metric in metrics.items():
        store.declare_signature(metric.signature, choice, metric.measures)
    samples: dict[tuple[str, str], dict[str, Sample]] = {}
    found = []
    for record in records:
        where = (record.spec["dataset_fingerprint"], record.spec["references_fingerprint"])
        if where not in samples:
            samples[where] = _samples(store, *where)
        found.append(_rescored(store, record, metrics, samples[where]))
        told(found[-1])
    return found


def _samples(store: Store, dataset_fingerprint: str, references_fingerprint: str) -> dict[str, Sample]:
    stored = stored_samples(store.path, dataset_fingerprint, references_fingerprint)
    return {
        s.sample_id: Sample(s.sample_id, s.dialogue, s.references, s.topic) for s in stored if s.dialogue is not None
    }


def _rescored(
    store: Store, record: RunRecord, metrics: Mapping[str, Metric], samples: Mapping[str, Sample]
) -> Rescored:
    row = record.row
    try:
        store.refuse_busy("runs", row.run_id)
    except Busy as error:
        return Rescored(row.run_id, row.model, 0, str(error))
    outputs = store.outputs(row.run_id)
    if any(sample_id not in samples for sample_id in outputs):
        reason = "the database keeps no dialogues of it; screen it again with --metric"
        return Rescored(row.run_id, row.model, 0, reason)
    missing: dict[str, dict[str, Mapping[str, float]]] = {}
    for metric in metrics.values():
        scored = store.scored(row.run_id, metric.signature)
        for sample_id, output in outputs.items():
            if sample_id not in scored:
                try:
                    with plugin_code():
                        values = checked_values(metric.score(scored_part(output.summary), samples[sample_id]), metric)
                except Exception as error:  # a metric may be a plugin; its fault must cost no other run
                    reason = f"{metric.name} failed on sample {sample_id}: {type(error).__name__}: {error}"
                    return Rescored(row.run_id, row.model, 0, reason)
                missing.setdefault(sample_id, {})[metric.signature] = values
    if missing:
        store.add_scores(row.run_id, missing)
        store.renew_means(row.run_id)
    return Rescored(row.run_id, row.model, len(missing))
