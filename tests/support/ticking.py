"""A job of no kind in particular: it ticks, and takes no notice of SIGTERM."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from dsum_bench.executors.base import Event, Progress
from dsum_bench.spec import Placement


@dataclass(frozen=True, slots=True)
class Ticking:
    """ticks: after which it ends."""

    entry: ClassVar[str] = "ticking:tick"
    placement: ClassVar[Placement] = Placement("cpu", "float32", "none", "")

    id: str
    log: str
    ticks: int


def tick(job: Ticking, emit: Callable[[Event], None]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for number in range(job.ticks):
        emit(Progress(job.id, f"tick {number}"))
        time.sleep(0.05)
