"""`dsum-bench models`: the zoo, and where each entry came from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from dsum_bench.cli.options import plugin_option, registry_option


@click.command(short_help="List the model zoo.")
@click.option("--json", "as_json", is_flag=True, help="Print every field as JSON.")
@registry_option
@plugin_option
def models(as_json: bool, registry: tuple[Path, ...], plugin: tuple[str, ...]) -> None:
    """List the model zoo: the shipped registry, plugins and your own registry files."""
    from dsum_bench.cli.session import Session

    session = Session.open(registry, plugin)
    session.report_problems()
    zoo = list(session.registry.models.values())
    if as_json:
        rows = [asdict(m) | {"options": dict(m.options)} for m in zoo]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    from dsum_bench.cli.formatting import params

    table = Table()
    table.add_column("model", no_wrap=True)
    table.add_column("params", justify="right", no_wrap=True)
    table.add_column("adapter", no_wrap=True)
    table.add_column("source, licence, note", overflow="fold")
    table.add_column("from", overflow="fold")
    for m in zoo:
        source = m.source[0] + (f" + {len(m.source) - 1} more" if len(m.source) > 1 else "") if m.source else ""
        about = Text("\n").join(Text(t, style) for t, style in ((source, ""), (m.license, ""), (m.note, "dim")) if t)
        table.add_row(Text(m.name), params(m.params), Text(m.adapter), about, Text(_short(m.origin)))
    session.console().print(table)


def _short(origin: str) -> str:
    """A path relative to here where that is shorter."""
    path = Path(origin)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return origin
