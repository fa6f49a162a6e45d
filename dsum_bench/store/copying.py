"""Runs from one results database into another: results of several machines joined, or chosen runs in one file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsum_bench.errors import UserError
from dsum_bench.store import scores
from dsum_bench.store.reading import reading
from dsum_bench.store.writer import Store

MUST_EQUAL = ("model", "kind", "dataset_fingerprint", "references_fingerprint", "n_samples")
RUN_TABLES = ("outputs", "findings")


@dataclass(frozen=True, slots=True)
class Copied:
    """Keys of the runs that were added, of those that got something they lacked, and of those that had everything."""

    added: tuple[str, ...]
    completed: tuple[str, ...]
    known: tuple[str, ...]
    trainings: tuple[str, ...]


def copy_runs(source: Path, store: Store, keys: Sequence[str] | None = None, trainings: bool = True) -> Copied:
    """Copy runs with outputs, scores, findings, names and samples; what the target has already stays as it is.

    keys: which runs; None for all of them, with the trainings.

    Raises:
        UserError: no results there, the same file, or a run that both have is not the same one; nothing is copied then.
    """
    if source.resolve() == store.path.resolve():
        raise UserError(f"{source} would be merged into itself: name another results folder")
    with reading(source) as theirs, store.transaction() as db:
        ours = db.conn
        runs = [dict(row) for row in theirs.execute("select * from runs order by started, id")]
        chosen = [run for run in runs if keys is None or run["id"] in keys]
        for run in chosen:
            store.refuse_busy("runs", run["id"])
        before = {run["id"]: _compared(source, run, ours) for run in chosen}
        signatures = _signatures(theirs, ours)
        changed = {run["id"]: _copy_run(run, theirs, ours, signatures) for run in chosen}
        _copy_samples(chosen, theirs, ours)
        learned = _copy_trainings(theirs, ours) if trainings and keys is None else []
    store.renew_signatures()
    for key, status in before.items():
        if status is not None and changed[key]:
            _close(store, key)
    return Copied(
        tuple(key for key, status in before.items() if status is None),
        tuple(key for key, status in before.items() if status is not None and changed[key]),
        tuple(key for key, status in before.items() if status is not None and not changed[key]),
        tuple(learned),
    )


def _compared(source: Path, run: Mapping[str, Any], ours: sqlite3.Connection) -> str | None:
    """The status that the target has a run in, None where it has none. Raises UserError where it is another run."""
    columns = ", ".join(("status", *MUST_EQUAL))
    found = ours.execute(f"select {columns} from runs where id = ?", [run["id"]]).fetchone()
    if found is None:
        return None
    status, *values = found
    for name, value in zip(MUST_EQUAL, values, strict=True):
        if value != run[name]:
            raise UserError(
                f"run {run['id']} ({run['model']}) in {source} has another {name.replace('_', ' ')} ({run[name]}) than "
                f"here ({value}): score or delete one of the two first; nothing was merged"
            )
    return str(status)


def _copy_run(
    run: Mapping[str, Any], theirs: sqlite3.Connection, ours: sqlite3.Connection, signatures: Mapping[int, int]
) -> int:
    """Copy what the target lacks of a run; returns how many rows that were."""
    before = ours.total_changes
    values = dict(run)
    if values.get("name") and ours.execute("select 1 from runs where name = ?", [values["name"]]).fetchone():
        values["name"] = None  # a name means one run; the target's keeps it
    values |= _ended(run)
    _insert(ours, "runs", [values])
    mine = {
        row[0]: row[1] for row in ours.execute("select sample_id, summary from outputs where run_id = ?", [run["id"]])
    }
    for table in RUN_TABLES:
        _insert(ours, table, [dict(r) for r in theirs.execute(f"select * from {table} where run_id = ?", [run["id"]])])
    if _has(theirs, "drafts"):
        drafts = [dict(r) for r in theirs.execute("select * from drafts where run_id = ?", [run["id"]])]
        _insert(ours, "drafts", [row for row in drafts if row["sample_id"] not in mine])
    told = {r[0]: r[1] for r in theirs.execute("select sample_id, summary from outputs where run_id = ?", [run["id"]])}
    # Scores belong to a text: where the two have written different ones, ours keeps its own.
    same = {sample for sample, summary in told.items() if mine.get(sample, summary) == summary}
    known = {row[:3] for row in scores.rows_of(scores.of_run(ours, run["id"]))}
    rows = (
        (sample, signatures[number], measure, value)
        for sample, number, measure, value in scores.rows_of(scores.of_run(theirs, run["id"]))
        if sample in same
    )
    scores.add(ours, run["id"], scores.part_of(row for row in rows if row[:3] not in known))
    means = [dict(row) for row in theirs.execute("select * from aggregates where run_id = ?", [run["id"]])]
    added = ours.total_changes - before
    _insert(ours, "aggregates", [row | {"signature_id": signatures[row["signature_id"]]} for row in means])
    return added


def _signatures(theirs: sqlite3.Connection, ours: sqlite3.Connection) -> dict[int, int]:
    """Number of a signature there -> its number here."""
    found = {}
    for row in theirs.execute("select id, signature, metric, measures from signatures").fetchall():
        sql = "insert or ignore into signatures (signature, metric, measures) values (?, ?, ?)"
        ours.execute(sql, [row["signature"], row["metric"], row["measures"]])
        found[row["id"]] = ours.execute("select id from signatures where signature = ?", [row["signature"]]).fetchone()[
            0
        ]
    return found


def _copy_samples(runs: Sequence[Mapping[str, Any]], theirs: sqlite3.Connection, ours: sqlite3.Connection) -> None:
    if not _has(theirs, "samples"):
        return
    for data, references in {(run["dataset_fingerprint"], run["references_fingerprint"]) for run in runs}:
        sql = "select * from samples where dataset_fingerprint = ? and references_fingerprint = ?"
        rows = [dict(row) for row in theirs.execute(sql, [data, references])]
        texts = {row["dialogue"] for row in rows if row["dialogue"]}
        texts |= {key for row in rows for key in json.loads(row["reference_texts"])}
        sql = "select * from texts where fingerprint in (select value from json_each(?))"
        _insert(ours, "texts", [dict(row) for row in theirs.execute(sql, [json.dumps(sorted(texts))])])
        _insert(ours, "samples", rows)


def _copy_trainings(theirs: sqlite3.Connection, ours: sqlite3.Connection) -> list[str]:
    if not _has(theirs, "trainings"):
        return []
    known = {row[0] for row in ours.execute("select id from trainings")}
    rows = [dict(row) | _ended(row) for row in theirs.execute("select * from trainings") if row["id"] not in known]
    _insert(ours, "trainings", rows)
    for row in rows:
        log = theirs.execute("select * from training_log where training_id = ?", [row["id"]])
        _insert(ours, "training_log", [dict(point) for point in log])
    return [row["id"] for row in rows]


def _ended(row: Mapping[str, Any] | sqlite3.Row) -> dict[str, str | None]:
    """What changes in a run or training that another process is writing there: of its copy nobody is."""
    if row["status"] != "running":
        return {"writer": None}
    return {"writer": None, "status": "partial", "reason": "it was still running when it was copied"}


def _has(db: sqlite3.Connection, table: str) -> bool:
    """Whether the version that wrote a database knew a table."""
    return db.execute("select 1 from sqlite_master where name = ?", [table]).fetchone() is not None


def _insert(db: sqlite3.Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that are not there yet. Columns that this version does not know are left out."""
    if not rows:
        return
    known = {row[1] for row in db.execute(f"pragma table_info({table})")}
    names = [name for name in rows[0] if name in known]
    sql = f"insert or ignore into {table} ({', '.join(names)}) values ({', '.join('?' * len(names))})"
    db.executemany(sql, [[row[name] for name in names] for row in rows])


def _close(store: Store, key: str) -> None:
    """Renew the totals of a run that got samples or scores; it is done when none is missing."""
    with store.transaction() as db:
        sql = "select status, reason, n_samples from runs where id = ?"
        status, reason, wanted = db.execute(sql, [key]).fetchone()
        there = db.execute("select count(*) from outputs where run_id = ?", [key]).fetchone()[0]
    if there == wanted and status != "done":
        store.close_run(key, "done")
    elif status == "done":
        store.renew_means(key)
    else:
        store.close_run(key, "partial", reason or f"{there} of {wanted} samples after merging")
