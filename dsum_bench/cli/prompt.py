"""``dsum-bench prompt``: exactly what a model reads."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import (
    command,
    dataset_options,
    json_option,
    open_bench,
    plugin_option,
    prompt_options,
    registry_option,
    results_option,
)


@command()
@click.argument("model", shell_complete=completion.models)
@dataset_options
@click.option("--sample", metavar="ID", help="Sample to show  [default: the first]")
@prompt_options
@click.option("--ids", is_flag=True, help="Print the token ids too.")
@json_option
@registry_option
@plugin_option
@results_option
def prompt(
    model: str,
    ids: bool,
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    **options: Any,
) -> None:
    """Show the exact prompt of MODEL for one sample: control tokens, token count, what was trimmed.

    Downloads the tokenizer if needed; loads no weights.

    \b
    Example:
      dsum-bench prompt llama32-3b --ids
    """
    found = open_bench(results, registry, plugin, as_json).prompt(model, **options)
    made = found.prompt
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json(asdict(made) | {"tokens": len(made.token_ids)})
        return
    click.echo(made.text)
    click.echo()
    trimmed = f"{made.trimmed_turns} left out" if made.trimmed_turns else "none left out"
    cut = f", {made.trimmed_chars} characters cut" if made.trimmed_chars else ""
    summary = f"sample {made.sample_id}: {len(made.token_ids)} tokens, {made.turns} turns, {trimmed}{cut}"
    click.echo(summary, err=True)
    if ids:
        width = max((len(str(i)) for i in made.token_ids), default=0)
        for token_id, piece in zip(made.token_ids, found.pieces, strict=True):
            click.echo(f"{token_id:>{width}}  {piece!r}")
