"""A race from Python: rounds of screenings, each on more samples and with fewer candidates."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.datasets.load import Selection

if TYPE_CHECKING:
    from dsum_bench.screening.preflight import Candidate
    from dsum_bench.screening.race import Floats, RaceTable
    from dsum_bench.screening.request import ScreenRequest
    from dsum_bench.screening.sweep import RunResult, ScreenResult
    from dsum_bench.spec import Sample

LABEL = "race, "
"""What the selection of a part of the samples begins with."""
Key = tuple[str, str]
"""Model and point of a candidate, the same in every round."""


@dataclass(slots=True)
class Racing:
    """Everything the rounds of a race need.

    candidates: of a request, checked. sweep: runs candidates on samples. tell: says how it goes. discard: deletes runs.
    runs: the last of each candidate. broken: metrics that failed.
    """

    request: ScreenRequest
    metric: str
    database: Path
    candidates: Callable[[ScreenRequest], list[Candidate]]
    sweep: Callable[[list[Candidate], Sequence[Sample]], ScreenResult]
    tell: Callable[[str], None]
    discard: Callable[[Sequence[str]], None]
    keys: list[Key] = field(init=False, default_factory=list)
    order: list[int] = field(init=False)
    runs: dict[Key, RunResult] = field(init=False, default_factory=dict)
    broken: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        whole = self.request.dialogues.selection.samples
        self.order = random.Random(self.request.seed).sample(range(len(whole)), len(whole))

    def go(self) -> RaceTable:
        """Run the race; a candidate that cannot run fails in the first round."""
        from dsum_bench.screening.race import race, race_table

        samples = len(self.order)
        self.keys = [_key(c) for c in self.candidates(self.request)]
        outcome = race(len(self.keys), samples, self._round)
        ids = {key: run.run_id for key, run in self.runs.items()}
        return race_table(outcome, self.keys, ids, samples, self.metric)

    def _round(self, alive: Sequence[int], n: int) -> dict[int, Floats]:
        """Scores of the candidates on the first n samples of the race's order."""
        request = replace(self.request, dialogues=replace(self.request.dialogues, selection=self._part(n)))
        wanted = {self.keys[i] for i in alive}
        candidates = [c for c in self.candidates(request) if _key(c) in wanted]
        self.tell(f"race: {len(alive)} of {len(self.keys)} candidates on {n} of {len(self.order)} samples")
        samples = request.dialogues.selection.samples
        result = self.sweep(candidates, samples)
        self.broken.update(result.broken_metrics)
        before = {key: run.run_id for key, run in self.runs.items() if key in wanted}
        keys = _keys_of(candidates)
        now = {keys[run.run_id]: run for run in result.runs}
        self.runs.update(now)
        self.discard([before[key] for key, run in now.items() if run.status == "done" and key in before])
        found = {
            i: self._scores(now[self.keys[i]].run_id, samples) for i in alive if now[self.keys[i]].status == "done"
        }
        return {i: values for i, values in found.items() if values is not None}

    def _part(self, n: int) -> Selection:
        """The first n samples of the race's order, in the order of the file."""
        whole = self.request.dialogues.selection
        if n == len(self.order):
            return whole
        label = f"{LABEL}{n} of {len(self.order)}, seed {self.request.seed}"
        return Selection(tuple(whole.samples[i] for i in sorted(self.order[:n])), label)

    def _scores(self, run: str, samples: Sequence[Sample]) -> Floats | None:
        """A run's scores in the order of the samples; None where one has none, as when the metric failed."""
        import numpy as np

        from dsum_bench.store import reader

        rows = {row.sample_id: row.scores for row in reader.samples(self.database, run, self.metric)}
        if not all(rows.get(sample.id) for sample in samples):
            return None
        return np.array([reader.overall(rows[sample.id]) for sample in samples])


def _key(candidate: Candidate) -> Key:
    return candidate.run.model.name, candidate.point


def _keys_of(candidates: Sequence[Candidate]) -> dict[str, Key]:
    from dsum_bench.fingerprints import run_id

    return {run_id(c.run): _key(c) for c in candidates}
