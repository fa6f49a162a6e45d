"""``dsum-bench finetune``: train a model by recipe, then screen the result beside its base."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from dsum_bench.cli import completion
from dsum_bench.cli.options import (
    address_option,
    command,
    json_option,
    open_bench,
    plugin_option,
    prompt_options,
    registry_option,
    results_option,
    where,
    worker_options,
)
from dsum_bench.spec import Dtype

if TYPE_CHECKING:
    from dsum_bench.training.finetune import FinetuneResult
    from dsum_bench.training.search import SearchResult


def _from_file(context: click.Context, option: click.Parameter, path: Path | None) -> None:
    if path is not None:
        from dsum_bench.api.training import TrainingBench

        context.default_map = TrainingBench.config(path)


@command()
@click.argument("model", shell_complete=completion.models)
@click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=_from_file,
    help="Read options from a file, such as finetune.toml of a result; the command line overrides it.",
)
@click.option(
    "--recipe",
    metavar="NAME",
    shell_complete=completion.recipes,
    help="Recipe of the registry  [default: the model's own]",
)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a parameter of the recipe.")
@click.option("--sweep", metavar="GRID", help='Train one run for each point of a grid, such as "lr=1e-4,2e-4 r=16,32".')
@click.option("--search", metavar="N", type=click.IntRange(min=1), help="Search for the best point with N trials.")
@click.option(
    "--space",
    metavar="SPACE",
    help='What --search may change, such as "lr=1e-5..1e-3:log r=8,16,32"  [default: the trainer\'s own]',
)
@click.option("--targets", metavar="RUN", help="Train on the summaries of a stored run instead of the references.")
@click.option(
    "--min-score",
    multiple=True,
    metavar="[METRIC=]NUMBER",
    help="Only summaries of --targets that score so much, by the data's usual metric or the one named.",
)
@click.option(
    "--preferences",
    metavar="RUN",
    multiple=True,
    help="Learn which summary is better, from pairs of these runs' best and worst; give it twice or more.",
)
@click.option(
    "--rank-by",
    metavar="METRIC",
    shell_complete=completion.stored_metrics,
    help="Metric that ranks the summaries of --preferences  [default: the data's usual metric]",
)
@click.option(
    "--min-gap", metavar="POINTS", type=float, help="Only pairs of --preferences so far apart by it  [default: 5]"
)
@click.option(
    "--folds",
    metavar="N",
    type=click.IntRange(min=2),
    help="Cross-validate: train N models, each without one fold.",
)
@click.option("--fold-by", metavar="COLUMN", help="Keep rows with the same value of this column in one fold.")
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=completion.datasets,
    default="samples-ko",
    show_default=True,
    help="Dataset of the registry, or several by weight: a:0.7,b:0.3.",
)
@click.option("--split", metavar="NAME", default="train", show_default=True, help="Split to train on.")
@click.option("--dev-split", metavar="NAME", help="Split to evaluate and screen on  [default: the dataset's own]")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Train on the first N rows.")
@click.option("--sample", metavar="N", type=click.IntRange(min=1), help="Train on N rows drawn at random.")
@click.option(
    "--dev-limit",
    metavar="N",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Rows for the evaluation of each epoch.",
)
@click.option("--max-steps", metavar="N", type=click.IntRange(min=1), help="Stop after N updates.")
@click.option("--name", metavar="RUN", help="Name of the result, MODEL@RUN  [default: from its settings]")
@prompt_options
@click.option("--seed", default=42, show_default=True, help="Seed of row order, dropout and --sample.")
@click.option("--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True)
@click.option(
    "--dtype", type=click.Choice(get_args(Dtype)), help="Dtype of the base's weights, or of their computation."
)
@worker_options
@address_option
@click.option("--fresh", is_flag=True, help="Start over instead of resuming.")
@click.option("--dry-run", "plan_only", is_flag=True, help="Print the plan and stop.")
@click.option("--probe/--no-probe", default=True, show_default=True, help="Time one batch to estimate the duration.")
@click.option("--ignore-memory", is_flag=True, help="Train even if the plan does not fit into memory.")
@click.option("--screen/--no-screen", default=True, show_default=True, help="Screen base and result afterwards.")
@click.option("--screen-limit", metavar="N", type=click.IntRange(min=1), help="Screen only the first N samples.")
@click.option(
    "--decoding",
    metavar="NAME",
    shell_complete=completion.decodings,
    help="Decoding of the screening  [default: the model's own]",
)
@click.option(
    "--set-decoding",
    "decoding_settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change a decoding parameter.",
)
@json_option
@registry_option
@plugin_option
@results_option
@click.pass_context
def finetune(
    context: click.Context,
    /,
    model: str,
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    **options: Any,
) -> None:
    """Fine-tune MODEL by recipe and screen the result, MODEL@RUN, and its base. A trained adapter is trained further.

    An interrupted run resumes from its last checkpoint when you run the same command again.

    Exit code: 0 done, 1 training or screening failed, 2 invalid usage or input.

    \b
    Examples:
      dsum-bench finetune llama32-3b --dry-run
      dsum-bench finetune llama32-3b --dataset mine --set epochs=2 --name first
      dsum-bench finetune kobart --dataset mine --decoding beam4 --set-decoding max_new_tokens=100
      dsum-bench finetune kobart --dataset mine --search 20 --space "lr=1e-5..5e-4:log label_smoothing=0.0,0.1"
      dsum-bench finetune kobart --dataset mine --folds 5 --name k
      dsum-bench finetune kobart --dataset mine --targets llama32-3b --min-score facts=90
      dsum-bench finetune llama32-3b@first --dataset mine --preferences llama32-3b@first --preferences llama3-8b
      dsum-bench finetune --config results/models/llama32-3b@first/finetune.toml --name second --seed 7
    """
    result = open_bench(results, registry, plugin, as_json).finetune(model, **options)
    print_result(result, as_json, results)
    context.exit(exit_code(result))


def print_result(result: FinetuneResult, as_json: bool, results: Path) -> None:
    """What each training brought, and where to look next."""
    from dsum_bench.training.sessions import main_process

    if not main_process():
        return
    if as_json:
        from dsum_bench.cli.formatting import print_json

        trainings = [asdict(training) for training in result.trainings]
        unseen = {"unseen": asdict(result.unseen)} if result.unseen else {}
        search = {"search": asdict(result.search)} if result.search else {}
        print_json({"trainings": trainings, "gains": [asdict(gain) for gain in result.gains]} | search | unseen)
        return
    if result.search is not None:
        print_search(result.search)
    for gain in result.gains:
        click.echo(str(gain))
    if result.unseen is not None:
        keys = (
            " ".join(run.run_id for run in result.screening.done if run.model in result.models)
            if result.screening
            else ""
        )
        click.echo(f"out-of-fold summaries of all training rows: {result.unseen.model} ({result.unseen.run_id})")
        click.echo(f"combine them: dsum-bench combine {keys}{where(results)}")
    if result.screening is not None:
        click.echo(f"see: dsum-bench leaderboard{where(results)}")


def print_search(search: SearchResult) -> None:
    """Every trial, with the best marked."""
    for trial in search.trials:
        point = " ".join(f"{key}={value}" for key, value in trial.params.items())
        told = f"{trial.value:.4f}" if trial.value is not None else trial.reason or trial.status
        best = "  best" if trial is search.best else ""
        click.echo(f"{trial.number:3}  {trial.run}  {point}  {told}{best}")


def exit_code(result: FinetuneResult) -> int:
    """0 where everything asked for was done, else 1."""
    trained = all(t.status in ("done", "planned") for t in result.trainings)
    screened = result.screening is None or all(run.status == "done" for run in result.screening.runs)
    return int(not trained or not screened)
