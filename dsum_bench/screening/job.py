"""What a screening's worker is given, and what it tells. Data only: it crosses between processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsum_bench.executors.base import JobEnded, Progress
from dsum_bench.spec import Finding, Output, Placement, PluginSettings, Prompt, RunSpec, Sample


@dataclass(frozen=True, slots=True)
class ScreeningJob:
    """One model and the samples it has still to do.

    finished: samples that an earlier attempt has done; checks look at them too.
    log: file that takes what the worker's libraries print.
    """

    entry: ClassVar[str] = "dsum_bench.screening.worker:run"

    id: str
    run: RunSpec
    samples: tuple[Sample, ...]
    plugins: PluginSettings
    log: str
    finished: tuple[Sample, ...] = ()

    @property
    def placement(self) -> Placement:
        return self.run.placement


@dataclass(frozen=True, slots=True)
class BatchDone:
    """A finished batch. peak_memory: largest so far, in bytes."""

    job: str
    outputs: tuple[Output, ...]
    peak_memory: int


@dataclass(frozen=True, slots=True)
class ChecksDone:
    """What the checks found before anything was generated, and which checks failed themselves.

    prompt: of the first sample, None for a run without a model.
    """

    job: str
    findings: tuple[Finding, ...]
    faults: tuple[str, ...] = ()
    prompt: Prompt | None = None


ScreeningEvent = Progress | ChecksDone | BatchDone | JobEnded
