"""Who is writing a results database. Several processes may: SQLite lets them write one after the other.

Each of them has a file of its own beside the database and holds it locked until it ends, however it ends. A run notes
the name of that file, so that anybody can tell whether it is still going on. Standard library only, as the reader.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.errors import INTERRUPTED

if TYPE_CHECKING:
    from filelock import BaseFileLock

TABLES = ("runs", "trainings")
"""What a writer begins and ends."""


def lock_file(path: Path) -> Path:
    """The file that is locked while a database is opened, and by older versions until they end."""
    return Path(f"{path}.lock")


def writers_folder(path: Path) -> Path:
    """The folder in which every writer of a database has its file."""
    return Path(f"{path}.writers")


class Presence:
    """This process as a writer of a database: others see it until ``end``, or until the process is no more.

    Made while the lock of opening is held, so that nobody meets a file which is not locked yet.
    """

    def __init__(self, path: Path) -> None:
        from filelock import FileLock

        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        """Stored with the runs that this process is writing."""
        self._file = writers_folder(path) / self.name
        self._file.parent.mkdir(exist_ok=True)
        self._lock: BaseFileLock = FileLock(self._file)
        self._lock.acquire()

    def end(self) -> None:
        """Be gone. Ending twice is allowed."""
        if self._lock.is_locked:
            self._file.unlink(missing_ok=True)
            self._lock.release()


def is_present(path: Path, writer: str) -> bool:
    """Whether a writer of a database, by the name that it stores, is still there."""
    return _is_locked(writers_folder(path) / writer)


def present(path: Path) -> list[str]:
    """The writers of a database that are there. Files of those that were killed are removed.

    Called while the lock of opening is held.
    """
    found = []
    folder = writers_folder(path)
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _is_locked(file):
            found.append(file.name)
        else:
            file.unlink(missing_ok=True)
    return found


def process_of(writer: str) -> str:
    """The process id of a writer."""
    return writer.partition("-")[0]


def is_held(path: Path) -> bool:
    """Whether a database is being opened, or written by an older version; True also where that cannot be found out."""
    return _is_locked(lock_file(path))


def gone(path: Path, db: sqlite3.Connection, opening: bool = False) -> list[str]:
    """Writers whose runs and trainings are stored as ``running`` and which are not there any more; '' for one of an
    older version, which left no name.

    opening: the lock of opening is held by this process, so that no older version is writing.

    What these wrote is whole for every transaction that begins after this.
    """
    writers: set[str] = set()
    for table in TABLES:
        columns = _columns(db, table)
        if "status" in columns:
            name = "coalesce(writer, '')" if "writer" in columns else "''"
            sql = f"select distinct {name} from main.{table} where status = 'running'"
            writers |= {row[0] for row in db.execute(sql)}
    return [w for w in sorted(writers) if not (is_present(path, w) if w else not opening and is_held(path))]


def show_interrupted(db: sqlite3.Connection, gone: Collection[str]) -> None:
    """Let this connection see runs and trainings of writers that are gone as the interrupted ones they are."""
    if not gone:
        return
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in gone)
    for table in TABLES:
        columns = _columns(db, table)
        writer = "coalesce(writer, '')" if "writer" in columns else "''"
        stale = f"status = 'running' and {writer} in ({names})"
        if "status" in columns and db.execute(f"select 1 from main.{table} where {stale}").fetchone():
            changed = {"status": "'partial'", "reason": f"'{INTERRUPTED}'"}
            shown = ", ".join(
                f"case when {stale} then {changed[c]} else {c} end as {c}" if c in changed else c for c in columns
            )
            # A name is looked up among the temporary ones first.
            db.execute(f"create temp view {table} as select {shown} from main.{table}")


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in db.execute(f"pragma main.table_info({table})")]


def _is_locked(file: Path) -> bool:
    """The lock is that of ``filelock``, flock(2). It is tried in its shared form, for a moment, so those who ask do not
    disturb each other. Without flock it is tried as it is."""
    try:
        import fcntl
    except ImportError:
        return _is_locked_elsewhere(file)
    try:
        with file.open("rb") as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _is_locked_elsewhere(file: Path) -> bool:
    from filelock import FileLock, Timeout

    if not file.exists():
        return False
    try:
        with FileLock(file, timeout=0):
            return False
    except (Timeout, OSError):
        return True
