"""The child process of a job: what it sends goes to the parent, what it prints to a log."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dsum_bench.errors import ModelError, ModelSkipped, UserError
from dsum_bench.executors.base import JobEnded


def serve(job: str, log: str, connection: Connection, work: Callable[[Callable[[Any], None]], None]) -> None:
    """Do a job's work in this process: its events go to the parent, an JobEnded last, and nothing to the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    lock = threading.Lock()

    def emit(event: Any) -> None:
        with lock:
            connection.send(event)

    try:
        _log_to(Path(log))
    except OSError as error:
        emit(JobEnded(job, f"its log {log} cannot be written: {error.strerror}"))
    else:
        emit(_ended(job, log, lambda: work(emit)))
    connection.close()


def _end_with_parent() -> None:
    """A worker whose parent was killed has nobody to report to: it ends at once."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _log_to(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    file = log.open("a", encoding="utf-8", errors="backslashreplace")  # half a character must not end a run
    for stream in (1, 2):
        os.dup2(file.fileno(), stream)
    sys.stdout = sys.stderr = file
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def _ended(job: str, log: str, work: Callable[[], None]) -> JobEnded:
    try:
        work()
        return JobEnded(job)
    except ModelSkipped as error:
        return JobEnded(job, str(error), skipped=True)
    except (ModelError, UserError) as error:
        traceback.print_exc()
        return JobEnded(job, str(error))
    except BaseException as error:  # whatever a model's code raises ends this model only
        traceback.print_exc()
        sys.stderr.flush()
        text = next((line for line in str(error).splitlines() if line.strip()), "")
        return JobEnded(job, f"{type(error).__name__}: {text} (traceback in {log})")
