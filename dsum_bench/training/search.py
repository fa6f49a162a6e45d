"""Search for the best parameters of a recipe with Optuna: TPE, pruned by the evaluations, resumed after a kill.

Everything that a search knows lies in one journal file. The sampler is seeded with the number of a trial, so that what
comes next depends on the journal alone, whether the search was interrupted or not.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.errors import UserError
from dsum_bench.executors.base import Executor
from dsum_bench.registry.trained import result_folder
from dsum_bench.training.job import CurvePoint, TrainingJob, TrainingPlan
from dsum_bench.training.sessions import PRUNED, TrainingObserver, TrainingOutcome
from dsum_bench.training.space import Axis, settings

if TYPE_CHECKING:
    from optuna import Study, Trial

STARTUP = 5
"""Trials drawn at random before TPE (Bergstra et al. 2011) chooses, and finished before any is pruned."""
SHARE = 3
"""Of a small search, at most one in so many trials is drawn at random."""
RUN, REASON = "run", "reason"
"""Attributes of a trial: the run that it is, and why it has no value."""

Make = Callable[[tuple[str, ...]], TrainingJob]
Train = Callable[[Sequence[TrainingJob], TrainingObserver], Sequence[TrainingOutcome]]
Measured = Callable[[str], Sequence[float]]


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One point of a search. run: ``BASE@RUN``. params: what was changed.

    status: ``done``, ``pruned`` or ``failed``. value: its best evaluation, None where there is none.
    """

    number: int
    run: str
    params: Mapping[str, object]
    status: str
    value: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search came to. measure: ``eval_rouge`` (higher is better) or ``eval_loss`` (lower is better)."""

    measure: str
    trials: tuple[TrialResult, ...]

    @property
    def best(self) -> TrialResult | None:
        """The finished trial with the best value; the first of several."""
        done = [t for t in self.trials if t.status == "done" and t.value is not None]
        sign = -1.0 if self.measure == "eval_loss" else 1.0
        return max(done, key=lambda t: sign * (t.value or 0.0), default=None)


def check_installed() -> None:
    """Raise UserError where Optuna is missing."""
    if find_spec("optuna") is None:
        raise UserError("--search needs the package optuna: pip install 'dsum-bench[search]'")


class Search:
    """A search whose journal may hold trials already.

    make: the job of a point. train: trains several, at the same time where there is room.
    measured: every evaluation of a run so far, in order.
    measure: what is searched for.
    """

    def __init__(
        self, journal: Path, axes: Sequence[Axis], measure: str, make: Make, train: Train, measured: Measured, seed: int
    ) -> None:
        self.axes, self.measure, self.seed = axes, measure, seed
        self._make, self._train, self._measured = make, train, measured
        self.lower = measure == "eval_loss"
        self.study = self._open(journal)

    def go(self, count: int, watcher: TrainingObserver, executor: Executor) -> SearchResult:
        """Have as many trials as count in all, those of earlier calls counted. Trials that were interrupted go on.

        They come in rounds of as many as the executor has room for. A round is told to the study when all of it has
        ended, in order, so that what comes next does not depend on who was faster.

        Raises:
            UserError: not one trial could be trained.
        """
        from optuna.trial import TrialState

        while trials := self._round(count, executor):
            self._try(trials, watcher, executor)
        found = []
        for frozen in self.study.get_trials(deepcopy=False):
            status = {TrialState.COMPLETE: "done", TrialState.PRUNED: PRUNED}.get(frozen.state, "failed")
            run, reason = (frozen.user_attrs.get(name, "") for name in (RUN, REASON))
            found.append(TrialResult(frozen.number, run, frozen.params, status, frozen.value, reason))
        result = SearchResult(self.measure, tuple(found))
        if result.best is None:
            raise UserError(
                f"no point of the search could be trained; the last one: {found[-1].reason or 'see its log'}"
            )
        return result

    def _open(self, journal: Path) -> Study:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        journal.parent.mkdir(parents=True, exist_ok=True)
        pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP)
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(journal))),
            study_name="search",
            direction="minimize" if self.lower else "maximize",
            pruner=pruner,
            load_if_exists=True,
        )

    def _round(self, count: int, executor: Executor) -> list[tuple[Trial, TrainingJob]]:
        """The trials that were interrupted; where there are none, new ones while there are fewer than count in all."""
        import optuna
        from optuna.trial import TrialState

        known = self.study.get_trials(deepcopy=False)
        running = [frozen for frozen in known if frozen.state == TrialState.RUNNING]
        if running:
            return [self._drawn(optuna.trial.Trial(self.study, frozen._trial_id)) for frozen in running]
        startup = min(STARTUP, max(1, count // SHARE))
        found: list[tuple[Trial, TrainingJob]] = []
        # The first point says on what device the others will be.
        while len(known) + len(found) < count and (not found or len(found) < executor.room(found[0][1])):
            number = len(known) + len(found)
            self.study.sampler = optuna.samplers.TPESampler(n_startup_trials=startup, seed=self.seed + number)
            found.append(self._drawn(self.study.ask()))
        return found

    def _drawn(self, trial: Trial) -> tuple[Trial, TrainingJob]:
        """A trial with the job of its point, which is drawn when it is first asked for."""
        job = self._make(settings({axis.key: _suggested(trial, axis) for axis in self.axes}))
        trial.set_user_attr(RUN, job.id)
        return trial, job

    def _try(self, trials: Sequence[tuple[Trial, TrainingJob]], watcher: TrainingObserver, executor: Executor) -> None:
        """Train the trials' points and tell the study."""
        prunings = {job.id: Pruning(trial, self.measure, executor) for trial, job in trials}
        # Some may have been killed before this was told; two trials may have drawn the same point.
        going = {job.id: job for _, job in trials if not prunings[job.id].hopeless()}
        outcomes = self._train(list(going.values()), Watching(watcher, prunings))
        ended = dict(zip(going, outcomes, strict=True))
        for trial, job in trials:
            self._tell(trial, job, prunings[job.id].pruned, ended.get(job.id))

    def _tell(self, trial: Trial, job: TrainingJob, pruned: bool, outcome: TrainingOutcome | None) -> None:
        from optuna.trial import TrialState

        if outcome is None:
            self.study.tell(trial, state=TrialState.PRUNED)
            return
        values = self._measured(job.id)
        if outcome.status == "done" and values and not pruned:
            self.study.tell(trial, min(values) if self.lower else max(values))
            return
        trial.set_user_attr(REASON, outcome.reason or "it has no evaluation")
        self.study.tell(trial, state=TrialState.PRUNED if pruned else TrialState.FAIL)


class Pruning:
    """Tells a trial its evaluations, and ends its training where they are worse than the median of those before."""

    def __init__(self, trial: Trial, measure: str, executor: Executor) -> None:
        self.trial, self.measure, self.executor = trial, measure, executor
        self.pruned = False
        self.reported = set(trial.storage.get_trial(trial._trial_id).intermediate_values)

    def hopeless(self) -> bool:
        """Whether what was told before a kill is reason to stop."""
        return bool(self.reported) and self.trial.should_prune()

    def logged(self, job: TrainingJob, point: CurvePoint) -> None:
        if self.measure not in point.values or self.pruned:
            return
        # Thousandths of an epoch: runs of other batches are compared after as many rows, and a point that is logged
        # again after a kill is the same.
        value, at = point.values[self.measure], round(1000 * point.values["epoch"])
        if at in self.reported:
            return
        self.reported.add(at)
        self.trial.report(value, at)
        if self.trial.should_prune():
            self.pruned = True
            reason = f"{PRUNED}: {value:.4g} after {at / 1000:g} epochs is worse than half of the points before it"
            self.executor.stop(job.id, reason)


class Watching:
    """Tells another observer everything, and each trial's pruning its evaluations."""

    def __init__(self, watcher: TrainingObserver, prunings: Mapping[str, Pruning]) -> None:
        self.watcher, self.prunings = watcher, prunings

    def logged(self, job: TrainingJob, point: CurvePoint) -> None:
        self.watcher.logged(job, point)
        self.prunings[job.id].logged(job, point)

    def planned(self, job: TrainingJob, figures: TrainingPlan) -> None:
        self.watcher.planned(job, figures)

    def probed(self, job: TrainingJob, seconds: float) -> None:
        self.watcher.probed(job, seconds)

    def told(self, job: TrainingJob, text: str) -> None:
        self.watcher.told(job, text)

    def warned(self, job: TrainingJob, text: str) -> None:
        self.watcher.warned(job, text)

    def resumed(self, job: TrainingJob, step: int) -> None:
        self.watcher.resumed(job, step)

    def ended(self, job: TrainingJob, status: str, reason: str) -> None:
        self.watcher.ended(job, status, reason)


def _suggested(trial: Trial, axis: Axis) -> Any:
    if axis.choices:
        return trial.suggest_categorical(axis.key, axis.choices)
    if axis.integer:
        return trial.suggest_int(axis.key, int(axis.low), int(axis.high), log=axis.log)
    return trial.suggest_float(axis.key, axis.low, axis.high, log=axis.log)


def keep_best(result: SearchResult, results: Path) -> None:
    """Delete the checkpoints of every trial, and the weights of all but the best."""
    assert result.best is not None
    for run in {trial.run for trial in result.trials if trial.run}:
        shutil.rmtree(results / "training" / run / "checkpoints", ignore_errors=True)
        if run != result.best.run:
            shutil.rmtree(result_folder(results, run), ignore_errors=True)
