"""``dsum-bench models``: the zoo, and where each entry came from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from dsum_bench.cli.options import (
    choice_options,
    command,
    json_option,
    open_bench,
    plugin_option,
    registry_option,
    results_option,
)


@command()
@choice_options
@click.option("--notes", is_flag=True, help="Print licence, note and origin of each entry too.")
@json_option
@registry_option
@plugin_option
@results_option
def models(
    family: str | None,
    max_params: str | None,
    notes: bool,
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
) -> None:
    """List the model zoo: the shipped registry, plugins, your own registry files and your trained models.

    \b
    Examples:
      dsum-bench models
      dsum-bench models --notes
      dsum-bench models --family qwen --max-params 4B
    """
    from dsum_bench.cli import formatting

    bench = open_bench(results, registry, plugin, as_json)
    zoo = bench.zoo(family, max_params)
    bench.report_problems()
    if as_json:
        formatting.print_json([asdict(m) | {"options": dict(m.options)} for m in zoo])
        return
    from rich.table import Table

    console = formatting.console()
    names = max(len("model"), *(len(m.name) for m in zoo))
    adapters = max(len("adapter"), *(len(m.adapter) for m in zoo))
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("model", no_wrap=True, width=names)
    table.add_column("params", justify="right", no_wrap=True, width=6)
    table.add_column("adapter", no_wrap=True, width=adapters)
    rest = max(console.width - names - adapters - 14, 20)  # Rich would leave out a column that is not given its width
    table.add_column("source", overflow="fold" if notes else "ellipsis", no_wrap=not notes, width=rest)
    for m in zoo:
        more = f" + {len(m.source) - 1} more" if len(m.source) > 1 else ""
        source = m.source[0] + more if m.source else formatting.members(m.members)
        lines = [source, m.license, m.note, f"from {_short(m.origin)}"] if notes else [source]
        about = formatting.literal("\n".join(filter(None, lines)))
        table.add_row(formatting.literal(m.name), formatting.params(m.params), formatting.literal(m.adapter), about)
    console.print(table)


def _short(origin: str) -> str:
    """A path relative to here where that is shorter."""
    path = Path(origin)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        return str(path.relative_to(Path.cwd()))
    return origin
