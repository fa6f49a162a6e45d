"""``dsum-bench score``: summaries that were made elsewhere, into the same store and leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from dsum_bench.cli.options import (
    command,
    dataset_options,
    json_option,
    metric_option,
    open_bench,
    plugin_option,
    registry_option,
    results_option,
    where,
)


@command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--name", help="Name on the leaderboard  [default: the file's name without its ending]")
@dataset_options
@click.option("--id-column", metavar="NAME", help="Column of the sample's id  [default: id, or fname]")
@click.option("--summary-column", metavar="NAME", help="Column of the summary  [default: summary, or prediction]")
@click.option("--allow-missing", is_flag=True, help="Count samples missing from the file as empty.")
@metric_option
@click.option("--wait", is_flag=True, help="Wait for another command that is working on the same run.")
@json_option
@registry_option
@plugin_option
@results_option
@click.pass_context
def score(
    context: click.Context,
    /,
    files: tuple[Path, ...],
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    **options: Any,
) -> None:
    """Score the summaries in each FILE and put them on the leaderboard.

    A FILE is CSV or JSON Lines with an id and a summary for every sample of the split, in any order; other columns
    are ignored, so a submission file works.

    \b
    Example:
      dsum-bench score team-a.csv --dataset mine --name team-a
    """
    result = open_bench(results, registry, plugin, as_json).score(files, **options)
    if as_json:
        from dsum_bench.cli.screen import print_result

        print_result(result, as_json)
    else:
        scored = result.runs[0].model if len(result.runs) == 1 else f"{len(result.runs)} runs"
        click.echo(
            f"{result.runs[0].samples} summaries scored as {scored}; see: dsum-bench leaderboard{where(results)}"
        )
    context.exit(int(bool(result.broken_metrics)))
