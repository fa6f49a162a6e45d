"""Training runs from the process that writes the store: start workers, keep their curves, say how they ended."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Protocol

from dsum_bench.errors import UserError, ending_reason
from dsum_bench.executors.base import KILLED, Event, Executor, JobEnded, Progress, events_of
from dsum_bench.executors.signals import ending_signals
from dsum_bench.plugins import Plugins
from dsum_bench.store.training import TrainingLog
from dsum_bench.store.writer import Status
from dsum_bench.training.claims import claim, finished, forget
from dsum_bench.training.job import (
    CurvePoint,
    PlanReady,
    TimeEstimate,
    TrainingJob,
    TrainingNotice,
    TrainingPlan,
    TrainingResumed,
    settings,
)

AFTER_KILL = "the same command resumes from the last checkpoint, --set batch=1 takes less"
PRUNED = "pruned"
"""What the reason begins with of a training that a search has ended."""
FINISHED = "it was trained before; --fresh trains it again"


class TrainingObserver(Protocol):
    """Who is told how a training goes."""

    def planned(self, job: TrainingJob, figures: TrainingPlan) -> None: ...
    def probed(self, job: TrainingJob, seconds: float) -> None: ...
    def told(self, job: TrainingJob, text: str) -> None: ...
    def warned(self, job: TrainingJob, text: str) -> None: ...
    def resumed(self, job: TrainingJob, step: int) -> None: ...
    def logged(self, job: TrainingJob, point: CurvePoint) -> None: ...
    def ended(self, job: TrainingJob, status: str, reason: str) -> None: ...


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """How a run ended: ``done``, ``failed``, ``skipped``, or ``planned`` where only the plan was asked for."""

    status: str
    reason: str = ""


def main_process() -> bool:
    """Whether this process writes: under ``accelerate launch`` only the first does."""
    return os.environ.get("RANK", "0") == "0"


def train(
    job: TrainingJob,
    log: TrainingLog | None,
    plugins: Plugins,
    watcher: TrainingObserver,
    fresh: bool = False,
    executor: Executor | None = None,
) -> TrainingOutcome:
    """Do one run, or resume it; as ``train_together``."""
    return train_together([job], log, plugins, watcher, fresh, executor)[0]


def train_together(
    jobs: Sequence[TrainingJob],
    log: TrainingLog | None,
    plugins: Plugins,
    watcher: TrainingObserver,
    fresh: bool = False,
    executor: Executor | None = None,
) -> tuple[TrainingOutcome, ...]:
    """Do runs, or resume them, as many at a time as the executor has room for, in the order given where it has not.

    log is None in processes that do not write, and for a plan alone.
    executor: runs the workers; ``local`` where none is given.

    Raises:
        UserError: a run of one of these names was started with other settings, or the results cannot be written.
        Terminated: SIGTERM or SIGHUP came; as KeyboardInterrupt, raised after the runs were closed as partial.
    """
    session = _Session(log, plugins, watcher)
    with ending_signals():
        try:
            waiting = [job for job in jobs if session.begin(job, fresh)]
            if waiting:
                session.run(waiting, executor or _local())
        except BaseException as error:
            session.abandon(error)
            if log is not None:
                with suppress(UserError):  # a disk that is full may stay so
                    log.store.abandon(ending_reason(error))
            raise
    return tuple(session.outcomes[job.id] for job in jobs)


@dataclass(slots=True)
class _Session:
    """Runs that are done together. began: when each that runs now did, on the monotonic clock; peaks: its memory."""

    log: TrainingLog | None
    plugins: Plugins
    watcher: TrainingObserver
    outcomes: dict[str, TrainingOutcome] = field(default_factory=dict)
    running: dict[str, TrainingJob] = field(default_factory=dict)
    began: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)

    def begin(self, job: TrainingJob, fresh: bool) -> bool:
        """Take a run's name. Whether there is anything to do."""
        if self.log is not None:
            self.log.refuse_busy(job.id)
            if fresh:
                forget(job)
            claim(job, settings(job.spec))
        if job.plan_only or fresh or not finished(job):
            return True
        if self.log is not None:
            self.log.keep_finished(job.spec, settings(job.spec))
        self._ended(job, TrainingOutcome("done", FINISHED))
        return False

    def run(self, jobs: Sequence[TrainingJob], executor: Executor) -> None:
        """Have the executor do the jobs. One is stored as running as soon as there should be room for it, so that it is
        known even if this process dies before its worker says anything."""
        known = {job.id: job for job in jobs}
        waiting = list(jobs)
        for _ in jobs[: max(1, executor.room(jobs[0]))]:
            self._open(waiting.pop(0))
        with closing(events_of(executor, jobs)) as events:
            for event in events:
                job = known[event.job]
                if job.id not in self.running:
                    waiting.remove(job)
                    self._open(job)
                if isinstance(event, JobEnded):
                    outcome = _outcome(job, event)
                    self._close(job, _status(outcome), outcome.reason)
                    self._ended(job, outcome)
                    if waiting:
                        self._open(waiting.pop(0))
                    continue
                if isinstance(event, CurvePoint):
                    self.peaks[job.id] = max(self.peaks[job.id], event.peak_memory)
                _take(event, job, self.log, self.plugins, self.watcher)

    def abandon(self, error: BaseException) -> None:
        """Close what is running as partial."""
        for job in list(self.running.values()):
            with suppress(UserError):
                self._close(job, "partial", ending_reason(error))

    def _open(self, job: TrainingJob) -> None:
        """A run that waited for room has it."""
        if self.log is not None:
            self.log.open(job.spec, settings(job.spec))
        self.running[job.id], self.began[job.id], self.peaks[job.id] = job, monotonic(), 0
        if self.log is not None:
            _event("dsum_training_started", job, self.log, self.plugins, self.watcher)

    def _close(self, job: TrainingJob, status: Status, reason: str) -> None:
        del self.running[job.id]
        if self.log is not None:
            self.log.close(job.id, status, reason, monotonic() - self.began[job.id], self.peaks[job.id])
            ended = {"status": status, "reason": reason}
            _event("dsum_training_finished", job, self.log, self.plugins, self.watcher, **ended)

    def _ended(self, job: TrainingJob, outcome: TrainingOutcome) -> None:
        self.outcomes[job.id] = outcome
        self.watcher.ended(job, outcome.status, outcome.reason)


def _take(event: Event, job: TrainingJob, log: TrainingLog | None, plugins: Plugins, watcher: TrainingObserver) -> None:
    if isinstance(event, Progress):
        watcher.told(job, event.text)
    elif isinstance(event, TrainingNotice):
        watcher.warned(job, event.text)
    elif isinstance(event, PlanReady):
        if log is not None:
            log.plan(job.id, event.figures)
        watcher.planned(job, event.figures)
    elif isinstance(event, TimeEstimate):
        watcher.probed(job, event.seconds)
    elif isinstance(event, TrainingResumed):
        if log is not None:
            log.resume(job.id, event.step, event.points)
        if event.step:
            watcher.resumed(job, event.step)
    elif isinstance(event, CurvePoint):
        if log is not None:
            log.log(job.id, event.step, event.values, event.seconds)
            _event("dsum_training_log", job, log, plugins, watcher, step=event.step, values=event.values)
        watcher.logged(job, event)


def _event(
    hook: str, job: TrainingJob, log: TrainingLog, plugins: Plugins, watcher: TrainingObserver, **more: object
) -> None:
    told = plugins.tell(hook, run_id=job.id, run=job.spec, results=log.store.path.parent, **more)
    for problem in told:  # training goes on without it
        watcher.warned(job, problem)


def _local() -> Executor:
    from dsum_bench.executors.local import Local

    return Local()


def _outcome(job: TrainingJob, event: JobEnded) -> TrainingOutcome:
    if event.reason:
        advice = f"; {AFTER_KILL}" if event.reason == KILLED else ""
        skipped = event.skipped or event.reason.startswith(f"{PRUNED}:")
        return TrainingOutcome("skipped" if skipped else "failed", event.reason + advice)
    return TrainingOutcome("planned" if job.plan_only else "done")


def _status(outcome: TrainingOutcome) -> Status:
    found: dict[str, Status] = {"done": "done", "skipped": "skipped", "planned": "partial"}
    return found.get(outcome.status, "failed")


def check_rows(count: int, dataset: str, split: str) -> None:
    """Raise UserError where there is nothing to learn from."""
    if not count:
        raise UserError(f"dataset '{dataset}', split '{split}' has no rows to train on; choose another --split")
