"""`dsum-bench datasets`: the datasets of the registry and their splits."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from dsum_bench.cli.options import plugin_option, registry_option
from dsum_bench.errors import UserError


@click.command(short_help="List the datasets and their splits.")
@click.option("--json", "as_json", is_flag=True, help="Print every field as JSON.")
@registry_option
@plugin_option
def datasets(as_json: bool, registry: tuple[Path, ...], plugin: tuple[str, ...]) -> None:
    """List the datasets of the registry with the samples of each split."""
    from dsum_bench.cli.session import Session
    from dsum_bench.datasets.load import load
    from dsum_bench.spec import DatasetSpec

    session = Session.open(registry, plugin)
    session.report_problems()

    def splits(spec: DatasetSpec) -> dict[str, object]:
        try:
            names = session.plugins.datasets[spec.format](spec).splits()
        except UserError as error:
            return {"-": str(error)}
        return {name: count(spec, name) for name in names}

    def count(spec: DatasetSpec, split: str) -> object:
        try:
            return len(load(spec, session.plugins, split, references=False))
        except UserError as error:
            return str(error)

    found = [(spec, splits(spec)) for spec in session.registry.datasets.values()]
    if as_json:
        rows = [asdict(spec) | {"columns": dict(spec.columns), "splits": counts} for spec, counts in found]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for column in ("dataset", "format", "language", "splits", "license"):
        table.add_column(column, overflow="fold")
    for spec, counts in found:
        listed = "\n".join(f"{name}: {number}" for name, number in counts.items())
        table.add_row(*(Text(t) for t in (spec.name, spec.format, spec.language, listed, spec.license)))
    session.console().print(table)
