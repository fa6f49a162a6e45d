"""Pairs of stored summaries, a better and a worse one of the same dialogue, ranked by a metric."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsum_bench.checks import runner
from dsum_bench.checks.base import RunOutputs
from dsum_bench.errors import UserError
from dsum_bench.fingerprints import dialogue_digest
from dsum_bench.plugins import Plugins
from dsum_bench.screening import derived
from dsum_bench.screening.targets import MEASURE
from dsum_bench.spec import Preferences
from dsum_bench.store import reader
from dsum_bench.store.records import RunRecord

GAP = 5.0
"""Points of the metric that two summaries differ by at least. Less is mostly noise: on one dialogue ROUGE moves by as
much when a synonym is chosen."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A summary that may be part of a pair. sound: no check finds fault with it, so that it may be preferred."""

    text: str
    score: float
    sound: bool


def read(
    path: Path,
    records: Sequence[RunRecord],
    metric: str | None,
    gap: float,
    plugins: Plugins,
    warn: Callable[[str], None],
) -> Preferences:
    """A pair of every dialogue whose best and worst summary are far enough apart.

    The best is taken from those that no check finds fault with; the worst may be any that is not empty.

    Args:
        metric: by which summaries are ranked, on the measure ``mean`` or its first; None for the metric that ranks the
            first run's data.
        gap: points that the better one must be ahead, 0 for any.

    Raises:
        UserError: fewer than two runs, one that is not finished or has no dialogues stored, no scores that can be
            compared, or no pair.
    """
    runs = {record.row.run_id: record for record in records}
    if len(runs) < 2:
        raise UserError("--preferences needs two or more runs")
    if gap < 0:
        raise UserError(f"--min-gap {gap:g}: must not be negative")
    chosen = metric or reader.usual_metric(path, records[0].row.run_id)
    _check_signatures(list(runs.values()), chosen)
    found: dict[str, list[Candidate]] = {}
    for record in runs.values():
        for digest, candidate in _candidates(path, record, chosen, plugins, warn).items():
            found.setdefault(digest, []).append(candidate)
    several = {digest: candidates for digest, candidates in found.items() if len(candidates) > 1}
    pairs, dropped, widest = _pairs(several, gap)
    models = tuple(dict.fromkeys(record.row.model for record in runs.values()))
    made = Preferences(tuple(runs), models, chosen, gap, pairs, len(several), dropped)
    if not several:
        raise UserError(f"--preferences: no dialogue was summarised by two of the runs of {', '.join(models)}")
    if not pairs:
        hint = f"; the widest gap is {widest:.2f}, see --min-gap" if widest > 0 else ""
        raise UserError(f"--preferences: no pair is left, {made}{hint}")
    return made


def _check_signatures(records: Sequence[RunRecord], metric: str) -> None:
    """Refuse runs that have no scores of a metric, or scores that were not computed in the same way."""
    signed: dict[str, str] = {}
    for record in records:
        scores = {s.metric: s.signature for s in record.scores}
        if metric not in scores:
            raise UserError(
                f"--rank-by: run {record.row.run_id} of {record.row.model} has no scores of {metric}; it has "
                f"{', '.join(sorted(scores)) or 'none'} (dsum-bench rescore adds some)"
            )
        signed.setdefault(scores[metric], record.row.run_id)
    if len(signed) > 1:
        told = " and ".join(f"{signature} (run {run})" for signature, run in signed.items())
        raise UserError(f"--rank-by: {metric} was not computed in the same way in all runs: {told}; rescore them")


def _candidates(
    path: Path, record: RunRecord, metric: str, plugins: Plugins, warn: Callable[[str], None]
) -> dict[str, Candidate]:
    """A run's summaries by the digest of their dialogue."""
    samples = {s.id: s for s in derived.samples(path, derived.finished(record))}
    outputs, run = derived.outputs(path, record), derived.run_spec(record)
    scored = {s.sample_id: s.scores for s in reader.samples(path, record.row.run_id, metric)}
    found = {}
    for sample_id, output in outputs.items():
        sample, scores = samples[sample_id], scored.get(sample_id)
        if not scores or not output.summary.strip():
            continue
        written = RunOutputs(run, {sample_id: sample}, {sample_id: output}, complete=False)
        faults = [f for f in runner.after(plugins, written, control=False, warn=warn) if f.level != "note"]
        score = scores.get(MEASURE, next(iter(scores.values())))
        found[dialogue_digest(sample.dialogue)] = Candidate(output.summary, score, not faults)
    return found


def _pairs(
    several: Mapping[str, Sequence[Candidate]], gap: float
) -> tuple[dict[str, tuple[str, str]], dict[str, int], float]:
    """Pairs by dialogue, how many dialogues have none and why, and the widest gap of all."""
    pairs: dict[str, tuple[str, str]] = {}
    dropped: Counter[str] = Counter()
    widest = 0.0
    for digest, candidates in several.items():
        sound = [c for c in candidates if c.sound]
        if not sound:
            dropped["with faults only"] += 1
            continue
        best = max(sound, key=lambda c: c.score)
        worst = min(candidates, key=lambda c: c.score)
        apart = best.score - worst.score
        widest = max(widest, apart)
        if apart <= 0 or apart < gap:
            dropped[f"less than {gap:g} apart" if gap else "equally good"] += 1
        else:
            pairs[digest] = (best.text, worst.text)
    return pairs, dict(dropped), widest
