"""``dsum-bench predict``: a model's summaries of a split as a file, references or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from dsum_bench.errors import UserError


@command()
@click.argument("models", metavar="MODEL|RUN...", nargs=-1, required=True, shell_complete=completion.models_and_runs)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="New .csv or .jsonl file; for several models, a folder of .csv files.",
)
@dataset_options
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the first N samples.")
@click.option("--seed", default=42, show_default=True, help="Seed of sampling strategies.")
@prompt_options
@decoding_options
@click.option(
    "--like",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Sample file (.csv, .tsv, NIKL's .json) to take columns, order, index and encoding from.",
)
@click.option("--index", is_flag=True, help="Number the rows in an unnamed first CSV column, as pandas does.")
@json_option
@registry_option
@plugin_option
@results_option
@click.pass_context
def predict(
    context: click.Context,
    /,
    models: tuple[str, ...],
    output: Path,
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    **options: Any,
) -> None:
    """Write the summaries of a split to a file, or those of several models to a folder. No references are needed.

    Stored summaries are not generated again, so an interrupted command resumes. With RUN, the key of a stored run or
    a prefix of it, that run's summaries are written and nothing is generated; options for data and prompt are ignored.

    Exit code: 0 written, 1 some samples could not be summarised and nothing was written, 2 invalid usage or input.

    \b
    Examples:
      dsum-bench predict llama32-3b --dataset mine --split test -o submission.csv
      dsum-bench predict llama32-3b --dataset mine --split test --like sample_submission.csv -o submission.csv
      dsum-bench predict llama32-3b kobart --dataset mine --split test -o predictions
    """
    from dsum_bench.api.screening import IncompleteError

    bench = open_bench(results, registry, plugin, as_json)
    written = []
    for model, file in _files(models, output).items():
        try:
            count = len(bench.predict(model, file, **options))
        except IncompleteError as error:
            click.echo(f"Error: {error}; {file} was not written", err=True)
            continue
        written.append({"model": model, "output": str(file), "summaries": count})
        if not as_json:
            click.echo(f"{count} summaries of {model} written to {file}")
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json(written[0] if len(models) == 1 and written else written)
    if len(written) < len(models):
        context.exit(1)


def _files(models: tuple[str, ...], output: Path) -> dict[str, Path]:
    """Model -> file of its summaries; makes the folder of several."""
    if len(models) == 1:
        return {models[0]: output}
    if output.suffix or output.is_file():
        raise UserError(f"--output {output}: give a folder for the files of {len(models)} models")
    output.mkdir(parents=True, exist_ok=True)
    files = {model: output / f"{model.replace('/', '-')}.csv" for model in models}
    for file in files.values():
        if file.exists():
            raise UserError(f"{file} already exists; move it or choose another --output")
    return files
