"""The one writer of a results database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from dsum_bench.errors import INTERRUPTED, UserError
from dsum_bench.fingerprints import run_id, setup_id
from dsum_bench.spec import Finding, Output, RunSpec
from dsum_bench.store import scores as stored_scores
from dsum_bench.store.faults import ELSEWHERE, damage, damaged, explain
from dsum_bench.store.lock import lock_file
from dsum_bench.store.rows import ScoredOutput, Scores, now, output_row, run_row, score_rows, stored_output
from dsum_bench.store.schema import COUNTS, STEPS, migrations

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from sqlite_utils import Database

__all__ = ["Kind", "ScoredOutput", "Stage", "Status", "Store"]

Kind = Literal["model", "control"]
Stage = Literal["before", "after"]
Status = Literal["running", "done", "partial", "failed", "skipped"]

BUSY_SECONDS = 30.0
LOCK_SECONDS = 1.0
"""For longer than a reader holds the lock, and shorter than anybody waits for in vain."""

ADD_OUTPUT = "insert or ignore into outputs values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
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
    status = :status, reason = :reason, finished = :now, peak_memory = max(peak_memory, :peak)
where id = :id
"""


class Store:
    """A results database opened for writing. Use it as a context manager; one process at a time.

    Every method that writes does so in one transaction and raises UserError when the disk is full or the file
    cannot be written; what earlier calls wrote stays.
    """

    def __init__(self, path: Path, db: Database, lock: BaseFileLock) -> None:
        self.path = path
        self._db = db
        self._lock = lock
        self._signatures: dict[str, int] = {}

    @classmethod
    def open(cls, path: Path, wait: bool = False) -> Self:
        """Open path for writing, creating folder, file and tables as needed.

        wait: wait until another writer ends instead of refusing.

        Runs that a killed process left ``running`` become ``partial``: with the lock held, nobody is running them.

        Raises:
            UserError: another writer has it, it cannot be written, is not a results database, is damaged, or newer.
        """
        lock = _lock(path, wait)
        try:
            db = _connect(path)
            try:
                store = cls(path, db, lock)
                store._prepare()
            except BaseException:
                db.close()
                raise
        except BaseException:
            lock.release()
            raise
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let another writer in. Closing twice is allowed."""
        self._db.close()
        self._lock.release()

    def leave_wal(self) -> None:
        """Bring everything into the one file, so that it can be sent without the two beside it."""
        with self._explained():
            self._db.disable_wal()

    # -- runs -----------------------------------------------------------------------------------------------

    def open_run(self, run: RunSpec, kind: Kind) -> str:
        """Begin or resume a run and return its key; what it has already written stays.

        When the references have changed since, its scores are dropped: they were measured against other texts.
        """
        key = run_id(run)
        with self._transaction():
            stored = self._db.execute("select references_fingerprint from runs where id = ?", [key]).fetchone()
            if stored is not None and stored[0] != run.references_fingerprint:
                self._drop_scores(key)
            self._put(run_row(key, run, kind) | {"status": "running", "reason": ""})
            self._forget_attempts(key, run)
        return key

    def record(self, run: RunSpec, kind: Kind, status: Literal["failed", "skipped"], reason: str) -> str:
        """Note a run that never began, and why. A run that has outputs keeps them, and a finished one its status."""
        key = run_id(run)
        with self._transaction():
            if self.status(key) != "done":
                self._put(run_row(key, run, kind) | {"status": status, "reason": reason, "finished": now()})
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

    def abandon(self, reason: str) -> None:
        """Note of every run and training that is still ``running`` that it was interrupted, and why.

        Where the disk is full, space that was set aside for finished transactions is used for it.
        """
        try:
            self._abandon(reason)
        except UserError:
            with self._explained():
                self._db.execute("pragma wal_checkpoint(truncate)")
            self._abandon(reason)

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
        """Delete a run with its outputs and scores."""
        with self._transaction():
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

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """The database within one transaction, for what is kept beside screening runs (``store.training``)."""
        with self._transaction():
            yield self._db

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

    # -- inside ---------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Check that the file is ours, bring its tables up to date and load what is cached."""
        chain = migrations()
        with self._explained():
            wrong = damage(self._db.conn)
            if wrong:
                raise damaged(self.path, wrong)
            applied = {migration.name for migration in chain.applied(self._db)}
            _check_owner(self.path, self._db, applied, {step.__name__ for step in STEPS})
            self._db.enable_wal()
            self._db.execute("pragma foreign_keys = on")
            chain.apply(self._db)
            self._signatures = dict(self._db.execute("select signature, id from signatures"))
        self._abandon(INTERRUPTED)

    def _abandon(self, reason: str) -> None:
        with self._transaction():
            for table in ("runs", "trainings"):
                sql = f"update {table} set status = 'partial', reason = ? where status = 'running'"
                self._db.execute(sql, [reason])

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

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._explained(), self._db.atomic():
            yield

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            told = explain(self.path, error)
            if told is error:
                raise
            raise told from error


def _lock(path: Path, wait: bool) -> BaseFileLock:
    from filelock import FileLock, Timeout

    if path.is_dir():
        raise UserError(f"{path} is a folder, not a results database: remove it {ELSEWHERE}")
    lock = FileLock(lock_file(path), timeout=-1 if wait else LOCK_SECONDS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"another dsum-bench is writing to {path}: wait until it ends (--wait), or use another --results folder"
        ) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{path.parent} is not a folder: remove the file in its place {ELSEWHERE}") from error
    except (OSError, NotImplementedError) as error:
        raise UserError(f"cannot write in folder {path.parent} ({error}): make it writable {ELSEWHERE}") from error
    return lock


def _connect(path: Path) -> Database:
    from sqlite_utils import Database

    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
        try:
            # Reading the header finds a file that is not a database, taking the write lock one that cannot be written.
            connection.execute("begin immediate")
            connection.rollback()
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explain(path, error) from error
    return Database(connection, execute_plugins=False)


def _check_owner(path: Path, db: Database, applied: set[str], known: set[str]) -> None:
    if not applied and db.table_names():
        raise UserError(f"{path} belongs to another program: move it away {ELSEWHERE}")
    if applied - known:
        raise UserError(f"{path} was made by a newer dsum-bench: upgrade this one {ELSEWHERE}")
