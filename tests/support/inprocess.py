"""An executor that does each job in this process: seconds are saved where a test needs many."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from dsum_bench.errors import ModelError
from dsum_bench.executors.base import Event, Executor, Job, JobEnded
from dsum_bench.executors.child import run_job
from dsum_bench.training.job import CurvePoint

POINTS = 8


class InProcess(Executor):
    """Runs jobs in a thread, one after the other. ``stop`` ends a job at the next event that it tells.

    kill_after: jobs after which ``run`` raises KeyboardInterrupt in the middle of the next one, for tests of what
    is interrupted; None never does.
    """

    name = "inprocess"
    ran: ClassVar[list[str]] = []
    kill_after: ClassVar[int | None] = None

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        for job in jobs:
            yield from self._one(job)

    def stop(self, job: str, reason: str) -> None:
        self._reason = reason

    def _one(self, job: Job) -> Iterator[Event]:
        self._reason = ""
        told: queue.Queue[Any] = queue.Queue(maxsize=1)
        killed = self.kill_after is not None and len(self.ran) >= self.kill_after
        self.ran.append(job.id)

        def emit(event: Event) -> None:
            told.put(event)
            told.join()  # what the parent thinks of it comes first
            if self._reason:
                raise ModelError(self._reason)

        thread = threading.Thread(target=lambda: told.put(run_job(job, emit)), daemon=True)
        thread.start()
        seen = 0
        while True:
            event = told.get()
            yield event
            seen += isinstance(event, CurvePoint)
            if killed and seen > POINTS:
                self._reason = "killed"
                told.task_done()
                thread.join()
                raise KeyboardInterrupt
            told.task_done()
            if isinstance(event, JobEnded):
                thread.join()
                return
