"""Trainings from requests to results, one job a request."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.errors import UserError
from dsum_bench.executors.base import Executor
from dsum_bench.fingerprints import canonical
from dsum_bench.plugins import Plugins
from dsum_bench.registry.trained import result_folder
from dsum_bench.training import config
from dsum_bench.training.folds import Fold
from dsum_bench.training.gain import Gain
from dsum_bench.training.job import KEY_LENGTH, TrainingJob, named, settings
from dsum_bench.training.prepare import PreparedTraining, TrainingRequest
from dsum_bench.training.sessions import TrainingObserver, TrainingOutcome, main_process, train_together

if TYPE_CHECKING:
    from dsum_bench.screening.sweep import RunResult, ScreenResult
    from dsum_bench.training.search import SearchResult


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """How trainings are run; none of it changes their result.

    name: of the run, the part after ``@``; None takes one from its settings. plan_only: plan and stop.
    probe: time a batch first. ignore_memory: train even where the plan does not fit. fresh: start over.
    """

    name: str | None = None
    plan_only: bool = False
    probe: bool = True
    ignore_memory: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """How one training ended. model: the name of the trained model, ``BASE@RUN``.

    status: ``done``, ``failed``, ``skipped``, or ``planned`` where only the plan was asked for.
    """

    model: str
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """What came of a ``finetune``. screening, gains: None and () where nothing was screened.

    search: its trials, where one was asked for; trainings then holds the best of them alone.
    unseen: of folds, the run of every training row summarised by the model that has not seen it.
    """

    trainings: tuple[TrainingResult, ...]
    screening: ScreenResult | None = None
    gains: tuple[Gain, ...] = ()
    search: SearchResult | None = None
    unseen: RunResult | None = None

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that were trained to the end."""
        return tuple(t.model for t in self.trainings if t.status == "done")


def make_job(prepared: PreparedTraining, options: TrainingOptions, plugins: Plugins, results: Path) -> TrainingJob:
    """The job of one training, its folders under results.

    Raises:
        UserError: its name is that of the adapter that it goes on with.
    """
    fold = prepared.request.fold
    name = f"{options.name}-fold{fold.number}" if options.name and fold else options.name
    spec = named(prepared.spec, name)
    results = results.resolve()
    if spec.start is not None and spec.result == spec.start.name:
        raise UserError(f"--name {spec.name}: that is the adapter which training goes on with; choose another name")
    return TrainingJob(
        id=spec.result,
        spec=spec,
        train=prepared.train.samples,
        dev=prepared.dev.samples if prepared.dev else (),
        work=results / "training" / spec.result,
        result=result_folder(results, spec.result),
        plugins=plugins.settings,
        log=str(results / "logs" / f"{spec.result}.log"),
        plan_only=options.plan_only,
        probe=options.probe,
        ignore_memory=options.ignore_memory,
        config=config.written(prepared.request, spec),
    )


def train_all(
    jobs: Sequence[TrainingJob],
    database: Path,
    plugins: Plugins,
    observer: TrainingObserver,
    options: TrainingOptions,
    executor: Executor,
) -> tuple[TrainingResult, ...]:
    """Do the jobs, as many at a time as the executor has room for. Under ``accelerate launch`` only the first process
    writes.

    Raises:
        UserError: a run of the same name was begun with other settings; the database cannot be written.
    """
    from dsum_bench.store.training import TrainingLog
    from dsum_bench.store.writer import Store

    writes = main_process() and not options.plan_only
    with Store.open(database) if writes else nullcontext() as store:
        log = TrainingLog(store) if store is not None else None
        outcomes = train_together(jobs, log, plugins, observer, options.fresh, executor)
    return tuple(TrainingResult(job.id, o.status, o.reason) for job, o in zip(jobs, outcomes, strict=True))


def search_points(
    request: TrainingRequest,
    prepare: Callable[[TrainingRequest], PreparedTraining],
    space: str,
    count: int,
    database: Path,
    plugins: Plugins,
    observer: TrainingObserver,
    options: TrainingOptions,
    executor: Executor,
) -> SearchResult:
    """Search for the best point of a space with as many trials as count; interrupted, the same call goes on.

    space: as ``dsum_bench.training.space.axes`` reads it; '' for the trainer's own.

    Raises:
        UserError: there is nothing to choose by, the space is wrong, or no point could be trained.
    """
    from dsum_bench.store.training import TrainingLog, training
    from dsum_bench.store.writer import Store
    from dsum_bench.training.search import Search, check_installed, keep_best
    from dsum_bench.training.space import DEFAULTS, axes

    check_installed()
    first = prepare(request)
    trainer = plugins.trainers[first.spec.recipe.trainer]
    params = trainer.Params(**dict[str, Any](first.spec.recipe.params))
    measure = params.measure(first.dev is not None, silent=False)
    if measure is None:
        raise UserError("--search chooses by the evaluation: give --dev-limit a number above 0, and no choose_by=last")
    space = space or DEFAULTS[trainer.keeps]
    found = axes(space, trainer.Params)
    fixed = {k: v for k, v in settings(first.spec).items() if k not in {axis.key for axis in found}}
    digest = hashlib.sha256(canonical([fixed, space.split(), measure]).encode("ascii")).hexdigest()[:KEY_LENGTH]
    results = database.parent
    journal = results / "search" / f"{first.spec.model.name}@{digest}.log"
    if options.fresh:
        journal.unlink(missing_ok=True)

    def make(point: tuple[str, ...]) -> TrainingJob:
        return make_job(prepare(replace(request, settings=(*request.settings, *point))), options, plugins, results)

    with Store.open(database) as store:
        log = TrainingLog(store)

        def some(jobs: Sequence[TrainingJob], watcher: TrainingObserver) -> tuple[TrainingOutcome, ...]:
            return train_together(jobs, log, plugins, watcher, options.fresh, executor)

        def measured(run: str) -> list[float]:
            return [value for _, value in training(database, run).curve.get(measure, ())]

        search = Search(journal, found, measure, make, some, measured, first.spec.seed)
        result = search.go(count, observer, executor)
    keep_best(result, results)
    return result


def check_name(name: str | None, points: int) -> None:
    """Raise UserError for a name of a run that cannot be one, or that several runs would share."""
    from dsum_bench.registry.check import NAME

    if name is None:
        return
    if points > 1:
        raise UserError("--name cannot be given to all runs of --sweep; they are named by their settings")
    if not NAME.fullmatch(name) or "@" in name:
        raise UserError(f"--name {name}: use lower-case letters, digits and . _ + - (not first)")


def check_search(count: int | None, space: str | None, sweep: str | None, plan_only: bool) -> None:
    """Raise UserError for options that do not go together with a search."""
    if count is None:
        if space is not None:
            raise UserError("--space says what --search may change; give --search N")
        return
    if sweep is not None:
        raise UserError("--search and --sweep are two ways to choose points; give one of them")
    if plan_only:
        raise UserError("--dry-run plans one point: leave --search out")
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise UserError("--search runs in one process; under accelerate launch use --sweep")


def all_folds(count: int | None, by: str | None, others: Sequence[object]) -> tuple[Fold | None, ...]:
    """The folds that were asked for; (None,) for all rows at once.

    others: options that choose points, which do not go together with folds.

    Raises:
        UserError: they do not, or there is but one fold.
    """
    if count is None:
        if by is not None:
            raise UserError("--fold-by says what stays together in --folds; give --folds N")
        return (None,)
    if count < 2:
        raise UserError("--folds must be at least 2")
    if any(others):
        raise UserError("--folds trains one point; leave --sweep and --search out")
    return tuple(Fold(number, count, by) for number in range(1, count + 1))
