"""Runs side by side, sample by sample, and whether any two of them differ."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.errors import UserError, suggestion
from dsum_bench.store import scores
from dsum_bench.store.boards import boards
from dsum_bench.store.groups import values
from dsum_bench.store.reading import reading
from dsum_bench.store.records import RunRecord, SignatureScores

if TYPE_CHECKING:
    from dsum_bench.statistics import AllPairs, Interval, Smallest

SUMMARIES = "select sample_id, summary from outputs where run_id = ? order by position, sample_id"
TEXTS = """
select sample_id, dialogue, reference_texts from samples
where dataset_fingerprint = ? and references_fingerprint = ? and dialogue is not null
"""
FINGERPRINTS = ("dataset_fingerprint", "references_fingerprint")


@dataclass(frozen=True, slots=True)
class SampleOfRuns:
    """One sample: what each run scored and wrote, in the order of the runs."""

    sample_id: str
    scores: tuple[float, ...]
    summaries: tuple[str, ...]

    @property
    def spread(self) -> float:
        """The best score less the worst."""
        return max(self.scores) - min(self.scores)


@dataclass(frozen=True, slots=True)
class Together:
    """Runs that may be compared, on the samples they share, by one measure of the signature they share."""

    runs: tuple[RunRecord, ...]
    metric: str
    signature: str
    measure: str
    samples: tuple[SampleOfRuns, ...]


@dataclass(frozen=True, slots=True)
class PairTest:
    """Run a against run b, by their keys. difference: the mean of a - b with its interval.

    p: corrected for all pairs of the runs compared, as the interval is; below 0.05 exactly where the interval does not
    hold 0. p_alone: of this pair, had it been the only one. p_board: corrected for all pairs of the board that the
    runs stand on; None where they are all of it. exact: whether p_alone counts all permutations.
    wins, ties, losses: samples on which a is better, neither, b.
    """

    a: str
    b: str
    difference: Interval
    p: float
    p_alone: float
    p_board: float | None
    exact: bool
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the tests of two runs or more found. means: by run, in their order.

    smallest: what so many samples show with 80 % power; None where they can show nothing.
    board_runs, board_pairs: of the board they stand on.
    """

    together: Together
    means: tuple[float, ...]
    pairs: tuple[PairTest, ...]
    smallest: Smallest | None
    board_runs: int
    board_pairs: int

    @property
    def n(self) -> int:
        """Samples."""
        return len(self.together.samples)


def compared(path: Path, runs: Sequence[RunRecord], metric: str, measure: str) -> Comparison:
    """Test every pair of runs, corrected for their number.

    Raises:
        UserError: the runs may not be compared; says which and why.
    """
    from dsum_bench.statistics import AllPairs

    found = together(path, runs, metric, measure)
    tests = AllPairs([[s.scores[i] for s in found.samples] for i in range(len(runs))])
    keys = [record.row.run_id for record in runs]
    others = _board(path, found)
    board = AllPairs(values(path, found.signature, measure, others)) if len(others) > len(keys) else None
    place = {key: i for i, key in enumerate(others)}
    pairs = tuple(
        _pair(tests, i, j, keys, board.pair(place[keys[i]], place[keys[j]]).p if board else None)
        for i, j in combinations(range(len(keys)), 2)
    )
    count = max(len(others), len(keys))
    means = tuple(map(float, tests.values.mean(axis=1)))
    return Comparison(found, means, pairs, tests.smallest(), count, count * (count - 1) // 2)


def together(path: Path, runs: Sequence[RunRecord], metric: str, measure: str) -> Together:
    """The samples of finished runs that may be compared: those that they share, where they are of different ones.

    Raises:
        UserError: a run is not finished or named twice, they share no dialogue with its references, or no signature of
            the metric; says which.
    """
    for i, record in enumerate(runs):
        if record.row.status != "done":
            raise UserError(f"{_name(record)} is {record.row.status}; only finished runs are compared")
        if record.row.run_id in {r.row.run_id for r in runs[:i]}:
            raise UserError(f"both names refer to the same run, {_name(record)}")
    shared = _shared_samples(path, runs)
    signature = _shared(runs, metric)
    if measure not in signature.means:
        raise UserError(f"metric '{metric}' has no measure '{measure}'{suggestion(measure, signature.means)}")
    by_run: list[dict[str, tuple[float, str]]] = []
    with reading(path) as db:
        sql = "select id from signatures where signature = ?"
        number = db.execute(sql, [signature.signature]).fetchone()[0]
        for record in runs:
            known = scores.by_sample(scores.of_run(db, record.row.run_id), number)
            rows = db.execute(SUMMARIES, [record.row.run_id])
            by_run.append({row["sample_id"]: (known[row["sample_id"]][measure], row["summary"]) for row in rows})
    samples = (
        SampleOfRuns(i, tuple(run[i][0] for run in by_run), tuple(run[i][1] for run in by_run))
        for i in by_run[0]
        if shared is None or i in shared
    )
    return Together(tuple(runs), metric, signature.signature, measure, tuple(samples))


def _shared_samples(path: Path, runs: Sequence[RunRecord]) -> set[str] | None:
    """Ids of the samples that runs of different samples share, by dialogue and references; None where all are of the
    same ones."""
    first = runs[0]
    shared: dict[str, tuple[str, str]] | None = None
    with reading(path) as db:
        for record in runs:
            if all(first.spec[key] == record.spec[key] for key in FINGERPRINTS):
                continue
            shared = _texts(db, first) if shared is None else shared
            theirs = _texts(db, record)
            for part, key in enumerate(FINGERPRINTS):
                shared = {i: texts for i, texts in shared.items() if i in theirs and theirs[i][part] == texts[part]}
                if not shared and first.spec[key] != record.spec[key]:
                    what = ("dialogues", "references")[part]
                    raise UserError(
                        f"{_name(first)} ({_data(first)}) and {_name(record)} ({_data(record)}) are not of the same "
                        f"{what}{_unknown(db, (first, record))}"
                    )
    return None if shared is None else set(shared)


def _texts(db: sqlite3.Connection, record: RunRecord) -> dict[str, tuple[str, str]]:
    """Fingerprints of dialogue and references of a run's samples, by id, as far as they are stored."""
    keys = [record.spec[key] for key in FINGERPRINTS]
    if not db.execute("select 1 from sqlite_master where name = 'samples'").fetchone():
        return {}
    return {row["sample_id"]: (row["dialogue"], row["reference_texts"]) for row in db.execute(TEXTS, keys)}


def _unknown(db: sqlite3.Connection, records: Sequence[RunRecord]) -> str:
    """What to say where nothing tells which samples runs share."""
    if all(_texts(db, record) for record in records):
        return ""
    return ", or share samples that cannot be told, since their dialogues are not stored (--no-dialogues)"


def _pair(tests: AllPairs, i: int, j: int, keys: Sequence[str], p_board: float | None) -> PairTest:
    found, alone = tests.pair(i, j), tests.alone(i, j)
    return PairTest(
        keys[i],
        keys[j],
        found.difference,
        found.p,
        alone.p,
        p_board,
        alone.exact,
        alone.wins,
        alone.ties,
        alone.losses,
    )


def _board(path: Path, found: Together) -> list[str]:
    """Keys of the runs on the board that these runs stand on."""
    mine = {record.row.run_id for record in found.runs}
    for board in boards(path, found.metric):
        keys = [row.run_id for row in board.rows]
        if board.signature == found.signature and mine <= set(keys):
            return keys
    return []


def _shared(runs: Sequence[RunRecord], metric: str) -> SignatureScores:
    scores = [{s.signature: s for s in r.scores if s.metric == metric and s.n == r.row.n_samples} for r in runs]
    for record, found in zip(runs, scores, strict=True):
        if not found:
            known = ", ".join(sorted({s.metric for s in record.scores})) or "nothing"
            raise UserError(f"{_name(record)} is not scored with metric '{metric}', only with {known}")
    shared = [s for signature, s in scores[0].items() if all(signature in theirs for theirs in scores[1:])]
    if not shared:
        each = " and ".join(dict.fromkeys(signature for found in scores for signature in found))
        raise UserError(
            f"{' and '.join(map(_name, runs))} were scored with different signatures of '{metric}', which are not "
            f"comparable: {each}; screen them again to score them alike"
        )
    return shared[-1]


def _name(record: RunRecord) -> str:
    return f"{record.row.model} ({record.row.run_id})"


def _data(record: RunRecord) -> str:
    return f"{record.dataset} {record.split}, {record.selection}"
