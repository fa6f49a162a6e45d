"""What an executor is: it runs jobs somewhere and tells what happens as events."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from dsum_bench.errors import UserError, plugin_code
from dsum_bench.machine import Machine
from dsum_bench.spec import HANG_TIMEOUT, Placement

KILLED = "killed by the system (SIGKILL), usually because memory ran out"
"""Reason of a job whose process was killed from outside."""


class Job(Protocol):
    """A piece of work for one worker: a screening, a training or a merge. It holds data only and can be pickled.

    id: unique among the jobs of one ``run``. entry: what a worker calls, ``"module:function"``, as
    ``function(job, emit)`` with ``emit(event)``. placement: the device it was planned for, and the memory it needs.
    log: file that takes what the worker and its libraries print.
    """

    @property
    def id(self) -> str: ...
    @property
    def entry(self) -> str: ...
    @property
    def placement(self) -> Placement: ...
    @property
    def log(self) -> str: ...


class Event(Protocol):
    """Something a job tells. Each kind of job has events of its own; executors pass them on unread."""

    @property
    def job(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Progress:
    """A sign of life with a few words for the progress line."""

    job: str
    text: str


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job is over. reason is empty when all went well; skipped: the fault is this machine's, not the model's."""

    job: str
    reason: str = ""
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class NodeState:
    """A machine that an executor may use. usable: False where text says what is in the way."""

    name: str
    usable: bool
    text: str


class Executor(ABC):
    """Runs jobs, each isolated from the others: screenings, trainings and merges alike.

    ``dsum_bench.executors.child.run_job(job, emit)`` does a job in the process that calls it, and
    ``dsum_bench.executors.supervisor.Supervisor`` keeps worker processes on this machine; an executor that reaches
    further needs only the first.

    hang_timeout: seconds without any event after which a worker counts as hung and is ended.
    address: where its machines are found, '' for its own default; only for those with ``takes_address``.
    """

    name: ClassVar[str]
    takes_address: ClassVar[bool] = False

    def __init__(self, hang_timeout: float = HANG_TIMEOUT, address: str = "") -> None:
        self.hang_timeout = hang_timeout
        self.address = address

    def machine(self) -> Machine | None:
        """The machine that models are planned for, where that is not this one.

        Raises:
            UserError: its machines cannot be reached, or none of them can be used.
        """
        return None

    def nodes(self) -> Sequence[NodeState]:
        """The machines it would use, for ``doctor``; none where it uses this one alone.

        Raises:
            UserError: they cannot be reached.
        """
        return ()

    def room(self, job: Job) -> int:
        """How many jobs like this one run at the same time; a search tries as many points at once."""
        return 1

    @abstractmethod
    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        """Run the jobs and yield their events; every job gets exactly one JobEnded, its last. Closing ends the
        workers."""

    @abstractmethod
    def stop(self, job: str, reason: str) -> None:
        """End one running job; its JobEnded carries the reason. Called between events."""


def events_of(executor: Executor, jobs: Sequence[Job]) -> Generator[Event, None, None]:
    """The events of an executor, which may be a plugin, held to what it promises. Closing this ends its workers.

    Raises:
        UserError: it failed itself, or reported a job that is not running.
    """
    left = {job.id for job in jobs}
    events = executor.run(jobs)
    try:
        while (event := _next(executor, events)) is not None:
            if event.job not in left:
                raise UserError(f"executor '{executor.name}' reported job '{event.job}', which is not running")
            if isinstance(event, JobEnded):
                left.remove(event.job)
            yield event
    finally:
        if isinstance(events, Generator):
            events.close()
    for job in sorted(left):
        yield JobEnded(job, f"executor '{executor.name}' did not say how it ended")


def _next(executor: Executor, events: Iterator[Event]) -> Event | None:
    try:
        with plugin_code():
            return next(events, None)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"executor '{executor.name}' failed: {type(error).__name__}: {error}") from error
