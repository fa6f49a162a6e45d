"""One consistent view of a results database, or a sentence why there is none."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal

from dsum_bench.errors import UserError
from dsum_bench.store.faults import ELSEWHERE, explain
from dsum_bench.store.lock import gone, show_interrupted
from dsum_bench.store.older import show_missing
from dsum_bench.store.schema import NAME, STEPS

Contents = Literal["runs", "trainings"]
EMPTY: dict[Contents, str] = {
    "runs": "there are no results in {path} yet: run `dsum-bench screen` first {elsewhere}",
    "trainings": "there are no trainings in {path} yet: run `dsum-bench finetune` first {elsewhere}",
}


@contextmanager
def reading(path: Path, of: Contents | None = "runs") -> Iterator[sqlite3.Connection]:
    """One consistent view of the database, whether or not somebody is writing to it.

    A run whose process was killed is stored as ``running``; it is shown as interrupted.
    of: the table that must hold something; None where none has to.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a results database: remove it {ELSEWHERE}")
    if not path.exists():
        raise UserError(f"there are no results in {path.parent}: run `dsum-bench screen` first {ELSEWHERE}")
    try:
        with closing(_connect(path)) as db:
            db.row_factory = sqlite3.Row
            left = gone(path, db)  # before the view is taken, which has all they wrote
            db.execute("begin")
            _check(path, db, of)
            show_missing(db)
            show_interrupted(db, left)
            yield db
    except sqlite3.Error as error:
        raise explain(path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    db = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=30)
    try:
        db.execute("select count(*) from sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        if Path(f"{path}-wal").exists():
            raise
        # Reading a WAL database needs a file beside it. In a folder that is read-only nobody can be writing either,
        # so the file may be read as it is.
        return sqlite3.connect(f"{address}?immutable=1", uri=True)
    except BaseException:
        db.close()
        raise
    return db


def _check(path: Path, db: sqlite3.Connection, of: Contents | None) -> None:
    tables = {row[0] for row in db.execute("select name from sqlite_master where type = 'table'")}
    empty = UserError(EMPTY[of or "runs"].format(path=path, elsewhere=ELSEWHERE))
    if not tables:
        raise empty
    applied: set[str] = set()
    if "_sqlite_migrations" in tables:
        sql = "select name from _sqlite_migrations where migration_set = ?"
        applied = {row[0] for row in db.execute(sql, [NAME])}
    if tables == {"_sqlite_migrations"}:
        raise empty  # its first writer has only just begun
    if not applied:
        raise UserError(f"{path} belongs to another program: name the folder of your results with --results")
    if applied - {step.__name__ for step in STEPS}:
        raise UserError(f"{path} was made by a newer dsum-bench: upgrade this one {ELSEWHERE}")
    if of is not None and db.execute(f"select 1 from {of} limit 1").fetchone() is None:
        raise empty
