"""``dsum-bench data``: what lies in a data file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from dsum_bench.cli.options import command, json_option, open_bench, plugin_option, registry_option


@click.group()
def data() -> None:
    """Inspect a data file."""


@data.command(cls=command.keywords["cls"])
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="Name of the dataset  [default: from the file]")
@click.option("--write", is_flag=True, help="Add the entry to registry.toml in the current folder.")
@json_option
@registry_option
@plugin_option
def guess(
    file: Path, name: str | None, write: bool, as_json: bool, registry: tuple[Path, ...], plugin: tuple[str, ...]
) -> None:
    """Generate the registry entry for a CSV, TSV, JSON, JSON Lines or Parquet file.

    Columns, turn pattern, encoding and splits are guessed from the rows, and the entry is tested. An existing entry
    is never overwritten.

    \b
    Examples:
      dsum-bench data guess calls/train.csv
      dsum-bench data guess calls/train.csv --name calls --write
    """
    bench = open_bench(registry=registry, plugin=plugin, as_json=as_json)
    found = bench.guess_dataset(file, name, write=write)
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json({"spec": asdict(found.spec), "entry": found.entry, "notes": found.notes, "written": write})
        return
    for note in found.notes:
        click.echo(f"# {note}")
    click.echo(found.entry, nl=False)
