"""Processes that write into one database, are killed, or wait for each other."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from store_runs import (
    WITH_SUPPORT,
    make_run,
    open_store,
    positions,
    rows,
    score_rows,
    scored,
)

from dsum_bench.errors import UserError
from dsum_bench.fingerprints import run_id
from dsum_bench.store import reader
from dsum_bench.store.schema import STEPS
from dsum_bench.store.writer import Busy, Store

WRITER = """
import os, signal, sys
from pathlib import Path
from store_runs import make_run, open_store, positions, scored
path, die_at = Path(sys.argv[1]), int(sys.argv[2])
store = open_store(path)
key = store.open_run(make_run(n=100_000), "model")
written = 0
def watch(sql):
    global written
    written += sql.startswith("insert or ignore into outputs")
    if written == die_at:
        os.kill(os.getpid(), signal.SIGKILL)
store._db.conn.set_trace_callback(watch)
start = len(store.outputs(key))
places = positions(100_000)
print("ready", flush=True)
for batch in range(start // 8, 12_500):
    store.add(key, [scored(8 * batch + i, float(batch)) for i in range(8)], places)
    print("ready", flush=True)
"""


def writer(path: Path, die_at: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(die_at)], env=WITH_SUPPORT, stdout=subprocess.PIPE, text=True
    )


def assert_batches_whole(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("pragma integrity_check").fetchone() == ("ok",)
        stored = {sample for (sample,) in db.execute("select sample_id from outputs")}
    assert stored == {f"s{i}" for i in range(len(stored))}
    assert len(stored) % 8 == 0
    assert Counter(sample for _, sample, *_ in score_rows(path)) == dict.fromkeys(stored, 5)
    return len(stored)


def test_writer_killed_inside_a_batch_leaves_whole_batches(path: Path) -> None:
    with writer(path, die_at=8 * 3 + 5) as child:
        assert child.wait(60) == -signal.SIGKILL
    assert assert_batches_whole(path) == 24  # the fifth row of the fourth batch was being written
    with open_store(path) as store:  # its lock died with it
        assert store.status(run_id(make_run(n=100_000))) == "partial"


def test_writer_killed_at_any_moment_resumes(path: Path) -> None:
    at_least = 0
    for batches in (1, 12, 5):
        with writer(path, die_at=-1) as child:
            assert child.stdout is not None
            for _ in range(1 + batches):
                assert child.stdout.readline() == "ready\n"
            child.kill()
        at_least += 8 * batches
        count = assert_batches_whole(path)
        assert count >= at_least
        at_least = count


def test_two_writers_write_in_turn_and_readers_see_every_batch(path: Path) -> None:
    with open_store(path) as first, open_store(path) as second:
        keys = [first.open_run(make_run(), "model"), second.open_run(make_run("other"), "model")]
        for i in range(3):
            for store, key in zip((first, second), keys, strict=True):
                store.add(key, [scored(i)], positions(4))
            (board,) = reader.boards(path)
            assert [(r.status, r.n, r.n_samples) for r in board.others] == [("running", i + 1, 4)] * 2
        with first.transaction() as db:
            db.execute("delete from outputs")
            assert [row.n for board in reader.boards(path) for row in board.others] == [3, 3]  # not committed yet
            db.execute("update runs set reason = 'of the first'")
        assert {row.reason for board in reader.boards(path) for row in board.others} == {"of the first"}
    assert not list(Path(f"{path}.writers").iterdir())


def test_a_run_has_one_writer_at_a_time(path: Path) -> None:
    with open_store(path) as first, open_store(path) as second:
        key = first.open_run(make_run(), "model")
        first.add(key, [scored(0)], positions(4))
        for refused in (
            lambda: second.open_run(make_run(), "model"),
            lambda: second.discard(key),
            lambda: second.refuse_busy("runs", key),
        ):
            with pytest.raises(
                Busy, match=rf"run {key} is being written by another.*\(process {os.getpid()}\).*--wait"
            ):
                refused()
        assert second.record(make_run(), "model", "failed", "cannot run here") == key
        second.abandon("of the second")
        assert first.status(key) == "running" and set(first.outputs(key)) == {"s0"}
        first.add(key, [scored(i) for i in range(1, 4)], positions(4))
        first.close_run(key, "done")
        assert second.open_run(make_run(), "model") == key  # it is free now
        second.close_run(key, "done")
    assert [row.status for board in reader.boards(path) for row in board.rows] == ["done"]


def test_waiting_for_a_run_ends_with_its_writer(path: Path) -> None:
    with open_store(path) as first:
        key = first.open_run(make_run(), "model")
        code = (
            "import sys; from pathlib import Path; from store_runs import make_run\n"
            "from dsum_bench.store.writer import Store\n"
            "with Store.open(Path(sys.argv[1]), wait=True) as store:\n"
            " print('opened', flush=True); store.open_run(make_run(), 'model'); print('claimed', flush=True)\n"
            " store.close_run(store.open_run(make_run(), 'model'), 'partial', 'by the second')"
        )
        waiting = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], env=WITH_SUPPORT, stdout=subprocess.PIPE, text=True
        )
        assert waiting.stdout is not None and waiting.stdout.readline() == "opened\n"
        first.add(key, [scored(0)], positions(4))
        assert first.status(key) == "running"
        first.close_run(key, "partial", "by the first")
        assert waiting.stdout.readline() == "claimed\n"
        assert waiting.wait(60) == 0
        waiting.stdout.close()
    assert rows(path, "select status, reason, writer from runs") == [("partial", "by the second", None)]


def test_a_killed_writer_leaves_nothing_running_while_another_one_works(path: Path) -> None:
    with open_store(path) as other:
        mine = other.open_run(make_run("other"), "model")
        with writer(path, die_at=-1) as child:
            assert child.stdout is not None
            child.stdout.readline()
            (board,) = [b for b in reader.boards(path) if b.n == 100_000]
            assert [row.status for row in board.others] == ["running"]
            theirs = board.others[0].run_id
            with pytest.raises(Busy, match=rf"\(process {child.pid}\)"):
                other.open_run(make_run(n=100_000), "model")
            child.kill()
            child.wait(60)
            states = {r.row.run_id: (r.row.status, r.row.reason) for r in reader.runs(path)}
            assert states[mine] == ("running", "")
            assert states[theirs][0] == "partial" and "interrupted" in states[theirs][1]
            assert child.stdout.read() is not None
        assert other.open_run(make_run(n=100_000), "model") == theirs  # resumes
        assert other.status(theirs) == "running"
        assert len(other.outputs(theirs)) == assert_batches_whole(path)


def test_the_next_writer_closes_what_a_killed_one_left(path: Path) -> None:
    with open_store(path) as other:
        mine = other.open_run(make_run("other"), "model")
        with writer(path, die_at=-1) as child:
            assert child.stdout is not None
            child.stdout.readline()
            child.kill()
        with Store.open(path):
            found = dict(rows(path, "select model, status from runs"))
        assert found == {"other": "running", "small-model": "partial"}
        assert [file.name for file in Path(f"{path}.writers").iterdir()] == [other.writer]
        other.close_run(mine, "partial")


def test_two_processes_fill_one_database_at_the_same_time(path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from store_runs import make_run, open_store, store_run\n"
        "with open_store(Path(sys.argv[1])) as store:\n"
        " for i in range(25): store_run(store, make_run(f'{sys.argv[2]}-{i}', n=8))"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(path), name], env=WITH_SUPPORT) for name in ("a", "b", "c")
    ]
    assert [child.wait(300) for child in children] == [0, 0, 0]
    (board,) = reader.boards(path)
    assert len(board.rows) == 75 and {row.n for row in board.rows} == {8} and not board.others
    assert len(score_rows(path)) == 75 * 8 * 5


def test_tables_are_not_changed_under_another_writer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def m099_future(db: object) -> None:
        raise AssertionError("it must not be applied")

    with open_store(path) as store:
        for module in ("schema", "opening"):
            monkeypatch.setattr(f"dsum_bench.store.{module}.STEPS", (*STEPS, m099_future))
        with pytest.raises(UserError, match=rf"being written by another dsum-bench \(process {os.getpid()}\)"):
            Store.open(path)
        assert store.open_run(make_run(), "model")
