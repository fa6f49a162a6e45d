"""``dsum-bench leaderboard``: rank what has been screened. It reads the database and nothing else."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dsum_bench.cli import completion, formatting
from dsum_bench.cli.board_table import CONTROL, TITLES, board_title, board_view, marks, progress, settings, tested
from dsum_bench.cli.options import command, json_option, results_option
from dsum_bench.store import DATABASE, reader
from dsum_bench.store.differences import how_by_model
from dsum_bench.store.ranking import DEFAULT_SORT, OTHER_SORTS, RankedBoard, ranked
from dsum_bench.store.records import BoardRow

Cells = Mapping[str, Any]


@command()
@results_option
@click.option("--dataset", metavar="NAME", shell_complete=completion.datasets, help="Only this dataset.")
@click.option("--split", metavar="NAME", help="Only this split.")
@click.option(
    "--metric",
    shell_complete=completion.stored_metrics,
    help="Metric to rank by  [default: the metric of the data's language]",
)
@click.option("--all-metrics", is_flag=True, help="One table for every metric.")
@click.option(
    "--sort",
    default=DEFAULT_SORT,
    show_default=True,
    help=f"A measure (rouge1, rouge2, rougeL, sum, mean), or {' or '.join(OTHER_SORTS)}; ranks stay by score.",
)
@click.option(
    "--format", "form", type=click.Choice(["table", "markdown", "csv", "json"]), default="table", show_default=True
)
@json_option
def leaderboard(
    results: Path,
    dataset: str | None,
    split: str | None,
    metric: str | None,
    all_metrics: bool,
    sort: str,
    form: str,
    as_json: bool,
) -> None:
    """Rank the runs that can be compared: same dialogues, same references, same metric.

    Each such set is a separate table, with the 95 % interval of the ranking mean and a blank line where all runs
    below differ significantly from the first run of the group above, corrected for the number of runs. Below the
    table: the smallest detectable difference, and runs that are unfinished, failed or skipped, with the reason.

    \b
    Examples:
      dsum-bench leaderboard --dataset samples-ko
      dsum-bench leaderboard --format csv > board.csv
    """
    if "numpy" not in sys.modules:
        # A board's products of matrices are too small for threads, which take 50 ms to come and go.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    database = results / DATABASE
    chosen = reader.metrics(database) if all_metrics else [metric]
    boards = [board for name in chosen or [metric] for board in reader.boards(database, name, dataset, split)]
    FORMATS["json" if as_json else form](ranked(database, boards, sort))


def print_tables(boards: Sequence[RankedBoard]) -> None:
    """For a person at a terminal."""
    console = formatting.console()
    for i, board in enumerate(boards):
        if i:
            console.print()
        for part in board_view(board, console.width):
            console.print(part)


def print_markdown(boards: Sequence[RankedBoard]) -> None:
    """For a README: two decimals, every column."""
    formatting.print_file("".join(f"{part}\n\n" for found in boards for part in _markdown_parts(found)))


def _markdown_parts(found: RankedBoard) -> Iterator[str]:
    board = found.board
    yield f"### {_markdown(board_title(board))}"
    if found.places:
        yield _markdown_table(list(_ranked_cells(found)))
        yield f"{_markdown(board.metric)}: {_markdown(board.signature)}"
    if found.common:
        yield _markdown(settings(found.common))
    for line in tested(found.significance, lines=False) if found.significance else ():
        yield _markdown(line)
    if any(row.kind == "control" for row in board.rows):
        yield f"{_markdown(CONTROL)} control: runs no model"
    if board.others:
        yield _markdown_table(list(_other_cells(board.others)))


def print_csv(boards: Sequence[RankedBoard]) -> None:
    """For a program: one line a run, ranked or not, every field in full precision."""
    from dsum_bench.datasets.csv_text import csv_text

    records = [record for board in boards for record in _records(board)]
    measures = list(dict.fromkeys(m for found in boards for m in found.board.measures))
    flat = [_flat(record, measures) for record in records]
    head = list(flat[0]) if flat else []
    formatting.print_file(csv_text([head, *([row[column] for column in head] for row in flat)]))


def _flat(record: Mapping[str, Any], measures: Sequence[str]) -> dict[str, Any]:
    nested = ("means", "intervals", "findings", "decoding_params")
    found = {k: v for k, v in record.items() if k not in nested}
    found["decoding_params"] = " ".join(f"{name}={value}" for name, value in record["decoding_params"].items())
    found["findings"] = " ".join(f["check"] for f in record["findings"])
    for measure in measures:
        low, high = record["intervals"].get(measure, (None, None))
        found |= {measure: record["means"].get(measure), f"{measure}_low": low, f"{measure}_high": high}
    return found


def print_json(boards: Sequence[RankedBoard]) -> None:
    """For a program: a list of boards, each with its ranked rows in order and the others."""
    formatting.print_json([_board_object(board) for board in boards])


FORMATS: Mapping[str, Callable[[Sequence[RankedBoard]], None]] = {
    "table": print_tables,
    "markdown": print_markdown,
    "csv": print_csv,
    "json": print_json,
}


def _board_object(found: RankedBoard) -> dict[str, object]:
    board = {name: value for name, value in asdict(found.board).items() if name not in ("rows", "others")}
    rows = [{"rank": place.rank, "group": place.group, "how": place.how} | asdict(place.row) for place in found.places]
    tests = asdict(found.significance) if found.significance else None
    if tests:
        del tests["groups"]
    return board | {"significance": tests, "ranked": rows, "others": [asdict(row) for row in found.board.others]}


def _records(found: RankedBoard) -> Iterator[dict[str, Any]]:
    whole = {
        name: getattr(found.board, name)
        for name in (
            "dataset",
            "language",
            "split",
            "selection",
            "dataset_fingerprint",
            "references_fingerprint",
            "metric",
            "signature",
        )
    }
    for place in found.places:
        yield whole | {"rank": place.rank, "group": place.group, "how": place.how} | asdict(place.row)
    for row in found.board.others:
        yield whole | {"rank": None, "group": None, "how": None} | asdict(row)


def _ranked_cells(found: RankedBoard) -> Iterator[Cells]:
    board = found.board
    for place in found.places:
        row = place.row
        yield {
            "rank": f"{place.rank}{CONTROL if row.kind == 'control' else ''}",
            "model": row.model,
            "params": formatting.params(row.params),
            "how": place.how,
            **{TITLES.get(m, m): formatting.score(row.means.get(m)) for m in board.measures},
            "95 %": formatting.interval(row.intervals.get(found.measure)),
            "n": str(board.n),
            "s/sample": formatting.seconds(row.seconds_per_sample),
            "peak GiB": formatting.gibibytes(row.peak_memory),
            "marks": marks(row),
        }


def _other_cells(rows: Sequence[BoardRow]) -> Iterator[Cells]:
    for row, label in zip(rows, how_by_model(rows), strict=True):
        yield {"model": row.model, "how": label, "status": progress(row), "why": row.reason}


def _markdown_table(rows: Sequence[Cells]) -> str:
    text = {"model", "how", "marks", "status", "why"}
    lines = [list(rows[0]), ["---" if name in text else "--:" for name in rows[0]]]
    lines += [[_markdown(cell) for cell in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown(text: str) -> str:
    """text on one line, with what Markdown and HTML would interpret escaped."""
    one_line = " ".join(formatting.clean(text).split())
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", one_line)
