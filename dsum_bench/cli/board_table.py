"""A leaderboard for a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from dsum_bench.cli.formatting import clean, gibibytes, interval, literal, params, score, seconds
from dsum_bench.store.differences import how_by_model
from dsum_bench.store.groups import Significance
from dsum_bench.store.ranking import RankedBoard
from dsum_bench.store.records import Board, BoardRow

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

TITLES = {
    "rouge1": "R1", "rouge2": "R2", "rougeL": "RL", "compression": "comp", "repeated": "rep", "foreign": "frgn",
    "tag_precision": "tagP", "tag_recall": "tagR",
}  # fmt: skip
SPARE = ("sum", "compression", "empty", "meta", "precision", "recall")
"""Measures that go before others when room is short, unless they rank."""
CONTROL = "*"
REDUNDANT = 3
KEEP = 99
TEXT_MINIMUM = 9
FLOOR = 4  # where even the least width is too much


@dataclass(slots=True)
class Column:
    """One column.

    keep: columns with the lowest go first when room is short. Those below REDUNDANT, which say what stands elsewhere
    too, go before any text is folded; KEEP never goes.
    least: the width a text column may be folded to; a column of numbers (0) is never folded.
    """

    title: str
    cells: list[str]
    keep: int = KEEP
    least: int = 0
    width: int = 0
    styles: Sequence[str] = ()


def board_view(ranked: RankedBoard, width: int) -> Iterator[RenderableType]:
    """Title, table, signature, what was tested, what the marks mean, and what is not ranked and why."""
    board, found = ranked.board, ranked.places
    yield literal(board_title(board), "bold")
    if found:
        breaks = [ranked.by_score and a.group != b.group for a, b in pairwise(found)]
        styles = ["dim" if p.row.kind == "control" else "" for p in found]
        yield _table(_columns(ranked), width, styles, breaks)
        yield literal(f"{board.metric}: {board.signature}", "dim")
        if ranked.common:
            yield literal(settings(ranked.common), "dim")
        if ranked.significance:
            for line in tested(ranked.significance, ranked.by_score):
                yield literal(line, "dim")
        yield from _legend([p.row for p in found])
    if board.others:
        if found:
            yield ""
        yield literal("not ranked:" if found else "nothing ranked yet:")
        yield _others(board.others, width)


def tested(found: Significance, lines: bool = True) -> Iterator[str]:
    """What was tested and what the board's dialogues can show. lines: whether blank lines stand between groups."""
    from dsum_bench.statistics import FEWEST

    if found.n < FEWEST:
        yield too_few(found.n)
        return
    if lines:
        pairs = f"{found.pairs} pair{'s' * (found.pairs > 1)}"
        yield f"all below a blank line differ from the first of the block above ({pairs}, 5 %)"
    if found.smallest:
        least, most = score(found.smallest.least), score(found.smallest.most)
        spread = f" ({least} to {most} by pair)" if least != most else ""
        yield f"smallest detectable difference (80 % power): {score(found.smallest.middle)}{spread}"


def too_few(n: int) -> str:
    """Where the paired permutation test cannot get below 5 %."""
    from dsum_bench.statistics import FEWEST

    return f"{dialogues(n)} cannot tell runs apart at 5 %, whatever they score; {FEWEST} can"


def board_title(board: Board) -> str:
    """``samples-ko dev, all, 40 dialogues``."""
    also = f" (also {', '.join(board.also)})" if board.also else ""
    return f"{board.data}{also}, {board.selection}, {dialogues(board.n)}"


def settings(common: Sequence[str]) -> str:
    """What the column ``how`` leaves out."""
    return f"unless 'how' says otherwise: {', '.join(common)}"


def dialogues(n: int) -> str:
    """``1 dialogue``, ``40 dialogues``."""
    return f"{n} dialogue{'s' * (n != 1)}"


def marks(row: BoardRow) -> str:
    """A letter for each finding of the protocol checks, the gravest first; notes are left to ``show``."""
    return "".join(f.mark for f in row.findings if f.level != "note")


def _grave(row: BoardRow) -> str:
    return "bold red" if any(f.level == "error" for f in row.findings) else "yellow"


def progress(row: BoardRow) -> str:
    """The status of a run that is not ranked, with how far it came."""
    return f"{row.status}, {row.n} of {row.n_samples}" if row.n else row.status


def _columns(ranked: RankedBoard) -> list[Column]:
    board, found = ranked.board, ranked.places
    controls = any(place.row.kind == "control" for place in found)
    mark = {"control": CONTROL, "model": " " if controls else ""}
    rows = [place.row for place in found]
    return [
        Column("#", [f"{place.rank}{mark[place.row.kind]}" for place in found]),
        Column("model", [row.model for row in rows], least=TEXT_MINIMUM + 7),
        Column("params", [params(row.params) for row in rows], keep=REDUNDANT),
        Column("how", [place.how for place in found], keep=6, least=TEXT_MINIMUM),
        *(
            Column(
                TITLES.get(m, m),
                [score(row.means.get(m)) for row in rows],
                keep=2 if m in SPARE and m != ranked.measure else KEEP,
            )
            for m in board.measures
        ),
        Column("95 %", [interval(row.intervals.get(ranked.measure)) for row in rows], keep=8),
        Column("n", [str(board.n) for _ in rows], keep=1),
        Column(
            "s each", [seconds(row.seconds_per_sample) for row in rows], keep=KEEP if ranked.sort == "seconds" else 5
        ),
        Column("GiB", [gibibytes(row.peak_memory) for row in rows], keep=4),
        Column("!", [marks(row) for row in rows], keep=9, styles=[_grave(row) for row in rows]),
    ]


def _others(rows: Sequence[BoardRow], width: int) -> Table:
    """What is not ranked; models with the same status and reason share a line."""
    fates: dict[tuple[str, str, str], list[str]] = {}
    for row, treated in zip(rows, how_by_model(rows), strict=True):
        fates.setdefault((treated, progress(row), row.reason), []).append(row.model)
    columns = [
        Column("model", [", ".join(models) for models in fates.values()], least=TEXT_MINIMUM + 7),
        Column("how", [treated for treated, _, _ in fates], keep=REDUNDANT, least=TEXT_MINIMUM),
        Column("status", [status for _, status, _ in fates], least=TEXT_MINIMUM),
        Column("why", [reason for _, _, reason in fates], least=TEXT_MINIMUM + 20),
    ]
    return _table(columns, width, [""] * len(fates))


def _legend(rows: Sequence[BoardRow]) -> Iterator[RenderableType]:
    if any(row.kind == "control" for row in rows):
        yield literal(f"{CONTROL} control: runs no model; a model below it does worse than no model", "dim")
    used = {f.mark: f for row in rows for f in reversed(row.findings) if f.level != "note"}
    if used:
        told = ", ".join(f"{mark} {f.check}" for mark, f in sorted(used.items()))
        yield literal(f"! check findings (details: dsum-bench show RUN): {told}", "dim")


def _table(columns: Sequence[Column], width: int, styles: Sequence[str], breaks: Sequence[bool] = ()) -> Table:
    from rich import box
    from rich.table import Table

    shown = [column for column in columns if any(column.cells)]
    shown, gap = _fit(shown, width)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
    for column in shown:
        text = column.least > 0
        table.add_column(
            column.title,
            justify="left" if text or column.title == "!" else "right",
            width=column.width,
            no_wrap=not text,
            overflow="fold",
        )
    for i, style in enumerate(styles):
        ends = i < len(breaks) and breaks[i]
        table.add_row(*(_cell(column, i, style) for column in shown), end_section=ends)
    return table


def _cell(column: Column, index: int, style: str) -> Text:
    return literal(column.cells[index], column.styles[index] if column.styles else style)


def _fit(columns: list[Column], width: int) -> tuple[list[Column], int]:
    """Leave out and fold columns until they fit; returns them with their widths set, and the gap between them."""
    from rich.cells import cell_len

    for column in columns:
        lines = [line for cell in (column.title, *column.cells) for line in clean(cell).split("\n")]
        column.width = max(cell_len(line) for line in lines)
    for gap in (2, 1):
        if _needed(columns, gap) <= width:
            return columns, gap
    _drop(columns, width, REDUNDANT, folded=False)
    _drop(columns, width, KEEP, folded=True)
    texts = [column for column in reversed(columns) if column.least]  # the model's name, the first, is folded last
    for floor in (0, FLOOR):
        for column in texts:
            excess = max(_needed(columns, 1) - width, 0)
            column.width = max(column.width - excess, min(floor or column.least, column.width))
    return columns, 1


def _drop(columns: list[Column], width: int, below: int, folded: bool) -> None:
    """Remove columns, the least needed first, until the rest fits or only those are left that must stay."""
    while _needed(columns, 1, folded) > width and any(column.keep < below for column in columns):
        columns.remove(min(columns, key=lambda column: column.keep))


def _needed(columns: Sequence[Column], gap: int, folded: bool = False) -> int:
    widths = [min(c.width, c.least) if folded and c.least else c.width for c in columns]
    return sum(widths) + gap * (len(widths) - 1)
