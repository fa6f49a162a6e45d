"""``dsum-bench finetune``: train a model by recipe, then screen what came of it beside its base."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from dsum_bench.cli.options import plugin_option, registry_option, results_option
from dsum_bench.errors import UserError
from dsum_bench.executors.base import HANG_TIMEOUT
from dsum_bench.spec import Dtype, PromptFormat

if TYPE_CHECKING:
    from dsum_bench.cli.session import Session
    from dsum_bench.training.job import TrainingJob
    from dsum_bench.training.prepare import PreparedTraining


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """The options of one call that are not about what is trained, as typed."""

    name: str | None
    sweep: str | None
    device: str
    fresh: bool
    dry_run: bool
    probe: bool
    ignore_memory: bool
    hang_timeout: float
    executor: str
    screen: bool
    screen_limit: int | None
    as_json: bool


@click.command(short_help="Train a model by recipe and screen the result.")
@click.argument("model")
@click.option("--recipe", help="Recipe of the registry  [default: the model's own]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a parameter of the recipe.")
@click.option("--sweep", metavar="GRID", help='A run for each point of a grid, such as "lr=1e-4,2e-4 r=16,32".')
@click.option("--dataset", default="samples-ko", show_default=True, help="Dataset of the registry.")
@click.option("--split", default="train", show_default=True, help="Split to train on.")
@click.option("--dev-split", help="Split to evaluate and screen on  [default: the dataset's own]")
@click.option("--limit", type=click.IntRange(min=1), help="Train on the first N rows.")
@click.option("--sample", type=click.IntRange(min=1), help="Train on N rows drawn at random.")
@click.option(
    "--dev-limit", type=click.IntRange(min=0), default=100, show_default=True, help="Rows for the loss of each epoch."
)
@click.option("--max-steps", type=click.IntRange(min=1), help="Updates after which training ends.")
@click.option("--name", metavar="RUN", help="The result is called MODEL@RUN  [default: from its settings]")
@click.option("--prompt", help="Prompt of the registry  [default: the one it is screened with]")
@click.option("--prompt-format", type=click.Choice(get_args(PromptFormat)), default="template", show_default=True)
@click.option("--seed", default=42, show_default=True, help="For the order of rows, dropout and --sample.")
@click.option("--device", type=click.Choice(["auto", "cpu"]), default="auto", show_default=True)
@click.option("--dtype", type=click.Choice(get_args(Dtype)), help="Of the base's weights, or of their computation.")
@click.option("--fresh", is_flag=True, help="Start the run over instead of going on with it.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option("--probe/--no-probe", default=True, show_default=True, help="Time a batch, for how long it will take.")
@click.option("--ignore-memory", is_flag=True, help="Train even where the plan says that memory does not suffice.")
@click.option(
    "--hang-timeout", default=HANG_TIMEOUT, show_default=True, help="Seconds without a sign of life that end a worker."
)
@click.option("--executor", default="local", show_default=True, help="What runs the worker, in the screening too.")
@click.option("--screen/--no-screen", default=True, show_default=True, help="Screen base and result afterwards.")
@click.option("--screen-limit", type=click.IntRange(min=1), help="Only the first N samples of the screening.")
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@registry_option
@plugin_option
@results_option
@click.pass_context
def finetune(
    context: click.Context, /, database: Path, registry: tuple[Path, ...], plugin: tuple[str, ...], **typed: Any
) -> None:
    """Train MODEL and screen the result, MODEL@RUN, beside it.

    A run that was broken off goes on from its last checkpoint when the same command is given again.

    Exit code: 0 done, 1 training or screening failed, 2 wrong usage or input.
    """
    from dsum_bench.cli.session import Session
    from dsum_bench.training.prepare import TrainingRequest, grid

    choices = FinetuneOptions(**{k: typed.pop(k) for k in FinetuneOptions.__dataclass_fields__})
    if choices.name is not None:
        _check_name(choices.name, choices.sweep)
    session = Session.open(registry, plugin, database.parent)
    points = grid(choices.sweep) if choices.sweep else [()]
    settings = typed.pop("settings")
    wanted = [TrainingRequest(**typed, settings=(*settings, *point)) for point in points]
    context.exit(run(wanted, choices, session, database))


def _check_name(name: str, sweep: str | None) -> None:
    from dsum_bench.registry.check import NAME

    if sweep:
        raise UserError("--name cannot be given to all runs of --sweep; they are named by their settings")
    if not NAME.fullmatch(name) or "@" in name:
        raise UserError(f"--name {name}: use lower-case letters, digits and . _ + - (not first)")


def run(wanted: list[Any], choices: FinetuneOptions, session: Session, database: Path) -> int:
    """The command's work; returns the exit code."""
    from dataclasses import replace

    from dsum_bench.machine import detect
    from dsum_bench.training.prepare import prepare
    from dsum_bench.training.sessions import main_process

    machine = detect()
    if choices.device == "cpu":
        machine = replace(machine, gpus=())
    prepared = [prepare(w, session.registry, session.plugins, machine) for w in wanted]
    session.report_problems()
    jobs = [_job(p, choices, session, database) for p in prepared]
    outcomes = _train(jobs, choices, session, database)
    done = [job for job in jobs if outcomes[job.id].status == "done"]
    failed = len(done) < len(jobs) and not choices.dry_run
    code = 1 if failed else 0
    if done and choices.screen and main_process():
        from dsum_bench.cli.after_training import screen_and_compare

        code = max(code, screen_and_compare(done, wanted[0], choices, session, database))
    if choices.as_json and main_process():
        click.echo(json.dumps({key: asdict(outcome) for key, outcome in outcomes.items()}, ensure_ascii=False))
    return code


def _job(prepared: PreparedTraining, choices: FinetuneOptions, session: Session, database: Path) -> TrainingJob:
    from dsum_bench.registry.trained import result_folder
    from dsum_bench.training.job import TrainingJob, named

    spec = named(prepared.spec, choices.name)
    results = database.parent.resolve()
    return TrainingJob(
        id=spec.result,
        spec=spec,
        train=prepared.train.samples,
        dev=prepared.dev.samples if prepared.dev else (),
        work=results / "training" / spec.result,
        result=result_folder(results, spec.result),
        plugins=session.plugins.settings,
        log=str(results / "logs" / f"{spec.result}.log"),
        plan_only=choices.dry_run,
        probe=choices.probe,
        ignore_memory=choices.ignore_memory,
    )


def _train(jobs: list[TrainingJob], choices: FinetuneOptions, session: Session, database: Path) -> dict[str, Any]:
    from contextlib import nullcontext

    from dsum_bench.cli.training_progress import watcher
    from dsum_bench.store.training import TrainingLog
    from dsum_bench.store.writer import Store
    from dsum_bench.training.sessions import main_process, train

    writes = main_process() and not choices.dry_run
    outcomes = {}
    executor = session.plugins.get("executor", choices.executor)(choices.hang_timeout)
    with Store.open(database) if writes else nullcontext() as store:
        log = TrainingLog(store) if store is not None else None
        console = session.console(stderr=choices.as_json)
        console.quiet = not main_process()
        with watcher(console) as watching:
            for job in jobs:
                outcomes[job.id] = train(job, log, session.plugins, watching, choices.fresh, executor)
    return outcomes
