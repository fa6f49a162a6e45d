"""One sample with everything there is of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dsum_bench.errors import UserError, suggestion
from dsum_bench.store import reader
from dsum_bench.store.records import RunRecord, SampleRecord
from dsum_bench.store.samples import StoredSample, stored_samples


@dataclass(frozen=True, slots=True)
class SampleView:
    """One sample and what every run wrote about it, the best by the metric first; unscored ones last.

    sample: None where the database keeps nothing of it.
    """

    sample_id: str
    sample: StoredSample | None
    outputs: tuple[tuple[RunRecord, SampleRecord], ...]


def sample_views(path: Path, sample_id: str, run: str | None, metric: str | None) -> list[SampleView]:
    """A sample of each set of dialogues and references that has one of this id.

    run: the only run to show, by anything that names one. metric: whose scores order; without one, that of the
        language of the dialogues.

    Raises:
        UserError: no run has such a sample.
    """
    records = [reader.run(path, run)] if run else reader.runs(path)
    sets: dict[tuple[str, str], list[tuple[RunRecord, SampleRecord]]] = {}
    known: set[str] = set()
    for record in records:
        for sample in reader.samples(path, record.row.run_id, metric):
            known.add(sample.sample_id)
            if sample.sample_id == sample_id:
                where = (record.spec["dataset_fingerprint"], record.spec["references_fingerprint"])
                sets.setdefault(where, []).append((record, sample))
    if not sets:
        raise UserError(f"no run has a sample '{sample_id}'{suggestion(sample_id, known)}")
    return [_view(path, sample_id, where, found) for where, found in sets.items()]


def _view(
    path: Path, sample_id: str, where: tuple[str, str], found: list[tuple[RunRecord, SampleRecord]]
) -> SampleView:
    stored: Mapping[str, StoredSample] = {s.sample_id: s for s in stored_samples(path, *where)}
    found.sort(key=lambda pair: -reader.overall(pair[1].scores) if pair[1].scores else float("inf"))
    return SampleView(sample_id, stored.get(sample_id), tuple(found))
