"""Training runs from the process that writes the store: start a worker, keep its curve, say how it ended."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from dataclasses import dataclass
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
    """Do one run, or resume it. log is None in processes that do not write, and for a plan alone.

    executor: runs the worker; ``local`` where none is given.

    Raises:
        UserError: the run of this name was started with other settings, or the results cannot be written.
        Terminated: SIGTERM or SIGHUP came; as KeyboardInterrupt, raised after the run was closed as partial.
    """
    with ending_signals():
        try:
            outcome = _train(job, log, plugins, watcher, fresh, executor or _local())
        except BaseException as error:
            if log is not None:
                with suppress(UserError):  # a disk that is full may stay so
                    log.store.abandon(ending_reason(error))
            raise
    watcher.ended(job, outcome.status, outcome.reason)
    return outcome


def _train(
    job: TrainingJob,
    log: TrainingLog | None,
    plugins: Plugins,
    watcher: TrainingObserver,
    fresh: bool,
    executor: Executor,
) -> TrainingOutcome:
    if log is not None:
        log.refuse_busy(job.id)
        if fresh:
            forget(job)
        claim(job, settings(job.spec))
    if not job.plan_only and not fresh and finished(job):
        if log is not None:
            log.keep_finished(job.spec, settings(job.spec))
        return TrainingOutcome("done", FINISHED)
    if log is not None:
        log.open(job.spec, settings(job.spec))
        _event("dsum_training_started", job, log, plugins, watcher)
    began, peak, outcome = monotonic(), 0, TrainingOutcome("failed")
    try:
        with closing(events_of(executor, [job])) as events:
            for event in events:
                if isinstance(event, JobEnded):
                    outcome = _outcome(job, event)
                elif isinstance(event, CurvePoint):
                    peak = max(peak, event.peak_memory)
                _take(event, job, log, plugins, watcher)
    except BaseException as error:
        if log is not None:
            with suppress(UserError):
                log.close(job.id, "partial", ending_reason(error), monotonic() - began, peak)
                ended = {"status": "partial", "reason": ending_reason(error)}
                _event("dsum_training_finished", job, log, plugins, watcher, **ended)
        raise
    if log is not None:
        log.close(job.id, _status(outcome), outcome.reason, monotonic() - began, peak)
        ended = {"status": _status(outcome), "reason": outcome.reason}
        _event("dsum_training_finished", job, log, plugins, watcher, **ended)
    return outcome


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
