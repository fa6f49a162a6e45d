"""Whether runs are above the constant control, and to which scores a finding belongs."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from store_runs import MEASURES, METRIC, SIGNATURE, make_control, make_run, open_store, positions, scored

from dsum_bench.spec import Finding, RunSpec
from dsum_bench.statistics import compare
from dsum_bench.store import reader, schema
from dsum_bench.store.constant import judged_run
from dsum_bench.store.ranking import ranked
from dsum_bench.store.rows import ScoredOutput
from dsum_bench.store.writer import Kind, Store

N = 40
CHARACTERS = "rouge@char"
OTHER = "rouge:v1|tok:char"


def constant() -> RunSpec:
    control = make_control("constant", N)
    return replace(control, model=replace(control.model, adapter="constant"))


def add(store: Store, run: RunSpec, kind: Kind, mean: float, other: float) -> str:
    """A run with so much in the mean of the usual metric, and of another."""
    noise = random.Random(run.model.name)
    key = store.open_run(run, kind)
    rows = []
    for i in range(N):
        scores = {
            signature: dict.fromkeys(MEASURES, value + noise.gauss(0, 3))
            for signature, value in ((SIGNATURE, mean), (OTHER, other))
        }
        rows.append(ScoredOutput(scored(i).output, scores))
    store.add(key, rows, positions(N))
    store.close_run(key, "done")
    return key


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """``good`` is above the constant by the default metric and below it by the other; the constant comes last."""
    path = tmp_path / "dsum.db"
    with open_store(path) as store:
        store.declare_signature(OTHER, CHARACTERS, MEASURES)
        add(store, make_run("good", n=N), "model", 33.0, 20.0)
        add(store, make_run("level", n=N), "model", 30.1, 39.0)
        add(store, make_run("worse", n=N), "model", 20.0, 39.0)
        add(store, make_control("lead-3", N), "control", 10.0, 10.0)
        add(store, constant(), "control", 30.0, 30.0)
    return path


def marks(path: Path, metric: str) -> dict[str, str]:
    (board,) = ranked(path, reader.boards(path, metric))
    return {place.row.model: "".join(f.mark for f in place.row.findings) for place in board.places}


def test_a_run_is_judged_by_each_metric_when_the_board_is_read(database: Path) -> None:
    assert marks(database, METRIC) == {"good": "", "level": "A", "worse": "A", "lead-3": "", "constant": ""}
    assert marks(database, CHARACTERS) == {"good": "A", "level": "", "worse": "", "lead-3": "", "constant": ""}


def test_nothing_is_judged_without_a_constant(tmp_path: Path) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        store.declare_signature(OTHER, CHARACTERS, MEASURES)
        add(store, make_run("worse", n=N), "model", 1.0, 1.0)
        add(store, make_control("lead-3", N), "control", 10.0, 10.0)
    assert set(marks(tmp_path / "dsum.db", METRIC).values()) == {""}


def test_the_finding_says_what_compare_says(database: Path) -> None:
    record = judged_run(database, reader.run(database, "level"))
    (finding,) = record.row.findings
    scores = {name: reader.samples(database, reader.run(database, name).row.run_id) for name in ("level", "constant")}
    by_id = {s.sample_id: s.scores["mean"] for s in scores["constant"]}
    expected = compare([s.scores["mean"] for s in scores["level"]], [by_id[s.sample_id] for s in scores["level"]])
    assert (finding.check, finding.mark, finding.signature) == ("not-above-constant", "A", SIGNATURE)
    assert (finding.hit, finding.total) == (expected.losses, N)
    gap = expected.difference.mean
    assert f"does not differ significantly from the same sentence for every dialogue ({gap:+.2f} points" in finding.text
    other = judged_run(database, reader.run(database, "good")).row.findings
    assert [f.signature for f in other] == [OTHER] and "it is worse than" in other[0].text


def test_findings_about_scores_stand_where_those_scores_do(database: Path) -> None:
    key = reader.run(database, "good").row.run_id
    with open_store(database) as store:
        store.keep_findings(
            key,
            "after",
            [
                Finding("rouge-shape", "error", "impossible", mark="G", signature=OTHER),
                Finding("rouge-shape", "warning", "hardly possible", mark="G", signature=SIGNATURE),
                Finding("sum", "error", "no sum", mark="M", signature=OTHER),
                Finding("cut", "warning", "cut", mark="C"),
            ],
        )
    assert marks(database, METRIC)["good"] == "GC" and marks(database, CHARACTERS)["good"] == "GMCA"
    assert len(reader.run(database, "good").row.findings) == 4


def test_findings_of_an_older_database_are_kept_but_for_those_about_the_constant(tmp_path: Path) -> None:
    path = tmp_path / "dsum.db"
    with open_store(path) as store:
        store.declare_signature(OTHER, CHARACTERS, MEASURES)
        key = add(store, make_run("m", n=N), "model", 1.0, 1.0)
        store.keep_findings(key, "before", [Finding("bos", "error", "two", 1, 2, "B")])
    with sqlite3.connect(path) as db:  # as the step before left it
        db.executescript("alter table findings rename to newer;" + schema.CHECKS)
        old = "run_id, stage, position, code, level, mark, text, hit, total"
        db.execute(f"insert into findings select {old} from newer")
        db.execute(
            "insert into findings values (?, 'after', 0, 'not-above-constant', 'warning', 'A', 'old', 1, 2)", [key]
        )
        db.execute("drop table newer")
        db.execute("delete from _sqlite_migrations where name like '%signed_findings'")
    assert [f.check for f in reader.run(path, "m").row.findings] == ["bos", "not-above-constant"]
    assert marks(path, METRIC)["m"] == "BA"
    with open_store(path):
        pass
    assert [(f.check, f.text, f.signature) for f in reader.run(path, "m").row.findings] == [("bos", "two", "")]


def test_the_report_shows_what_the_board_does(database: Path) -> None:
    from dsum_bench.report.content import gather

    shown = {
        board.board.metric: {run.row.model: "".join(f.mark for f in run.row.findings) for run in board.runs}
        for board in gather(database).boards
    }
    assert shown == {metric: marks(database, metric) for metric in (METRIC, CHARACTERS)}
