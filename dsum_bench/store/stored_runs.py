"""Runs as the tables have them: settings, progress, findings and the means of every signature."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from dsum_bench.store.records import BoardRow, FindingRecord, SignatureScores
from dsum_bench.store.schema import COUNTS

MEASURE_ORDER = ("rouge1", "rouge2", "rougeL", "sum", "mean")

# Counted from the outputs where a run is not over, since its totals are written at its end.
PROGRESS = f"""
select run_id, count(*) as n, sum(seconds) as seconds, {COUNTS}
from outputs where run_id in (select id from runs where status != 'done') group by run_id
"""
MEANS = """
select run_id, metric, signature, measures, measure, mean, n, low, high
from aggregates join signatures on signatures.id = signature_id order by run_id, signature_id, measure
"""
FINDINGS = """
select * from findings
order by run_id, case level when 'error' then 0 when 'warning' then 1 else 2 end, stage desc, position
"""


class DialoguesKey(NamedTuple):
    """What two runs must share before they may be ranked together, besides the signature.

    Not what their data are called, nor the order of the rows.
    """

    dataset_fingerprint: str
    references_fingerprint: str


@dataclass(frozen=True, slots=True)
class StoredRun:
    dialogues: DialoguesKey
    language: str
    selection: str
    row: BoardRow
    scores: tuple[SignatureScores, ...]


def stored_runs(db: sqlite3.Connection) -> list[StoredRun]:
    progress = {row["run_id"]: row for row in db.execute(PROGRESS)}
    scores = _means(db)
    findings = _findings(db)
    return [
        StoredRun(
            DialoguesKey(row["dataset_fingerprint"], row["references_fingerprint"]),
            row["language"],
            row["selection"],
            _row(row, row if row["status"] == "done" else progress.get(row["id"]), findings.get(row["id"], [])),
            scores.get(row["id"], ()),
        )
        for row in db.execute("select *, n_samples as n from runs order by started, id")
    ]


def _findings(db: sqlite3.Connection) -> dict[str, list[FindingRecord]]:
    found: dict[str, list[FindingRecord]] = defaultdict(list)
    for row in db.execute(FINDINGS):
        # A database that no newer version has written to knows no signature.
        signature = row["signature"] if "signature" in row.keys() else ""  # noqa: SIM118 (a Row iterates values)
        finding = FindingRecord(
            row["code"], row["level"], row["mark"], row["text"], row["hit"], row["total"], signature
        )
        found[row["run_id"]].append(finding)
    return found


def _row(row: sqlite3.Row, totals: sqlite3.Row | None, findings: Sequence[FindingRecord]) -> BoardRow:
    spec = json.loads(row["spec"])
    return BoardRow(
        run_id=row["id"],
        name=(row["name"] or "") if "name" in row.keys() else "",  # noqa: SIM118 (a Row iterates values)
        dataset=row["dataset"],
        split=row["split"],
        model=row["model"],
        params=row["params"],
        kind=row["kind"],
        adapter=row["adapter"],
        treatment=row["treatment"],
        prompt=row["prompt_name"],
        prompt_digest=_prompt_digest(spec["prompt"]),
        decoding=row["decoding_name"],
        decoding_params=spec["decoding"]["params"] if spec["decoding"] else {},
        seed=row["seed"],
        revision=row["revision"],
        dtype=row["dtype"],
        quantization=row["quantization"],
        device=row["device"],
        means={},
        n=totals["n"] if totals else 0,
        n_samples=row["n_samples"],
        seconds_per_sample=totals["seconds"] / totals["n"] if totals and totals["n"] else None,
        peak_memory=row["peak_memory"],
        trimmed=totals["trimmed"] if totals else 0,
        cut=totals["cut"] if totals else 0,
        empty=totals["empty"] if totals else 0,
        status=row["status"],
        reason=row["reason"],
        finished=row["finished"] or row["started"],
        findings=tuple(findings),
    )


def _prompt_digest(prompt: Mapping[str, Any] | None) -> str:
    if prompt is None:
        return ""
    said = json.dumps([prompt["system"], prompt["user"], prompt["examples"]])
    return hashlib.sha256(said.encode("ascii")).hexdigest()[:4]


def _means(db: sqlite3.Connection) -> dict[str, tuple[SignatureScores, ...]]:
    found: dict[str, dict[str, list[sqlite3.Row]]] = defaultdict(lambda: defaultdict(list))
    for row in db.execute(MEANS):
        found[row["run_id"]][row["signature"]].append(row)
    return {
        run_id: tuple(_signature_scores(rows) for rows in by_signature.values())
        for run_id, by_signature in found.items()
    }


def _signature_scores(rows: Sequence[sqlite3.Row]) -> SignatureScores:
    means = {row["measure"]: row["mean"] for row in _in_order(rows)}
    ends = {row["measure"]: (row["low"], row["high"]) for row in rows if row["low"] is not None}
    return SignatureScores(rows[0]["metric"], rows[0]["signature"], means, min(row["n"] for row in rows), ends)


def _in_order(rows: Sequence[sqlite3.Row]) -> list[sqlite3.Row]:
    """Rows of one signature by the order in which its measures are shown."""
    if not rows:
        return []
    order = measure_order(rows[0]["measures"], (row["measure"] for row in rows))
    return sorted(rows, key=lambda row: order.index(row["measure"]))


def measure_order(declared: str, measures: Iterable[str]) -> tuple[str, ...]:
    """The order in which measures are shown. declared: what their signature says of it, as JSON."""
    return tuple(dict.fromkeys((*json.loads(declared), *MEASURE_ORDER, *sorted(measures))))
