"""Writing, reading back and resuming: whole batches, each sample once. Real SQLite files throughout."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from store_runs import (
    METRIC,
    SIGNATURE,
    make_run,
    measures,
    open_store,
    parts,
    positions,
    rows,
    score_rows,
    scored,
    store_run,
)

from dsum_bench.store import reader, scores
from dsum_bench.store.rows import ScoredOutput
from dsum_bench.store.schema import SCORE_PARTS
from dsum_bench.store.writer import Store

# -- writing and reading back ---------------------------------------------------------------------------------


def test_outputs_come_back_as_they_were(path: Path) -> None:
    odd = scored(0, summary="#Person1#은 [red]웃었다[/red]\n\x00끝 😀", finish="refused", note="너무 깁니다 \ud800")
    odd = replace(odd, output=replace(odd.output, trimmed_turns=2, trimmed_chars=5))
    with open_store(path) as store:
        key = store.open_run(make_run(), "model")
        assert store.add(key, [scored(1), odd], positions(4)) == 2
        noted = replace(odd.output, generation=replace(odd.output.generation, note="너무 깁니다 \ufffd"))
        assert store.outputs(key) == {"s0": noted, "s1": scored(1).output}
        assert list(store.outputs(key)) == ["s0", "s1"]  # the dataset's order, not that of writing
        assert store.scored(key, SIGNATURE) == {"s0", "s1"}
        assert store.scored(key, "another") == set()


def test_lone_surrogate_does_not_lose_a_batch(path: Path) -> None:
    with open_store(path) as store:
        key = store.open_run(make_run(), "model")
        store.add(key, [scored(0, summary="가\ud800나"), scored(1, summary="짝 \U0001f600")], positions(2))
        assert [o.summary for o in store.outputs(key).values()] == ["가\ufffd나", "짝 \U0001f600"]


def test_closing_writes_means_time_and_counts(path: Path) -> None:
    batch = [scored(0, 10.5), scored(1, 20.25, finish="length"), scored(2, 7.75, summary=" \n"), scored(3, 1.0)]
    batch[3] = replace(batch[3], output=replace(batch[3].output, trimmed_chars=9))
    with open_store(path) as store:
        key = store.open_run(make_run(), "model")
        store.add(key, batch, positions(4))
        store.close_run(key, "done", peak_memory=1000)
        store.close_run(key, "done", peak_memory=500)
    stored = rows(path, "select status, seconds, peak_memory, trimmed, cut, empty from runs")
    assert stored == [("done", 2.0, 1000, 1, 1, 1)]
    means = dict(rows(path, "select measure, mean from aggregates"))
    expected = {name: fmean(measures(base)[name] for base in (10.5, 20.25, 7.75, 1.0)) for name in measures(0)}
    assert means == pytest.approx(expected, abs=1e-12)
    assert {n for (n,) in rows(path, "select n from aggregates")} == {4}


def test_intervals_are_students_and_a_single_sample_has_none(path: Path) -> None:
    bases = (10.5, 20.25, 7.75, 1.0)
    with open_store(path) as store:
        key = store.open_run(make_run(), "model")
        store.add(key, [scored(i, base) for i, base in enumerate(bases)], positions(4))
        store.close_run(key, "done")
        alone = store.open_run(make_run("one", n=1), "model")
        store.add(alone, [scored(0)], positions(1))
        store.close_run(alone, "done")
    values = [measures(base)["mean"] for base in bases]
    low, high = stats.t.interval(0.95, 3, fmean(values), stats.sem(values))
    ends = "select low, high from aggregates where run_id = ? and measure = 'mean'"
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(ends, [key]).fetchone() == pytest.approx((low, high))
        assert db.execute(ends, [alone]).fetchone() == (None, None)


def test_done_is_refused_while_samples_are_missing(path: Path) -> None:
    with open_store(path) as store:
        key = store.open_run(make_run(n=4), "model")
        store.add(key, [scored(0)], positions(4))
        with pytest.raises(ValueError, match="1 of 4"):
            store.close_run(key, "done")
        with pytest.raises(ValueError, match="no run"):
            store.close_run("nothing", "failed")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_nan_score_is_refused_with_its_whole_batch(path: Path, value: float) -> None:
    bad = ScoredOutput(scored(1).output, {SIGNATURE: {"rouge1": value}})
    with open_store(path) as store:
        key = store.open_run(make_run(), "model")
        with pytest.raises(ValueError, match="s1: rouge1"):
            store.add(key, [scored(0), bad], positions(2))
        assert store.outputs(key) == {}
        store.add(key, [scored(1)], positions(2))
        with pytest.raises(ValueError, match="finite"):
            store.add_scores(key, {"s1": {SIGNATURE: {"other": value}}})
    assert len(score_rows(path)) == 5


def test_undeclared_signature_is_refused(path: Path) -> None:
    with Store.open(path) as store:
        key = store.open_run(make_run(), "model")
        with pytest.raises(ValueError, match="not declared"):
            store.add(key, [scored(0)], positions(1))


def test_second_text_of_a_sample_is_ignored_with_its_scores(path: Path) -> None:
    other = scored(0, 99.0, summary="다른 글", signature="other")
    with open_store(path) as store:
        store.declare_signature("other", "other@char")
        key = store.open_run(make_run(), "model")
        assert store.add(key, [scored(0), other], positions(1)) == 1
        assert store.add(key, [other], positions(1)) == 0
        assert store.outputs(key) == {"s0": scored(0).output}
        assert store.scored(key, "other") == set()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 7), max_size=6), max_size=5))
def test_adding_in_any_batches_any_number_of_times_keeps_each_sample_once(batches: list[list[int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dsum.db"
        with open_store(file) as store:
            key = store.open_run(make_run(n=8), "model")
            added = sum(store.add(key, [scored(i, float(i)) for i in batch], positions(8)) for batch in batches)
        everything = {i for batch in batches for i in batch}
        assert added == len(everything)
        assert rows(file, "select sample_id from outputs order by 1") == [(f"s{i}",) for i in sorted(everything)]
        assert [(sample, value) for _, sample, _, measure, value in score_rows(file) if measure == "rouge1"] == [
            (f"s{i}", float(i)) for i in sorted(everything)
        ]


def test_a_run_that_ends_has_its_scores_in_one_part_and_reads_as_before(path: Path) -> None:
    with open_store(path) as store:
        store.declare_signature("chars", "rouge@char")
        key = store.open_run(make_run(n=30), "model")
        for i in reversed(range(30)):  # any order of samples
            store.add(key, [scored(i, float(i))], positions(30))
        store.add_scores(key, {f"s{i}": {"chars": {"rouge1": i / 7}} for i in range(0, 30, 2)})
        before, running = score_rows(path), store.values(key)
        assert parts(path) == 31
        store.close_run(key, "done")
        assert parts(path) == 1
        assert store.values(key) == running
        assert set(store.scored(key, "chars")) == {f"s{i}" for i in range(0, 30, 2)}
    assert score_rows(path) == before and len(before) == 30 * 5 + 15
    assert [s.scores["rouge1"] for s in reader.samples(path, key, METRIC)] == [float(i) for i in range(30)]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abcdefgh"),
            st.dictionaries(st.sampled_from(["x", "y", "z"]), st.floats(allow_nan=False, allow_infinity=False)),
            max_size=8,
        ),
        max_size=6,
    )
)
def test_folding_keeps_of_every_value_the_first(batches: list[dict[str, dict[str, float]]]) -> None:
    expected: dict[tuple[str, int, str], float] = {}
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript("create table runs (id text primary key); create table signatures (id integer primary key);")
        db.executescript(SCORE_PARTS + "pragma foreign_keys = on; insert into runs values ('run');")
        db.execute("insert into signatures values (1)")
        for batch in batches:
            rows = [
                (sample, 1, measure, value) for sample, values in batch.items() for measure, value in values.items()
            ]
            scores.add(db, "run", scores.part_of(rows))
            expected |= {row[:3]: row[3] for row in rows if row[:3] not in expected}
        for _ in range(2):
            whole = scores.of_run(db, "run")
            assert {row[:3]: row[3] for row in scores.rows_of(whole)} == expected
            assert list(whole.samples) == sorted({sample for sample, *_ in expected})
            scores.fold(db, "run")
        for measure in {m for *_, m in expected}:
            column = scores.column(db, "run", 1, measure)
            known = {s: v for (s, _, m), v in expected.items() if m == measure}
            assert {s: v for s, v in zip(whole.samples, column, strict=True) if v == v} == known


# -- resuming -------------------------------------------------------------------------------------------------


def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.db", tmp_path / "resumed.db"
    with open_store(whole) as store:
        store_run(store, make_run())
    with open_store(resumed) as store:
        store_run(store, make_run(), finished=2, status="partial", reason="stopped")
    with open_store(resumed) as store:
        key = store.open_run(make_run(), "model")
        assert store.status(key) == "running"
        left = [i for i in range(4) if f"s{i}" not in store.outputs(key)]
        assert left == [2, 3]
        store.add(key, [scored(i, 40.0 + i) for i in left], positions(4))
        store.close_run(key, "done")
    for sql in (
        "select * from outputs order by run_id, sample_id",
        "select run_id, samples, measure, data from score_parts join score_columns on part_id = id order by measure",
        "select * from aggregates",
        "select id, status, reason, seconds from runs",
    ):
        assert rows(resumed, sql) == rows(whole, sql), sql


def test_rescoring_adds_scores_and_leaves_outputs(path: Path) -> None:
    with open_store(path) as store:
        key = store_run(store, make_run())
        before = store.outputs(key)
        store.declare_signature("chars", "rouge@char")
        store.add_scores(key, {sample: {"chars": {"rouge1": 50.0}} for sample in before})
        store.add_scores(key, {"s0": {"chars": {"rouge1": 99.0}}})  # already there: stays
        store.close_run(key, "done")
        assert store.outputs(key) == before
        assert store.scored(key, "chars") == set(before)
        with pytest.raises(ValueError, match="no output"):
            store.add_scores(key, {"unknown": {"chars": {"rouge1": 1.0}}})
    assert [b.rows[0].means for b in reader.boards(path, "rouge@char")] == [{"rouge1": 50.0}]


def test_changed_references_drop_scores_and_keep_outputs(path: Path) -> None:
    with open_store(path) as store:
        key = store_run(store, make_run())
        assert store.open_run(make_run(references_fingerprint="references-2"), "model") == key
        assert store.scored(key, SIGNATURE) == set()
        assert len(store.outputs(key)) == 4
        store.add_scores(key, {s: {SIGNATURE: measures(1.0)} for s in store.outputs(key)})
        store.open_run(make_run(references_fingerprint="references-2"), "model")
        assert len(store.scored(key, SIGNATURE)) == 4  # the same references again change nothing


def test_discard_removes_everything_of_one_run_only(path: Path) -> None:
    with open_store(path) as store:
        key, other = store_run(store, make_run("a")), store_run(store, make_run("b"))
        store.discard(key)
        assert store.status(key) is None
    for table in ("outputs", "score_parts", "aggregates"):
        assert {k for (k,) in rows(path, f"select run_id from {table}")} == {other}


def test_run_that_never_began_is_recorded_and_forgotten_once_it_runs(path: Path) -> None:
    unknown = make_run(weights="")
    with open_store(path) as store:
        store.record(unknown, "model", "skipped", "hub unreachable")
        store.record(make_run(weights="", seed=1), "model", "skipped", "hub unreachable again")
        assert rows(path, "select reason from runs") == [("hub unreachable again",)]
        store.record(make_run(prompt_format="raw", weights=""), "model", "failed", "raw")
        store.record(make_run(n=9, weights=""), "model", "failed", "other dialogues")
        store.record(make_run("other", weights=""), "model", "failed", "other model")
        store_run(store, make_run())
    reasons = {r for (r,) in rows(path, "select reason from runs where status != 'done'")}
    assert reasons == {"raw", "other dialogues", "other model"}


def test_recording_a_refusal_never_loses_a_sample(path: Path) -> None:
    with open_store(path) as store:
        done = store_run(store, make_run("a"))
        part = store_run(store, make_run("b"), finished=2, status="partial")
        store.record(make_run("a"), "model", "skipped", "no memory")
        store.record(make_run("b"), "model", "skipped", "no memory")
        assert (store.status(done), store.status(part)) == ("done", "skipped")
        assert len(store.outputs(part)) == 2


def test_run_left_running_is_partial_for_the_next_writer(path: Path) -> None:
    with open_store(path) as store:
        key = store.open_run(make_run(), "model")
        store.add(key, [scored(0)], positions(4))
    assert rows(path, "select status from runs") == [("running",)]
    with open_store(path) as store:
        assert store.status(key) == "partial"
        assert set(store.outputs(key)) == {"s0"}
