"""A sweep, from checked candidates to closed runs: resume, generate, score, store.

Runs in the one process that writes the store; models run in workers that an executor keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Literal, Protocol

from dsum_bench.checks import runner
from dsum_bench.checks.base import RunOutputs
from dsum_bench.errors import UserError, ending_reason, plugin_code
from dsum_bench.executors.base import Event, Executor, JobEnded, Progress, events_of
from dsum_bench.executors.signals import ending_signals
from dsum_bench.figures import duration
from dsum_bench.fingerprints import run_id as run_key
from dsum_bench.fingerprints import sample_digest
from dsum_bench.metrics.base import Metric
from dsum_bench.metrics.bounds import scored_part
from dsum_bench.plugins import Plugins
from dsum_bench.screening.job import BatchDone, ChecksDone, OfGroup, ScreeningGroup, ScreeningJob, grouped
from dsum_bench.screening.preflight import Candidate
from dsum_bench.screening.race import RaceTable
from dsum_bench.screening.tables import PointTable
from dsum_bench.spec import Finding, Output, RunSpec, Sample
from dsum_bench.store.samples import keep_samples
from dsum_bench.store.writer import Busy, Kind, ScoredOutput, Status, Store


class SweepObserver(Protocol):
    """Who is told how a sweep goes. Times in seconds."""

    def model_started(self, run: RunSpec, done: int, total: int) -> None: ...
    def model_progress(self, run: RunSpec, text: str) -> None: ...
    def samples_done(self, run: RunSpec, done: int, total: int) -> None: ...
    def found(self, run: RunSpec, finding: Finding) -> None: ...
    def model_ended(self, run: RunSpec, status: str, reason: str) -> None: ...
    def warned(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """time_budget: seconds a model may take, None for any. fresh: drop what earlier runs finished.
    free_cache: delete downloaded weights once a run is done. dialogues: store dialogues and references beside the
    runs, so that reports can show them."""

    time_budget: float | None = None
    fresh: bool = False
    free_cache: bool = False
    dialogues: bool = True
    log_folder: Path = Path("results/logs")


@dataclass(frozen=True, slots=True)
class RunResult:
    """How one run of a sweep ended. reason: why, where it is not done. began: False where it was refused before.
    samples: finished ones, those of earlier calls included."""

    run_id: str
    model: str
    control: bool
    status: Status
    reason: str = ""
    began: bool = True
    samples: int = 0


@dataclass(frozen=True, slots=True)
class ScreenResult:
    """How a sweep ended. broken_metrics: those that raised and were left out; results: folder of the database.

    table: the points of a sweep over prompts and decodings, the best first. confirmed: the best of them, and the first
    point where that is another, on samples that had no part in choosing. race: how a race went.
    """

    runs: tuple[RunResult, ...]
    broken_metrics: tuple[str, ...]
    results: Path
    table: PointTable | None = None
    confirmed: PointTable | None = None
    race: RaceTable | None = None

    @property
    def counts(self) -> dict[str, int]:
        """Status -> number of runs, for ``done``, ``partial``, ``failed`` and ``skipped``."""
        return {status: sum(r.status == status for r in self.runs) for status in ENDS}

    @property
    def done(self) -> tuple[RunResult, ...]:
        """The runs that have every summary."""
        return tuple(r for r in self.runs if r.status == "done")


@dataclass(slots=True)
class Running:
    """A run in progress. weight: characters of dialogue, a stand-in for work; seconds: spent generating.
    answered: finished samples that were not refused. looked: whether the early outputs were checked; told: names of the
    checks whose findings were told; early: check -> finding that the first outputs showed."""

    candidate: Candidate
    run_id: str
    total: int
    done: int
    answered: int
    weight_left: int
    weight_done: int = 0
    seconds: float = 0.0
    began: float = 0.0
    peak_memory: int = 0
    looked: bool = False
    told: set[str] = field(default_factory=set)
    early: dict[str, Finding] = field(default_factory=dict)


@dataclass(slots=True)
class Sweep:
    """Everything a sweep needs; ``go`` runs it and returns how each run ended."""

    samples: Sequence[Sample]
    metrics: Mapping[str, Metric]
    store: Store
    plugins: Plugins
    observer: SweepObserver
    settings: Settings
    positions: dict[str, int] = field(init=False)
    by_id: dict[str, Sample] = field(init=False)
    ended: list[RunResult] = field(init=False, default_factory=list)
    broken: set[str] = field(init=False, default_factory=set)
    groups: dict[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.positions = {s.id: i for i, s in enumerate(self.samples)}
        self.by_id = {s.id: s for s in self.samples}
        for choice, metric in self.metrics.items():
            self.store.declare_signature(metric.signature, choice, metric.measures)

    def go(self, candidates: Sequence[Candidate], executor: Executor) -> Sequence[RunResult]:
        """Run what can run.

        Everything finished is stored even if this is interrupted at any point, by Ctrl-C, SIGTERM or SIGHUP, and the
        runs that were going on are stored as partial with the reason.

        Raises:
            UserError: the results cannot be written, as on a full disk; or the executor failed.
            Terminated: a signal came; as KeyboardInterrupt, raised after the runs were closed.
        """
        running: dict[str, Running] = {}
        with ending_signals():
            try:
                busy = self._screen(candidates, running, executor, last=False)
                if busy:  # another command may be through with them by now
                    self._screen(busy, running, executor, last=True)
            except BaseException as error:
                with suppress(UserError):  # a disk that is full may stay so; readers tell interrupted runs all the same
                    self._break_off(list(running.values()), ending_reason(error))
                raise
        return self.ended

    # -- the steps ------------------------------------------------------------------------------------------

    def _screen(
        self, candidates: Sequence[Candidate], running: dict[str, Running], executor: Executor, last: bool
    ) -> list[Candidate]:
        """Run what can run, and return those that another process is writing; the last time these are skipped, or
        waited for where the store waits."""
        jobs, busy = self._open_all(candidates, running, last)
        self._keep_samples(candidates)
        self._run(jobs, running, executor)
        return busy

    def _open_all(
        self, candidates: Sequence[Candidate], running: dict[str, Running], last: bool
    ) -> tuple[list[ScreeningJob], list[Candidate]]:
        """Open the runs; those that have something left to do are noted in running, and their jobs returned, beside
        those that another process is writing."""
        jobs: list[ScreeningJob] = []
        busy: list[Candidate] = []
        for candidate in candidates:
            if candidate.status != "ready":
                self._refuse(candidate)
                continue
            try:
                state, job = self._open(candidate, wait=last)
            except Busy as error:
                if last:
                    name, run_id = candidate.run.model.name, run_key(candidate.run)
                    result = RunResult(run_id, name, candidate.control, "skipped", str(error), began=False)
                    self._note_end(result, candidate.run)
                else:
                    busy.append(candidate)
                continue
            if job is None:
                self._close(state, "done", "")
            else:
                running[job.id] = state
                jobs.append(job)
        return jobs, busy

    def _run(self, jobs: Sequence[ScreeningJob], running: dict[str, Running], executor: Executor) -> None:
        work = grouped(jobs)
        self.groups = {job.id: group.id for group in work if isinstance(group, ScreeningGroup) for job in group.jobs}
        with closing(events_of(executor, work)) as events:
            for outer in events:
                for event in self._inside(outer):
                    if event.job not in running:
                        continue
                    self._take(event, running[event.job], executor)
                    if isinstance(event, JobEnded):
                        del running[event.job]

    def _inside(self, event: Event) -> list[Event]:
        """The events of runs that an executor's event stands for: the end of a group ends what is left of it."""
        if isinstance(event, OfGroup):
            return [event.event]
        members = [job for job, group in self.groups.items() if group == event.job]
        if isinstance(event, JobEnded) and members:
            return [replace(event, job=job) for job in members]
        return [event]

    def _break_off(self, states: Sequence[Running], reason: str) -> None:
        """Close runs that were going on: all of them in a moment, then one by one with their scores and findings."""
        self.store.abandon(reason)
        for state in states:
            self._close(state, "partial", reason)

    def _keep_samples(self, candidates: Sequence[Candidate]) -> None:
        for dialogues, references in {
            (c.run.dataset_fingerprint, c.run.references_fingerprint) for c in candidates if c.status == "ready"
        }:
            keep_samples(self.store, dialogues, references, self.samples, self.settings.dialogues)

    def _refuse(self, candidate: Candidate) -> None:
        status: Literal["failed", "skipped"] = "failed" if candidate.status == "failed" else "skipped"
        run, reason = candidate.run, candidate.reason
        run_id = self.store.record(run, _kind(candidate), status, reason)
        self._note_end(RunResult(run_id, run.model.name, candidate.control, status, reason, began=False), run)

    def _note_end(self, result: RunResult, run: RunSpec) -> None:
        self.ended.append(result)
        self.observer.model_ended(run, result.status, result.reason)

    def _open(self, candidate: Candidate, wait: bool) -> tuple[Running, ScreeningJob | None]:
        run = candidate.run
        before = self.store.status(run_key(run))
        run_id = self.store.open_run(run, _kind(candidate), wait)
        if self.settings.fresh:
            self.store.discard(run_id)
            self.store.open_run(run, _kind(candidate))
        else:
            self._take_over(candidate)
        finished = self.store.outputs(run_id)
        self._score_again(run_id, finished)
        left = tuple(candidate.shown(s) for s in self.samples if s.id not in finished)
        there = tuple(candidate.shown(s) for s in self.samples if s.id in finished)
        answered = sum(_answered(o) for o in finished.values())
        weight = sum(len(s.dialogue) for s in left)
        state = Running(candidate, run_id, len(self.samples), len(finished), answered, weight)
        if finished:
            self.observer.model_progress(run, f"{len(finished)} of {len(self.samples)} samples are already finished")
        if not left and before == "done":
            return state, None
        log = self.settings.log_folder / f"{run.model.name}-{run_id}.log"
        return state, ScreeningJob(run_id, run, left, self.plugins.settings, str(log), there)

    def _take_over(self, candidate: Candidate) -> None:
        """Take what runs of the same setup have written for some of these samples: a larger run generates the rest."""
        run = candidate.run
        inputs = {s.id: sample_digest(candidate.shown(s), candidate.fields) for s in self.samples}
        taken = self.store.take_over(run, inputs, self.positions)
        if taken:
            self.observer.model_progress(run, f"{taken} of {len(self.samples)} samples are reused from another run")

    def _take(self, event: Event, state: Running, executor: Executor) -> None:
        if not state.began:
            self._begin(state)
        if isinstance(event, BatchDone):
            self._keep(event, state)
        elif isinstance(event, ChecksDone):
            self.store.keep_findings(state.run_id, "before", event.findings)
            if event.prompt is not None and self.settings.dialogues:
                self.store.keep_prompt(state.run_id, event.prompt)
            self._tell_findings(state, event.findings, event.faults)
        elif isinstance(event, Progress):
            self.observer.model_progress(state.candidate.run, event.text)
        elif isinstance(event, JobEnded):
            self._ended(event, state)
            return
        stop = self._over_budget(state) or (self._all_refused(state) if state.done >= EARLY else "")
        if stop:
            executor.stop(self.groups.get(state.run_id, state.run_id), stop)

    def _begin(self, state: Running) -> None:
        state.began = monotonic()
        self.observer.model_started(state.candidate.run, state.done, state.total)
        self._event("dsum_run_started", run_id=state.run_id, run=state.candidate.run, results=self.store.path.parent)

    def _keep(self, event: BatchDone, state: Running) -> None:
        rows, fields = [], state.candidate.fields
        for output in event.outputs:
            sample = self.by_id[output.generation.sample_id]
            rows.append(
                ScoredOutput(
                    output, self._scores(output.summary, sample), sample_digest(state.candidate.shown(sample), fields)
                )
            )
        added = self.store.add(state.run_id, rows, self.positions)
        weight = sum(len(self.by_id[o.generation.sample_id].dialogue) for o in event.outputs)
        state.done += added
        state.answered += sum(_answered(o) for o in event.outputs)
        state.weight_done += weight
        state.weight_left -= weight
        state.seconds += sum(o.generation.seconds for o in event.outputs)
        state.peak_memory = max(state.peak_memory, event.peak_memory)
        self.observer.samples_done(state.candidate.run, state.done, state.total)
        self._look_early(state)
        self._event("dsum_samples_done", run_id=state.run_id, run=state.candidate.run, rows=event.outputs)

    def _ended(self, event: JobEnded, state: Running) -> None:
        over_budget = event.reason.startswith(OVER_BUDGET)
        if state.done == state.total:
            self._close(state, "done", "")
        elif over_budget or (event.skipped and state.done):
            self._close(state, "partial", event.reason)
        elif event.skipped:
            self._close(state, "skipped", event.reason)
        else:
            reason = event.reason or f"ended after {state.done} of {state.total} samples without an error message"
            self._close(state, "failed", reason)

    def _close(self, state: Running, status: Status, reason: str) -> None:
        run = state.candidate.run
        refused = self._all_refused(state)
        if refused and status in ("done", "failed"):
            # That is a fault of what is asked, not what a model is worth; once it is fixed all are asked again.
            status, reason = "failed", reason or refused
            self.store.drop_outputs(state.run_id)
        self.store.close_run(state.run_id, status, reason, state.peak_memory)
        self._look(state, complete=status == "done")
        control = state.candidate.control
        self._note_end(RunResult(state.run_id, run.model.name, control, status, reason, samples=state.done), run)
        if status == "done" and self.settings.free_cache:
            self._free(run)
        results = self.store.path.parent
        self._event("dsum_run_finished", run_id=state.run_id, run=run, status=status, reason=reason, results=results)

    def _free(self, run: RunSpec) -> None:
        try:
            with plugin_code():
                self.plugins.engines[run.model.engine].free(run.model)
        except Exception as error:  # an engine may be a plugin, and a cache read-only
            self.observer.warned(f"the files of {run.model.name} were not deleted: {type(error).__name__}: {error}")

    # -- checks ---------------------------------------------------------------------------------------------

    def _look_early(self, state: Running) -> None:
        """Warn of what the first outputs already show, while the run can still be stopped."""
        if state.looked or state.done < EARLY or state.candidate.control:
            return
        state.looked = True
        faults: list[str] = []
        written = RunOutputs(state.candidate.run, self.by_id, self.store.outputs(state.run_id), complete=False)
        findings = runner.early(self.plugins, written, faults.append)
        state.early = {f.check: f for f in findings}
        self._tell_findings(state, findings, faults)

    def _look(self, state: Running, complete: bool) -> None:
        """Check everything a run has written, and keep what is found with it."""
        run = state.candidate.run
        constant = self.store.constant_run(run)
        written = RunOutputs(
            run,
            self.by_id,
            self.store.outputs(state.run_id),
            complete,
            tuple(self.metrics.values()),
            self.store.values(state.run_id),
            self.store.values(constant) if constant and not state.candidate.control else {},
        )
        faults: list[str] = []
        findings = runner.after(self.plugins, written, state.candidate.control, faults.append)
        self.store.keep_findings(state.run_id, "after", runner.stored(self.plugins, findings))
        self._take_back(state, findings)
        self._tell_findings(state, findings, faults)

    def _take_back(self, state: Running, findings: Sequence[Finding]) -> None:
        """Say which early findings no longer hold over everything that was written."""
        last = {f.check: f for f in reversed(findings)}  # the gravest of each check comes first
        for check, early in state.early.items():
            now = last.get(check)
            if now is None or now.level == "note":
                text = f"the early {early.level} no longer holds over all {state.done} samples"
                told = f"{text}: {now.text}" if now else text
                self.observer.found(state.candidate.run, replace(early, level="note", text=told))

    def _tell_findings(self, state: Running, findings: Sequence[Finding], faults: Sequence[str]) -> None:
        for fault in faults:
            self.observer.warned(fault)
        for finding in findings:
            if finding.level != "note" and finding.check not in state.told:
                state.told.add(finding.check)
                self.observer.found(state.candidate.run, finding)

    # -- scores ---------------------------------------------------------------------------------------------

    def _scores(self, summary: str, sample: Sample) -> dict[str, Mapping[str, float]]:
        made = {m.signature: self._score(choice, summary, sample) for choice, m in self.metrics.items()}
        return {signature: values for signature, values in made.items() if values}

    def _score(self, choice: str, summary: str, sample: Sample) -> Mapping[str, float]:
        """Values of one metric; none from a metric that has failed before, whose runs are then not ranked by it."""
        if choice in self.broken:
            return {}
        metric = self.metrics[choice]
        try:
            with plugin_code():
                return checked_values(metric.score(scored_part(summary), sample), metric)
        except Exception as error:  # a metric may be a plugin; its fault must cost no output
            self.broken.add(choice)
            told = f"{type(error).__name__}: {error}"
            self.observer.warned(f"metric {choice} failed on sample {sample.id} and is skipped from here on: {told}")
            return {}

    def _score_again(self, run_id: str, finished: Mapping[str, Output]) -> None:
        """Score stored summaries with metrics they were not scored with yet; nothing is generated again."""
        missing: dict[str, dict[str, Mapping[str, float]]] = {}
        for choice, metric in self.metrics.items():
            scored = self.store.scored(run_id, metric.signature)
            for sample_id in finished.keys() - scored:
                values = self._score(choice, finished[sample_id].summary, self.by_id[sample_id])
                if values:
                    missing.setdefault(sample_id, {})[metric.signature] = values
        if missing:
            self.store.add_scores(run_id, missing)

    # -- time and events ------------------------------------------------------------------------------------

    def _over_budget(self, state: Running) -> str:
        budget = self.settings.time_budget
        if budget is None:
            return ""
        spent = monotonic() - state.began
        # The longest dialogues come first, so their share of the characters is a fair share of the work.
        ahead = state.seconds * state.weight_left / state.weight_done if state.weight_done else 0.0
        if spent + ahead <= budget or not state.weight_left:
            return ""
        return (
            f"{OVER_BUDGET}: {duration(spent + ahead)} projected, {duration(budget)} allowed; finished samples are kept"
        )

    def _all_refused(self, state: Running) -> str:
        """What to say of a run in which every sample so far was refused; '' when one was not, or none is there."""
        if state.answered or not state.done:
            return ""
        sample_id, output = next(iter(self.store.outputs(state.run_id).items()))
        words = f"; for sample '{sample_id}': {output.generation.note}" if output.generation.note else ""
        return f"every sample was refused, {state.done} so far{words}"

    def _event(self, hook: str, **arguments: object) -> None:
        for problem in self.plugins.tell(hook, **arguments):  # a plugin's fault must not end a sweep
            self.observer.warned(problem)


def checked_values(values: Mapping[str, float], metric: Metric) -> Mapping[str, float]:
    """values, if they are what the metric promised. Raises ValueError otherwise."""
    if set(values) != set(metric.measures):
        raise ValueError(f"it returned {', '.join(values) or 'nothing'} instead of {', '.join(metric.measures)}")
    for measure, value in values.items():
        if not isfinite(value):
            raise ValueError(f"{measure} is {value}")
    return values


def _answered(output: Output) -> bool:
    return output.generation.finish != "refused"


def _kind(candidate: Candidate) -> Kind:
    return "control" if candidate.control else "model"


ENDS: tuple[Status, ...] = ("done", "partial", "failed", "skipped")

EARLY = 8
"""Finished samples from which on a run's outputs are checked for the first time."""

OVER_BUDGET = "over its time budget"
