"""Whether somebody writes a results database, and what its runs are called when nobody does."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from dsum_bench.errors import INTERRUPTED


def lock_file(path: Path) -> Path:
    """The file that the writer of a database holds locked."""
    return Path(f"{path}.lock")


def is_held(path: Path) -> bool:
    """Whether a process has a database open for writing; True also where that cannot be found out.

    The lock is that of ``filelock``, flock(2). It is tried in its shared form, for a moment, so readers do not disturb
    each other, and a writer waits for longer than that.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        with lock_file(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def show_interrupted(db: sqlite3.Connection) -> None:
    """Let this connection see runs and trainings that are stored as ``running`` as the interrupted ones they are."""
    for table in ("runs", "trainings"):
        columns = [row[1] for row in db.execute(f"pragma main.table_info({table})")]
        if "status" in columns and db.execute(f"select 1 from {table} where status = 'running'").fetchone():
            changed = {"status": "'partial'", "reason": f"'{INTERRUPTED}'"}
            shown = ", ".join(
                f"case status when 'running' then {changed[c]} else {c} end as {c}" if c in changed else c
                for c in columns
            )
            # A name is looked up among the temporary ones first.
            db.execute(f"create temp view {table} as select {shown} from main.{table}")
