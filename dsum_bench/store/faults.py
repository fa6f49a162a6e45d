"""What SQLite's errors mean for the person at the keyboard."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from dsum_bench.errors import UserError

ELSEWHERE = "or name another folder with --results"


def explain(path: Path, error: sqlite3.Error) -> Exception:
    """The UserError for an error of the file or disk; the error itself when our own code is at fault."""
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return error
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the high bits only say more of the same
    if code == sqlite3.SQLITE_FULL:
        return UserError(f"disk full while writing {path}: free some space and run again; finished samples are kept")
    if code == sqlite3.SQLITE_IOERR:
        return UserError(
            f"the disk refused to read or write {path} (full, over quota or failing: {error}); "
            "finished samples are kept; run again when this is fixed"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return UserError(
            f"results database {path} cannot be opened or written: make file and folder writable {ELSEWHERE}"
        )
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return UserError(f"{path} is not a results database, or is damaged: move it away {ELSEWHERE}")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return UserError(f"another program holds {path} locked: close it and run again")
    return UserError(f"results database {path} cannot be used: {error}")
