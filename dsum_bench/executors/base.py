"""What an executor is: it runs jobs somewhere and tells what happens as events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from dsum_bench.spec import Finding, Output, PluginSettings, RunSpec, Sample


@dataclass(frozen=True, slots=True)
class ScreeningJob:
    """One model and the samples it has still to do. It crosses to another process, so it holds data only.

    finished: samples that an earlier attempt has done; checks look at them too.
    log: file that takes what the worker's libraries print.
    """

    id: str
    run: RunSpec
    samples: tuple[Sample, ...]
    plugins: PluginSettings
    log: str
    finished: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """A sign of life with a few words for the progress line."""

    job: str
    text: str


@dataclass(frozen=True, slots=True)
class BatchDone:
    """A finished batch. peak_memory: largest so far, in bytes."""

    job: str
    outputs: tuple[Output, ...]
    peak_memory: int


@dataclass(frozen=True, slots=True)
class ChecksDone:
    """What the checks found before anything was generated, and which checks failed themselves."""

    job: str
    findings: tuple[Finding, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job is over. reason is empty when all went well; skipped: the fault is this machine's, not the model's."""

    job: str
    reason: str = ""
    skipped: bool = False


Event = Progress | ChecksDone | BatchDone | JobEnded


class Executor(ABC):
    """Runs jobs, each isolated from the others.

    silence: seconds without any event after which a worker counts as hung and is ended.
    """

    name: ClassVar[str]

    def __init__(self, silence: float = 900.0) -> None:
        self.silence = silence

    @abstractmethod
    def run(self, jobs: Sequence[ScreeningJob]) -> Iterator[Event]:
        """Run the jobs and yield their events; every job gets exactly one JobEnded. Closing ends the workers."""

    @abstractmethod
    def stop(self, job: str, reason: str) -> None:
        """End one running job; its JobEnded carries the reason. Called between events."""
