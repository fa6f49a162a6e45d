"""``dsum-bench combine``: one run made of several, and what that gained."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import (
    command,
    json_option,
    open_bench,
    plugin_option,
    registry_option,
    results_option,
)
from dsum_bench.errors import UserError

if TYPE_CHECKING:
    from dsum_bench.screening.combination import Combined

WAYS = ("mbr", "vote", "route", "shorter")


@command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", shell_complete=completion.runs)
@click.option("--by", type=click.Choice(WAYS), default="mbr", show_default=True, help="How a summary is chosen.")
@click.option("--metric", metavar="METRIC@TOKENIZER", help="Metric that compares summaries  [default: the data's own]")
@click.option("--measure", default="mean", show_default=True, help="Measure of that metric.")
@click.option("--weights", metavar="W,...", help="Weight of each run, in order  [default: equal]")
@click.option(
    "--learn-from",
    multiple=True,
    metavar="RUN",
    shell_complete=completion.runs,
    help="For route: a run of each model on training rows, in the order of RUNs.",
)
@click.option("--name", help="Name of the result on the leaderboard.")
@json_option
@registry_option
@plugin_option
@results_option
def combine(
    runs: tuple[str, ...],
    weights: str | None,
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    **options: Any,
) -> None:
    """Combine RUNs on the same samples into one: select one of their summaries for each sample. Nothing is generated.

    \b
    mbr      the summary that scores best with all others as references (minimum Bayes risk)
    vote     the summary that is the nearest neighbour of most others
    route    the summary of the run that a router predicts to be best for the dialogue
    shorter  the shortest summary

    The router is trained on the runs given with --learn-from, or else by cross-validation on the same runs. It never
    uses the reference of a row that it routes.

    Prints the gain over the best of RUNs with its 95 % interval and the largest p-value against any of them, or "no
    gain".

    \b
    Examples:
      dsum-bench combine kobart kot5 pko-t5
      dsum-bench combine kobart kot5 --by route --learn-from kobart-train --learn-from kot5-train
    """
    bench = open_bench(results, registry, plugin, as_json)
    done = bench.combine(runs, weights=_weights(weights), **options)
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json(_object(done))
        return
    click.echo(f"{done.run.run_id} {done.run.model}: {done.run.samples} summaries")
    for place, (record, count) in enumerate(zip(done.members, done.chosen, strict=True)):
        mean = f"  {done.benefit.means[place]:6.2f}" if done.benefit else ""
        click.echo(f"  {count:4} taken from{mean}  {record.row.model} ({record.row.run_id})")
    if done.benefit:
        click.echo(f"  combined{done.benefit.mean:17.2f}")
        click.echo(str(done.benefit))


@command()
@click.argument("models", nargs=-1, required=True, metavar="BASE@RUN...", shell_complete=completion.trained)
@click.option("--name", metavar="RUN", required=True, help="The result is called BASE@RUN.")
@click.option("--weights", metavar="W,...", help="Weight of each model, in order  [default: equal]")
@registry_option
@plugin_option
@results_option
def average(
    models: tuple[str, ...],
    name: str,
    weights: str | None,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
) -> None:
    """Average LoRA adapters trained on the same base into a new model. Nothing is trained.

    The average is exact: its weight update is the weighted mean of the adapters' updates, and its rank the sum of
    their ranks. Screen it to measure the effect.

    \b
    Example:
      dsum-bench average llama32-3b@first llama32-3b@second --name both
    """
    made = open_bench(results, registry, plugin).average(models, name, _weights(weights))
    click.echo(f"{made} is the average of {', '.join(models)}; to evaluate it: dsum-bench screen {made}")


def _weights(text: str | None) -> list[float] | None:
    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--weights {text}: give numbers separated by commas, such as 2,1,1") from None


def _object(done: Combined) -> dict[str, Any]:
    """For a program. An end of an interval that is infinite is null."""
    found = None
    if done.benefit:
        found = asdict(done.benefit) | {"gained": done.benefit.gained}
        found["difference"] = {k: v if isfinite(v) else None for k, v in found["difference"].items()}
    members = [
        {"run_id": record.row.run_id, "model": record.row.model, "taken": count}
        for record, count in zip(done.members, done.chosen, strict=True)
    ]
    return {"run_id": done.run.run_id, "model": done.run.model, "members": members, "gain": found}
