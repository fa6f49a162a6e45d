"""``dsum-bench export``: a trained model as a folder for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import command, json_option, open_bench, plugin_option, registry_option, results_option

if TYPE_CHECKING:
    from dsum_bench.training.gguf_file import GgufType


@command()
@click.argument("model", metavar="BASE@RUN", shell_complete=completion.trained)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option("--merge", is_flag=True, help="Full weights instead of an adapter.")
@click.option(
    "--dataset", metavar="NAME", default="samples-ko", show_default=True, help="Dialogues to test a merge on."
)
@click.option(
    "--gguf", type=click.Choice(["f32", "f16", "bf16", "q8_0"]), help="Full weights as one file for llama.cpp."
)
@click.option("--push", metavar="OWNER/NAME", help="Upload the folder to the hub as a private model.")
@click.option("--public", is_flag=True, help="Make the uploaded model public.")
@json_option
@registry_option
@plugin_option
@results_option
def export(
    model: str,
    output: Path,
    merge: bool,
    dataset: str,
    gguf: GgufType | None,
    push: str | None,
    public: bool,
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
) -> None:
    """Export the trained model BASE@RUN with a model card to a new folder.

    \b
    Example:
      dsum-bench export llama32-3b@first -o first --merge
      dsum-bench export llama32-3b@first -o first-gguf --gguf q8_0
      dsum-bench export llama32-3b@first -o first --push OWNER/NAME
    """
    bench = open_bench(results, registry, plugin, as_json)
    folder = bench.export(model, output, merge=merge, dataset=dataset, gguf=gguf, push=push, public=public)
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json({"model": model, "folder": str(folder), "merged": merge or gguf is not None})
    else:
        click.echo(f"{model} is in {folder}")
