"""The executor: a loop in the command's own process, the only one that writes, over slots on all nodes."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from dsum_bench.errors import UserError, first_line
from dsum_bench.executors.base import Event, Executor, Job, JobEnded, NodeState, Progress
from dsum_bench.machine import Machine
from dsum_bench.screening.job import BatchDone, ChecksDone, OfGroup, ScreeningGroup, ScreeningJob
from dsum_bench.spec import HANG_TIMEOUT
from dsum_bench_ray import cluster
from dsum_bench_ray.item import Ended, Unfit, Wants
from dsum_bench_ray.sharing import Sharing, kind_of

WAIT = 0.5
LOOK_SECONDS = 5.0
"""Between looks at which nodes there are."""
ALONE_SECONDS = 60.0
"""Without any node after which a run is given up."""
DEAF_SECONDS = 300.0
"""Without an answer of a slot, beyond the hang timeout, after which it counts as dead."""
END_SECONDS = 15.0


@dataclass(slots=True)
class Place:
    """A slot as the loop sees it.

    pending: what it has been asked for; since: when, on the monotonic clock. job: what it is at, '' for nothing.
    log: where its worker writes on its node. own: whether its worker said its end.
    """

    name: str
    node: cluster.Node
    kind: str
    actor: Any
    pending: Any = None
    since: float = 0.0
    job: str = ""
    log: str = ""
    own: bool = False


@dataclass(slots=True)
class Loop:
    """One run of the executor."""

    jobs: Mapping[str, Job]
    hang_timeout: float
    nodes: dict[str, cluster.Node]
    sharing: Sharing
    files: Mapping[str, bytes]
    places: dict[str, Place] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    looked: float = 0.0
    alone_since: float | None = None
    refused: set[str] = field(default_factory=set)

    def events(self) -> Iterator[Event]:
        """Give out work until all of it has ended."""
        while not self.sharing.over:
            yield from self._look()
            self._give_out()
            yield from self._listen()
            usable = [(p.node.name, p.kind) for p in self.places.values()]
            if usable or self._given_up():
                yield from (JobEnded(*ended) for ended in self.sharing.ended(usable))

    def stop(self, job: str, reason: str) -> None:
        self.sharing.fail(job, reason)
        self.stopped[job] = reason
        for place in self.places.values():
            if place.job == job:
                with suppress(Exception):
                    place.actor.stop.remote(reason)

    def close(self) -> None:
        """End all workers; those of nodes that do not answer end with their slots."""
        import ray

        with suppress(Exception):
            left = [place.actor.close.remote() for place in self.places.values()]
            if left:
                ray.wait(left, num_returns=len(left), timeout=END_SECONDS)
        for place in self.places.values():
            with suppress(Exception):
                ray.kill(place.actor)
        self.places.clear()

    # -- nodes ----------------------------------------------------------------------------------------------

    def _look(self) -> Iterator[Event]:
        """Notice nodes that have come. Those that have gone are noticed by their slots."""
        if self.looked and time.monotonic() - self.looked < LOOK_SECONDS:
            return
        self.nodes = cluster.look(self.nodes)
        self.looked = time.monotonic()
        for node in self.nodes.values():
            if node.problem:
                if node.key not in self.refused:
                    self.refused.add(node.key)
                    yield from self._tell(f"node {node.name} is left out: {node.problem}")
            elif node.key not in {place.node.key for place in self.places.values()}:
                for number, kind in enumerate(node.kinds):
                    place = _placed(node, kind, number, self.hang_timeout)
                    self.places[place.name] = place

    def _tell(self, text: str) -> Iterator[Event]:
        """Say something that concerns all jobs, by the first of them."""
        for job in self.jobs:
            if self.sharing.state(job) is not None:
                yield Progress(job, text)
                return

    def _given_up(self) -> bool:
        """Raise UserError where no node can be used, or none has been there for a while."""
        if self.nodes and all(node.problem for node in self.nodes.values()):
            raise UserError(cluster.nobody(self.nodes))
        now = time.monotonic()
        if self.places:
            self.alone_since = None
        elif self.alone_since is None:
            self.alone_since = now
        elif now - self.alone_since > ALONE_SECONDS:
            raise UserError("all nodes of the Ray cluster are gone; the same command resumes when some are back")
        return False

    # -- work -----------------------------------------------------------------------------------------------

    def _give_out(self) -> None:
        for place in self.places.values():
            if place.job or (place.pending is not None and place.since == 0.0):
                continue
            chosen = self.sharing.choose(place.name, place.node.name, place.kind, self._count(place.kind))
            if chosen is None:
                continue
            job, piece = chosen
            place.job, place.own = job.id, False
            try:
                place.actor.start.remote(self._part(job, piece.samples), self.files)
            except Exception as error:  # its job cannot be pickled, say
                self.sharing.fail(
                    job.id, f"its job cannot be sent to a node: {type(error).__name__}: {first_line(error)}"
                )
                self.sharing.through(job.id, place.name)
                place.job = ""

    def _part(self, job: Job, samples: Sequence[Any]) -> Job:
        """The job with some of its samples. Until its checks have looked at all of them, they come along."""
        if not isinstance(job, ScreeningJob):
            return job
        state = self.sharing.state(job.id)
        if state is None or state.checked:
            return replace(job, samples=tuple(samples), finished=())
        here = {sample.id for sample in samples}
        others = tuple(s for s in job.samples if s.id not in here)
        return replace(job, samples=tuple(samples), finished=(*others, *job.finished))

    def _count(self, kind: str) -> int:
        return sum(place.kind == kind for place in self.places.values())

    def _listen(self) -> Iterator[Event]:
        import ray

        now = time.monotonic()
        for place in self.places.values():
            if place.pending is None and place.job:
                place.pending, place.since = place.actor.listen.remote(), now
        asked = {place.pending: place for place in self.places.values() if place.pending is not None}
        if not asked:
            time.sleep(WAIT)
            return
        ready, _ = ray.wait(list(asked), num_returns=1, timeout=WAIT)
        if len(asked) > 1 and ready:
            ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
        for reference in ready:
            place = asked[reference]
            place.pending = None
            try:
                events, log, place.log = pickle.loads(ray.get(reference))
            except Exception as error:  # the actor or its node died, or what it sent cannot be read here
                yield from self._gone(place, f"its worker is gone ({type(error).__name__})")
                continue
            self._keep_log(place, log)
            for event in events:
                yield from self._take(event, place)
        for place in list(self.places.values()):
            if place.pending is not None and place.since and now - place.since > DEAF_SECONDS:
                yield from self._gone(place, f"its node has not answered for {DEAF_SECONDS:.0f} seconds")

    def _gone(self, place: Place, reason: str) -> Iterator[Event]:
        """A slot is dead: others take over. Its node is looked at again, and gets a new slot where it is alive."""
        import ray

        with suppress(Exception):
            ray.kill(place.actor)
        del self.places[place.name]
        self.looked = 0.0
        if place.job:
            self.sharing.died(place.job, place.name, place.node.name, reason)
            yield Progress(place.job, f"{reason} on {place.node.name}; others go on")

    def _take(self, event: Event, place: Place) -> Iterator[Event]:
        job = place.job
        state = self.sharing.state(job)
        if isinstance(event, BatchDone):
            new = self.sharing.keep(job, place.name, event.outputs)
            if new:
                yield replace(event, outputs=new)
        elif isinstance(event, ChecksDone):
            if state is not None and not state.checked:
                state.checked = True
                yield event
        elif isinstance(event, Wants):
            place.actor.give.remote(self.sharing.more(job, place.name, self._count(place.kind)))
        elif isinstance(event, Unfit):
            self.sharing.cannot(job, place.name, place.node.name, self._here(event.reason, place))
            yield Progress(job, f"not on {place.node.name}: {event.reason}")
            place.own = True
        elif isinstance(event, Ended):
            self._own_end(event, place)
        elif isinstance(event, JobEnded):
            self._worker_ended(event, place)
        else:
            yield event

    def _own_end(self, event: Ended, place: Place) -> None:
        place.own = True
        reason = self._here(event.reason, place)
        if event.skipped:  # the fault is that node's
            self.sharing.cannot(event.job, place.name, place.node.name, reason)
        elif reason:
            self._fail(event.job, reason)
        self.sharing.through(event.job, place.name)

    def _worker_ended(self, event: JobEnded, place: Place) -> None:
        """The worker's process is gone. Where it did not say its end, it died, hung or was stopped."""
        job, place.job = place.job, ""
        if place.own:
            return
        reason = self._here(event.reason, place)
        if job in self.stopped:
            self.sharing.through(job, place.name)
        elif reason.startswith("hung"):
            self._fail(job, f"{reason} on {place.node.name}")
            self.sharing.through(job, place.name)
        else:
            self.sharing.died(job, place.name, place.node.name, reason)

    def _fail(self, job: str, reason: str) -> None:
        """End a job for a reason of its own: all that are at it stop."""
        self.sharing.fail(job, reason)
        for other in self.places.values():
            if other.job == job and not other.own:
                self.stopped[job] = reason
                with suppress(Exception):
                    other.actor.stop.remote(reason)

    # -- logs -----------------------------------------------------------------------------------------------

    def _here(self, reason: str, place: Place) -> str:
        """A reason with the log as it is called on this machine."""
        job = self.jobs.get(place.job)
        return reason.replace(place.log, job.log) if job is not None and place.log else reason

    def _keep_log(self, place: Place, text: bytes) -> None:
        if not text or place.job not in self.jobs:
            return
        file = Path(self.jobs[place.job].log)
        with suppress(OSError):  # a disk that is full is told by the store
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("ab") as log:
                log.write(b"".join(f"[{place.name}] ".encode() + line for line in text.splitlines(keepends=True)))


class RayExecutor(Executor):
    """Shares jobs between the nodes of a Ray cluster.

    Each GPU, and each node's CPU, takes a model; once there are more of them than models left, several share one. A
    worker, GPU or node that dies gives its samples to others.
    """

    name: ClassVar[str] = "ray"
    takes_address: ClassVar[bool] = True

    def __init__(self, hang_timeout: float = HANG_TIMEOUT, address: str = "") -> None:
        super().__init__(hang_timeout, address)
        self._loop: Loop | None = None
        self._groups: dict[str, str] = {}
        self._known: dict[str, cluster.Node] = {}

    def machine(self) -> Machine:
        return cluster.machine(self._look())

    def nodes(self) -> Sequence[NodeState]:
        return cluster.states(self._look())

    def room(self, job: Job) -> int:
        """As many as there are slots of the kind it was planned for: points of a search and folds go one a slot."""
        usable = [node for node in self._look().values() if not node.problem]
        return max(1, sum(node.kinds.count(kind_of(job)) for node in usable))

    def _look(self) -> dict[str, cluster.Node]:
        cluster.connect(self.address)
        self._known = cluster.look(self._known)
        return self._known

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        if not jobs:
            return
        cluster.connect(self.address)
        self._groups = {inner.id: job.id for job in jobs if isinstance(job, ScreeningGroup) for inner in job.jobs}
        single = [inner for job in jobs for inner in (job.jobs if isinstance(job, ScreeningGroup) else (job,))]
        self._loop = Loop({j.id: j for j in single}, self.hang_timeout, {}, Sharing(single), plugin_files(single))
        try:
            for event in self._loop.events():
                yield from self._outside(event)
        finally:
            self._loop.close()

    def stop(self, job: str, reason: str) -> None:
        if self._loop is not None:
            members = [inner for inner, group in self._groups.items() if group == job]
            for one in members or [job]:
                self._loop.stop(one, reason)

    def _outside(self, event: Event) -> Iterator[Event]:
        """An event as who gave the job expects it: a group's jobs are shared one by one, and it ends with its last."""
        group = self._groups.get(event.job)
        if group is None:
            yield event
            return
        yield OfGroup(group, event)
        if isinstance(event, JobEnded):
            del self._groups[event.job]
            if group not in self._groups.values():
                yield JobEnded(group)


def plugin_files(jobs: Sequence[Any]) -> dict[str, bytes]:
    """Contents of the plugin files that jobs name, which nodes do not have."""
    names = {name for job in jobs for name in job.plugins.files}
    return {name: Path(name).read_bytes() for name in sorted(names)}


def _placed(node: cluster.Node, kind: str, number: int, hang_timeout: float) -> Place:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from dsum_bench_ray.slot import Slot

    # Ray would let a worker have one thread for each core that its actor asks for, or one.
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, node.cpus // max(1, node.gpus)))}
    environment = threads if kind == "gpu" else {**threads, "CUDA_VISIBLE_DEVICES": ""}
    actor = (
        ray.remote(Slot)
        .options(
            num_cpus=0,
            num_gpus=1 if kind == "gpu" else 0,
            max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.key, soft=False),
        )
        .remote(hang_timeout, environment)
    )
    return Place(f"{node.name}-{kind}{number}", node, kind, actor)
