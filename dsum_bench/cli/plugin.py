"""`dsum-bench plugin new`: a package to begin with."""

from __future__ import annotations

from pathlib import Path

import click

from dsum_bench.errors import UserError
from dsum_bench.scaffold import KINDS, PREFIX, Kind, files, write

REGISTERED = {k: f"{k}s" for k in KINDS}


@click.group(short_help="Begin a plugin package of your own.")
def plugin() -> None:
    """Begin a plugin package of your own."""


@plugin.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin adds.")
@click.option(
    "--folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    default=Path(),
    help="Where to make the package's folder.  [default: here]",
)
def new(name: str, kind: Kind, folder: Path) -> None:
    """Write a package dsum-bench-NAME that works as it is: a module, a test, a README.

    Nothing is overwritten.
    """
    texts = files(name, kind)
    plain = name.removeprefix(PREFIX)
    _refuse_taken(plain, kind)
    made = folder / f"{PREFIX}{plain}"
    write(made, texts)
    click.echo(f"{made}:")
    for path in texts:
        click.echo(f"  {path}")
    click.echo(f"Next: pip install -e {made} && dsum-bench plugins")


def _refuse_taken(name: str, kind: Kind) -> None:
    """A plugin cannot register the name of a built-in part."""
    from dsum_bench.plugins import Plugins
    from dsum_bench.spec import PluginSettings

    if name in getattr(Plugins(PluginSettings(())), REGISTERED[kind]):
        raise UserError(f"the {kind} '{name}' is built in already; choose another name")
