"""Whether runs are above the constant control: judged whenever results are read, since it depends on other runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.store.boards import boards
from dsum_bench.store.groups import values
from dsum_bench.store.records import Board, BoardRow, FindingRecord, RunRecord

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from dsum_bench.spec import Finding

    Scores = npt.NDArray[np.float64]

CONTROL = "constant"
GRAVEST = ("error", "warning", "note")


def judged(path: Path, board: Board, known: Mapping[str, Scores] | None = None) -> Board:
    """A board of which the rows that are not above its best constant control have that among their findings.

    known: the values of all its runs by the measure ``mean``, if they are at hand; else they are read.
    """
    constants = [row for row in board.rows if row.kind == "control" and row.adapter.startswith(CONTROL)]
    models = [row for row in board.rows if row.kind != "control"]
    if not constants or not models:
        return board
    from dsum_bench.statistics.constant import MEASURE, against_constant

    if MEASURE not in board.measures:
        return board
    best = max(constants, key=lambda row: row.means[MEASURE])
    keys = [row.run_id for row in (best, *models)]
    theirs, *ours = [known[key] for key in keys] if known else values(path, board.signature, MEASURE, keys)
    found = dict(zip((row.run_id for row in models), against_constant(ours, theirs, board.signature), strict=True))
    rows = (replace(row, findings=_with(row.findings, _record(found.get(row.run_id)))) for row in board.rows)
    return replace(board, rows=tuple(rows))


def judged_run(path: Path, record: RunRecord) -> RunRecord:
    """A run with what is found against the constant control by each of its metrics."""
    from dsum_bench.statistics.constant import NAME

    findings = record.row.findings
    for metric in dict.fromkeys(scores.metric for scores in record.scores):
        for board in boards(path, metric):
            row = _row(judged(path, board).rows, record.row.run_id) if _row(board.rows, record.row.run_id) else None
            for finding in row.findings if row else ():
                findings = _with(findings, finding) if finding.check == NAME else findings
    return replace(record, row=replace(record.row, findings=findings))


def _record(found: Finding | None) -> FindingRecord | None:
    if found is None:
        return None
    return FindingRecord(found.check, found.level, found.mark, found.text, found.hit, found.total, found.signature)


def _row(rows: Sequence[BoardRow], run_id: str) -> BoardRow | None:
    return next((row for row in rows if row.run_id == run_id), None)


def _with(findings: tuple[FindingRecord, ...], finding: FindingRecord | None) -> tuple[FindingRecord, ...]:
    """findings with one more, the gravest first. What an older version stored of the constant is out of date."""
    from dsum_bench.statistics.constant import NAME  # imported where it is used: its package loads numpy

    known = [f for f in findings if f.check != NAME or f.signature]
    return tuple(sorted([*known, *([finding] if finding else [])], key=lambda f: GRAVEST.index(f.level)))
