"""``dsum-bench results compact``: the results database as a file."""

from __future__ import annotations

from pathlib import Path

import click

from dsum_bench.cli.options import command, open_bench, results_option
from dsum_bench.figures import size


@click.group()
def results() -> None:
    """Maintain the results database."""


@results.command(cls=command.keywords["cls"])
@results_option
def compact(results: Path) -> None:
    """Shrink the results database by removing unused space, such as that of deleted runs.

    No other command may be writing to it, and the disk needs space for a second copy.

    \b
    Example:
      dsum-bench results compact
    """
    bench = open_bench(results)
    done = bench.compact()
    click.echo(f"{bench.database}: {size(done.before)} before, {size(done.after)} now")
