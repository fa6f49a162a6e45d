"""A worker's side of a job: ``python -m dsum_bench.executors.child SOCKET``, started by ``supervisor.py``.

The parent leads standard output and error to the log before the process starts, so whatever is printed is there, an
import error at the very start included. The job comes on standard input, events go to the socket.
"""

from __future__ import annotations

import errno
import faulthandler
import os
import pickle
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from io import TextIOWrapper

from dsum_bench.errors import ModelError, ModelSkipped, UserError
from dsum_bench.executors.base import Event, Job, JobEnded
from dsum_bench.executors.wire import frame

PARENT_POLL = 1.0
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Start:
    """What a worker must know before it can read its job.

    path: the parent's ``sys.path``. python_path: the parent's PYTHONPATH, which is changed for the start only.
    """

    job: str
    log: str
    path: tuple[str, ...]
    python_path: str | None


def run_job(job: Job, emit: Callable[[Event], None]) -> JobEnded:
    """Do a job in this process. Its events go to emit; how it ended is returned, whatever its code raised."""
    return outcome(job.id, job.log, lambda: _entry(job)(job, emit))


def main() -> None:
    """Do the job that the parent sends."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    connection.set_inheritable(False)
    _set_up(connection)
    lock = threading.Lock()

    def emit(event: Event) -> None:
        message = frame(event)
        with lock:
            connection.sendall(message)

    with suppress(BrokenPipeError, ConnectionResetError):  # the parent has gone
        emit(_received(emit))
        connection.shutdown(socket.SHUT_WR)


def _received(emit: Callable[[Event], None]) -> JobEnded:
    """Read the job from standard input and do it."""
    start: Start = pickle.load(sys.stdin.buffer)
    sys.path[:] = start.path
    if start.python_path is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = start.python_path
    try:
        job: Job = pickle.load(sys.stdin.buffer)
    except BaseException as error:  # what a plugin's class raises while it is read
        _print_traceback()
        return JobEnded(start.job, f"its job cannot be read by its worker: {_told(error)} (traceback in {start.log})")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return run_job(job, emit)


def _set_up(connection: socket.socket) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer; it ends us
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.enable()  # a crash in native code leaves its stack in the log
    faulthandler.register(signal.SIGUSR1)  # and so does a hang: the parent asks for it
    threading.Thread(target=_end_with_parent, args=(connection, os.getppid()), daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, TextIOWrapper)
        # Half a character must not end a run.
        stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _end_with_parent(connection: socket.socket, parent: int) -> None:
    """A worker whose parent was killed has nobody to report to: it ends at once, with what it started."""
    while os.getppid() == parent:
        readable, _, _ = select.select([connection], [], [], PARENT_POLL)
        with suppress(ConnectionResetError):
            if readable and connection.recv(1):
                continue
        if readable:
            break
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _entry(job: Job) -> Callable[[Job, Callable[[Event], None]], None]:
    module, _, function = job.entry.partition(":")
    found: Callable[[Job, Callable[[Event], None]], None] = getattr(import_module(module), function)
    return found


def outcome(job: str, log: str, work: Callable[[], None]) -> JobEnded:
    """How a piece of work ended, whatever it raised. log: where its traceback is."""
    try:
        work()
        return JobEnded(job)
    except ModelSkipped as error:
        return JobEnded(job, str(error), skipped=True)
    except (ModelError, UserError) as error:
        _print_traceback()
        return JobEnded(job, str(error))
    except BaseException as error:  # whatever a model's code raises ends this model only
        _print_traceback()
        if getattr(error, "errno", None) in FULL:
            return JobEnded(job, f"the disk is full ({error}); free some space and run again", skipped=True)
        return JobEnded(job, f"{_told(error)} (traceback in {log})")


def _told(error: BaseException) -> str:
    """An error in one line: its kind and the first line of what it says."""
    if isinstance(error, SystemExit):
        return f"its code called sys.exit({error.code!r})"
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _print_traceback() -> None:
    with suppress(OSError):  # the log's disk may be full
        traceback.print_exc()
        sys.stderr.flush()


if __name__ == "__main__":
    main()
