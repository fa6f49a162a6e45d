"""Runs to hand: ``runs``, ``rename``, ``delete``, ``merge``, ``export-runs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from dsum_bench.cli import completion, formatting
from dsum_bench.cli.board_table import progress
from dsum_bench.cli.options import command, json_option, open_bench, results_option
from dsum_bench.errors import UserError
from dsum_bench.languages import main_metric
from dsum_bench.store import reader
from dsum_bench.store.catalog import with_words
from dsum_bench.store.differences import how_by_model
from dsum_bench.store.records import RunRecord


@command()
@click.argument("words", nargs=-1, shell_complete=completion.runs)
@results_option
@click.option("--status", type=click.Choice(reader.STATUS_ORDER), help="Only runs of this status.")
@click.option(
    "--metric",
    shell_complete=completion.stored_metrics,
    help="Metric of the mean shown  [default: the metric of the data's language]",
)
@json_option
def runs(words: tuple[str, ...], results: Path, status: str | None, metric: str | None, as_json: bool) -> None:
    """List runs: key, name, model, how it differs from others of its model, data, status, score.

    With WORDS, such as `kobart beam4 dev`, only runs whose description contains all of them are listed.

    \b
    Examples:
      dsum-bench runs
      dsum-bench runs kobart beam4 --status done
    """
    database = open_bench(results).database
    found = reader.runs(database)
    found = with_words(found, " ".join(words)) if words else found
    found = [r for r in found if status is None or r.row.status == status]
    if as_json:
        rows = [asdict(r.row) | {"selection": r.selection, "scores": [asdict(s) for s in r.scores]} for r in found]
        for row in rows:
            del row["means"], row["intervals"]  # those of every metric stand in ``scores``
        formatting.print_json(rows)
        return
    if not found:
        raise UserError(f"no run in {database} fits {' '.join(words) or status}")
    _print(found, metric)


def _print(records: Sequence[RunRecord], metric: str | None) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    named = any(r.row.name for r in records)
    titles = ["key", *(["name"] if named else []), "model", "how", "data", "status", "score", "when"]
    for title in titles:
        table.add_column(
            title, justify="right" if title == "score" else "left", no_wrap=title == "key", overflow="fold"
        )
    for record, told in zip(records, how_by_model([r.row for r in records]), strict=True):
        row = record.row
        state = progress(row) if row.status != "done" else "done"
        cells = [row.run_id, *([row.name] if named else []), row.model, told]
        cells += [f"{row.dataset} {row.split}, {record.selection}", state, _mean(record, metric), row.finished[:10]]
        table.add_row(*(formatting.literal(cell) for cell in cells))
    console = formatting.console()
    console.print(table)


def _mean(record: RunRecord, metric: str | None) -> str:
    metric = metric or main_metric(record.spec["language"], {s.metric for s in record.scores})
    scores = [s for s in record.scores if s.metric == metric]
    return formatting.score(scores[-1].means.get("mean")) if scores else ""


@command()
@click.argument("run", shell_complete=completion.runs)
@click.argument("name")
@results_option
def rename(run: str, name: str, results: Path) -> None:
    """Give RUN a NAME that every command accepts; '' removes the name.

    \b
    Example:
      dsum-bench rename 0123abcd baseline
    """
    record = open_bench(results).rename(run, name)
    click.echo(f"{record.row.run_id} ({record.row.model}) {f'is called {name}' if name else 'has no name now'}")


@command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=completion.runs)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@results_option
def delete(runs: tuple[str, ...], yes: bool, results: Path) -> None:
    """Delete each RUN with its summaries and scores, and dialogues that no other run uses.

    \b
    Example:
      dsum-bench delete baseline
    """
    bench = open_bench(results)
    records = {r.row.run_id: r for r in (bench.run(run) for run in runs)}
    for record in records.values():
        row = record.row
        click.echo(f"{row.run_id} {formatting.clean(row.model)} ({row.dataset} {row.split}, {progress(row)})")
    if not yes:
        click.confirm(f"delete {len(records)} run{'s' * (len(records) > 1)}?", abort=True)
    click.echo(f"{len(bench.delete(list(records)))} deleted")


@command()
@click.argument("other", type=click.Path(path_type=Path))
@results_option
def merge(other: Path, results: Path) -> None:
    """Merge the runs and trainings of OTHER, a results folder or its database, into this one.

    A run in both gets the samples and scores that are missing here; existing ones are kept. If a run has different
    dialogues, references or kind in the two, nothing is merged.

    \b
    Example:
      dsum-bench merge ../other/results
    """
    done = open_bench(results).merge(other)
    click.echo(
        f"{len(done.added)} runs added, {len(done.completed)} completed, {len(done.known)} known; "
        f"{len(done.trainings)} trainings added"
    )


@command("export-runs")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=completion.runs)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File to write, such as runs.db, or a folder.",
)
@results_option
def export_runs(runs: tuple[str, ...], output: Path, results: Path) -> None:
    """Export each RUN to a new database, with summaries, scores, findings and dialogues; `merge` reads it.

    \b
    Example:
      dsum-bench export-runs ours kobart -o shared
    """
    bench = open_bench(results)
    file = bench.export_runs(runs, output)
    count = len({bench.run(run).row.run_id for run in runs})
    click.echo(f"{count} run{'s' * (count > 1)} in {file}")
