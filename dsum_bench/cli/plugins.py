"""``dsum-bench plugins``: what is loaded and what each plugin registers."""

from __future__ import annotations

from dataclasses import asdict

from dsum_bench.cli.options import command, json_option, open_bench, plugin_option


@command()
@json_option
@plugin_option
def plugins(as_json: bool, plugin: tuple[str, ...]) -> None:
    """List plugins with version, import time and what each registers.

    DSUM_BENCH_LOAD_PLUGINS names the installed plugins to load; empty loads none.

    \b
    Examples:
      dsum-bench plugins
      dsum-bench plugins --json
    """
    from dsum_bench.cli import formatting

    loaded = open_bench(plugin=plugin, as_json=as_json).plugins()
    if as_json:
        formatting.print_json([asdict(info) for info in loaded])
        return
    from rich.table import Table

    table = Table()
    table.add_column("plugin", overflow="fold")
    table.add_column("version", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("registers", overflow="fold")
    for info in loaded:
        text = "\n".join(f"{kind}: {', '.join(names)}" for kind, names in info.registers.items() if names)
        about = formatting.literal(info.problem, "red") if info.problem else formatting.literal(text)
        version = "built in" if info.builtin else info.version or "file"
        name = formatting.literal(info.name)
        table.add_row(name, formatting.literal(version), f"{info.seconds * 1000:.0f}", about)
    formatting.console().print(table)
