"""Databases of every older schema are read and brought up to date; damaged ones are found and left alone."""

from __future__ import annotations

import json
import random
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from statistics import fmean

import pytest
from scipy import stats
from store_runs import METRIC, SIGNATURE, make_run, measures, open_store, positions, score_rows, scored

from dsum_bench import Bench
from dsum_bench.api.doctor import _results
from dsum_bench.errors import UserError
from dsum_bench.store import reader
from dsum_bench.store.copying import copy_runs
from dsum_bench.store.rows import run_row
from dsum_bench.store.schema import STEPS, migrations
from dsum_bench.store.writer import Store

KEY = "0123456789ab"
SAMPLES = 3
LEVELS = range(1, len(STEPS) + 1)
PARTS_FROM = [step.__name__ for step in STEPS].index("m010_score_parts") + 1
"""Steps from which on scores are kept by columns."""
STUDENT_FROM = [step.__name__ for step in STEPS].index("m009_student_intervals") + 1


def older(path: Path, level: int) -> None:
    """A database as the version with the first ``level`` steps wrote it: one finished run with scores."""
    from sqlite_utils import Database

    db = Database(path)
    migrations().apply(db, stop_before=STEPS[level].__name__ if level < len(STEPS) else None)
    with db.conn:
        run = run_row(KEY, make_run(n=SAMPLES), "model") | {"status": "done", "started": "2026-01-01T00:00:00"}
        columns = {row[1] for row in db.execute("pragma table_info(runs)")}
        run = {name: value for name, value in run.items() if name in columns}
        names = ", ".join(run)
        db.execute(f"insert into runs ({names}) values ({', '.join('?' * len(run))})", list(run.values()))
        db.execute("insert into signatures (id, signature, metric) values (1, ?, ?)", [SIGNATURE, METRIC])
        for i in range(SAMPLES):
            output = (KEY, f"s{i}", i, "출력", "요약", 100, 20, "stop", 0.5, 0, 0)
            columns = "run_id, sample_id, position, output, summary, prompt_tokens, new_tokens, finish, seconds"
            marks = ", ".join("?" * len(output))
            db.execute(f"insert into outputs ({columns}, trimmed_turns, trimmed_chars) values ({marks})", output)
            if level < PARTS_FROM:
                values = [(KEY, f"s{i}", name, value) for name, value in measures(40.0 + i).items()]
                db.conn.executemany("insert into scores values (?, ?, 1, ?, ?)", values)
        if level >= PARTS_FROM:
            ids = json.dumps([f"s{i}" for i in range(SAMPLES)])
            db.execute("insert into score_parts values (1, ?, ?)", [KEY, ids])
            for name in measures(0.0):
                data = struct.pack("<3d", *(measures(40.0 + i)[name] for i in range(SAMPLES)))
                db.execute("insert into score_columns values (1, 1, ?, ?)", [name, data])
        for name, value in measures(41.0).items():
            columns = "run_id, signature_id, measure, mean, n"
            db.execute(f"insert into aggregates ({columns}) values (?, 1, ?, ?, ?)", [KEY, name, value, SAMPLES])
    db.close()


def seen(folder: Path) -> None:
    """What every reader says of that run."""
    database = folder / "dsum.db"
    (board,) = reader.boards(database)
    assert [(r.model, r.n, r.means["rouge1"]) for r in board.rows] == [("small-model", SAMPLES, 41.0)]
    assert [r.row.run_id for r in reader.runs(database)] == [KEY]
    bench = Bench(results=folder, progress=None)
    assert list(bench.samples(KEY)["summary"]) == ["요약"] * SAMPLES
    assert list(bench.scores(KEY)["rouge1"]) == [40.0, 41.0, 42.0]
    assert list(bench.leaderboard()["model"]) == ["small-model"]
    assert len(bench.runs()) == 1 and bench.findings().empty


@pytest.mark.parametrize("level", LEVELS)
def test_a_database_of_every_older_schema_is_read_and_brought_up_to_date(level: int, tmp_path: Path) -> None:
    older(tmp_path / "dsum.db", level)
    seen(tmp_path)
    Store.open(tmp_path / "dsum.db").close()
    seen(tmp_path)


@pytest.mark.parametrize("level", range(3, STUDENT_FROM))
def test_intervals_of_an_older_version_become_students(level: int, tmp_path: Path) -> None:
    path = tmp_path / "dsum.db"
    older(path, level)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("update aggregates set low = 1, high = 2")
    Store.open(path).close()
    values = [measures(40.0 + i)["mean"] for i in range(SAMPLES)]
    expected = stats.t.interval(0.95, SAMPLES - 1, fmean(values), stats.sem(values))
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("select low, high from aggregates where measure = 'mean'").fetchone()
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("level", [1, PARTS_FROM - 1])
def test_scores_of_an_older_version_are_the_same_values(level: int, tmp_path: Path) -> None:
    older(tmp_path / "dsum.db", level)
    Store.open(tmp_path / "dsum.db").close()
    expected = [
        (KEY, f"s{i}", 1, name, value) for i in range(SAMPLES) for name, value in sorted(measures(40.0 + i).items())
    ]
    assert score_rows(tmp_path / "dsum.db") == expected


@pytest.mark.parametrize("level", [1, PARTS_FROM - 1])
def test_runs_of_an_older_version_can_be_merged(level: int, tmp_path: Path) -> None:
    older(tmp_path / "older.db", level)
    with Store.open(tmp_path / "dsum.db") as store:
        assert copy_runs(tmp_path / "older.db", store).added == (KEY,)
    seen(tmp_path)


# -- damage -------------------------------------------------------------------------------------------------------


def corrupt(path: Path) -> None:
    """Three stretches of noise over pages behind the first, as a failing disk leaves them."""
    noise = random.Random(7)
    content = bytearray(path.read_bytes())
    for part in (0.3, 0.5, 0.8):
        at = int(part * len(content)) // 4096 * 4096
        content[at : at + 2048] = noise.randbytes(2048)
    path.write_bytes(content)


def test_a_damaged_database_is_found_by_doctor_and_not_written_on(tmp_path: Path) -> None:
    path = tmp_path / "dsum.db"
    with open_store(path) as store:
        key = store.open_run(make_run(n=2000), "model")
        store.add(key, [scored(i) for i in range(2000)], positions(2000))
        store.leave_wal()
    assert _results(path).verdict == "ok"
    corrupt(path)
    before = path.read_bytes()
    found = _results(path)
    assert found.verdict == "broken" and f"{path} is damaged" in found.text
    with pytest.raises(UserError, match=r"is damaged \(.*nothing was written.*--results"):
        Store.open(path)
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as db, pytest.raises((sqlite3.DatabaseError, AssertionError)):
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
