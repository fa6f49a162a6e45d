"""Compacting keeps everything that is still of use and gives the rest back."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from store_runs import make_run, open_store, parts, positions, score_rows, scored, store_run

from dsum_bench import Bench
from dsum_bench.cli import main
from dsum_bench.errors import UserError
from dsum_bench.spec import Sample
from dsum_bench.store.compacting import compact
from dsum_bench.store.samples import keep_samples

SUPPORT = Path(__file__).parents[1] / "support"


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, without the numbers that only order things."""
    with closing(sqlite3.connect(path)) as db:
        tables = [row[0] for row in db.execute("select name from sqlite_master where type = 'table'")]
        found = {table: sorted(db.execute(f"select * from {table}").fetchall()) for table in tables}
    del found["score_parts"], found["score_columns"]
    return found | {"scores": list(score_rows(path))}


def test_everything_is_kept_but_what_no_run_needs(tmp_path: Path) -> None:
    path = tmp_path / "dsum.db"
    samples = [Sample(f"s{i}", f"#Person1#: 안녕 {i}", (f"인사 {i}",), "인사") for i in range(400)]
    with open_store(path) as store:
        keep_samples(store, "dialogues-400", "references-1", samples, True)
        store_run(store, make_run("kept", n=400))
        before = dump(path)
        keep_samples(store, "dialogues-300", "references-1", samples[:300], True)
        gone = [store_run(store, make_run(f"gone-{i}", n=300)) for i in range(20)]
        for key in gone:
            store.discard(key)
    done = compact(path)
    assert done.after < done.before / 4
    assert done.after == path.stat().st_size
    assert dump(path) == before


def test_scores_that_a_killed_process_left_in_parts_are_folded(tmp_path: Path) -> None:
    path = tmp_path / "dsum.db"
    code = (
        "import os, sys; from pathlib import Path; from store_runs import make_run, open_store, positions, scored\n"
        "store = open_store(Path(sys.argv[1])); key = store.open_run(make_run(n=40), 'model')\n"
        "for i in range(30): store.add(key, [scored(i)], positions(40))\n"
        "os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    before = score_rows(path)
    assert (parts(path), len(before)) == (30, 150)
    compact(path)
    assert parts(path) == 1 and score_rows(path) == before
    with open_store(path) as store:  # and the run resumes
        key = store.open_run(make_run(n=40), "model")
        store.add(key, [scored(i) for i in range(30, 40)], positions(40))
        store.close_run(key, "done")
    assert len(score_rows(path)) == 200


def test_nobody_else_may_be_writing(tmp_path: Path) -> None:
    path = tmp_path / "dsum.db"
    with open_store(path) as store:
        key = store.open_run(make_run(), "model")
        with pytest.raises(UserError, match=rf"being written by another dsum-bench \(process {os.getpid()}\)"):
            compact(path)
        store.add(key, [scored(0)], positions(4))  # it was not disturbed


def test_the_command_says_what_it_gave_back_and_makes_nothing_where_nothing_is(tmp_path: Path) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        store_run(store, make_run())
    done = CliRunner().invoke(main, ["results", "compact", "--results", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output == f"{tmp_path / 'dsum.db'}: 0 MB before, 0 MB now\n"
    missing = CliRunner().invoke(main, ["results", "compact", "--results", str(tmp_path / "none")])
    assert missing.exit_code == 2 and "there are no results in" in missing.output
    assert not (tmp_path / "none").exists()
    with pytest.raises(UserError, match="no results"):
        Bench(results=tmp_path / "none").compact()
