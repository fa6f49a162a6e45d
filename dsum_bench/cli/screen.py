"""`dsum-bench screen`: the sweep over the model zoo."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from dsum_bench.cli.options import plugin_option, registry_option, results_option
from dsum_bench.errors import UserError
from dsum_bench.executors.base import HANG_TIMEOUT
from dsum_bench.spec import Dtype, ModelSpec, PromptFormat, Quantization, Sample

if TYPE_CHECKING:
    from dsum_bench.cli.session import Session
    from dsum_bench.metrics.base import Metric
    from dsum_bench.screening.preflight import Candidate

METRICS_HELP = "METRIC@TOKENIZER  [default: those of the dataset's language]"


@dataclass(frozen=True, slots=True)
class ScreenOptions:
    """The options of one call, as typed."""

    models: tuple[str, ...]
    all_models: bool
    dataset: str
    split: str | None
    limit: int | None
    sample: int | None
    seed: int
    prompt: str | None
    prompt_format: PromptFormat
    decoding: str | None
    settings: tuple[str, ...]
    metrics: tuple[str, ...]
    device: str
    dtype: Dtype | None
    quantization: Quantization | None
    time_budget: str | None
    hang_timeout: float
    executor: str
    fresh: bool
    free_cache: bool
    dialogues: bool
    dry_run: bool
    as_json: bool


@click.command(short_help="Summarise a dataset with models and store the scores.")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option(
    "--all", "all_models", is_flag=True, help="Every model of the zoo that is made for the dataset's language."
)
@click.option("--dataset", default="samples-ko", show_default=True, help="Dataset of the registry.")
@click.option("--split", help="Split of the dataset  [default: the dataset's own]")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N samples.")
@click.option("--sample", type=click.IntRange(min=1), help="N samples drawn at random.")
@click.option("--seed", default=42, show_default=True, help="For --sample and for sampling strategies.")
@click.option("--prompt", help="Prompt of the registry for all models.")
@click.option(
    "--prompt-format",
    type=click.Choice(get_args(PromptFormat)),
    default="template",
    show_default=True,
    help="raw leaves the chat template out.",
)
@click.option("--decoding", help="Decoding of the registry for all models.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a parameter of the decoding.")
@click.option("--metric", "metrics", multiple=True, help=METRICS_HELP)
@click.option("--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True)
@click.option("--dtype", type=click.Choice(get_args(Dtype)), help="For all models.")
@click.option("--quantization", type=click.Choice(get_args(Quantization)), help="For all models.")
@click.option(
    "--time-budget", metavar="TIME", help="Most time for a model, such as 30m; it stops when it would need more."
)
@click.option(
    "--hang-timeout", default=HANG_TIMEOUT, show_default=True, help="Seconds without a sign of life that end a worker."
)
@click.option("--executor", default="local", show_default=True, help="What runs the workers.")
@click.option("--fresh", is_flag=True, help="Start these runs over instead of resuming them.")
@click.option("--free-cache", is_flag=True, help="Delete a hub model's files once its run is done.")
@click.option(
    "--dialogues/--no-dialogues", default=True, help="Store dialogues and references with the results, for reports."
)
@click.option("--dry-run", is_flag=True, help="Check every model and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@registry_option
@plugin_option
@results_option
@click.pass_context
def screen(
    context: click.Context, /, database: Path, registry: tuple[Path, ...], plugin: tuple[str, ...], **typed: Any
) -> None:
    """Summarise a dataset with MODELs and store the scores.

    A run that was broken off goes on where it stopped. Each model has a process of its own: one that fails is
    reported, and the others finish.

    Exit code: 0 all done, 1 a model failed or stopped early or one you named could not run, 2 wrong usage or input.
    """
    from dsum_bench.cli.session import Session

    choices = ScreenOptions(**typed)
    if choices.all_models == bool(choices.models):
        raise UserError("name the models to screen, or use --all (see 'dsum-bench models')")
    session = Session.open(registry, plugin, database.parent)
    context.exit(run(choices, session, database))


def run(choices: ScreenOptions, session: Session, database: Path) -> int:
    """The command's work; returns the exit code."""
    metrics = metrics_for(session, choices.dataset, choices.metrics)
    candidates, samples = prepare(choices, session)
    if choices.dry_run:
        _show_plan(candidates, choices.as_json)
        return 0
    counts, broken = sweep(choices, session, database, candidates, samples, metrics)
    return _finish(choices, candidates, counts, database) or int(bool(broken))


def metrics_for(session: Session, dataset: str, chosen: Sequence[str]) -> dict[str, Metric]:
    """The metrics that were chosen, else those of the dataset's language; warns of one made for another language."""
    from dsum_bench.languages import default_metrics
    from dsum_bench.metrics.choose import build, unsuited

    language = session.registry.dataset(dataset).language
    metrics = {m: build(session.plugins, m) for m in dict.fromkeys(chosen or default_metrics(language))}
    for sentence in unsuited(metrics, language):
        click.echo(f"warning: {sentence}", err=True)
    return metrics


def prepare(
    choices: ScreenOptions, session: Session, references: bool = True
) -> tuple[list[Candidate], tuple[Sample, ...]]:
    """The runs that were asked for, checked, and their samples. Without ``references`` none is needed."""
    from dsum_bench.datasets.load import load, select
    from dsum_bench.fingerprints import references_fingerprint, samples_fingerprint
    from dsum_bench.machine import detect
    from dsum_bench.screening.preflight import Task, preflight

    spec = session.registry.dataset(choices.dataset)
    split = choices.split or spec.default_split
    loaded = load(spec, session.plugins, split, references)
    selection = select(loaded, choices.limit, choices.sample, choices.seed)
    task = Task(
        dataset=spec.name,
        language=spec.language,
        split=split,
        selection=selection.label,
        n_samples=len(selection.samples),
        dataset_fingerprint=samples_fingerprint(selection.samples),
        references_fingerprint=references_fingerprint(selection.samples),
        prompt=choices.prompt,
        prompt_format=choices.prompt_format,
        decoding=choices.decoding,
        settings=choices.settings,
        seed=choices.seed,
    )
    machine = detect()
    if choices.device == "cpu":
        machine = replace(machine, gpus=())
    candidates = preflight(_models(choices, session), task, session.registry, session.plugins, machine)
    candidates.sort(key=lambda c: (not c.control, c.run.model.params or 0))
    session.report_problems()
    return candidates, selection.samples


def _announce(candidates: Sequence[Candidate]) -> None:
    """Say what a sweep is about to fetch: a whole zoo is more than many disks and evenings hold."""
    from dsum_bench.engines.placement import size

    fetched = [c.download_bytes for c in candidates if c.status == "ready" and c.download_bytes]
    if fetched:
        click.echo(
            f"to be downloaded: {size(sum(fetched))} for {len(fetched)} model{'s' * (len(fetched) > 1)}", err=True
        )


def _models(choices: ScreenOptions, session: Session) -> list[ModelSpec]:
    names = session.registry.models if choices.all_models else dict.fromkeys(choices.models)
    changes: dict[str, Any] = {}
    if choices.dtype:
        changes["dtype"] = choices.dtype
    if choices.quantization:
        changes["quantization"] = choices.quantization
    return [replace(session.registry.model(name), **changes) for name in names]


def sweep(
    choices: ScreenOptions,
    session: Session,
    database: Path,
    candidates: Sequence[Candidate],
    samples: Sequence[Sample],
    metrics: Mapping[str, Any],
) -> tuple[Mapping[str, int], Set[str]]:
    """Do the runs; returns how many ended how, and the metrics that failed."""
    from dsum_bench.cli.progress import Bars, Lines
    from dsum_bench.screening.durations import parse_duration
    from dsum_bench.screening.sweep import Settings, Sweep
    from dsum_bench.store.writer import Store

    _announce(candidates)
    budget = parse_duration(choices.time_budget) if choices.time_budget else None
    settings = Settings(budget, choices.fresh, choices.free_cache, choices.dialogues, database.parent / "logs")
    executor = session.plugins.get("executor", choices.executor)(choices.hang_timeout)
    console = session.console(stderr=choices.as_json)
    with Store.open(database) as store:
        watcher = Bars(console, len(candidates)) if console.is_terminal else Lines(console)
        with watcher:
            work = Sweep(samples, metrics, store, session.plugins, watcher, settings)
            return work.go(candidates, executor), work.broken


def _finish(choices: ScreenOptions, candidates: Sequence[Candidate], counts: Mapping[str, int], database: Path) -> int:
    told = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    if choices.as_json:
        click.echo(json.dumps({"counts": dict(counts), "database": str(database)}))
    else:
        where = "" if str(database.parent) == "results" else f" --results {database.parent}"
        click.echo(f"{told}; see: dsum-bench leaderboard{where}")
    if all(c.status == "failed" for c in candidates):
        return 2  # nothing could even begin, and every reason is a fault of the input
    named_but_not_run = not choices.all_models and counts["skipped"]
    return 1 if counts["failed"] or counts["partial"] or named_but_not_run else 0


def _show_plan(candidates: Sequence[Candidate], as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if as_json:
        rows = [
            {
                "model": c.run.model.name,
                "status": c.status,
                "reason": c.reason or c.run.placement.reason,
                "device": c.run.placement.device,
                "dtype": c.run.placement.dtype,
                "quantization": c.run.placement.quantization,
                "needs_bytes": c.run.placement.needs_bytes,
                "download_bytes": c.download_bytes,
            }
            for c in candidates
        ]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    table = Table(title="Before the sweep", title_justify="left")
    table.add_column("model", no_wrap=True)
    table.add_column("status")
    table.add_column("how, or why not", overflow="fold")
    for c in candidates:
        place = c.run.placement
        how = (
            place.reason
            if place.device == "none"
            else f"{place.device} {place.dtype} {place.quantization}: {place.reason}"
        )
        table.add_row(Text(c.run.model.name), c.status, Text(c.reason or how))
    Console().print(table)
