"""What the tables are made of, read with nothing but the standard library.

sqlite-utils is for writing only: importing it loads pandas, which takes longer than a whole leaderboard.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from dsum_bench.errors import UserError, suggestion
from dsum_bench.languages import main_metric
from dsum_bench.store import scores as stored_scores
from dsum_bench.store.catalog import ambiguous, matches
from dsum_bench.store.faults import ELSEWHERE, explain
from dsum_bench.store.lock import gone, show_interrupted
from dsum_bench.store.older import show_missing
from dsum_bench.store.records import (
    AskedPrompt,
    Board,
    BoardRow,
    FindingRecord,
    RunRecord,
    SampleRecord,
    SignatureScores,
)
from dsum_bench.store.schema import COUNTS, NAME, STEPS

if TYPE_CHECKING:
    from dsum_bench.spec import Draft

DEFAULT_METRIC = main_metric("ko")
MEASURE_ORDER = ("rouge1", "rouge2", "rougeL", "sum", "mean")
STATUS_ORDER = ("running", "partial", "done", "failed", "skipped")

Order = Literal["position", "worst", "best"]
Contents = Literal["runs", "trainings"]
EMPTY: dict[Contents, str] = {
    "runs": "there are no results in {path} yet: run `dsum-bench screen` first {elsewhere}",
    "trainings": "there are no trainings in {path} yet: run `dsum-bench finetune` first {elsewhere}",
}

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
SIGNATURES = "select id, measures from signatures where metric = ? order by id desc"


class DialoguesKey(NamedTuple):
    """What two runs must share before they may be ranked together, besides the signature.

    Not what their data are called, nor the order of the rows.
    """

    dataset_fingerprint: str
    references_fingerprint: str


@dataclass(frozen=True, slots=True)
class _Run:
    dialogues: DialoguesKey
    language: str
    selection: str
    row: BoardRow
    scores: tuple[SignatureScores, ...]


def boards(path: Path, metric: str | None = None, dataset: str | None = None, split: str | None = None) -> list[Board]:
    """The boards of one metric, by dataset and split, the largest first. Without a metric each dataset has the one that
    ranks in its language.

    A finished run is ranked on the board of each signature that all its samples have scores of. What is not finished,
    or not scored in full, stands below the boards of its dialogues, the latest attempt only, and not when the same
    thing is ranked there.

    Raises:
        UserError: there is no database, or it has no such dataset, split or metric.
    """
    with reading(path) as db:
        runs = _runs(db)
        known = [row[0] for row in db.execute("select distinct metric from signatures")]
    if metric is not None and known and metric not in known:
        raise UserError(f"nothing in {path} is scored with metric '{metric}'{suggestion(metric, known)}")
    groups = _chosen(path, list(_by_dialogues(runs).values()), dataset, split)
    found = [board for group in groups for board in _boards_of(group, metric, dataset, split)]
    return sorted(found, key=lambda b: (not b.rows, b.dataset, b.split, -b.n, b.signature))


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
        return [_record(found, rows[found.row.run_id]) for found in _runs(db)]


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
            order = _order(measures, {measure for values in found.values() for measure in values})
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


# -- boards ---------------------------------------------------------------------------------------------------


def _chosen(path: Path, groups: list[list[_Run]], dataset: str | None, split: str | None) -> list[list[_Run]]:
    """The groups with a run on the dataset and split of that name."""
    for what, name in (("dataset", dataset), ("split", split)):
        known = {getattr(r.row, what) for group in groups for r in group}
        if name is not None and name not in known:
            raise UserError(f"no run in {path} is on {what} '{name}'{suggestion(name, known)}")
        groups = [group for group in groups if name is None or any(getattr(r.row, what) == name for r in group)]
    return groups


def _by_dialogues(runs: Iterable[_Run]) -> dict[DialoguesKey, list[_Run]]:
    groups: dict[DialoguesKey, list[_Run]] = defaultdict(list)
    for r in runs:
        groups[r.dialogues].append(r)
    return groups


def _boards_of(group: Sequence[_Run], chosen: str | None, dataset: str | None, split: str | None) -> Iterator[Board]:
    known = {s.metric for r in group for s in r.scores}
    metric = main_metric(group[0].language, known) if chosen is None else chosen
    ranked: dict[str, list[tuple[_Run, SignatureScores]]] = defaultdict(list)
    others = []
    for r in group:
        mine = [s for s in r.scores if s.metric == metric] if r.row.status == "done" else []
        whole = [s for s in mine if s.n == r.row.n_samples]
        for s in whole:
            ranked[s.signature].append((r, s))
        if not whole:
            others.append(replace(r.row, reason=r.row.reason or _unscored(r.row, metric, mine)))
    for signature, found in ranked.items():
        rows = tuple(_scored(r.row, s) for r, s in found)
        measures = tuple(dict.fromkeys(m for row in rows for m in row.means))
        first = _named([r for r, _ in found], dataset, split)
        yield _board(first, metric, signature, rows[0].n_samples, measures, rows, _latest(others, rows))
    if not ranked:
        yield _board(_named(group, dataset, split), metric, "", group[0].row.n_samples, (), (), _latest(others, ()))


def _scored(row: BoardRow, scores: SignatureScores) -> BoardRow:
    """A row with the means of one signature, and with the findings that concern it."""
    findings = tuple(f for f in row.findings if f.signature in ("", scores.signature))
    return replace(row, means=scores.means, intervals=scores.intervals, findings=findings)


def _named(runs: Sequence[_Run], dataset: str | None, split: str | None) -> _Run:
    """The run whose data have the names asked for, else the first."""
    return next((r for r in runs if dataset in (None, r.row.dataset) and split in (None, r.row.split)), runs[0])


def _board(
    first: _Run,
    metric: str,
    signature: str,
    n: int,
    measures: tuple[str, ...],
    rows: tuple[BoardRow, ...],
    others: tuple[BoardRow, ...],
) -> Board:
    where, mine = first.dialogues, f"{first.row.dataset} {first.row.split}"
    names = dict.fromkeys(f"{row.dataset} {row.split}" for row in (*rows, *others))
    return Board(
        first.row.dataset,
        first.language,
        first.row.split,
        first.selection,
        n,
        where.dataset_fingerprint,
        where.references_fingerprint,
        metric,
        signature,
        measures,
        rows,
        others,
        tuple(name for name in names if name != mine),
    )


def _unscored(row: BoardRow, metric: str, scores: Sequence[SignatureScores]) -> str:
    """Why a finished run is on no board of a metric."""
    if row.status != "done":
        return ""
    most = max((s.n for s in scores), default=0)
    return f"{most} of {row.n_samples} samples have scores of {metric}; screen it again with --metric {metric}"


def _latest(others: Sequence[BoardRow], ranked: Sequence[BoardRow]) -> tuple[BoardRow, ...]:
    """Of each thing that was tried, the latest attempt, unless it is ranked by now."""
    settled = {key for row in ranked for key in (_attempt(row, True), _attempt(row, False))}
    latest: dict[object, BoardRow] = {}
    for row in sorted(others, key=lambda row: row.finished):
        latest[_attempt(row, row.n > 0)] = row
    left = [row for key, row in latest.items() if key not in settled]
    return tuple(sorted(left, key=lambda row: (STATUS_ORDER.index(row.status), row.model, row.treatment)))


def _attempt(row: BoardRow, began: bool) -> tuple[object, ...]:
    # A run that never began may not know yet what it would have been placed as.
    settings = (row.decoding, row.dtype, row.quantization) if began else ()
    return (row.model, row.treatment, *settings)


# -- rows -----------------------------------------------------------------------------------------------------


def _runs(db: sqlite3.Connection) -> list[_Run]:
    progress = {row["run_id"]: row for row in db.execute(PROGRESS)}
    scores = _means(db)
    findings = _findings(db)
    return [
        _Run(
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
    order = _order(rows[0]["measures"], (row["measure"] for row in rows))
    return sorted(rows, key=lambda row: order.index(row["measure"]))


def _order(declared: str, measures: Iterable[str]) -> tuple[str, ...]:
    """The order in which measures are shown. declared: what their signature says of it, as JSON."""
    return tuple(dict.fromkeys((*json.loads(declared), *MEASURE_ORDER, *sorted(measures))))


def _record(found: _Run, row: sqlite3.Row) -> RunRecord:
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


# -- the file -------------------------------------------------------------------------------------------------


@contextmanager
def reading(path: Path, of: Contents | None = "runs") -> Iterator[sqlite3.Connection]:
    """One consistent view of the database, whether or not somebody is writing to it.

    A run whose process was killed is stored as ``running``; it is shown as interrupted.
    of: the table that must hold something; None where none has to.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a results database: remove it {ELSEWHERE}")
    if not path.exists():
        raise UserError(f"there are no results in {path.parent}: run `dsum-bench screen` first {ELSEWHERE}")
    try:
        with closing(_connect(path)) as db:
            db.row_factory = sqlite3.Row
            left = gone(path, db)  # before the view is taken, which has all they wrote
            db.execute("begin")
            _check(path, db, of)
            show_missing(db)
            show_interrupted(db, left)
            yield db
    except sqlite3.Error as error:
        raise explain(path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    db = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=30)
    try:
        db.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        if Path(f"{path}-wal").exists():
            raise
        # Reading a WAL database needs a file beside it. In a folder that is read-only nobody can be writing either,
        # so the file may be read as it is.
        return sqlite3.connect(f"{address}?immutable=1", uri=True)
    except BaseException:
        db.close()
        raise
    return db


def _check(path: Path, db: sqlite3.Connection, of: Contents | None) -> None:
    tables = {row[0] for row in db.execute("select name from sqlite_master where type = 'table'")}
    empty = UserError(EMPTY[of or "runs"].format(path=path, elsewhere=ELSEWHERE))
    if not tables:
        raise empty
    applied: set[str] = set()
    if "_sqlite_migrations" in tables:
        sql = "select name from _sqlite_migrations where migration_set = ?"
        applied = {row[0] for row in db.execute(sql, [NAME])}
    if tables == {"_sqlite_migrations"}:
        raise empty  # its first writer has only just begun
    if not applied:
        raise UserError(f"{path} belongs to another program: name the folder of your results with --results")
    if applied - {step.__name__ for step in STEPS}:
        raise UserError(f"{path} was made by a newer dsum-bench: upgrade this one {ELSEWHERE}")
    if of is not None and db.execute(f"select 1 from {of} limit 1").fetchone() is None:
        raise empty
