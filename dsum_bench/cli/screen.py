"""``dsum-bench screen``: the sweep over the model zoo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from dsum_bench.cli import completion, point_table, race_table
from dsum_bench.cli.options import (
    address_option,
    choice_options,
    command,
    dataset_options,
    decoding_options,
    json_option,
    metric_option,
    open_bench,
    plugin_option,
    prompt_options,
    registry_option,
    results_option,
    where,
    worker_options,
)
from dsum_bench.errors import UserError
from dsum_bench.spec import Dtype, Quantization

if TYPE_CHECKING:
    from dsum_bench.screening.preflight import Candidate
    from dsum_bench.screening.sweep import ScreenResult
    from dsum_bench.screening.tables import PointTable


@command()
@click.argument("models", nargs=-1, metavar="[MODEL]...", shell_complete=completion.models)
@click.option("--all", "all_models", is_flag=True, help="Every model of the zoo.")
@choice_options
@dataset_options
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the first N samples.")
@click.option("--sample", metavar="N", type=click.IntRange(min=1), help="N samples drawn at random.")
@click.option("--seed", default=42, show_default=True, help="Seed of --sample and of sampling strategies.")
@prompt_options
@decoding_options
@metric_option
@click.option("--controls/--no-controls", default=True, show_default=True, help="Run the controls too.")
@click.option("--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True)
@click.option("--dtype", type=click.Choice(get_args(Dtype)), help="For all models.")
@click.option("--quantization", type=click.Choice(get_args(Quantization)), help="For all models.")
@click.option("--time-budget", metavar="TIME", help="Time limit per model, such as 30m.")
@worker_options
@click.option("--sweep", metavar="GRID", help='A run for each point: "prompt=a,b decoding=greedy,beam4".')
@click.option(
    "--confirm-on",
    metavar="SPLIT|SHARE",
    help="Score the best point of --sweep on this split, or on this held-out share (0.3, 30%).",
)
@click.option("--race", is_flag=True, help="Stop models and points of --sweep that fall behind on growing samples.")
@address_option
@click.option("--fresh", is_flag=True, help="Start over instead of resuming.")
@click.option("--free-cache", is_flag=True, help="Delete a hub model's files once its run is done.")
@click.option(
    "--dialogues/--no-dialogues",
    default=True,
    show_default=True,
    help="Store dialogues and references with the results, for reports.",
)
@click.option("--wait", is_flag=True, help="Wait for another command that is working on the same run.")
@click.option("--dry-run", is_flag=True, help="Check every model and stop.")
@json_option
@registry_option
@plugin_option
@results_option
@click.pass_context
def screen(
    context: click.Context,
    /,
    models: tuple[str, ...],
    all_models: bool,
    dry_run: bool,
    as_json: bool,
    results: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    **options: Any,
) -> None:
    """Run models on a dataset and score their summaries.

    Interrupted runs resume where they stopped. Each model runs in its own process: if one fails, it is reported and
    the others finish. The controls for the dataset's language run with every sweep.

    --sweep varies prompts, decodings and decoding parameters; a model is loaded once for all its points, and the table
    is corrected for their number. With --confirm-on the best point is selected on one part and scored on another.
    --race generates at most 40 % of the full sweep, or more with fewer than eight candidates: they are scored on
    growing parts of the samples, and those that fall behind are stopped. A later screening reuses a race's outputs.

    Exit code: 0 all done, 1 a model failed or stopped early or one you named could not run, 2 invalid usage or input.

    \b
    Examples:
      dsum-bench screen --all
      dsum-bench screen --all --max-params 4B
      dsum-bench screen smollm2-135m --dataset samples-en --limit 8
      dsum-bench screen llama32-3b --decoding beam4 --set max_new_tokens=96
      dsum-bench screen llama32-3b --sweep "decoding=greedy,beam4 length_penalty=0.8,1.2" --confirm-on 30%
    """
    if all_models == bool(models):
        raise UserError("give the models to screen, or use --all (see 'dsum-bench models')")
    bench = open_bench(results, registry, plugin, as_json)
    names = "all" if all_models else models
    if dry_run:
        unused = {"confirm_on", "race", "metrics", "time_budget", "hang_timeout", "fresh", "free_cache"}
        unused |= {"dialogues", "wait"}
        print_plan(bench.plan(names, **{k: v for k, v in options.items() if k not in unused}), as_json)
        return
    result = bench.screen(names, **options)
    print_result(result, as_json)
    context.exit(exit_code(result, models))


def print_result(result: ScreenResult, as_json: bool) -> None:
    """How the runs ended, and where to look next."""
    if as_json:
        from dsum_bench.cli.formatting import print_json

        runs = [asdict(run) for run in result.runs]
        found = {"counts": result.counts, "runs": runs, "database": str(result.results / "dsum.db")}
        if result.race is not None:
            found["race"] = asdict(result.race)
        print_json(found | {k: point_table.as_object(t) for k, t in point_tables(result).items()})
        return
    if result.race is not None:
        race_table.show(result.race)
    for name, table in point_tables(result).items():
        point_table.show(table, confirmed=name == "confirmed")
    counts = ", ".join(f"{count} {status}" for status, count in result.counts.items() if count)
    click.echo(f"{counts}; see: dsum-bench leaderboard{where(result.results)}")


def point_tables(result: ScreenResult) -> dict[str, PointTable]:
    """The tables of a sweep over prompts and decodings, as far as there are any."""
    found = {"table": result.table, "confirmed": result.confirmed}
    return {name: table for name, table in found.items() if table is not None}


def exit_code(result: ScreenResult, named: Sequence[str]) -> int:
    """0, 1 or 2 for the shell. named: models that were named one by one, so that a skipped one is missed."""
    asked = [run for run in result.runs if run.model in named] or list(result.runs)
    if all(run.status == "failed" and not run.began for run in asked):
        return 2  # nothing could begin, and every reason is a fault of the input
    missed = bool(named) and any(run.status == "skipped" for run in asked)
    ended_early = any(run.status in ("failed", "partial") for run in result.runs)
    return int(ended_early or missed or bool(result.broken_metrics))


def print_plan(candidates: Sequence[Candidate], as_json: bool) -> None:
    """What would be done with each model, and why not."""
    from dsum_bench.cli import formatting

    if as_json:
        formatting.print_json([_plan_row(c) for c in candidates])
        return
    from rich.table import Table

    table = Table(title="Before the sweep", title_justify="left")
    table.add_column("model", no_wrap=True)
    table.add_column("status")
    table.add_column("placement, or why not", overflow="fold")
    for c in candidates:
        place = c.run.placement
        how = f"{place.device} {place.dtype} {place.quantization}: {place.reason}"
        text = c.reason or (place.reason if place.device == "none" else how)
        name = f"{c.run.model.name} {c.point}".rstrip()
        table.add_row(formatting.literal(name), c.status, formatting.literal(text))
    formatting.console().print(table)


def _plan_row(candidate: Candidate) -> dict[str, object]:
    place = candidate.run.placement
    return {
        "model": candidate.run.model.name,
        "point": candidate.point,
        "status": candidate.status,
        "reason": candidate.reason or place.reason,
        "device": place.device,
        "dtype": place.dtype,
        "quantization": place.quantization,
        "needs_bytes": place.needs_bytes,
        "download_bytes": candidate.download_bytes,
    }
