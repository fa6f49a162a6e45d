"""Writing to a results database."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dsum_bench.errors import UserError
from dsum_bench.fingerprints import run_id, setup_id
from dsum_bench.spec import Finding, Output, Prompt, RunSpec
from dsum_bench.store import scores as stored_scores
from dsum_bench.store.lock import Presence
from dsum_bench.store.opening import Busy, Opened
from dsum_bench.store.rows import ScoredOutput, Scores, draft_rows, now, output_row, run_row, score_rows, stored_output
from dsum_bench.store.schema import COUNTS

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from sqlite_utils import Database

__all__ = ["Busy", "Kind", "ScoredOutput", "Stage", "Status", "Store"]

Kind = Literal["model", "control"]
Stage = Literal["before", "after"]
Status = Literal["running", "done", "partial", "failed", "skipped"]

ADD_OUTPUT = "insert or ignore into outputs values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
ADD_DRAFT = "insert or ignore into drafts values (?, ?, ?, ?, ?, ?, ?)"
TAKE_DRAFTS = """
insert or ignore into drafts
select ?, sample_id, number, output, summary, new_tokens, finish from drafts where run_id = ? and sample_id = ?
"""
ADD_AGGREGATE = (
    "insert into aggregates (run_id, signature_id, measure, mean, n, low, high) values (?, ?, ?, ?, ?, ?, ?)"
)
ADD_FINDING = "insert into findings values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
KNOWN = """
select count(*) from outputs where run_id = ? and sample_id in (select value from json_each(?))
"""
OF_SETUP = """
select outputs.*, peak_memory from outputs join runs on runs.id = run_id
where setup = ? and run_id != ? and input != '' order by started desc, run_id
"""
CONSTANTS = """
select max(id) from runs where kind = 'control' and adapter = 'constant' and status = 'done'
    and dataset_fingerprint = ? and references_fingerprint = ?
"""
CLOSE = f"""
update runs set
    (seconds, trimmed, cut, empty) = (
        select coalesce(sum(seconds), 0), {COUNTS} from outputs where run_id = :id),
    status = :status, reason = :reason, writer = null, finished = :now, peak_memory = max(peak_memory, :peak)
where id = :id
"""


class Store(Opened):
    """A results database opened for writing (``Opened``): runs, their outputs, scores and findings.

    Every method that writes does so in one transaction and raises UserError when the disk is full or the file cannot
    be written; what earlier calls wrote stays.
    """

    def __init__(self, path: Path, db: Database, presence: Presence, wait: bool, alone: BaseFileLock | None) -> None:
        super().__init__(path, db, presence, wait, alone)
        self._signatures: dict[str, int] = {}
        self.renew_signatures()

    # -- runs -----------------------------------------------------------------------------------------------

    def open_run(self, run: RunSpec, kind: Kind, wait: bool = True) -> str:
        """Begin or resume a run and return its key; what it has already written stays.

        When the references have changed since, its scores are dropped: they were measured against other texts.

        wait: False refuses at once what another process is writing, also where the store waits.

        Raises:
            Busy: another process is writing it, and this one does not wait.
        """
        key = run_id(run)
        with self.claiming("runs", key, wait):
            stored = self._db.execute("select references_fingerprint from runs where id = ?", [key]).fetchone()
            if stored is not None and stored[0] != run.references_fingerprint:
                self._drop_scores(key)
            self._put(run_row(key, run, kind) | {"status": "running", "reason": "", "writer": self.writer})
            self._forget_attempts(key, run)
        return key

    def record(self, run: RunSpec, kind: Kind, status: Literal["failed", "skipped"], reason: str) -> str:
        """Note a run that never began, and why. A run that has outputs keeps them, and one that is finished, or that
        another process is writing, its status."""
        key = run_id(run)
        with self._transaction():
            if self.status(key) != "done" and self._holder("runs", key) is None:
                ended = {"status": status, "reason": reason, "finished": now(), "writer": None}
                self._put(run_row(key, run, kind) | ended)
            self._forget_attempts(key, run)
        return key

    def close_run(self, key: str, status: Status, reason: str = "", peak_memory: int = 0) -> None:
        """End a run: its time is the sum of its samples', its means and their 95 % intervals those of all scores of
        each signature.

        peak_memory: bytes; the largest of all attempts is kept.

        Raises:
            ValueError: ``done`` while samples are missing, or no such run.
        """
        with self._transaction():
            row = self._db.execute("select n_samples from runs where id = ?", [key]).fetchone()
            if row is None:
                raise ValueError(f"there is no run {key}")
            finished = self._db.execute("select count(*) from outputs where run_id = ?", [key]).fetchone()[0]
            if status == "done" and finished != row[0]:
                raise ValueError(f"run {key} has {finished} of {row[0]} samples and cannot be done")
            self._renew_means(key)
            values = {"id": key, "status": status, "reason": reason, "now": now(), "peak": peak_memory}
            self._db.execute(CLOSE, values)

    def rename(self, key: str, name: str) -> None:
        """Call a run by a name of its own; '' takes the name away.

        Raises:
            UserError: another run has this name.
        """
        with self._transaction():
            other = self._db.execute("select id from runs where name = ? and id != ?", [name, key]).fetchone()
            if other is not None:
                raise UserError(f"run {other[0]} is called '{name}' already; choose another name")
            self._db.execute("update runs set name = ? where id = ?", [name or None, key])

    def renew_means(self, key: str) -> None:
        """Compute a run's means again from its scores; nothing else of it changes."""
        with self._transaction():
            self._renew_means(key)

    def discard(self, key: str) -> None:
        """Delete a run with its outputs and scores.

        Raises:
            Busy: another process is writing it, and this one does not wait.
        """
        with self.claiming("runs", key):
            self._db.execute("delete from runs where id = ?", [key])

    def drop_outputs(self, key: str) -> None:
        """Delete what a run has written, with its scores; the run stays."""
        with self._transaction():
            self._db.execute("delete from outputs where run_id = ?", [key])
            stored_scores.drop(self._db.conn, key)

    def status(self, key: str) -> Status | None:
        """The status of a run, None when there is none."""
        with self._explained():
            row = self._db.execute("select status from runs where id = ?", [key]).fetchone()
        return row[0] if row else None

    # -- samples --------------------------------------------------------------------------------------------

    def outputs(self, key: str) -> dict[str, Output]:
        """The finished samples of a run by id, in the order of the dataset."""
        sql = "select * from outputs where run_id = ? order by position, sample_id"
        with self._explained():
            return {row["sample_id"]: stored_output(row) for row in self._db.query(sql, [key])}

    def add(self, key: str, rows: Sequence[ScoredOutput], positions: Mapping[str, int]) -> int:
        """Store a batch, whole or not at all; a sample that is already there stays as it was. Returns how many are new.

        positions: place of each sample in the dataset, by id.

        Raises:
            ValueError: a score that is not finite, or a signature that was not declared.
        """
        scored = [(row, self._score_rows(row.output.generation.sample_id, row.scores)) for row in rows]
        added, kept = 0, []
        with self._transaction():
            for row, scores in scored:
                values = output_row(key, row.output, positions[row.output.generation.sample_id], row.input)
                if self._db.execute(ADD_OUTPUT, values).rowcount != 1:
                    continue  # scores of another text must not be mixed in
                self._db.conn.executemany(ADD_DRAFT, draft_rows(key, row.output))
                added += 1
                kept += scores
            stored_scores.add(self._db.conn, key, stored_scores.part_of(kept))
        return added

    def take_over(self, run: RunSpec, inputs: Mapping[str, str], positions: Mapping[str, int]) -> int:
        """Copy what a run lacks from runs of the same setup on other samples; returns how many samples that were.

        inputs: digest of what each sample is asked with, by id; only an output of the same is taken.
        """
        key, taken, peak = run_id(run), 0, 0
        with self._transaction():
            for row in list(self._db.query(OF_SETUP, [setup_id(run), key])):
                sample_id, memory = row["sample_id"], row.pop("peak_memory")
                if inputs.get(sample_id) != row["input"]:
                    continue
                values = row | {"run_id": key, "position": positions[sample_id]}
                if self._db.execute(ADD_OUTPUT, list(values.values())).rowcount == 1:
                    self._db.execute(TAKE_DRAFTS, [key, row["run_id"], sample_id])
                    taken, peak = taken + 1, max(peak, memory)
            self._db.execute("update runs set peak_memory = max(peak_memory, ?) where id = ?", [peak, key])
        return taken

    # -- scores ---------------------------------------------------------------------------------------------

    def declare_signature(self, signature: str, choice: str, measures: Sequence[str] = ()) -> None:
        """Name a signature before its scores are stored.

        choice: what a user types for it, such as ``rouge@mecab``. measures: in the order they are shown.
        """
        insert = "insert or ignore into signatures (signature, metric, measures) values (?, ?, ?)"
        with self._transaction():
            self._db.execute(insert, [signature, choice, json.dumps(list(measures))])
        row = self._db.execute("select id from signatures where signature = ?", [signature]).fetchone()
        self._signatures[signature] = row[0]

    def scored(self, key: str, signature: str) -> set[str]:
        """Ids of the samples of a run that have scores of this signature."""
        return set(self.values(key).get(signature, {}))

    def add_scores(self, key: str, scores: Mapping[str, Scores]) -> None:
        """Store scores, by sample id, of samples that are already there; a score that is there stays as it was.

        Raises:
            ValueError: a score that is not finite, a signature that was not declared, a sample without output.
        """
        rows = [row for sample_id, values in scores.items() for row in self._score_rows(sample_id, values)]
        with self._transaction():
            if self._db.execute(KNOWN, [key, json.dumps(list(scores))]).fetchone()[0] != len(scores):
                raise ValueError(f"run {key} has no output for some of the samples that scores are given for")
            stored_scores.add(self._db.conn, key, stored_scores.part_of(rows))

    def renew_signatures(self) -> None:
        """Learn of signatures that were written past ``declare_signature``."""
        with self._explained():
            self._signatures = dict(self._db.execute("select signature, id from signatures"))

    def values(self, key: str) -> dict[str, dict[str, dict[str, float]]]:
        """All scores of a run: signature -> sample id -> measure -> value."""
        with self._explained():
            part = stored_scores.of_run(self._db.conn, key)
            names = dict(self._db.execute("select id, signature from signatures"))
        numbers = sorted({number for number, _ in part.columns})
        return {names[number]: stored_scores.by_sample(part, number) for number in numbers}

    def constant_run(self, run: RunSpec) -> str | None:
        """Key of the finished run of a constant control on a run's dialogues and references, if there is one."""
        with self._explained():
            row = self._db.execute(CONSTANTS, [run.dataset_fingerprint, run.references_fingerprint]).fetchone()
        return row[0] if row else None

    # -- findings -------------------------------------------------------------------------------------------

    def keep_findings(self, key: str, stage: Stage, findings: Sequence[Finding]) -> None:
        """Replace what the checks of a stage found in a run."""
        rows = [
            (key, stage, i, f.check, f.level, f.mark, f.text, f.hit, f.total, f.signature)
            for i, f in enumerate({(f.check, f.signature): f for f in findings}.values())
        ]
        with self._transaction():
            self._db.execute("delete from findings where run_id = ? and stage = ?", [key, stage])
            self._db.conn.executemany(ADD_FINDING, rows)

    def keep_prompt(self, key: str, prompt: Prompt) -> None:
        """Keep the exact prompt of a sample as an example of the run's, unless there is one."""
        with self._transaction():
            self._db.execute(
                "update runs set asked_sample = ?, asked_prompt = ? where id = ? and asked_prompt is null",
                [prompt.sample_id, prompt.text, key],
            )

    # -- inside ---------------------------------------------------------------------------------------------

    def _put(self, values: Mapping[str, object]) -> None:
        """Insert a run, or renew what describes it. (Replacing the row would delete its outputs with it.)"""
        row = {"started": now(), **values}
        renewed = ", ".join(f"{name} = excluded.{name}" for name in row if name not in ("id", "started"))
        columns, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        self._db.execute(f"insert into runs ({columns}) values ({marks}) on conflict (id) do update set {renewed}", row)

    def _forget_attempts(self, key: str, run: RunSpec) -> None:
        """Remove earlier attempts at the same thing that never wrote a sample; their reason is out of date."""
        self._db.execute(
            """delete from runs where id != ? and model = ? and dataset_fingerprint = ? and prompt_format = ?
                and status != 'running' and not exists (select 1 from outputs where run_id = runs.id)""",
            [key, run.model.name, run.dataset_fingerprint, run.prompt_format],
        )

    def _renew_means(self, key: str) -> None:
        stored_scores.fold(self._db.conn, key)
        self._db.execute("delete from aggregates where run_id = ?", [key])
        self._db.conn.executemany(ADD_AGGREGATE, self._aggregates(key))

    def _aggregates(self, key: str) -> list[tuple[object, ...]]:
        """Rows of ``aggregates``: means with their intervals; a single sample has none."""
        from dsum_bench.statistics import mean_intervals

        whole = stored_scores.of_run(self._db.conn, key)
        columns = {place: [v for v in values if v == v] for place, values in whole.columns.items()}  # NaN is none
        rows: list[tuple[object, ...]] = []
        for n in {len(values) for values in columns.values()}:
            alike = {place: values for place, values in columns.items() if len(values) == n}
            for place, found in zip(alike, mean_intervals(list(alike.values())), strict=True):
                ends = (found.low, found.high) if n > 1 else (None, None)
                rows.append((key, *place, found.mean, n, *ends))
        return rows

    def _drop_scores(self, key: str) -> None:
        stored_scores.drop(self._db.conn, key)
        self._db.execute("delete from aggregates where run_id = ?", [key])

    def _score_rows(self, sample_id: str, scores: Scores) -> list[tuple[str, int, str, float]]:
        missing = set(scores) - set(self._signatures)
        if missing:
            raise ValueError(f"signature {min(missing)!r} was not declared")
        return [
            (sample, self._signatures[signature], measure, value)
            for sample, signature, measure, value in score_rows(sample_id, scores)
        ]
