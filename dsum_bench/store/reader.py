"""What a results database is asked. ``boards`` and ``reading``, modules of their own, can be had from here too.

Nothing but the standard library: sqlite-utils is for writing only, since importing it takes longer than a leaderboard.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dsum_bench.errors import UserError, suggestion
from dsum_bench.languages import main_metric
from dsum_bench.store import scores as stored_scores
from dsum_bench.store.boards import STATUS_ORDER, boards
from dsum_bench.store.catalog import ambiguous, matches
from dsum_bench.store.reading import Contents, reading
from dsum_bench.store.records import AskedPrompt, RunRecord, SampleRecord
from dsum_bench.store.stored_runs import StoredRun, measure_order, stored_runs

if TYPE_CHECKING:
    from dsum_bench.spec import Draft

__all__ = [
    "DEFAULT_METRIC", "STATUS_ORDER", "Contents", "Order", "boards", "drafts", "finished", "metrics", "overall",
    "reading", "run", "runs", "samples", "usual_metric",
]  # fmt: skip

DEFAULT_METRIC = main_metric("ko")
Order = Literal["position", "worst", "best"]
SIGNATURES = "select id, measures from signatures where metric = ? order by id desc"


def metrics(path: Path) -> list[str]:
    """The metrics that anything in the database was scored with, sorted."""
    with reading(path) as db:
        return [row[0] for row in db.execute("select distinct metric from signatures order by metric")]


def finished(path: Path) -> set[str]:
    """Keys of the runs that have a summary of every sample."""
    with reading(path) as db:
        return {row[0] for row in db.execute("select id from runs where status = 'done'")}


def run(path: Path, name: str) -> RunRecord:
    """One run by its key or the beginning of it, its name, its model's name, or a few words of what describes it.

    Raises:
        UserError: there is none, or more than one; says what tells them apart.
    """
    known = runs(path)
    found = matches(known, name)
    if not found:
        raise UserError(f"no run or model '{name}' in {path}{suggestion(name, {r.row.model for r in known})}")
    if len(found) > 1:
        raise UserError(ambiguous(name, found))
    return found[0]


def runs(path: Path) -> list[RunRecord]:
    """Every run, in the order in which they began."""
    with reading(path) as db:
        rows = {row["id"]: row for row in db.execute("select * from runs")}
        return [_record(found, rows[found.row.run_id]) for found in stored_runs(db)]


def samples(
    path: Path, run_id: str, metric: str | None = None, order: Order = "position", limit: int | None = None
) -> list[SampleRecord]:
    """Finished samples of a run, in the dataset's order or by score; unscored ones come last then.

    Their scores are those of the metric's latest signature; without a metric, of the one that ranks in the language of
    the dialogues. The score that orders is the measure ``mean`` where there
    is one, else the average of the measures.
    """
    with reading(path) as db:
        rows = db.execute("select * from outputs where run_id = ? order by position, sample_id", [run_id]).fetchall()
        scores = _scores(db, run_id, metric or _main_metric(db, run_id))
    found = [_sample(row, scores.get(row["sample_id"], {})) for row in rows]
    if order != "position":
        sign = -1.0 if order == "best" else 1.0
        found.sort(key=lambda s: sign * overall(s.scores) if s.scores else float("inf"))
    return found[:limit]


def _scores(db: sqlite3.Connection, run_id: str, metric: str) -> Mapping[str, Mapping[str, float]]:
    """Of each sample, the values of a metric's latest signature."""
    part = stored_scores.of_run(db, run_id)
    known = {number for number, _ in part.columns}
    for number, measures in db.execute(SIGNATURES, [metric]):
        if number in known:
            found = stored_scores.by_sample(part, number)
            order = measure_order(measures, {measure for values in found.values() for measure in values})
            return {sample: {m: values[m] for m in order if m in values} for sample, values in found.items()}
    return {}


def drafts(path: Path, run_id: str) -> dict[str, tuple[Draft, ...]]:
    """What a strategy that writes several outputs wrote besides the first, by sample id; empty for other runs."""
    from dsum_bench.spec import Draft  # a leaderboard needs no class of it

    found: dict[str, list[Draft]] = defaultdict(list)
    with reading(path) as db:
        if db.execute("select 1 from sqlite_master where name = 'drafts'").fetchone():
            sql = "select * from drafts where run_id = ? order by sample_id, number"
            for row in db.execute(sql, [run_id]):
                found[row["sample_id"]].append(Draft(row["output"], row["summary"], row["new_tokens"], row["finish"]))
    return {sample_id: tuple(listed) for sample_id, listed in found.items()}


def usual_metric(path: Path, run_id: str) -> str:
    """The metric that ranks in the language of a run's dialogues, or the next of that language it is scored with."""
    with reading(path) as db:
        return _main_metric(db, run_id)


def _main_metric(db: sqlite3.Connection, run_id: str) -> str:
    language = db.execute("select language from runs where id = ?", [run_id]).fetchone()
    known = db.execute(
        "select distinct metric from aggregates join signatures on signatures.id = signature_id where run_id = ?",
        [run_id],
    )
    return main_metric(language[0] if language else "ko", [row[0] for row in known])


def _record(found: StoredRun, row: sqlite3.Row) -> RunRecord:
    # A database that no newer version has written to has no prompts.
    asked = AskedPrompt(row["asked_sample"], row["asked_prompt"]) if "asked_prompt" in row.keys() else None  # noqa: SIM118
    spec = json.loads(row["spec"])
    asked = asked if asked and asked.text is not None else None
    setup = row["setup"] if "setup" in row.keys() else ""  # noqa: SIM118
    row_of = found.row
    return RunRecord(row_of, row_of.dataset, row_of.split, found.selection, spec, found.scores, asked, setup)


def _sample(row: sqlite3.Row, scores: Mapping[str, float]) -> SampleRecord:
    values = {name: row[name] for name in row.keys() if name not in ("run_id", "input")}  # noqa: SIM118 (a Row iterates values)
    return SampleRecord(**values | {"shown": tuple(json.loads(values.get("shown", "[]")))}, scores=scores)


def overall(scores: Mapping[str, float]) -> float:
    """The score that orders: the measure ``mean``, else the average of the measures."""
    return scores.get("mean", sum(scores.values()) / len(scores))
