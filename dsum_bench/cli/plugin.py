"""``dsum-bench plugin new``: a package to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from dsum_bench.cli.options import open_bench
from dsum_bench.scaffold import KINDS, Kind


@click.group()
def plugin() -> None:
    """Write a new plugin package."""


@plugin.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin adds.")
@click.option(
    "--folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Parent folder of the package.  [default: the current folder]",
)
def new(name: str, kind: Kind, folder: Path) -> None:
    """Create a working package dsum-bench-NAME: a module, a test, a README.

    Existing files are never overwritten.

    \b
    Example:
      dsum-bench plugin new first-sentence --kind engine
    """
    made, *files = open_bench().new_plugin(name, kind, folder)
    click.echo(f"{made}:")
    for file in files:
        click.echo(f"  {file.relative_to(made)}")
    click.echo(f"Next: pip install -e {made} && dsum-bench plugins")
