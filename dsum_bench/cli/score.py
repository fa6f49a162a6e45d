"""``dsum-bench score``: summaries that were made elsewhere, into the same store and leaderboard."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import click

from dsum_bench.cli.options import plugin_option, registry_option, results_option
from dsum_bench.cli.screen import METRICS_HELP, metrics_for
from dsum_bench.errors import UserError


@click.command(short_help="Score files of summaries.")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--name", help="What the leaderboard calls it  [default: the file's name without its ending]")
@click.option("--dataset", default="samples-ko", show_default=True, help="Dataset of the registry.")
@click.option("--split", help="Split of the dataset  [default: the dataset's own]")
@click.option("--id-column", help="Column of the sample's id  [default: id, or fname]")
@click.option("--summary-column", help="Column of the summary  [default: summary, or prediction]")
@click.option("--allow-missing", is_flag=True, help="Count samples that the file lacks as empty.")
@click.option("--metric", "metrics", multiple=True, help=METRICS_HELP)
@registry_option
@plugin_option
@results_option
@click.pass_context
def score(
    context: click.Context,
    /,
    files: tuple[Path, ...],
    database: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    **typed: Any,
) -> None:
    """Score the summaries in each FILE and put them on the leaderboard.

    A FILE is CSV or JSON Lines with an id and a summary for every sample of the split, in any order; further columns
    are ignored, so a submission file will do.
    """
    from dsum_bench.cli.progress import Lines
    from dsum_bench.cli.session import Session
    from dsum_bench.datasets.load import load
    from dsum_bench.screening import predictions
    from dsum_bench.screening.sweep import Settings, Sweep
    from dsum_bench.store.writer import Store

    session = Session.open(registry, plugin)
    session.report_problems()
    dataset = session.registry.dataset(typed["dataset"])
    split = typed["split"] or dataset.default_split
    samples = load(dataset, session.plugins, split)
    names = _names(files, typed["name"], session.registry.models)
    metrics = metrics_for(session, typed["dataset"], typed["metrics"])
    candidates = []
    for file in files:
        made = predictions.read(
            file, samples, session.plugins, typed["id_column"], typed["summary_column"], typed["allow_missing"]
        )
        name = names[file]
        if made.missing:
            click.echo(f"warning: {len(made.missing)} samples have no summary in {file} and count as empty", err=True)
        candidates.append((predictions.candidate(name, file, made, dataset, split, samples), made))
    broken: set[str] = set()
    with Store.open(database) as store, Lines(session.console()) as watcher:
        settings = Settings(log_folder=database.parent / "logs")
        for run, made in candidates:
            sweep = Sweep(samples, metrics, store, session.plugins, watcher, settings)
            sweep.go([run], predictions.FromFile(made))
            broken |= sweep.broken
    where = "" if str(database.parent) == "results" else f" --results {database.parent}"
    told = names[files[0]] if len(files) == 1 else f"{len(files)} runs"
    click.echo(f"{len(samples)} summaries scored as {told}; see: dsum-bench leaderboard{where}")
    context.exit(int(bool(broken)))


def _names(files: Sequence[Path], name: str | None, known: Collection[str]) -> dict[Path, str]:
    """What each file's run is called.

    Raises:
        UserError: one name for several files, a name twice, or that of a model of the registry.
    """
    if name is not None and len(files) > 1:
        raise UserError("--name names one file's run; without it each is called after its file")
    names = {file: name or file.stem for file in files}
    for file, called in names.items():
        if called in known:
            raise UserError(f"'{called}' is a model of the registry; choose another --name, or rename {file}")
        same = [other for other, its in names.items() if its == called and other != file]
        if same:
            raise UserError(f"{file} and {same[0]} would both be called '{called}'; rename one of them")
    return names
