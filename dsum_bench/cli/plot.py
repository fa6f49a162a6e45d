"""``dsum-bench plot``: one chart as a file, or as text."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Literal

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import command, open_bench, results_option

PLOTS = ("forest", "tradeoff", "distribution", "matrix", "topics", "lengths", "curve")


@command()
@click.argument("what", type=click.Choice(PLOTS), default="forest")
@results_option
@click.option("-o", "--output", type=click.Path(path_type=Path), help="File to write: .svg, .png, .pdf, .html, .json.")
@click.option("--of", "value", metavar="VALUE", help="Cost of a tradeoff, value of a distribution, measure of a curve.")
@click.option("--dataset", metavar="NAME", shell_complete=completion.datasets, help="Only this dataset.")
@click.option("--split", metavar="NAME", help="Only this split.")
@click.option(
    "--metric", shell_complete=completion.stored_metrics, help="Metric  [default: rouge@mecab where there is one]"
)
@click.option(
    "--language", type=click.Choice(["en", "ko"]), default="en", show_default=True, help="Language of the axes."
)
@click.option("--dark", is_flag=True, help="Dark background.")
def plot(
    what: str,
    results: Path,
    output: Path | None,
    value: str | None,
    dataset: str | None,
    split: str | None,
    metric: str | None,
    language: Literal["en", "ko"],
    dark: bool,
) -> None:
    """Draw the chart WHAT for the largest leaderboard, to a file or, without -o, as text.

    \b
    forest        means with their 95 % intervals
    tradeoff      quality against --of seconds, memory, params or money
    distribution  a measure, characters, new_tokens or seconds over the samples
    matrix        every run against every other
    topics        mean by topic
    lengths       mean by length of the dialogue
    curve         --of loss, eval_loss, ... of all trainings

    \b
    Examples:
      dsum-bench plot forest
      dsum-bench plot tradeoff --of seconds -o tradeoff.svg
    """
    bench = open_bench(results)
    if output is not None:
        bench.plot(what, output, value, dataset=dataset, split=split, metric=metric, language=language, dark=dark)
        click.echo(f"wrote {output}")
        return
    from dsum_bench.report.content import gather
    from dsum_bench.report.plots import plot_rows
    from dsum_bench.report.terminal import ASCII, UNICODE, text_plot

    content = gather(bench.database, metric, dataset, split)
    wide = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    columns = shutil.get_terminal_size().columns
    click.echo(text_plot(what, plot_rows(content, what, value), columns, UNICODE if wide else ASCII), nl=False)
