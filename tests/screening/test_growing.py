"""Samples that an earlier run has written are not generated again, whatever samples stood beside them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import counting
import pytest
from counting import counted

from dsum_bench import Bench, ModelSpec
from dsum_bench.fingerprints import sample_digest, setup_id
from dsum_bench.spec import Sample

MODEL = ModelSpec("counted", "lead", engine="counting", params=0, options={"turns": 2})
METRIC = "rouge@char"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the engine writes what it generates to."""
    monkeypatch.setenv(counting.FILE, str(tmp_path / "counted"))
    return tmp_path / "counted"


@pytest.fixture
def bench(tmp_path: Path, file: Path) -> Bench:
    return Bench(results=tmp_path / "results", plugins=[counting.Counting], progress=None)


def screen(bench: Bench, model: ModelSpec = MODEL, **options: Any) -> Any:
    (run,) = bench.screen(model, controls=False, metrics=[METRIC], **options).runs
    return run


def stored(bench: Bench, key: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(bench.database) as db:
        names = "sample_id, position, output, summary, finish, seconds"
        return db.execute(f"select {names} from outputs where run_id = ? order by position", [key]).fetchall()


def test_a_larger_run_generates_only_what_the_smaller_lacks(bench: Bench, file: Path) -> None:
    small = screen(bench, limit=4)
    first = counted(file)
    assert len(first) == 4
    large = screen(bench, limit=20)
    assert large.status == "done" and large.run_id != small.run_id
    rest = counted(file)
    assert len(rest) == 16 and not set(first) & set(rest)
    alone = Bench(results=bench.results.with_name("alone"), plugins=[counting.Counting], progress=None)
    assert stored(alone, screen(alone, limit=20).run_id) == stored(bench, large.run_id)
    assert bench.scores(large.run_id).equals(alone.scores(large.run_id))
    assert len(stored(bench, small.run_id)) == 4


def test_a_smaller_run_generates_nothing_and_is_checked_all_the_same(bench: Bench, file: Path) -> None:
    screen(bench, limit=20)
    counted(file)
    small = screen(bench, limit=5)
    assert (small.status, small.samples, counted(file)) == ("done", 5, [])
    record = bench.run(small.run_id)
    assert record.row.n == 5 and {s.n for s in record.scores} == {5}
    assert screen(bench, sample=6, seed=3).status == "done"
    assert len(counted(file)) + len(stored(bench, small.run_id)) <= 11


def test_other_settings_other_words_and_fresh_take_nothing(bench: Bench, file: Path) -> None:
    screen(bench, limit=4)
    counted(file)
    screen(bench, replace(MODEL, options={"turns": 3}), limit=6)
    assert len(counted(file)) == 6
    screen(bench, limit=6, fresh=True)
    assert len(counted(file)) == 6
    screen(bench, limit=8, seed=7)  # the seed is part of what shapes an output
    assert len(counted(file)) == 8


def test_a_changed_dialogue_is_generated_again(bench: Bench, file: Path) -> None:
    import pandas as pd

    rows = pd.DataFrame(
        {"id": ["a", "b", "c"], "dialogue": ["#Person1#: 하나", "#Person1#: 둘", "#Person1#: 셋"], "summary": ["1"] * 3}
    )
    screen(bench, dataset=rows.iloc[:2])
    assert counted(file) == ["a", "b"]
    screen(bench, dataset=rows.assign(dialogue=["#Person1#: 하나", "#Person1#: 둘!", "#Person1#: 셋"]))
    assert sorted(counted(file)) == ["b", "c"]


def test_a_run_killed_while_growing_resumes_without_doubling_anything(
    bench: Bench, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen(bench, limit=4)
    monkeypatch.setenv(counting.KILL, "5")
    broken = screen(bench, limit=20)
    assert (broken.status, broken.samples) == ("failed", 9)
    monkeypatch.delenv(counting.KILL)
    whole = screen(bench, limit=20)
    assert (whole.status, whole.run_id, whole.samples) == ("done", broken.run_id, 20)
    assert set(Counter(counted(file)).values()) == {1}
    assert len(stored(bench, whole.run_id)) == 20


def test_runs_of_different_size_are_compared_on_what_they_share(bench: Bench, file: Path) -> None:
    other = replace(MODEL, name="other", options={"turns": 3})
    small, large = screen(bench, limit=8), screen(bench, other, limit=20)
    found = bench.comparison(small.run_id, large.run_id, metric=METRIC)
    scores = [bench.scores(run.run_id, METRIC)["mean"] for run in (small, large)]
    shared = scores[0].index.intersection(scores[1].index)
    assert found.n == len(shared) == 8
    assert found.means == pytest.approx([series[shared].mean() for series in scores])
    assert found.pairs[0].p_board is None


def test_what_a_sample_is_asked_with_is_its_identity() -> None:
    sample = Sample("1", "#Person1#: 네.", ("요약",), "주제")
    assert sample_digest(sample) == sample_digest(replace(sample, references=("다른 요약",), repaired=("NUL",)))
    changed = [replace(sample, id="2"), replace(sample, dialogue="#Person1#: 예."), replace(sample, turns="x")]
    assert len({sample_digest(s) for s in (sample, *changed)}) == 4


def test_a_setup_is_a_run_without_its_samples() -> None:
    from store_runs import GREEDY, make_run

    run = make_run()
    same = [replace(run, dataset="x"), replace(run, dataset_fingerprint="y"), replace(run, split="z")]
    other = [replace(run, seed=1), replace(run, decoding=replace(GREEDY, params={})), replace(run, weights="w")]
    assert {setup_id(r) for r in same} == {setup_id(run)}
    assert len({setup_id(r) for r in (run, *other)}) == 4
