"""What SQLite's errors mean for the person at the keyboard."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from dsum_bench.errors import UserError

ELSEWHERE = "or name another folder with --results"


def damage(db: sqlite3.Connection) -> str:
    """What SQLite finds wrong with the pages of a database (``pragma quick_check``), in its words; '' for nothing."""
    try:
        found = [str(row[0]) for row in db.execute("pragma quick_check")]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise
        return str(error)
    # SQLite before 3.41 misreads the columns of tables without a rowid and reports NULLs that are not there. The pages
    # are checked first, so what is wrong with them stands before those.
    wrong = [text for text in found if text != "ok" and not text.startswith("NULL value in ")]
    return " ".join(wrong[0].replace("*** in database main ***", "").split()) if wrong else ""


def damaged(path: Path, what: str) -> UserError:
    """The answer to a database with damaged pages. Writing on could lose what can still be read."""
    return UserError(
        f"{path} is damaged ({what}): nothing was written to it. Keep a copy of the file; "
        f"`sqlite3 {path} .recover | sqlite3 NEW.db` saves what can be read. Move it away {ELSEWHERE}"
    )


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
