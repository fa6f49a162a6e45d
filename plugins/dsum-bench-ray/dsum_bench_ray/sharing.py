"""Who does what: the samples of each job, given out in pieces, and what becomes of a piece whose worker dies.

Pure bookkeeping: no Ray, no clock. A *slot* is one place to work, a GPU or the CPU of a node, by any name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dsum_bench.executors.base import Job
from dsum_bench.spec import Output, Sample

SMALLEST, LARGEST = 16, 128
"""Samples of a piece: enough for an engine to fill batches, few enough to share the last ones."""
DEATHS = 3
"""Workers that a piece may cost in a row without one summary. Each time the piece is halved."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples for one slot. deaths: workers that died of it, or beside it, since it last got on."""

    samples: tuple[Sample, ...]
    deaths: int = 0


@dataclass(slots=True)
class JobState:
    """One job and how far it is.

    hands: slot -> its piece, of which ``done`` may have some. unfit: node -> why it cannot do this job. whole: it has
    no samples to share, as a training. lost: samples that were given up. barren: deaths since the last summary.
    checked: its checks have been told. reason: why it ends early, '' while it does not.
    """

    job: Job
    waiting: list[Piece]
    whole: bool
    hands: dict[str, Piece] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    unfit: dict[str, str] = field(default_factory=dict)
    lost: list[Sample] = field(default_factory=list)
    last_death: str = ""
    barren: int = 0
    checked: bool = False
    reason: str = ""
    skipped: bool = False

    @property
    def left(self) -> int:
        """Samples that nobody has in hand."""
        return sum(max(1, len(piece.samples)) for piece in self.waiting)


class Sharing:
    """The jobs of one run of the executor."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = {job.id: _state(job) for job in jobs}

    @property
    def over(self) -> bool:
        """Whether every job has ended."""
        return not self._jobs

    def state(self, job: str) -> JobState | None:
        """A job that has not ended."""
        return self._jobs.get(job)

    def choose(self, slot: str, node: str, kind: str, slots: int) -> tuple[Job, Piece] | None:
        """The next job for a free slot with its first piece: one that nobody is at, else the one with most left.

        kind: ``gpu`` or ``cpu``. slots: how many of the kind there are.
        """
        fitting = [
            s
            for s in self._jobs.values()
            if s.waiting and not s.reason and kind_of(s.job) == kind and node not in s.unfit
        ]
        fitting.sort(key=lambda s: (bool(s.hands), -s.left if s.hands else 0))
        for state in fitting:
            # To join others costs a model's loading; the last pieces are not worth it, but those of the dead are.
            if state.hands and state.left < SMALLEST and not any(piece.deaths for piece in state.waiting):
                continue
            return state.job, self._take(state, slot, slots)
        return None

    def more(self, job: str, slot: str, slots: int) -> tuple[Sample, ...]:
        """Further samples for a slot that is through with its piece; () where it shall end."""
        state = self._jobs.get(job)
        if state is None or state.reason or not state.waiting:
            return ()
        return self._take(state, slot, slots).samples

    def keep(self, job: str, slot: str, outputs: Sequence[Output]) -> tuple[Output, ...]:
        """Take outputs in; returns those that nobody has delivered before."""
        state = self._jobs.get(job)
        if state is None:
            return ()
        new = tuple(o for o in outputs if o.generation.sample_id not in state.done)
        state.done |= {o.generation.sample_id for o in new}
        if new:
            state.barren = 0
            if slot in state.hands:
                state.hands[slot] = Piece(_left(state, state.hands[slot]))
        return new

    def through(self, job: str, slot: str) -> None:
        """A slot has ended its work on a job of its own accord; what it left undone is not given out again."""
        state = self._jobs.get(job)
        if state is not None:
            state.hands.pop(slot, None)

    def cannot(self, job: str, slot: str, node: str, reason: str) -> None:
        """A node cannot do a job: what it had goes to others."""
        state = self._jobs.get(job)
        if state is not None:
            state.unfit[node] = reason
            piece = state.hands.pop(slot, None)
            if piece is not None:
                state.waiting.insert(0, Piece(_left(state, piece), piece.deaths))

    def died(self, job: str, slot: str, node: str, reason: str) -> None:
        """A worker or its node died. Its piece goes back in halves, behind all others, so that one sample that kills
        costs few others; after ``DEATHS`` in a row without a summary it is given up."""
        state = self._jobs.get(job)
        if state is None:
            return
        piece = state.hands.pop(slot, None)
        state.barren += 1
        state.last_death = f"{reason} on {node}"
        if not state.done and state.barren >= DEATHS and not state.reason:
            self.fail(
                job, f"its worker died {state.barren} times before the first summary, at last: {state.last_death}"
            )
        if piece is None:
            return
        deaths, samples = piece.deaths + 1, _left(state, piece)
        if deaths >= DEATHS and not state.whole:
            state.lost += samples
            return
        if deaths >= DEATHS:
            self.fail(job, f"its worker died {deaths} times, at last: {state.last_death}")
            return
        if not piece.samples:  # a job without any, which is whole
            state.waiting.insert(0, Piece((), deaths))
            return
        half = (len(samples) + 1) // 2
        state.waiting += [Piece(part, deaths) for part in (samples[half:], samples[:half]) if part]

    def fail(self, job: str, reason: str, skipped: bool = False) -> None:
        """A job shall end: nothing of it is given out any more. The first reason counts."""
        state = self._jobs.get(job)
        if state is not None and not state.reason:
            state.reason, state.skipped = reason, skipped
            state.waiting.clear()

    def ended(self, usable: Sequence[tuple[str, str]]) -> list[tuple[str, str, bool]]:
        """Jobs that are over now, each with its reason and whether it is skipped; they are forgotten.

        usable: node and kind of each slot there is or may come back.
        """
        found = []
        for key, state in list(self._jobs.items()):
            if state.hands:
                continue
            if state.waiting and not state.reason:
                kind = kind_of(state.job)
                if any(k == kind and node not in state.unfit for node, k in usable):
                    continue
                self.fail(key, _nowhere(state, kind), skipped=True)
            reason = state.reason or _lost(state)
            found.append((key, reason, state.skipped))
            del self._jobs[key]
        return found

    def _take(self, state: JobState, slot: str, slots: int) -> Piece:
        piece = state.waiting.pop(0)
        if not piece.deaths:
            size = min(LARGEST, max(SMALLEST, -(-state_size(state, piece) // (2 * max(1, slots)))))
            if len(piece.samples) > size:
                state.waiting.insert(0, Piece(piece.samples[size:]))
                piece = Piece(piece.samples[:size])
        state.hands[slot] = piece
        return piece


def state_size(state: JobState, piece: Piece) -> int:
    """Samples that are still to be given out, a piece in hand included."""
    return len(piece.samples) + sum(len(other.samples) for other in state.waiting)


def kind_of(job: Job) -> str:
    """The kind of slot that a job was planned for."""
    return "gpu" if job.placement.device.startswith("cuda") else "cpu"


def _state(job: Job) -> JobState:
    samples = getattr(job, "samples", None)
    return JobState(job, [Piece(tuple(samples or ()))], whole=samples is None)


def _left(state: JobState, piece: Piece) -> tuple[Sample, ...]:
    return tuple(s for s in piece.samples if s.id not in state.done)


def _lost(state: JobState) -> str:
    if not state.lost:
        return ""
    count, first = len(state.lost), state.lost[0].id
    return (
        f"{count} sample{'s' * (count > 1)} left out, '{first}' first: their worker died {DEATHS} times in a row, at "
        f"last: {state.last_death}"
    )


def _nowhere(state: JobState, kind: str) -> str:
    if not state.unfit:
        return f"no node of the cluster has a free {'GPU' if kind == 'gpu' else 'CPU'} for it"
    told = "; ".join(f"{node}: {reason}" for node, reason in state.unfit.items())
    return f"no node of the cluster can run it: {told}"
