"""Which runs are ranked together, and what stands below them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from dsum_bench.errors import UserError, suggestion
from dsum_bench.languages import main_metric
from dsum_bench.store.reading import reading
from dsum_bench.store.records import Board, BoardRow, SignatureScores
from dsum_bench.store.stored_runs import DialoguesKey, StoredRun, stored_runs

STATUS_ORDER = ("running", "partial", "done", "failed", "skipped")


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
        runs = stored_runs(db)
        known = [row[0] for row in db.execute("select distinct metric from signatures")]
    if metric is not None and known and metric not in known:
        raise UserError(f"nothing in {path} is scored with metric '{metric}'{suggestion(metric, known)}")
    groups = _chosen(path, list(_by_dialogues(runs).values()), dataset, split)
    found = [board for group in groups for board in _boards_of(group, metric, dataset, split)]
    return sorted(found, key=lambda b: (not b.rows, b.dataset, b.split, -b.n, b.signature))


def _chosen(path: Path, groups: list[list[StoredRun]], dataset: str | None, split: str | None) -> list[list[StoredRun]]:
    """The groups with a run on the dataset and split of that name."""
    for what, name in (("dataset", dataset), ("split", split)):
        known = {getattr(r.row, what) for group in groups for r in group}
        if name is not None and name not in known:
            raise UserError(f"no run in {path} is on {what} '{name}'{suggestion(name, known)}")
        groups = [group for group in groups if name is None or any(getattr(r.row, what) == name for r in group)]
    return groups


def _by_dialogues(runs: Iterable[StoredRun]) -> dict[DialoguesKey, list[StoredRun]]:
    groups: dict[DialoguesKey, list[StoredRun]] = defaultdict(list)
    for r in runs:
        groups[r.dialogues].append(r)
    return groups


def _boards_of(
    group: Sequence[StoredRun], chosen: str | None, dataset: str | None, split: str | None
) -> Iterator[Board]:
    known = {s.metric for r in group for s in r.scores}
    metric = main_metric(group[0].language, known) if chosen is None else chosen
    ranked: dict[str, list[tuple[StoredRun, SignatureScores]]] = defaultdict(list)
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


def _named(runs: Sequence[StoredRun], dataset: str | None, split: str | None) -> StoredRun:
    """The run whose data have the names asked for, else the first."""
    return next((r for r in runs if dataset in (None, r.row.dataset) and split in (None, r.row.split)), runs[0])


def _board(
    first: StoredRun,
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
