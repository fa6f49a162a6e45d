"""``dsum-bench check``: the protocol checks that need no generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import (
    command,
    dataset_options,
    decoding_options,
    json_option,
    open_bench,
    plugin_option,
    prompt_options,
    registry_option,
    results_option,
)

if TYPE_CHECKING:
    from dsum_bench.api.screening import ModelCheck


@command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...", shell_complete=completion.models)
@dataset_options
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the first N samples.")
@prompt_options
@decoding_options
@json_option
@registry_option
@plugin_option
@results_option
@click.pass_context
def check(
    context: click.Context,
    /,
    models: tuple[str, ...],
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    **options: Any,
) -> None:
    """Run the protocol checks that need no generation on MODELs: prompts, tokens, settings, data.

    Downloads tokenizers if needed; loads no weights. `screen` runs these checks too, and those on outputs and scores.

    Exit code: 0 no findings, 1 an error or warning, or a model that cannot be checked, 2 invalid usage or input.

    \b
    Example:
      dsum-bench check kobart llama32-3b --dataset mine
    """
    checks = open_bench(results, registry, plugin, as_json).check(models, **options)
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json([_row(c) for c in checks])
    else:
        print_checks(checks)
    grave = any(c.problem or any(f.level != "note" for f in c.findings) for c in checks)
    context.exit(int(grave))


def _row(check: ModelCheck) -> dict[str, object]:
    if check.problem:
        return {"model": check.model, "problem": check.problem}
    return {"model": check.model, "findings": [asdict(f) for f in check.findings]}


def print_checks(checks: Sequence[ModelCheck]) -> None:
    """A line a finding."""
    from dsum_bench.cli.formatting import console as open_console
    from dsum_bench.cli.formatting import literal
    from dsum_bench.progress.screening import finding_line

    console = open_console()
    for check in checks:
        if check.problem:
            console.print(literal(f"{check.model}: cannot be checked: {check.problem}", "red"))
        elif not check.findings:
            console.print(literal(f"{check.model}: nothing found", "green"))
        for finding in check.findings:
            console.print(finding_line(check.model, finding), soft_wrap=not console.is_terminal)
