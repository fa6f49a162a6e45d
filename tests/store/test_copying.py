"""Results of two machines joined: nothing doubled, nothing lost, nothing mixed that is not the same."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from store_runs import SIGNATURE, make_control, make_run, measures, open_store, positions, score_rows, scored, store_run

from dsum_bench.errors import UserError
from dsum_bench.spec import Finding, Sample
from dsum_bench.store import reader
from dsum_bench.store.copying import copy_runs
from dsum_bench.store.samples import keep_samples, stored_samples
from dsum_bench.store.writer import Store

TABLES = ("runs", "outputs", "aggregates", "findings", "texts", "samples")
SAMPLES = [Sample(f"s{i}", f"#Person1#: 안녕 {i}", (f"인사 {i}",), "인사") for i in range(4)]


def contents(path: Path) -> dict[str, set[tuple[object, ...]]]:
    """Every row of every table, with signatures by what they say."""
    with sqlite3.connect(path) as db:
        signatures = dict(db.execute("select id, signature from signatures"))
        found = {}
        for table in TABLES:
            columns = [row[1] for row in db.execute(f"pragma table_info({table})")]
            rows = [dict(zip(columns, row, strict=True)) for row in db.execute(f"select * from {table}")]
            for row in rows:
                if "signature_id" in row:
                    row["signature_id"] = signatures[row["signature_id"]]
            found[table] = {tuple(row.values()) for row in rows}
    found["scores"] = {(run, sample, signatures[n], *value) for run, sample, n, *value in score_rows(path)}
    return found


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    path = tmp_path / "theirs" / "dsum.db"
    with Store.open(path) as store:
        store.declare_signature("other|v1", "other", ("x",))  # numbers of signatures differ from ours
    with open_store(path) as store:
        keep_samples(store, "dialogues-4", "references-1", SAMPLES, True)
        store_run(store, make_control(), 30, kind="control")
        key = store_run(store, make_run("kobart"), 40)
        store.keep_findings(key, "after", [Finding("cut-outputs", "warning", "1 was cut", 1, 4, "C")])
        store.rename(key, "mine")
        store_run(store, make_run("solar"), 41, status="failed", reason="out of memory", finished=0)
    return path


def test_merging_into_an_empty_folder_copies_every_row(theirs: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours" / "dsum.db"
    with Store.open(path) as store:
        done = copy_runs(theirs, store)
    assert contents(path) == contents(theirs)
    assert len(done.added) == 3 and not done.completed and not done.known
    assert reader.run(path, "mine").row.kind == "model" and reader.run(path, "constant").row.kind == "control"


def test_merging_twice_changes_nothing(theirs: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours" / "dsum.db"
    with Store.open(path) as store:
        copy_runs(theirs, store)
    before = contents(path)
    with Store.open(path) as store:
        done = copy_runs(theirs, store)
    assert contents(path) == before
    assert not done.added and not done.completed and len(done.known) == 3


def test_a_run_started_on_two_machines_is_completed(theirs: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours" / "dsum.db"
    with open_store(path) as store:
        key = store.open_run(make_run("kobart"), "model")
        store.add(key, [scored(i, 90, summary="우리 것") for i in range(2)], positions(4))
        store.close_run(key, "partial", "interrupted")
        done = copy_runs(theirs, store)
    assert done.completed == (key,)
    record = reader.run(path, key)
    assert record.row.status == "done" and record.row.n == 4
    written = {s.sample_id: s.summary for s in reader.samples(path, key)}
    assert written == {"s0": "우리 것", "s1": "우리 것", "s2": "요약", "s3": "요약"}
    expected = (90 + 90 + 42 + 43) / 4
    assert record.scores[0].means["rouge1"] == pytest.approx(expected) and record.scores[0].n == 4


def test_scores_that_a_run_lacks_are_added_to_equal_texts_only(theirs: Path, tmp_path: Path) -> None:
    with Store.open(theirs) as store:
        key = reader.run(theirs, "mine").row.run_id
        store.add_scores(key, {f"s{i}": {"other|v1": {"x": float(i)}} for i in range(4)})
        store.renew_means(key)
    path = tmp_path / "ours" / "dsum.db"
    with open_store(path) as store:
        store.open_run(make_run("kobart"), "model")
        rows = [scored(i, 50, summary="요약" if i else "다른 글") for i in range(4)]
        store.add(key, rows, positions(4))
        store.close_run(key, "done")
        copy_runs(theirs, store)
        found = store.values(key)
    assert found["other|v1"] == {f"s{i}": {"x": float(i)} for i in (1, 2, 3)}
    assert found[SIGNATURE]["s3"] == measures(50)


@pytest.mark.parametrize("change", ["references", "kind"])
def test_a_run_that_is_not_the_same_stops_the_merge_before_anything_is_written(
    theirs: Path, tmp_path: Path, change: str
) -> None:
    path = tmp_path / "ours" / "dsum.db"
    run = make_run("kobart", **({"references_fingerprint": "references-2"} if change == "references" else {}))
    with open_store(path) as store:
        store_run(store, run, kind="control" if change == "kind" else "model")
    before = contents(path)
    with Store.open(path) as store, pytest.raises(UserError, match=f"another {change}.*nothing was merged"):
        copy_runs(theirs, store)
    assert contents(path) == before


def test_chosen_runs_take_their_dialogues_with_them(theirs: Path, tmp_path: Path) -> None:
    path = tmp_path / "one" / "runs.db"
    key = reader.run(theirs, "constant").row.run_id
    with Store.open(path) as store:
        copy_runs(theirs, store, [key])
    assert [r.row.run_id for r in reader.runs(path)] == [key]
    assert stored_samples(path, "dialogues-4", "references-1")[2].dialogue == SAMPLES[2].dialogue


def test_a_name_that_is_taken_stays_where_it_is(theirs: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours" / "dsum.db"
    with open_store(path) as store:
        ours = store_run(store, make_run("exaone"))
        store.rename(ours, "mine")
        copy_runs(theirs, store)
    assert reader.run(path, "mine").row.run_id == ours


def test_results_are_not_merged_into_themselves(theirs: Path) -> None:
    with Store.open(theirs) as store, pytest.raises(UserError, match="into itself"):
        copy_runs(theirs, store)
