"""Workers on this machine: one process a model, one model a GPU."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from time import monotonic

from dsum_bench.executors.base import Event, Executor, JobEnded, ScreeningJob
from dsum_bench.machine import Machine, detect
from dsum_bench.screening import worker

GRACE = 5.0


@dataclass(slots=True)
class Worker:
    """A running process. heard: when it last sent anything, on the monotonic clock."""

    job: ScreeningJob
    slot: str
    process: BaseProcess
    connection: Connection
    heard: float
    reason: str = ""


class Local(Executor):
    """Each job in a process of its own, so that whatever happens to it happens to it alone and its memory
    comes back. Jobs for a GPU run one on each; jobs for the CPU run one at a time beside them."""

    name = "local"

    def __init__(self, silence: float = 900.0, machine: Machine | None = None) -> None:
        super().__init__(silence)
        found = machine or detect()
        self._free = {gpu.index: gpu.free_bytes for gpu in found.gpus}
        self._slots = ["cpu", *self._free]
        self._running: dict[str, Worker] = {}

    def run(self, jobs: Sequence[ScreeningJob]) -> Iterator[Event]:
        waiting = list(jobs)
        for job in [j for j in waiting if not any(self._fits(j, slot) for slot in self._slots)]:
            waiting.remove(job)
            yield JobEnded(job.id, "planned for a GPU that is no longer there or no longer free", skipped=True)
        try:
            while waiting or self._running:
                self._start_all(waiting)
                yield from self._listen()
        finally:
            for running in list(self._running.values()):
                _end(running)
            self._running.clear()

    def stop(self, job: str, reason: str) -> None:
        running = self._running.get(job)
        if running is not None and not running.reason:
            running.reason = reason
            running.process.terminate()

    def _start_all(self, waiting: list[ScreeningJob]) -> None:
        """Give each free slot the first waiting job that can use it."""
        for slot in self._slots:
            if any(w.slot == slot for w in self._running.values()):
                continue
            job = next((j for j in waiting if self._fits(j, slot)), None)
            if job is not None:
                waiting.remove(job)
                self._running[job.id] = _start(job, slot)

    def _fits(self, job: ScreeningJob, slot: str) -> bool:
        """Whether a job may run there: GPUs of one machine may differ, and it was planned for the freest."""
        wants_gpu = job.run.placement.device.startswith("cuda")
        if not wants_gpu or slot == "cpu":
            return wants_gpu == (slot != "cpu")
        return job.run.placement.needs_bytes <= self._free[slot]

    def _listen(self) -> Iterator[Event]:
        by_connection = {w.connection: w for w in self._running.values()}
        for connection in wait(list(by_connection), timeout=0.5):
            assert isinstance(connection, Connection)
            running = by_connection[connection]
            try:
                event = connection.recv()
            except (EOFError, OSError, ValueError, TypeError, AttributeError):
                # The process is gone, or died in the middle of a message.
                yield self._gone(running)
                continue
            running.heard = monotonic()
            if isinstance(event, JobEnded):
                self._retire(running)
                event = JobEnded(event.job, running.reason or event.reason, event.skipped)
            yield event
        for running in list(self._running.values()):
            silent = monotonic() - running.heard
            if silent > self.silence and not running.reason:
                running.reason = f"hung: no sign of life for {silent:.0f} seconds, so it was ended"
                _end(running)

    def _gone(self, running: Worker) -> JobEnded:
        self._retire(running)
        return JobEnded(running.job.id, running.reason or _explain(running.process.exitcode, running.job.log))

    def _retire(self, running: Worker) -> None:
        running.process.join(GRACE)
        _end(running)
        running.connection.close()
        del self._running[running.job.id]


def _start(job: ScreeningJob, slot: str) -> Worker:
    context = get_context("spawn")  # a forked child could not use CUDA
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=worker.main, args=(job, sender), name=f"dsum-bench {job.run.model.name}")
    with _visible(slot):
        process.start()
    sender.close()
    return Worker(job, slot, process, receiver, monotonic())


@contextmanager
def _visible(slot: str) -> Iterator[None]:
    """Let the process that starts now see one GPU, or none. It inherits the environment of this moment."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = "" if slot == "cpu" else slot
    try:
        yield
    finally:
        if before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def _end(running: Worker) -> None:
    """Ask the process to end, then make it."""
    process = running.process
    if process.is_alive():
        process.terminate()
        process.join(GRACE)
    if process.is_alive():
        process.kill()
        process.join()


def _explain(code: int | None, log: str) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        if name == "SIGKILL":
            return "killed by the system (SIGKILL), usually because memory ran out"
        return f"its process died of {name} (output in {log})"
    return f"its process ended with code {code} before the work was done (output in {log})"
