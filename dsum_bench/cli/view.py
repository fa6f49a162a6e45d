"""``dsum-bench view``: the report from the live database, or a blind vote, served on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import command, open_bench, results_option


@command()
@click.argument("runs", nargs=-1, metavar="[RUN]...", shell_complete=completion.runs)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port  [default: a free one]")
@click.option("--vote", is_flag=True, help="A blind vote between RUNs instead of the report.")
@click.option(
    "--votes", type=click.Path(path_type=Path), help="File of votes  [default: votes.csv in the results folder]"
)
@click.option("--browser", is_flag=True, help="Open the page in the browser.")
@results_option
def view(runs: tuple[str, ...], port: int, vote: bool, votes: Path | None, browser: bool, results: Path) -> None:
    """Serve a live report with the progress of running commands. Ctrl-C stops it.

    The page is reachable from this machine only, at a URL with a token. The results are not changed.

    With --vote A B ..., people vote blindly between the summaries of two runs; sides and order are randomised for each
    voter, voting can be interrupted and resumed, and `dsum-bench votes FILE` evaluates it.

    \b
    Examples:
      dsum-bench view
      dsum-bench view --vote ours kobart
    """

    def tell(address: str) -> None:
        click.echo(f"{address}  (Ctrl-C stops)")
        if hasattr(os, "nice"):
            os.nice(10)  # whatever is being watched goes first
        if browser:
            import webbrowser

            webbrowser.open(address)

    open_bench(results).view(runs, vote=vote, port=port, votes=votes, tell=tell)
    click.echo("stopped")
