"""``dsum-bench rescore``: further metrics for what is stored."""

from __future__ import annotations

from pathlib import Path

import click

from dsum_bench.cli.options import plugin_option, registry_option, results_option


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--metric", "metrics", multiple=True, required=True, help="METRIC@TOKENIZER, any number of them.")
@registry_option
@plugin_option
@results_option
@click.pass_context
def rescore(
    context: click.Context,
    /,
    runs: tuple[str, ...],
    metrics: tuple[str, ...],
    database: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
) -> None:
    """Score the stored summaries of RUNs, or of all runs, with further metrics. Nothing is generated.

    It needs the dialogues and references that `screen` stores; of runs that were screened without them it says so.

    Exit code: 0 all scored, 1 some run could not be, 2 wrong usage or input.
    """
    from dsum_bench.cli.session import Session
    from dsum_bench.metrics.choose import build
    from dsum_bench.screening import rescore as scoring
    from dsum_bench.store import reader
    from dsum_bench.store.writer import Store

    session = Session.open(registry, plugin)
    session.report_problems()
    built = {name: build(session.plugins, name) for name in dict.fromkeys(metrics)}
    everything = [record for record in reader.runs(database) if record.row.n]
    chosen = {reader.run(database, run).row.run_id for run in runs} or {r.row.run_id for r in everything}

    def tell(done: scoring.Rescored) -> None:
        click.echo(
            f"{done.run_id} {done.model}: {done.reason or f'{done.scored} samples scored'}", err=bool(done.reason)
        )

    with Store.open(database) as store:
        found = scoring.rescore(store, [r for r in everything if r.row.run_id in chosen], built, tell)
    context.exit(int(any(done.reason for done in found)))
