"""``dsum-bench rescore``: further metrics for what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import command, open_bench, plugin_option, registry_option, results_option

if TYPE_CHECKING:
    from dsum_bench.screening.rescore import Rescored


@command()
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=completion.runs)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    shell_complete=completion.metrics,
    required=True,
    help="METRIC@TOKENIZER, any number of them.",
)
@registry_option
@plugin_option
@results_option
@click.pass_context
def rescore(
    context: click.Context,
    /,
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
) -> None:
    """Score the stored summaries of RUNs, or of all runs, with more metrics. Nothing is generated.

    This needs the dialogues and references that `screen` stores; runs without them are reported.

    Exit code: 0 all scored, 1 some run could not be scored, 2 invalid usage or input.

    \b
    Example:
      dsum-bench rescore --metric facts
    """

    def tell(done: Rescored) -> None:
        click.echo(
            f"{done.run_id} {done.model}: {done.reason or f'{done.scored} samples scored'}", err=bool(done.reason)
        )

    found = open_bench(results, registry, plugin).rescore(metrics, runs, tell)
    context.exit(int(any(done.reason for done in found)))
