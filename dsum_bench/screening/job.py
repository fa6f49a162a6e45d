"""What a screening's worker is given, and what it tells. Data only: it crosses between processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from dsum_bench.executors.base import Event, JobEnded, Progress
from dsum_bench.fingerprints import canonical
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


@dataclass(frozen=True, slots=True)
class ScreeningGroup:
    """Jobs of one model with the same weights in the same place, one after another in one worker: it is loaded once."""

    entry: ClassVar[str] = "dsum_bench.screening.worker:run_group"

    jobs: tuple[ScreeningJob, ...]

    @property
    def id(self) -> str:
        return f"{self.jobs[0].id}+{len(self.jobs) - 1}"

    @property
    def placement(self) -> Placement:
        return max((job.placement for job in self.jobs), key=lambda p: p.needs_bytes)

    @property
    def log(self) -> str:
        return self.jobs[0].log


@dataclass(frozen=True, slots=True)
class OfGroup:
    """An event of a job of a group. job: the group's id."""

    job: str
    event: Event


def grouped(jobs: Sequence[ScreeningJob]) -> list[ScreeningJob | ScreeningGroup]:
    """Jobs that can share a loaded model put together, in the order of their first."""
    groups: dict[str, list[ScreeningJob]] = {}
    for job in jobs:
        place = job.placement
        key = [job.run.model, job.run.weights, place.device, place.dtype, place.quantization]
        groups.setdefault(canonical(key), []).append(job)
    return [found[0] if len(found) == 1 else ScreeningGroup(tuple(found)) for found in groups.values()]


ScreeningEvent = Progress | ChecksDone | BatchDone | JobEnded
