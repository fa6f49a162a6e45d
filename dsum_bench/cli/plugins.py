"""`dsum-bench plugins`: what is loaded and what each plugin registers."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from dsum_bench.cli.options import plugin_option


@click.command(short_help="List plugins and what each registers.")
@click.option("--json", "as_json", is_flag=True, help="Print every field as JSON.")
@plugin_option
def plugins(as_json: bool, plugin: tuple[str, ...]) -> None:
    """List plugins with version, import time and what each registers.

    DSUM_BENCH_LOAD_PLUGINS names the installed plugins to load; empty loads none.
    """
    from pathlib import Path

    from dsum_bench.plugins import Plugins
    from dsum_bench.spec import PluginSettings

    loaded = Plugins(PluginSettings.from_environment(str(Path(f).resolve()) for f in plugin))
    loaded.collect_all()
    if as_json:
        click.echo(json.dumps([asdict(info) for info in loaded.info.values()], ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    table.add_column("plugin", overflow="fold")
    table.add_column("version", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("registers", overflow="fold")
    for info in loaded.info.values():
        text = Text("\n").join(Text(f"{kind}: {', '.join(names)}") for kind, names in info.registers.items() if names)
        if info.problem:
            text = Text(info.problem, style="red")
        version = "built in" if info.builtin else info.version or "file"
        table.add_row(Text(info.name), Text(version), f"{info.seconds * 1000:.0f}", text)
    Console(highlight=False).print(table)
