"""``dsum-bench export``: a trained model as a folder for others."""

from __future__ import annotations

from pathlib import Path

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import command, json_option, open_bench, plugin_option, registry_option, results_option


@command()
@click.argument("model", metavar="BASE@RUN", shell_complete=completion.trained)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option("--merge", is_flag=True, help="Full weights instead of an adapter.")
@click.option(
    "--dataset", metavar="NAME", default="samples-ko", show_default=True, help="Dialogues to test a merge on."
)
@json_option
@registry_option
@plugin_option
@results_option
def export(
    model: str,
    output: Path,
    merge: bool,
    dataset: str,
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
) -> None:
    """Write the trained model BASE@RUN with a model card to a new folder.

    \b
    Example:
      dsum-bench export llama32-3b@first -o first --merge
    """
    bench = open_bench(results, registry, plugin, as_json)
    folder = bench.export(model, output, merge=merge, dataset=dataset)
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json({"model": model, "folder": str(folder), "merged": merge})
    else:
        click.echo(f"{model} is in {folder}")
