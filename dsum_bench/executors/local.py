"""Workers on this machine: one process a job, one job a GPU."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence

from dsum_bench.executors.base import Event, Executor, Job, JobEnded
from dsum_bench.executors.supervisor import Supervisor
from dsum_bench.machine import Machine, detect
from dsum_bench.spec import HANG_TIMEOUT

CPU = "cpu"
LAUNCHED = "launched"
"""Slot of a process that a launcher (``accelerate launch``) started and has given its device."""


class Local(Executor):
    """Each job in a process of its own, so that whatever happens to it happens to it alone and its memory
    comes back. Jobs for a GPU run one on each; jobs for the CPU run one at a time beside them."""

    name = "local"

    def __init__(self, hang_timeout: float = HANG_TIMEOUT, machine: Machine | None = None) -> None:
        if os.environ.get("RANK", "0") != "0":
            # Of the processes of one training only the first tells much; should another hang, it hangs with it.
            hang_timeout = math.inf
        super().__init__(hang_timeout)
        found = machine or detect()
        self._free = {gpu.index: gpu.free_bytes for gpu in found.gpus}
        self._slots = [LAUNCHED] if "LOCAL_RANK" in os.environ else [CPU, *self._free]
        self._taken: dict[str, str] = {}
        self._supervisor = Supervisor(hang_timeout)

    def room(self, job: Job) -> int:
        return max(1, sum(self._fits(job, slot) for slot in self._slots))

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        waiting = list(jobs)
        for job in [j for j in waiting if not any(self._fits(j, slot) for slot in self._slots)]:
            waiting.remove(job)
            yield JobEnded(job.id, "planned for a GPU that is no longer there or no longer free", skipped=True)
        try:
            while waiting or self._supervisor.busy:
                self._start_all(waiting)
                yield from self._supervisor.listen()
        finally:
            self._supervisor.close()

    def stop(self, job: str, reason: str) -> None:
        self._supervisor.stop(job, reason)

    def _start_all(self, waiting: list[Job]) -> None:
        """Give each free slot the first waiting job that can use it."""
        taken = {self._taken[job] for job in self._supervisor.running}
        for slot in self._slots:
            job = next((j for j in waiting if self._fits(j, slot)), None)
            if slot not in taken and job is not None:
                waiting.remove(job)
                self._taken[job.id] = slot
                self._supervisor.start(job, _visible(slot))

    def _fits(self, job: Job, slot: str) -> bool:
        """Whether a job may run there: GPUs of one machine may differ, and it was planned for the freest."""
        wants_gpu = job.placement.device.startswith("cuda")
        if slot == LAUNCHED:
            return True
        if not wants_gpu or slot == CPU:
            return wants_gpu == (slot != CPU)
        return job.placement.needs_bytes <= self._free[slot]


def _visible(slot: str) -> dict[str, str]:
    """Let a worker see the GPU of its slot alone, or none. CUDA counts the fastest first, nvidia-smi by PCI bus."""
    if slot == LAUNCHED:
        return {}
    return {"CUDA_VISIBLE_DEVICES": "" if slot == CPU else slot, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
