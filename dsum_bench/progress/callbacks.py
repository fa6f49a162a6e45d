"""Progress for a program: each event as a ``ProgressEvent``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dsum_bench.progress.display import Callback, ProgressEvent
from dsum_bench.spec import Finding, RunSpec

if TYPE_CHECKING:
    from dsum_bench.training.job import CurvePoint, TrainingJob, TrainingPlan


def ignore(event: ProgressEvent) -> None:
    """The callback of a silent bench."""


@dataclass(frozen=True, slots=True)
class ScreeningCallback:
    """Calls a function for every event of a sweep."""

    call: Callback

    def model_started(self, run: RunSpec, done: int, total: int) -> None:
        self.call(ProgressEvent("started", run.model.name, "", done, total))

    def model_progress(self, run: RunSpec, text: str) -> None:
        self.call(ProgressEvent("progress", run.model.name, text))

    def samples_done(self, run: RunSpec, done: int, total: int) -> None:
        self.call(ProgressEvent("samples", run.model.name, "", done, total))

    def found(self, run: RunSpec, finding: Finding) -> None:
        self.call(ProgressEvent("finding", run.model.name, f"{finding.level} [{finding.check}] {finding.text}"))

    def model_ended(self, run: RunSpec, status: str, reason: str) -> None:
        self.call(ProgressEvent("ended", run.model.name, f"{status}: {reason}" if reason else status))

    def warned(self, text: str) -> None:
        self.call(ProgressEvent("warning", "", text))


@dataclass(slots=True)
class TrainingCallback:
    """Calls a function for every event of a training. steps: of each one's plan."""

    call: Callback
    steps: dict[str, int] = field(default_factory=dict)

    def planned(self, job: TrainingJob, plan: TrainingPlan) -> None:
        self.steps[job.id] = plan.steps
        self.call(ProgressEvent("planned", job.id, "", 0, plan.steps))

    def probed(self, job: TrainingJob, seconds: float) -> None:
        self.call(
            ProgressEvent("estimate", job.id, f"about {seconds:.0f} seconds of training", 0, self.steps.get(job.id, 0))
        )

    def told(self, job: TrainingJob, text: str) -> None:
        self.call(ProgressEvent("progress", job.id, text))

    def warned(self, job: TrainingJob, text: str) -> None:
        self.call(ProgressEvent("warning", job.id, text))

    def resumed(self, job: TrainingJob, step: int) -> None:
        self.call(ProgressEvent("resumed", job.id, "", step, self.steps.get(job.id, 0)))

    def logged(self, job: TrainingJob, point: CurvePoint) -> None:
        self.call(ProgressEvent("point", job.id, "", point.step, self.steps.get(job.id, 0), point.values))

    def ended(self, job: TrainingJob, status: str, reason: str) -> None:
        self.call(ProgressEvent("ended", job.id, f"{status}: {reason}" if reason else status))
