"""How far a sweep or a training is, read from the database while another process writes it."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any

from dsum_bench.errors import UserError
from dsum_bench.store.reading import reading

FRESH = 1.0
"""Seconds for which an answer is good: however many look, the database is asked once in this time."""

WINDOW = 60.0
"""Seconds over which the rate is taken."""

LAST = 4
POINTS = 400

RUNS = """
select id, model, treatment, n_samples, status, reason,
    (select count(*) from outputs where run_id = runs.id) as done,
    (select coalesce(sum(seconds), 0) from outputs where run_id = runs.id) as seconds
from runs where status = 'running' order by started
"""
SUMMARIES = "select sample_id, summary, new_tokens, seconds from outputs where run_id = ? order by rowid desc limit ?"
STAMP = """
select (select count(*) || ':' || coalesce(max(finished), '') from runs where status != 'running')
    || '/' || (select count(*) from aggregates) || '/' || (select count(*) from trainings where status != 'running')
"""
STATES = "select status, count(*) from runs group by status"
TRAININGS = "select id, model, started from trainings where status = 'running' order by started"
CURVE = "select step, measure, value from training_log where training_id = ? order by step desc limit ?"


@dataclass(slots=True)
class LiveState:
    """What a live page shows. Asked by any number of threads, it looks at the database at most once a second."""

    path: Path
    clock: Callable[[], float] = monotonic
    _lock: Lock = field(default_factory=Lock)
    _told: dict[str, Any] = field(default_factory=dict)
    _at: float = float("-inf")
    _seen: dict[str, deque[tuple[float, int]]] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """stamp: changes when results are there that a page made before does not have. running: the runs in progress
        with samples done, samples a second and seconds left (None before two samples), last summaries. trainings:
        those in progress with the last points of their curves. counts: runs by status."""
        with self._lock:
            if self.clock() - self._at >= FRESH:
                self._told = self._read()
                self._at = self.clock()
            return self._told

    def _read(self) -> dict[str, Any]:
        try:
            with reading(self.path) as db:
                return {
                    "stamp": db.execute(STAMP).fetchone()[0],
                    "counts": dict(tuple(row) for row in db.execute(STATES)),
                    "running": [self._run(db, row) for row in db.execute(RUNS).fetchall()],
                    "trainings": [_training(db, row) for row in db.execute(TRAININGS).fetchall()],
                }
        except UserError:
            return {"stamp": "", "counts": {}, "running": [], "trainings": []}  # nobody has begun yet

    def _run(self, db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
        rate, quiet = self._rate(row["id"], row["done"], row["seconds"])
        left = (row["n_samples"] - row["done"]) / rate if rate else None
        last = [dict(sample) for sample in db.execute(SUMMARIES, [row["id"], LAST])]
        return {
            "run": row["id"], "model": row["model"], "how": row["treatment"], "done": row["done"],
            "total": row["n_samples"], "rate": rate, "left": left, "quiet": quiet, "last": last,
        }  # fmt: skip

    def _rate(self, run: str, done: int, seconds: float) -> tuple[float | None, float]:
        """Samples a second over the last minute, or over the whole run before that; seconds since the last sample."""
        seen = self._seen.setdefault(run, deque())
        now = self.clock()
        if not seen or seen[-1][1] != done:
            seen.append((now, done))
        while len(seen) > 2 and now - seen[0][0] > WINDOW:
            seen.popleft()
        (start, first), (end, last) = seen[0], seen[-1]
        if last > first and end > start:
            return (last - first) / (end - start), now - end
        return (done / seconds if done and seconds else None), now - end


def _training(db: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    curve: dict[str, list[tuple[int, float]]] = {}
    for point in db.execute(CURVE, [row["id"], POINTS]):
        curve.setdefault(point["measure"], []).insert(0, (point["step"], point["value"]))
    return {"id": row["id"], "started": row["started"], "curve": curve}
