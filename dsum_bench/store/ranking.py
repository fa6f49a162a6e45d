"""The order of a leaderboard, and how its rows are told apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dsum_bench.errors import UserError, suggestion
from dsum_bench.store.constant import judged
from dsum_bench.store.differences import common, how
from dsum_bench.store.groups import Significance, significance, values
from dsum_bench.store.records import Board, BoardRow

DEFAULT_SORT = "mean"
OTHER_SORTS = ("seconds", "model")
TIE = 1e-9


@dataclass(frozen=True, slots=True)
class Place:
    """One row of a board. rank: 1 plus the number of runs that score higher. how: what was done to the model, and what
    of its settings is not common on this board.
    group: all runs of later groups are told apart from the first of this one."""

    rank: int
    row: BoardRow
    how: str
    group: int = 0


@dataclass(frozen=True, slots=True)
class RankedBoard:
    """A board as it is shown. measure: the one that ranks, '' where nothing has scores. places: in the order asked
    for. common: the settings that most runs share, where some do not; else empty. significance: None where there are
    not two runs to test."""

    board: Board
    sort: str
    measure: str
    places: tuple[Place, ...]
    common: tuple[str, ...]
    significance: Significance | None

    @property
    def by_score(self) -> bool:
        """Whether the rows stand in the order of their scores."""
        return self.sort not in OTHER_SORTS


def ranked(path: Path, boards: Sequence[Board], sort: str = DEFAULT_SORT) -> list[RankedBoard]:
    """Boards of a database with their rows ranked, sorted and tested against each other and the constant control.

    Raises:
        UserError: no board can be sorted so.
    """
    check_sort(sort, boards)
    return [_ranked(path, board, sort) for board in boards]


def _ranked(path: Path, board: Board, sort: str) -> RankedBoard:
    measure = ranking_measure(board, sort)
    runs = [row.run_id for row in by_score(board, sort)]
    tested = None
    if len(runs) > 1:  # else there is nothing to test, and no need for numpy
        scores = values(path, board.signature, measure, runs)
        tested = significance(measure, runs, scores)
        board = judged(path, board, dict(zip(runs, scores, strict=True)) if measure == DEFAULT_SORT else None)
    found = tuple(places(board, sort, tested.groups if tested else {}))
    return RankedBoard(board, sort, measure, found, common(by_score(board, sort), board.data), tested)


def check_sort(sort: str, boards: Iterable[Board]) -> None:
    """Raise UserError unless some board can be sorted so."""
    known = {DEFAULT_SORT, *OTHER_SORTS, *(m for board in boards for m in board.measures)}
    if sort not in known:
        raise UserError(f"cannot sort by '{sort}'{suggestion(sort, known)}")


def ranking_measure(board: Board, sort: str) -> str:
    """The measure that ranks: the one sorted by, else ``mean``, else the board's last."""
    for measure in (sort, DEFAULT_SORT):
        if measure in board.measures:
            return measure
    return board.measures[-1] if board.measures else ""


def by_score(board: Board, sort: str) -> list[BoardRow]:
    """The rows of a board by the measure that ranks, the best first."""
    measure = ranking_measure(board, sort)
    return sorted(board.rows, key=lambda row: (-_score(row, measure), row.model, row.finished))


def places(board: Board, sort: str, groups: Mapping[str, int] | None = None) -> list[Place]:
    """The ranked rows of a board: best score first, or by time or name; equal scores share a rank.

    groups: run key -> number of its group, for runs that were tested against each other.
    """
    measure = ranking_measure(board, sort)
    rows = by_score(board, sort)
    hows = how(rows, board.data)
    found: list[Place] = []
    for i, row in enumerate(rows):
        tied = bool(found) and _score(found[-1].row, measure) - _score(row, measure) < TIE
        group = (groups or {}).get(row.run_id, 0)
        found.append(Place(found[-1].rank if tied else i + 1, row, hows[i], group))
    if sort == "seconds":
        found.sort(key=lambda place: place.row.seconds_per_sample or 0.0)
    if sort == "model":
        found.sort(key=lambda place: (place.row.model, place.rank))
    return found


def _score(row: BoardRow, measure: str) -> float:
    return row.means.get(measure, 0.0)
