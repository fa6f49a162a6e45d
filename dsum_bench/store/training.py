"""Training runs and their curves in the results database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench.errors import UserError, suggestion
from dsum_bench.store.reading import reading
from dsum_bench.store.rows import now
from dsum_bench.store.writer import Status, Store

if TYPE_CHECKING:
    from dsum_bench.spec import TrainingSpec
    from dsum_bench.training.job import CurvePoint, TrainingPlan

OPEN = """
insert into trainings (id, model, base, recipe, trainer, dataset, split, selection, settings, status, started, writer)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, ?)
on conflict (id) do update set status = 'running', reason = '', finished = null, selection = excluded.selection,
settings = excluded.settings, writer = excluded.writer
"""
CLOSE = """
update trainings set status = ?, reason = ?, writer = null, finished = ?, seconds = seconds + ?,
    peak_memory = max(peak_memory, ?) where id = ?
"""


@dataclass(frozen=True, slots=True)
class Training:
    """One training run as it is stored. curve: measure -> its (step, value) pairs, in order of steps.

    id: ``BASE@RUN``. settings: what shapes the result. figures: of the plan. seconds: of all attempts.
    """

    id: str
    base: str
    recipe: str
    trainer: str
    dataset: str
    split: str
    selection: str
    settings: Mapping[str, str]
    figures: Mapping[str, Any]
    status: str
    reason: str
    started: str
    finished: str | None
    seconds: float
    peak_memory: int
    curve: Mapping[str, tuple[tuple[int, float], ...]]


class TrainingLog:
    """Writes training runs through an opened store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def open(self, run: TrainingSpec, settings: Mapping[str, str]) -> None:
        """Begin or resume a run. One that was left ``running`` by a killed process is resumed the same way.

        Raises:
            Busy: another process is at it.
        """
        recipe = run.recipe
        values = [run.result, run.result, run.model.name, recipe.name, recipe.trainer, run.dataset, run.split]
        with self.store.claiming("trainings", run.result) as db:
            db.execute(OPEN, [*values, run.selection, json.dumps(dict(settings)), now(), self.store.writer])

    def refuse_busy(self, key: str) -> None:
        """Raise Busy where another process is at a run."""
        self.store.refuse_busy("trainings", key)

    def keep_finished(self, run: TrainingSpec, settings: Mapping[str, str]) -> None:
        """Have a run that was finished before stand as done; one that stands so is left alone."""
        with self.store.transaction() as db:
            found = db.execute("select status from trainings where id = ?", [run.result]).fetchone()
        if found is None or found[0] != "done":
            self.open(run, settings)
            self.close(run.result, "done", "", 0.0, 0)

    def plan(self, key: str, figures: TrainingPlan) -> None:
        """Keep what was planned."""
        with self.store.transaction() as db:
            db.execute("update trainings set figures = ? where id = ?", [json.dumps(asdict(figures)), key])

    def resume(self, key: str, step: int, points: Sequence[CurvePoint]) -> None:
        """Training resumes from a step: drop what was logged after it, and add what is missing up to it."""
        rows = [(key, p.step, measure, value, p.seconds) for p in points for measure, value in p.values.items()]
        with self.store.transaction() as db:
            db.execute("delete from training_log where training_id = ? and step > ?", [key, step])
            db.conn.executemany("insert or ignore into training_log values (?, ?, ?, ?, ?)", rows)

    def log(self, key: str, step: int, values: Mapping[str, float], seconds: float) -> None:
        """Keep a point of the curve; the same step logged again replaces it."""
        rows = [(key, step, measure, value, seconds) for measure, value in values.items()]
        with self.store.transaction() as db:
            db.conn.executemany("insert or replace into training_log values (?, ?, ?, ?, ?)", rows)

    def close(self, key: str, status: Status, reason: str, seconds: float, peak_memory: int) -> None:
        """End an attempt. seconds: it took; peak_memory: bytes."""
        with self.store.transaction() as db:
            db.execute(CLOSE, [status, reason, now(), seconds, peak_memory, key])


def training(path: Path, name: str) -> Training:
    """A training run by its whole name ``BASE@RUN`` or by RUN.

    Raises:
        UserError: there is none of this name, or several.
    """
    with reading(path, "trainings") as db:
        known = [row["id"] for row in db.execute("select id from trainings order by started")]
        found = [key for key in known if name in (key, key.partition("@")[2])]
        if not found:
            raise UserError(f"unknown training run '{name}'{suggestion(name, known)}")
        if len(found) > 1:
            raise UserError(f"several training runs are called '{name}': {', '.join(found)}; write the whole name")
        return _training(db, found[0])


def trainings(path: Path) -> list[Training]:
    """Every training run with its curve, in the order in which they began."""
    with reading(path, None) as db:
        known = [row["id"] for row in db.execute("select id from trainings order by started, id")]
        return [_training(db, key) for key in known]


def _training(db: sqlite3.Connection, key: str) -> Training:
    row = dict(db.execute("select * from trainings where id = ?", [key]).fetchone())
    curve: dict[str, list[tuple[int, float]]] = {}
    for point in db.execute("select * from training_log where training_id = ? order by step", [key]):
        curve.setdefault(point["measure"], []).append((point["step"], point["value"]))
    del row["model"]
    row.pop("writer", None)  # a database that no newer version has opened for writing has none
    row["settings"], row["figures"] = json.loads(row["settings"]), json.loads(row["figures"])
    return Training(**row, curve={measure: tuple(points) for measure, points in curve.items()})


PAIR = """
select a.id as first, b.id as second from runs a join runs b
on a.dataset_fingerprint = b.dataset_fingerprint and a.references_fingerprint = b.references_fingerprint
where a.model = ? and b.model = ? and a.status = 'done' and b.status = 'done'
order by a.finished desc, b.finished desc limit 1
"""


def latest_pair(path: Path, first: str, second: str) -> tuple[str, str] | None:
    """Keys of the latest finished screenings of two models on the same samples, if there are such."""
    with reading(path) as db:
        row = db.execute(PAIR, [first, second]).fetchone()
    return (row["first"], row["second"]) if row else None


SCORES = """
select dataset || ' ' || split || ', ' || selection, signature, measure, mean, n
from aggregates join runs on runs.id = run_id join signatures on signatures.id = signature_id
where model = ? and status = 'done' order by finished, signature, measure
"""


def scores_of(path: Path, model: str) -> list[tuple[str, str, str, float, int]]:
    """Dataset and split, signature, measure, mean and n of all finished screenings of a model; none where none
    is stored."""
    if not path.exists():
        return []
    with reading(path, None) as db:
        return [tuple(row) for row in db.execute(SCORES, [model])]
