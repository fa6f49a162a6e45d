"""``dsum-bench doctor``: what this machine can do, and what is in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import (
    address_option,
    command,
    json_option,
    open_bench,
    plugin_option,
    registry_option,
    results_option,
)

if TYPE_CHECKING:
    from dsum_bench.api.doctor import Diagnosis

STYLES = {"ok": "green", "missing": "yellow", "broken": "bold red"}


@command()
@click.option("--verify-metrics", is_flag=True, help="Recompute every stored ROUGE score with the original packages.")
@click.option(
    "--executor",
    metavar="NAME",
    shell_complete=completion.executors,
    help="Check the machines of this executor instead.",
)
@address_option
@registry_option
@plugin_option
@results_option
@json_option
@click.pass_context
def doctor(
    context: click.Context,
    /,
    verify_metrics: bool,
    executor: str | None,
    address: str,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    results: Path,
    as_json: bool,
) -> None:
    """Show what this machine can run: packages, GPU, memory, disk, hub, tokenizers of metrics, plugins, results.

    Exit code: 0 everything required works, 1 something required is broken, or a stored score differs.

    \b
    Examples:
      dsum-bench doctor
      dsum-bench doctor --verify-metrics
      dsum-bench doctor --executor ray --address ray://head:10001
    """
    found = open_bench(results, registry, plugin, as_json=True).doctor(verify_metrics, executor, address)
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json([asdict(diagnosis) for diagnosis in found])
    else:
        print_diagnoses(found)
    context.exit(int(any(diagnosis.verdict == "broken" for diagnosis in found)))


def print_diagnoses(found: Sequence[Diagnosis]) -> None:
    """A line each."""
    from rich.table import Table

    from dsum_bench.cli.formatting import console, literal

    table = Table.grid(padding=(0, 1))
    table.add_column(overflow="fold", max_width=34)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in found:
        table.add_row(literal(one.about), literal(one.verdict, STYLES[one.verdict]), literal(one.text))
    console().print(table)
