"""Worker processes as their parent sees them: started, heard, stopped, and their end explained.

A worker starts by ``python -m``, never by a fork or by importing the caller's script again, so that it works from a
command, a script without a guard, ``python -`` and a notebook alike. It leads a process group of its own: Ctrl-C in a
terminal does not reach it, and ending it ends what it has started.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from time import monotonic
from typing import IO

from dsum_bench.executors.base import KILLED, Event, Job, JobEnded
from dsum_bench.executors.child import Start
from dsum_bench.executors.wire import Inbox
from dsum_bench.spec import HANG_TIMEOUT

POLL = 0.5
GRACE = 5.0
"""Seconds between asking a worker to end and killing it."""
STACK = 1.0
"""Seconds a hung worker is given to write its stack to the log."""
CHUNK = 1 << 20
TAIL = 4096


@dataclass(slots=True)
class Worker:
    """A running process.

    log_start: size of its log when it started. heard: whether it ever sent a message. silent: seconds it was listened
    for in vain. signals: what is still to be sent to it, (when on the monotonic clock, signal), in that order.
    reason: why it was stopped.
    """

    job: Job
    process: subprocess.Popen[bytes]
    connection: socket.socket
    log_start: int
    inbox: Inbox = field(default_factory=Inbox)
    heard: bool = False
    silent: float = 0.0
    signals: list[tuple[float, signal.Signals]] = field(default_factory=list)
    reason: str = ""


class Supervisor:
    """Keeps workers on this machine, any number at once. Call ``close`` at the end, whatever happened.

    hang_timeout: seconds without a message after which a worker counts as hung. Time in which this process was itself
    stopped or busy does not count.
    """

    def __init__(self, hang_timeout: float = HANG_TIMEOUT) -> None:
        self.hang_timeout = hang_timeout
        self._workers: dict[str, Worker] = {}
        self._ended: list[JobEnded] = []

    @property
    def busy(self) -> bool:
        """Whether events are still to come."""
        return bool(self._workers or self._ended)

    @property
    def running(self) -> tuple[str, ...]:
        """Ids of the jobs that have a process."""
        return tuple(self._workers)

    def start(self, job: Job, environment: Mapping[str, str] | None = None) -> None:
        """Start a worker for a job; one that cannot be started is reported as ended.

        environment: variables it gets besides those of this process.
        """
        try:
            self._workers[job.id] = _start(job, environment or {})
        except _NotStarted as error:
            self._ended.append(JobEnded(job.id, str(error)))

    def listen(self) -> Iterator[Event]:
        """Yield what arrives within half a second, and the end of workers that are gone."""
        while self._ended:
            yield self._ended.pop(0)
        began = monotonic()
        ready = wait([w.connection for w in self._workers.values()], POLL) if self._workers else []
        waited = min(monotonic() - began, 2 * POLL)
        for worker in list(self._workers.values()):
            if worker.connection in ready:
                yield from self._read(worker)
            elif worker.process.poll() is None:
                worker.silent += waited
                self._look_for_hang(worker)
            elif not wait([worker.connection], 0):
                # It is gone and nothing that it sent is left to read, though what it started may hold its end open.
                yield self._retire(worker)
            _send_due(worker)

    def stop(self, job: str, reason: str) -> None:
        """Ask a worker to end, and make it after a grace. Its JobEnded carries the reason."""
        worker = self._workers.get(job)
        if worker is not None and not worker.reason:
            _schedule_end(worker, reason, monotonic())

    def close(self) -> None:
        """End all workers and wait until they are gone."""
        now = monotonic()
        for worker in self._workers.values():
            worker.signals = []
            _schedule_end(worker, worker.reason or "stopped", now)
        for worker in self._workers.values():
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, now + GRACE - monotonic()))
        for worker in list(self._workers.values()):
            _signal(worker, signal.SIGKILL)
            self._retire(worker)

    # -- inside ---------------------------------------------------------------------------------------------

    def _read(self, worker: Worker) -> Iterator[Event]:
        try:
            data = worker.connection.recv(CHUNK)
        except OSError:
            data = b""
        if not data:
            yield self._retire(worker)
            return
        worker.silent = 0.0
        for message in worker.inbox.feed(data):
            worker.heard = True
            try:
                event: Event = pickle.loads(message)
            except Exception as error:  # a plugin's event may hold anything
                self.stop(worker.job.id, f"its worker sent what cannot be read here: {type(error).__name__}: {error}")
                continue
            if isinstance(event, JobEnded):
                yield self._retire(worker, event)
                return
            yield event

    def _look_for_hang(self, worker: Worker) -> None:
        if worker.silent <= self.hang_timeout or worker.reason:
            return
        now = monotonic()
        reason = f"hung: no sign of life for {worker.silent:.0f} seconds, so it was ended (stack in {worker.job.log})"
        _signal(worker, signal.SIGUSR1)
        _schedule_end(worker, reason, now + STACK)

    def _retire(self, worker: Worker, ended: JobEnded | None = None) -> JobEnded:
        """Have a worker's process gone with all it started, and say how its job ended."""
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(GRACE)
        _signal(worker, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # a process that the kernel holds must not hold us
            worker.process.wait(GRACE)
        worker.connection.close()
        self._workers.pop(worker.job.id, None)
        if ended is None:
            return JobEnded(worker.job.id, worker.reason or _explain(worker))
        return JobEnded(ended.job, worker.reason or ended.reason, ended.skipped)


class _NotStarted(Exception):
    """A worker could not be started; says why."""


def _start(job: Job, environment: Mapping[str, str]) -> Worker:
    with tempfile.TemporaryFile() as request:
        _write_request(job, request)
        ours, theirs = socket.socketpair()
        try:
            with theirs, _opened_log(job) as log:
                command = [sys.executable, "-P", "-m", "dsum_bench.executors.child", str(theirs.fileno()), job.id]
                process = subprocess.Popen(
                    command,
                    stdin=request,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(_path()), **environment},
                    pass_fds=[theirs.fileno()],
                    process_group=0,
                )
                return Worker(job, process, ours, log.tell())
        except OSError as error:
            ours.close()
            raise _NotStarted(f"its process cannot be started: {error}") from error
        except BaseException:
            ours.close()
            raise


def _write_request(job: Job, file: IO[bytes]) -> None:
    """The job as the worker reads it. Classes of the caller's own script or notebook travel with it by value."""
    import cloudpickle

    pickle.dump(Start(job.id, job.log, _path(), os.environ.get("PYTHONPATH")), file)
    try:
        file.write(cloudpickle.dumps(job))
        file.seek(0)
    except OSError as error:
        raise _NotStarted(f"its job cannot be written to {tempfile.gettempdir()}: {error.strerror}") from error
    except Exception as error:
        raise _NotStarted(
            f"its job cannot be sent to a worker process: {type(error).__name__}: {error}; what a class or function of "
            "your own refers to must be possible to pickle, or lie in a module that the worker can import"
        ) from error


def _path() -> tuple[str, ...]:
    """The parent's search path, so that the worker imports what the parent imports; '' means the current folder."""
    return tuple(str(Path(entry).absolute()) for entry in sys.path)


def _opened_log(job: Job) -> IO[bytes]:
    log = Path(job.log)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("ab")
    except OSError as error:
        raise _NotStarted(f"its log {log} cannot be written: {error.strerror}") from error
    file.seek(0, os.SEEK_END)
    return file


def _schedule_end(worker: Worker, reason: str, when: float) -> None:
    worker.reason = reason
    worker.signals = [(when, signal.SIGTERM), (when + GRACE, signal.SIGKILL)]
    _send_due(worker)


def _send_due(worker: Worker) -> None:
    while worker.signals and worker.signals[0][0] <= monotonic():
        _signal(worker, worker.signals.pop(0)[1])


def _signal(worker: Worker, number: signal.Signals) -> None:
    """Send a signal to a worker and all it started; SIGUSR1, which asks for its stack, to itself alone."""
    with suppress(ProcessLookupError, PermissionError):
        if number == signal.SIGUSR1:
            worker.process.send_signal(number)
        else:
            os.killpg(worker.process.pid, number)


def _explain(worker: Worker) -> str:
    """Why a process ended that did not say so itself."""
    code, log = worker.process.returncode, worker.job.log
    if code == -signal.SIGKILL:
        return KILLED
    if code is not None and code < 0:
        return f"its process died of {signal.Signals(-code).name} (output in {log})"
    last = _last_line(worker)
    told = f": {last}" if last else ""
    if not worker.heard:
        return f"its process ended with code {code} before it began{told} (output in {log})"
    return f"its process ended with code {code} before the work was done{told} (output in {log})"


def _last_line(worker: Worker) -> str:
    """The last line that this worker wrote to its log."""
    try:
        with Path(worker.job.log).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(worker.log_start, size - TAIL))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
