"""Opening a results database for writing, and its transactions, among other processes that do the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from dsum_bench.errors import INTERRUPTED, UserError
from dsum_bench.store.faults import ELSEWHERE, damage, damaged, explain
from dsum_bench.store.light import sqlite_utils
from dsum_bench.store.lock import TABLES, Presence, gone, is_present, lock_file, present, process_of
from dsum_bench.store.schema import STEPS, migrations

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from sqlite_utils import Database

Table = Literal["runs", "trainings"]

BUSY_SECONDS = 60.0
"""For longer than anybody writes at a time."""
LOCK_SECONDS = 60.0
"""For longer than opening takes, and shorter than anybody waits for in vain."""
POLL_SECONDS = 0.5
"""Between looks at a run that another process is writing."""


class Busy(UserError):
    """Another process is writing a run or training at this moment."""


class Opened:
    """A results database opened for writing. Use it as a context manager.

    Several processes may have one open and write in turn, a transaction at a time; a run or training has one of them
    at a time. Every method that writes does so in one transaction and raises UserError when the disk is full or the
    file cannot be written; what earlier calls wrote stays.
    """

    def __init__(self, path: Path, db: Database, presence: Presence, wait: bool, alone: BaseFileLock | None) -> None:
        self.path = path
        self._db = db
        self._presence = presence
        self._wait = wait
        self._alone = alone

    @classmethod
    def open(cls, path: Path, wait: bool = False, alone: bool = False) -> Self:
        """Open path for writing, creating folder, file and tables as needed.

        wait: wait for what another process is writing instead of refusing. alone: let no other process in.

        Runs that a killed process left ``running`` become ``partial``.

        Raises:
            UserError: it is in use where that is in the way, cannot be written, is not a results database, is damaged,
                or newer.
        """
        lock = _lock(path, wait)
        try:
            db = _connect(path)
            try:
                _prepare(path, db, alone)
                presence = Presence(path)
                try:
                    store = cls(path, db, presence, wait, lock if alone else None)
                    store._close_interrupted()
                except BaseException:
                    presence.end()
                    raise
            except BaseException:
                db.close()
                raise
        except BaseException:
            lock.release()
            raise
        if not alone:
            lock.release()
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Closing twice is allowed."""
        self._db.close()
        self._presence.end()
        if self._alone is not None:
            self._alone.release()

    def leave_wal(self) -> None:
        """Bring everything into the one file, so that it can be sent without the two beside it."""
        with self._explained():
            self._db.disable_wal()

    def rewrite(self) -> None:
        """Write the file anew, without the pages that nothing is on."""
        with self._explained():
            self._db.execute("vacuum")
            self._db.execute("pragma wal_checkpoint(truncate)")

    def abandon(self, reason: str) -> None:
        """Note of every run and training that this process is writing that it was interrupted, and why.

        Where the disk is full, space that was set aside for finished transactions is used for it.
        """
        try:
            self._abandon(reason)
        except UserError:
            with self._explained():
                self._db.execute("pragma wal_checkpoint(truncate)")
            self._abandon(reason)

    # -- other processes ------------------------------------------------------------------------------------

    @property
    def writer(self) -> str:
        """What this process is called in the database."""
        return self._presence.name

    @contextmanager
    def claiming(self, table: Table, key: str, wait: bool = True) -> Iterator[Database]:
        """A transaction in which no other process is writing a run or training. wait: if this store waits at all.

        Raises:
            Busy: one is, and this process does not wait.
        """
        while True:
            with self._transaction():
                holder = self._holder(table, key)
                if holder is None:
                    yield self._db
                    return
            if not (wait and self._wait) or self._db.conn.in_transaction:
                raise Busy(
                    f"{'run' if table == 'runs' else 'training'} {key} is being written by another dsum-bench (process "
                    f"{process_of(holder)}): wait until it ends (--wait)"
                )
            sleep(POLL_SECONDS)

    def refuse_busy(self, table: Table, key: str) -> None:
        """Wait for another process that is writing a run or training, or raise Busy."""
        with self.claiming(table, key):
            pass

    def _holder(self, table: Table, key: str) -> str | None:
        """The other process that is writing a run or training, if one is."""
        sql = f"select writer from {table} where id = ? and status = 'running' and writer is not null and writer != ?"
        row = self._db.execute(sql, [key, self.writer]).fetchone()
        return row[0] if row and is_present(self.path, row[0]) else None

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """The database within one transaction, for what is kept beside screening runs (``store.training``)."""
        with self._transaction():
            yield self._db

    # -- inside ---------------------------------------------------------------------------------------------

    def _close_interrupted(self) -> None:
        """Runs and trainings of processes that are no more become ``partial``."""
        with self._explained():
            left = gone(self.path, self._db.conn, opening=True)
        if left:
            self._end_running(f"coalesce(writer, '') in ({', '.join('?' * len(left))})", left, INTERRUPTED)

    def _abandon(self, reason: str) -> None:
        self._end_running("writer = ?", [self.writer], reason)

    def _end_running(self, which: str, values: Sequence[str], reason: str) -> None:
        with self._transaction():
            for table in TABLES:
                sql = f"update {table} set status = 'partial', reason = ?, writer = null where status = 'running'"
                self._db.execute(f"{sql} and {which}", [reason, *values])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Immediate: one that begins by reading could not go on to write where another process has written since."""
        with self._explained():
            if self._db.conn.in_transaction:
                with self._db.atomic():
                    yield
                return
            self._db.execute("begin immediate")
            try:
                yield
                self._db.execute("commit")
            except BaseException:
                self._db.conn.rollback()
                raise

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
    """The lock under which databases are opened and their tables changed, held.

    Raises:
        UserError: another process holds it for longer, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    if path.is_dir():
        raise UserError(f"{path} is a folder, not a results database: remove it {ELSEWHERE}")
    lock = FileLock(lock_file(path), timeout=-1 if wait else LOCK_SECONDS)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise UserError(
            f"another dsum-bench has {path} for itself: it compacts it or is of an older version; wait until it ends "
            "(--wait), or use another --results folder"
        ) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{path.parent} is not a folder: remove the file in its place {ELSEWHERE}") from error
    except (OSError, NotImplementedError) as error:
        raise UserError(f"cannot write in folder {path.parent} ({error}): make it writable {ELSEWHERE}") from error
    return lock


def _connect(path: Path) -> Database:
    """Connect for writing; only we begin transactions. Raises UserError where the file cannot be used."""
    try:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS)
        try:
            # Reading the header finds a file that is not a database, writing into it one that cannot be written.
            connection.execute("begin immediate")
            connection.execute("pragma user_version = 0")
            connection.rollback()
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explain(path, error) from error
    database: Database = sqlite_utils().Database(connection, execute_plugins=False)
    return database


def _check_owner(path: Path, db: Database, applied: set[str], known: set[str]) -> None:
    """Raise UserError for a database of another program, or of a newer version.

    applied: names of the migrations it has taken; known: of those that there are.
    """
    if not applied and db.table_names():
        raise UserError(f"{path} belongs to another program: move it away {ELSEWHERE}")
    if applied - known:
        raise UserError(f"{path} was made by a newer dsum-bench: upgrade this one {ELSEWHERE}")


def _prepare(path: Path, db: Database, alone: bool) -> None:
    """Check that a file is ours and bring its tables up to date."""
    chain = migrations()
    try:
        wrong = damage(db.conn)
        if wrong:
            raise damaged(path, wrong)
        applied = {migration.name for migration in chain.applied(db)}
        _check_owner(path, db, applied, {step.__name__ for step in STEPS})
        others = present(path)
        if others and (alone or len(applied) < len(STEPS)):
            raise UserError(
                f"{path} is being written by another dsum-bench (process {process_of(others[0])}); wait until it ends"
            )
        db.enable_wal()
        db.execute("pragma foreign_keys = on")
        chain.apply(db)
    except sqlite3.Error as error:
        told = explain(path, error)
        if told is error:
            raise
        raise told from error
