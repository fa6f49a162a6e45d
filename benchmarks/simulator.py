"""A sweep on many nodes, without the nodes: how long it takes by the rates that were measured.

It follows the executor of ``dsum-bench-ray``: a free slot takes a model that nobody is at, else it joins the one with
most samples left; samples go out in pieces; what a lost node had in hand goes back in halves, behind all others.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
import numpy.typing as npt

SMALLEST, LARGEST = 16, 128
"""Samples of a piece, as ``dsum_bench_ray.sharing`` has them."""


@dataclass(frozen=True, slots=True)
class Model:
    """load: seconds until a worker has it. sample: mean seconds of a sample. spread: standard deviation of the
    logarithm of a sample's seconds, since dialogues and summaries differ in length."""

    name: str
    load: float
    sample: float
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes with one slot each.

    slow: share of them, rounded down, that takes ``slow_by`` times as long. fails: mean hours until a node is lost; it
    is back, without a model, after ``back`` seconds.
    """

    count: int
    slow: float = 0.0
    slow_by: float = 2.0
    fails: float = inf
    back: float = 300.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """seconds: until the last sample. busy: share of the slots' time in which samples were generated. loads: models
    loaded. losses: nodes lost. again: samples generated that were lost before they were stored."""

    seconds: float
    busy: float
    loads: int
    losses: int
    again: int


@dataclass(slots=True)
class Job:
    """A model's samples. until: seconds until each sample if one slot wrote them all, shape (samples + 1,)."""

    model: Model
    until: npt.NDArray[np.float64]
    waiting: deque[tuple[int, int]]
    hands: int = 0
    dead: int = 0

    @property
    def left(self) -> int:
        return sum(end - start for start, end in self.waiting)


@dataclass(slots=True)
class Slot:
    """One node at work. piece: start and end of the samples in hand; begun: when it began with them."""

    number: int
    speed: float
    dies: float
    job: Job | None = None
    piece: tuple[int, int] = (0, 0)
    begun: float = 0.0


@dataclass(slots=True)
class Sweep:
    """The events of one simulated sweep, in the order of their times."""

    jobs: list[Job]
    nodes: Nodes
    rng: np.random.Generator
    batch: int
    events: list[tuple[float, int, Slot, str]] = field(default_factory=list)
    idle: list[Slot] = field(default_factory=list)
    told: int = 0
    worked: float = 0.0
    loads: int = 0
    losses: int = 0
    again: int = 0
    last: float = 0.0

    def run(self) -> Outcome:
        for number in range(self.nodes.count):
            speed = self.nodes.slow_by if number < int(self.nodes.slow * self.nodes.count) else 1.0
            self._ask(Slot(number, speed, self._death(0.0)), 0.0)
        while self.events:
            now, _, slot, what = heapq.heappop(self.events)
            if what == "done":
                self._done(slot, now)
            elif what == "lost":
                self._lost(slot, now)
            else:
                slot.dies = self._death(now)
                self._ask(slot, now)
        busy = self.worked / (self.last * self.nodes.count) if self.last else 0.0
        return Outcome(self.last, busy, self.loads, self.losses, self.again)

    def _ask(self, slot: Slot, now: float) -> None:
        """Give a free slot its next piece: of the model that it has, else of another, which it must load."""
        if slot.job is not None and slot.job.waiting:
            self._begin(slot, now)
            return
        if slot.job is not None:
            slot.job.hands -= 1
            slot.job = None
        fitting = [job for job in self.jobs if job.waiting]
        fitting.sort(key=lambda job: (job.hands > 0, -job.left if job.hands else 0))
        for job in fitting:
            if job.hands and job.left < SMALLEST and not job.dead:
                continue
            slot.job = job
            job.hands += 1
            self.loads += 1
            self._begin(slot, now + job.model.load * slot.speed)
            return
        self.idle.append(slot)

    def _begin(self, slot: Slot, at: float) -> None:
        job = slot.job
        assert job is not None
        start, end = job.waiting.popleft()
        size = min(LARGEST, max(SMALLEST, -(-(job.left + end - start) // (2 * self.nodes.count))))
        if end - start > size:
            job.waiting.appendleft((start + size, end))
            end = start + size
        slot.piece, slot.begun = (start, end), at
        through = at + float(job.until[end] - job.until[start]) * slot.speed
        self._tell(min(through, slot.dies), slot, "done" if through <= slot.dies else "lost")

    def _done(self, slot: Slot, now: float) -> None:
        self.worked += now - slot.begun
        self.last = max(self.last, now)
        self._ask(slot, now)

    def _lost(self, slot: Slot, now: float) -> None:
        """A node is gone: whole batches are stored, the rest goes back in halves."""
        job = slot.job
        assert job is not None
        start, end = slot.piece
        worked = max(0.0, now - slot.begun)
        reached = int(np.searchsorted(job.until, job.until[start] + worked / slot.speed, side="right")) - 1
        stored = min(end, start + (max(reached, start) - start) // self.batch * self.batch)
        self.again += max(reached, start) - stored
        self.worked += worked
        self.losses += 1
        half = stored + (end - stored + 1) // 2
        job.waiting.extend(piece for piece in ((half, end), (stored, half)) if piece[0] < piece[1])
        job.hands -= 1
        job.dead += 1
        slot.job = None
        self._tell(now + self.nodes.back, slot, "back")
        waking, self.idle = self.idle, []
        for other in waking:
            self._ask(other, now)

    def _death(self, now: float) -> float:
        return inf if self.nodes.fails == inf else now + float(self.rng.exponential(self.nodes.fails * 3600))

    def _tell(self, at: float, slot: Slot, what: str) -> None:
        self.told += 1
        heapq.heappush(self.events, (at, self.told, slot, what))


def simulate(models: Sequence[Model], samples: int, nodes: Nodes, seed: int = 0, batch: int = 16) -> Outcome:
    """One sweep of all models over the same samples. batch: samples that are stored at a time."""
    rng = np.random.default_rng(seed)
    jobs = []
    for model in models:
        # A lognormal variable of mean 1 has the mean of its logarithm at -spread^2 / 2.
        each = model.sample * rng.lognormal(-(model.spread**2) / 2, model.spread, samples)
        until = np.concatenate([[0.0], np.cumsum(each)])
        jobs.append(Job(model, until, deque([(0, samples)]) if samples else deque()))
    return Sweep(jobs, nodes, rng, batch).run()
