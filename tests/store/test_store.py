"""The store: keys, whole batches, resuming, and every way a file can be wrong. Real SQLite files throughout."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from store_runs import (
    GREEDY,
    METRIC,
    SIGNATURE,
    make_control,
    make_run,
    measures,
    open_store,
    parts,
    positions,
    score_rows,
    scored,
    store_run,
)

from dsum_bench.errors import UserError
from dsum_bench.fingerprints import canonical, run_id
from dsum_bench.spec import DecodingSpec, Example, Placement, RunSpec
from dsum_bench.store import reader, scores
from dsum_bench.store.rows import ScoredOutput
from dsum_bench.store.schema import SCORE_PARTS, STEPS
from dsum_bench.store.writer import Busy, Store

ROOT = Path(__file__).parents[2]
WITH_SUPPORT = os.environ | {"PYTHONPATH": f"{ROOT / 'tests' / 'support'}{os.pathsep}{ROOT}"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results" / "dsum.db"


def rows(path: Path, sql: str, *values: object) -> list[Any]:
    """Read the file with a connection of our own, not through the code under test."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql, values).fetchall()


# -- keys -----------------------------------------------------------------------------------------------------

BASE = make_run()
PROMPT = BASE.prompt
assert PROMPT is not None

CHANGES: dict[str, RunSpec] = {
    "name": replace(BASE, model=replace(BASE.model, name="b")),
    "source": replace(BASE, model=replace(BASE.model, source=("other/name",))),
    "revision": replace(BASE, model=replace(BASE.model, revision="main")),
    "sha256": replace(BASE, model=replace(BASE.model, sha256="00")),
    "adapter": replace(BASE, model=replace(BASE.model, adapter="llama3")),
    "options": replace(BASE, model=replace(BASE.model, options={"prefix": "요약: "})),
    "engine": replace(BASE, model=replace(BASE.model, engine="other")),
    "allow": replace(BASE, model=replace(BASE.model, allow=("remote-code",))),
    "max_prompt_tokens": replace(BASE, model=replace(BASE.model, max_prompt_tokens=512)),
    "weights": replace(BASE, weights="abd"),
    "system": replace(BASE, prompt=replace(PROMPT, system="")),
    "user": replace(BASE, prompt=replace(PROMPT, user="{dialogue}")),
    "examples": replace(BASE, prompt=replace(PROMPT, examples=(Example("가", "나"),))),
    "no prompt": replace(BASE, prompt=None),
    "prompt_format": replace(BASE, prompt_format="raw"),
    "strategy": replace(BASE, decoding=DecodingSpec("greedy", "beam", {"max_new_tokens": 128})),
    "params": replace(BASE, decoding=DecodingSpec("greedy", "greedy", {"max_new_tokens": 64})),
    "dtype": replace(BASE, placement=replace(BASE.placement, dtype="bfloat16")),
    "quantization": replace(BASE, placement=replace(BASE.placement, quantization="nf4")),
    "device": replace(BASE, placement=replace(BASE.placement, device="cuda:0")),
    "dialogues": replace(BASE, dataset_fingerprint="other"),
    "dataset": replace(BASE, dataset="other"),
    "language": replace(BASE, language="en"),
    "split": replace(BASE, split="test"),
    "seed": replace(BASE, seed=7),
    "versions": replace(BASE, versions={"torch": "2.14"}),
}

SAME: dict[str, RunSpec] = {
    "license": replace(BASE, model=replace(BASE.model, license="MIT")),
    "note": replace(BASE, model=replace(BASE.model, note="x")),
    "origin": replace(BASE, model=replace(BASE.model, origin="registry.toml")),
    "wished dtype": replace(BASE, model=replace(BASE.model, dtype="bfloat16")),
    "prompt's name": replace(BASE, prompt=replace(PROMPT, name="other")),
    "decoding's name": replace(BASE, decoding=replace(GREEDY, name="other")),
    "references": replace(BASE, references_fingerprint="other"),
    "selection": replace(BASE, selection="first 4"),
    "placement": replace(BASE, placement=Placement("cpu", "float32", "none", "another reason", 5)),
}


def test_key_is_twelve_hexadecimal_digits() -> None:
    assert len(run_id(BASE)) == 12
    assert set(run_id(BASE)) <= set("0123456789abcdef")


def test_what_changes_the_output_changes_the_key() -> None:
    keys = {name: run_id(run) for name, run in CHANGES.items()} | {"base": run_id(BASE)}
    assert len(set(keys.values())) == len(keys)


@pytest.mark.parametrize("name", SAME)
def test_what_only_describes_leaves_the_key(name: str) -> None:
    assert run_id(SAME[name]) == run_id(BASE)


def test_gpu_number_leaves_the_key() -> None:
    placed = [replace(BASE, placement=replace(BASE.placement, device=f"cuda:{i}")) for i in (0, 1)]
    assert run_id(placed[0]) == run_id(placed[1])


def test_key_is_the_same_in_another_process() -> None:
    # Hash randomisation would show here, were a set or hash() involved.
    code = "from store_runs import make_run; from dsum_bench.fingerprints import run_id; print(run_id(make_run()))"
    env = WITH_SUPPORT | {"PYTHONHASHSEED": "7"}
    out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
    assert out.strip() == run_id(BASE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_canonical_json_keeps_the_value(value: Any) -> None:
    assert json.loads(canonical(value)) == value


def test_canonical_json_ignores_order_and_kind_of_sequence() -> None:
    assert canonical({"b": (1, 2), "a": {"y", "x"}}) == canonical({"a": ["x", "y"], "b": [1, 2]})


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


# -- processes ------------------------------------------------------------------------------------------------

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


# -- files that cannot be used --------------------------------------------------------------------------------


@contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder of ours, with the right to override permissions given up for the while (tests may run as root)."""
    folder = Path(tempfile.mkdtemp(prefix="dsum-store-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def one_sentence(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "--results" in text
    return text


def test_read_only_file_is_refused(path: Path) -> None:
    open_store(path).close()  # imports what needs importing, while we may
    with unprivileged() as folder:
        file = folder / "dsum.db"
        with open_store(file) as store:
            store_run(store, make_run())
        file.chmod(0o444)
        with pytest.raises(UserError) as error:
            Store.open(file)
        assert "make file and folder writable" in one_sentence(error)
        assert len(reader.boards(file)[0].rows) == 1


def test_read_only_folder_can_be_read_and_not_written(path: Path) -> None:
    open_store(path).close()
    with unprivileged() as folder:
        file = folder / "dsum.db"
        with open_store(file) as store:
            store_run(store, make_run())
        Path(f"{file}.lock").unlink()
        folder.chmod(0o555)
        with pytest.raises(UserError) as error:
            Store.open(file)
        assert "make it writable" in one_sentence(error)
        assert len(reader.boards(file)[0].rows) == 1
        with pytest.raises(UserError, match="make it writable"):
            Store.open(folder / "new" / "dsum.db")


@pytest.mark.parametrize("garbage", [b"this is no database at all" * 50, b"\x00" * 5000, "요약".encode() * 900])
def test_file_that_is_not_a_database(path: Path, garbage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(garbage)
    with pytest.raises(UserError) as writing:
        Store.open(path)
    with pytest.raises(UserError) as reading:
        reader.boards(path)
    assert "is not a results database" in one_sentence(writing)
    assert "is not a results database" in one_sentence(reading)
    assert path.read_bytes() == garbage


def test_folder_in_the_way_and_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "dsum.db").mkdir()
    (tmp_path / "file").write_text("x")
    for use in (Store.open, reader.boards):
        with pytest.raises(UserError) as error:
            use(tmp_path / "dsum.db")
        assert "is a folder" in one_sentence(error)
    for path in (tmp_path / "file" / "dsum.db", tmp_path / "file" / "deeper" / "dsum.db"):
        with pytest.raises(UserError) as error:
            Store.open(path)
        assert "not a folder" in one_sentence(error)
        with pytest.raises(UserError, match="screen"):
            reader.boards(path)


def test_database_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table runs (id text)")
    before = path.read_bytes()
    for use in (Store.open, reader.boards):
        with pytest.raises(UserError, match="another program"):
            use(path)
    assert path.read_bytes() == before


def test_database_of_a_newer_version(path: Path) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("insert into _sqlite_migrations values (99, 'dsum_bench', 'm099_future', '2030-01-01')")
    for use in (Store.open, reader.boards):
        with pytest.raises(UserError, match=r"newer dsum-bench.*upgrade"):
            use(path)


def test_full_disk_is_reported_and_finished_samples_stay(path: Path) -> None:
    with open_store(path) as store:
        key = store.open_run(make_run(n=1000), "model")
        store.add(key, [scored(0)], positions(1000))
        pages = store._db.execute("pragma page_count").fetchone()[0]
        store._db.execute(f"pragma max_page_count = {pages + 2}")  # SQLite's own limit gives the error of a full disk
        with pytest.raises(UserError, match=r"disk full.*finished samples are kept"):
            store.add(key, [scored(i, summary="글" * 500) for i in range(1, 100)], positions(1000))
        assert set(store.outputs(key)) == {"s0"}
        store._db.execute("pragma max_page_count = 1000000")
        assert store.add(key, [scored(1)], positions(1000)) == 1


def test_missing_or_empty_database_says_what_to_do(path: Path) -> None:
    with pytest.raises(UserError, match="dsum-bench screen"):
        reader.boards(path)
    assert not path.parent.exists()
    open_store(path).close()
    with pytest.raises(UserError, match="dsum-bench screen"):
        reader.boards(path)


def test_path_with_characters_that_mean_something_in_an_address(tmp_path: Path) -> None:
    path = tmp_path / "결과 #1?mode=x&%41" / "dsum.db"
    with open_store(path) as store:
        store_run(store, make_run())
    assert len(reader.boards(path)[0].rows) == 1


def test_a_lock_is_released_when_opening_fails(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"garbage that is long enough to be read as a header" * 9)
    with pytest.raises(UserError) as error:
        Store.open(path)
    path.unlink()
    Store.open(path).close()
    assert error.tb is not None  # which kept the failed attempt's lock from being released by garbage collection


# -- boards ---------------------------------------------------------------------------------------------------


def test_only_comparable_runs_share_a_board(path: Path) -> None:
    with open_store(path) as store:
        store.declare_signature("newer", METRIC)
        store_run(store, make_run("a"))
        store_run(store, make_control("constant"), kind="control")
        store_run(store, make_run("more", n=6))
        store_run(store, make_run("newer"), signature="newer")
        store_run(store, make_run("refs", references_fingerprint="references-2"))
        store_run(store, make_run("english", dataset="english"))
        store_run(store, make_run("test", split="test"))
        store_run(store, make_run("dialogues", dataset_fingerprint="other"))
    groups = [{row.model for row in board.rows} for board in reader.boards(path)]
    assert sorted(map(sorted, groups)) == [
        ["a", "constant", "english", "test"], ["dialogues"], ["more"], ["newer"], ["refs"]
    ]  # fmt: skip


def test_data_under_another_name_are_the_same_data(path: Path) -> None:
    with open_store(path) as store:
        store_run(store, make_run("a"))
        store_run(store, make_run("english", dataset="english"))
        store_run(store, make_run("test", split="test"))
        store_run(store, make_run("alone", dataset="other", dataset_fingerprint="other"))
    whole = next(board for board in reader.boards(path) if len(board.rows) == 3)
    assert (whole.dataset, whole.split, whole.also) == ("talks", "dev", ("english dev", "talks test"))
    for names in ({"dataset": "english"}, {"split": "test"}, {"dataset": "talks", "split": "test"}):
        board = next(b for b in reader.boards(path, **names) if len(b.rows) == 3)
        assert {row.model for row in board.rows} == {"a", "english", "test"}
        assert names.items() <= {"dataset": board.dataset, "split": board.split}.items()
    (other,) = reader.boards(path, dataset="other")
    assert [row.model for row in other.rows] == ["alone"] and other.also == ()


def test_run_with_scores_of_some_samples_only_is_not_ranked_with_whole_ones(path: Path) -> None:
    with open_store(path) as store:
        store.declare_signature("chars", "rouge@char")
        for name, scored_samples in (("whole", 4), ("half", 2)):
            key = store_run(store, make_run(name))
            store.add_scores(key, {f"s{i}": {"chars": {"rouge1": 1.0}} for i in range(scored_samples)})
            store.close_run(key, "done")
    (board,) = reader.boards(path, "rouge@char")
    assert (board.n, [row.model for row in board.rows]) == (4, ["whole"])
    assert [(row.model, row.reason.partition(";")[0]) for row in board.others] == [
        ("half", "2 of 4 samples have scores of rouge@char")
    ]


def test_unranked_models_are_listed_below_with_their_latest_attempt(path: Path) -> None:
    beam = DecodingSpec("beam4", "beam", {"beams": 4})
    with open_store(path) as store:
        store_run(store, make_run("ranked"))
        store_run(store, make_run("ranked", decoding=beam), finished=1, status="partial", reason="beams")
        store_run(store, make_run("ranked", seed=3), finished=1, status="partial", reason="hidden: it is ranked")
        store.record(make_run("ranked", seed=2), "model", "skipped", "hidden: it is ranked")
        store_run(store, make_run("part", versions={"torch": "1"}), finished=3, status="partial", reason="old")
        store_run(store, make_run("part"), finished=2, status="partial", reason="new")
        store.record(make_run("skip"), "model", "skipped", "no memory")
        store.record(make_run("fail"), "model", "failed", "no config")
        store.record(make_run("elsewhere", n=9), "model", "failed", "other dialogues")
    small, other = reader.boards(path)
    assert [(row.model, row.status, row.n, row.reason) for row in small.others] == [
        ("part", "partial", 2, "new"),
        ("ranked", "partial", 1, "beams"),
        ("fail", "failed", 0, "no config"),
        ("skip", "skipped", 0, "no memory"),
    ]
    assert (other.rows, [row.model for row in other.others]) == ((), ["elsewhere"])


def test_unknown_names_are_answered_with_near_ones(path: Path) -> None:
    with open_store(path) as store:
        store_run(store, make_run("llama3-8b"))
        store_run(store, make_run("llama3-8b", prompt_format="raw"))
        only = store_run(store, make_run("qwen"))
    with pytest.raises(UserError, match=r"metric 'rouge@mecap'.*'rouge@mecab'"):
        reader.boards(path, "rouge@mecap")
    with pytest.raises(UserError, match=r"dataset 'talk'.*'talks'"):
        reader.boards(path, dataset="talk")
    with pytest.raises(UserError, match=r"'lama3-8b'.*'llama3-8b'"):
        reader.run(path, "lama3-8b")
    with pytest.raises(UserError, match="names 2 runs") as error:
        reader.run(path, "llama3-8b")
    told = [line.split(maxsplit=1)[1] for line in str(error.value).splitlines()[1:]]
    assert sorted(line.partition(",")[0] for line in told) == ["zero-shot", "zero-shot raw"]
    assert reader.run(path, "qwen").row.run_id == reader.run(path, only[:8]).row.run_id == only


def test_samples_in_order_of_the_dataset_or_of_the_score(path: Path) -> None:
    with open_store(path) as store:
        key = store.open_run(make_run(), "model")
        store.add(key, [scored(i, base) for i, base in ((2, 10.0), (0, 20.0), (1, 30.0))], positions(4))
        store.add(key, [ScoredOutput(scored(3).output, {})], positions(4))

    def ids(order: reader.Order) -> list[str]:
        return [s.sample_id for s in reader.samples(path, key, order=order)]

    assert ids("position") == ["s0", "s1", "s2", "s3"]
    assert ids("worst") == ["s2", "s0", "s1", "s3"]
    assert ids("best") == ["s1", "s0", "s2", "s3"]
    assert [s.sample_id for s in reader.samples(path, key, order="worst", limit=1)] == ["s2"]
    assert dict(reader.samples(path, key)[0].scores) == measures(20.0)
