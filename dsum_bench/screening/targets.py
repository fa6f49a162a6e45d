"""The summaries of a stored run that a training may learn: filtered by checks and by a metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from dsum_bench.checks import runner
from dsum_bench.checks.base import RunOutputs
from dsum_bench.errors import UserError
from dsum_bench.fingerprints import dialogue_digest
from dsum_bench.plugins import Plugins
from dsum_bench.screening import derived
from dsum_bench.spec import Targets
from dsum_bench.store import reader
from dsum_bench.store.records import RunRecord

MEASURE = "mean"


def read(path: Path, record: RunRecord, least: Sequence[str], plugins: Plugins, warn: Callable[[str], None]) -> Targets:
    """The summaries of a finished run that no check finds fault with, and that score enough.

    least: thresholds, ``30`` for the metric that ranks the run's data, or ``METRIC=30``; by the measure ``mean``, or
        the metric's first.

    Raises:
        UserError: the run is not finished, has no dialogues stored or no such scores, or nothing is left of it.
    """
    samples = {s.id: s for s in derived.samples(path, derived.finished(record))}
    outputs = derived.outputs(path, record)
    run = derived.run_spec(record)
    scores = {threshold: _scores(path, record, *_threshold(path, record, threshold)) for threshold in least}
    dropped: Counter[str] = Counter()
    kept = {}
    for sample_id, output in outputs.items():
        sample = samples[sample_id]
        written = RunOutputs(run, {sample_id: sample}, {sample_id: output}, complete=False)
        findings = [f for f in runner.after(plugins, written, control=False, warn=warn) if f.level != "note"]
        low = [t for t, enough in scores.items() if not enough.get(sample_id, False)]
        if findings:
            dropped[findings[0].check] += 1
        elif low:
            dropped[f"below {low[0]}"] += 1
        else:
            kept[dialogue_digest(sample.dialogue)] = output.summary
    found = Targets(record.row.run_id, record.row.model, kept, len(outputs), dict(dropped), tuple(least))
    if not kept:
        raise UserError(f"--targets {record.row.run_id}: nothing is left, {found}")
    return found


def _threshold(path: Path, record: RunRecord, text: str) -> tuple[str, float]:
    metric, equals, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        raise UserError(f"--min-score {text}: give a number, or METRIC=NUMBER") from None
    return metric if equals else reader.usual_metric(path, record.row.run_id), value


def _scores(path: Path, record: RunRecord, metric: str, least: float) -> dict[str, bool]:
    """Sample id -> whether it reaches the threshold."""
    known = sorted({scores.metric for scores in record.scores})
    if metric not in known:
        raise UserError(f"--min-score: run {record.row.run_id} has no scores of {metric}; it has {', '.join(known)}")
    found = {s.sample_id: s.scores for s in reader.samples(path, record.row.run_id, metric)}
    return {i: (scores.get(MEASURE, next(iter(scores.values()))) >= least) for i, scores in found.items() if scores}
