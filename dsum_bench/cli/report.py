"""``dsum-bench report``: everything in a results database as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import command, open_bench, results_option


@command()
@results_option
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default="report.html",
    show_default=True,
    help="File to write, or its folder.",
)
@click.option("--dataset", metavar="NAME", shell_complete=completion.datasets, help="Only this dataset.")
@click.option("--split", metavar="NAME", help="Only this split.")
@click.option("--metric", shell_complete=completion.stored_metrics, help="Only this metric.  [default: all]")
@click.option(
    "--dialogues/--no-dialogues",
    default=True,
    help="Omit dialogues, references, topics, summaries and prompt examples, for a file that you can share.",
)
@click.option("--markdown", is_flag=True, help="Print the leaderboards as Markdown for an issue or a README instead.")
def report(
    results: Path,
    output: Path,
    dataset: str | None,
    split: str | None,
    metric: str | None,
    dialogues: bool,
    markdown: bool,
) -> None:
    """Write an HTML file with leaderboards, charts, every sample and every run.

    The file is self-contained and works offline.

    \b
    Examples:
      dsum-bench report -o results/report.html
      dsum-bench report --markdown --dataset samples-ko
    """
    bench = open_bench(results)
    if markdown:
        from dsum_bench.cli import formatting
        from dsum_bench.report import markdown_report

        formatting.print_file(markdown_report(bench.database, metric, dataset, split))
        return
    file = bench.report(output, dialogues=dialogues, metric=metric, dataset=dataset, split=split)
    click.echo(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB); open it in a browser")
