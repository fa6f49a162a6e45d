"""Giving back what a results database no longer needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dsum_bench.store import scores
from dsum_bench.store.samples import drop_unused
from dsum_bench.store.writer import Store


@dataclass(frozen=True, slots=True)
class Compacted:
    """Bytes of a database before and after, with what lay beside it."""

    before: int
    after: int


def compact(path: Path) -> Compacted:
    """Fold scores that a killed process left in parts, drop samples that no run is of, and write the file anew.

    The disk needs room for it once more.

    Raises:
        UserError: another process is writing, the disk is full, or what ``Store.open`` raises; nothing is lost then.
    """
    before = _size(path)
    with Store.open(path, alone=True) as store:
        with store.transaction() as db:
            for (run_id,) in db.execute("select id from runs").fetchall():
                scores.fold(db.conn, run_id)
            drop_unused(db.conn)
        store.rewrite()
    return Compacted(before, _size(path))


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, Path(f"{path}-wal")) if file.exists())
