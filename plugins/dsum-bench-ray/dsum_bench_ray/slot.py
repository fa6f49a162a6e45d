"""One place to work on a node: an actor that keeps one worker process at a time and hands on what it tells."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from dsum_bench.executors.base import Event, Job
from dsum_bench.executors.supervisor import Supervisor
from dsum_bench.spec import Sample
from dsum_bench_ray.item import Item, put

CHUNK = 1 << 18


class Slot:
    """Run by Ray as an actor. The worker is a process of its own, as on one machine: what happens to it happens to it
    alone, its memory comes back, a hang is found and its stack is in the log."""

    def __init__(self, hang_timeout: float, environment: Mapping[str, str]) -> None:
        self._supervisor = Supervisor(hang_timeout)
        self._environment = dict(environment)
        self._folder = Path(mkdtemp(prefix=f"slot-{os.getpid()}-", dir=_base()))
        self._job = ""
        self._given = 0
        self._log = self._folder / "none.log"
        self._told = 0

    def start(self, job: Job, files: Mapping[str, bytes]) -> None:
        """Begin a job. files: contents of plugin files by path."""
        inbox = Path(mkdtemp(dir=self._folder))
        self._job, self._given, self._told = job.id, 0, 0
        self._log = inbox / "worker.log"
        self._supervisor.start(Item(job.id, job, str(self._log), str(inbox), files), self._environment)

    def listen(self) -> bytes:
        """Events of half a second at most, pickled, with what the log has since; empty where nothing is running."""
        events: list[Event] = list(self._supervisor.listen()) if self._supervisor.busy else []
        return pickle.dumps((events, self._new_log(), str(self._log)))

    def give(self, samples: tuple[Sample, ...]) -> None:
        """Further samples for the worker that asked for them, none for its end."""
        self._given += 1
        put(samples, self._log.parent / str(self._given))

    def stop(self, reason: str) -> None:
        """End the worker."""
        self._supervisor.stop(self._job, reason)

    def close(self) -> None:
        """End the worker, and remove what it left in the folder of this slot."""
        self._supervisor.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _new_log(self) -> bytes:
        try:
            with self._log.open("rb") as file:
                file.seek(self._told)
                found = file.read(CHUNK)
        except OSError:
            return b""
        self._told += len(found)
        return found


def _base() -> Path:
    folder = Path(gettempdir()) / "dsum-bench-ray"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
