"""The points of a sweep tested against each other, from the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.errors import UserError

if TYPE_CHECKING:
    from dsum_bench.statistics import Interval
    from dsum_bench.store.records import RunRecord

MEAN = "mean"


@dataclass(frozen=True, slots=True)
class PointRow:
    """One point of a sweep. point: its settings as typed. mean: on the scale of 100, with its 95 % interval.

    difference: to the best, in points, corrected for all pairs of the sweep as p is; None for the best itself.
    seconds: of a sample.
    """

    run_id: str
    model: str
    point: str
    mean: float
    low: float | None
    high: float | None
    difference: Interval | None
    p: float | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class PointTable:
    """The points of a sweep that were finished, the best first, on the same n samples. pairs: corrected for."""

    metric: str
    measure: str
    data: str
    n: int
    pairs: int
    rows: tuple[PointRow, ...]


def point_table(database: Path, said: Mapping[str, str], metric: str) -> PointTable | None:
    """The finished runs of a sweep tested against each other, by the metric's mean or else its first measure.

    said: run key -> its point. None where no run is finished and scored.
    """
    from dsum_bench.store import reader
    from dsum_bench.store.pairs import compared

    records = [r for r in reader.runs(database) if r.row.run_id in said and r.row.status == "done"]
    records = [r for r in records if any(s.metric == metric for s in r.scores)]
    if not records:
        return None
    means = next(s.means for s in records[0].scores if s.metric == metric)
    measure = MEAN if MEAN in means else next(iter(means))
    scores = {r.row.run_id: _scores(r, metric, measure) for r in records}
    first = records[0]
    data = f"{first.dataset} {first.split}, {first.selection}"
    ordered = sorted(records, key=lambda r: -scores[r.row.run_id][0])
    tests = compared(database, ordered, metric, measure) if len(ordered) > 1 else None
    rows = []
    for record in ordered:
        key = record.row.run_id
        pair = next((p for p in tests.pairs if {p.a, p.b} == {ordered[0].row.run_id, key}), None) if tests else None
        rows.append(
            PointRow(
                key,
                record.row.model,
                said[key],
                *scores[key],
                _turned(pair.difference) if pair is not None else None,
                pair.p if pair is not None else None,
                record.row.seconds_per_sample,
            )
        )
    return PointTable(metric, measure, data, first.row.n_samples, len(tests.pairs) if tests else 0, tuple(rows))


def _scores(record: RunRecord, metric: str, measure: str) -> tuple[float, float | None, float | None]:
    found = next((s for s in reversed(record.scores) if s.metric == metric and measure in s.means), None)
    if found is None:
        raise UserError(f"{record.row.model} ({record.row.run_id}) has no {measure} of {metric}")
    low, high = found.intervals.get(measure, (None, None))
    return found.means[measure], low, high


def _turned(interval: Interval) -> Interval:
    """best - other as other - best."""
    return replace(interval, mean=-interval.mean, low=-interval.high, high=-interval.low)
