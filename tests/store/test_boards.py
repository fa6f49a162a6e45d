"""Which runs share a board, which stand below it, and how they are found by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from store_runs import (
    METRIC,
    make_control,
    make_run,
    measures,
    open_store,
    positions,
    scored,
    store_run,
)

from dsum_bench.errors import UserError
from dsum_bench.spec import DecodingSpec
from dsum_bench.store import reader
from dsum_bench.store.rows import ScoredOutput


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
