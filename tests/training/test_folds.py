"""Folds: no row is scored by a model that has seen its dialogue."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from inprocess import InProcess
from tuning import job_of, place

from dsum_bench import Bench
from dsum_bench.errors import UserError
from dsum_bench.provenance import read
from dsum_bench.spec import Sample
from dsum_bench.training.folds import parts, together

ROWS = [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)]


@settings(deadline=None)
@example(rows=[(0, "b"), (1, "a"), (0, "a"), (2, "c"), (0, "c")], count=2, by="topic", seed=0)
@given(
    rows=st.lists(st.tuples(st.integers(0, 8), st.sampled_from("abcd")), min_size=1, max_size=40),
    count=st.integers(2, 5),
    by=st.sampled_from([None, "topic"]),
    seed=st.integers(0, 3),
)
def test_every_row_is_in_one_part_and_equal_dialogues_or_values_share_it(
    rows: list[tuple[int, str]], count: int, by: str | None, seed: int
) -> None:
    samples = [Sample(str(i), f"#Person1#: {d}.", ("s",), topic=t) for i, (d, t) in enumerate(rows)]
    try:
        found = parts(samples, count, by, seed)
    except UserError as error:
        assert f"--folds {count}: the rows have" in str(error)
        return
    assert len(found) == count and all(found)
    assert Counter(i for part in found for i in part) == Counter(range(len(samples)))
    where = {i: n for n, part in enumerate(found) for i in part}
    for i, a in enumerate(samples):
        for j, b in enumerate(samples):
            if a.dialogue == b.dialogue or (by and a.topic == b.topic):
                assert where[i] == where[j]
    assert found == parts(samples, count, by, seed)


def test_parts_of_different_dialogues_are_of_one_size() -> None:
    samples = [Sample(str(i), f"#Person1#: {i}.", ("s",)) for i in range(103)]
    assert sorted(len(part) for part in parts(samples, 5, None, 1)) == [20, 20, 21, 21, 21]
    assert parts(samples, 5, None, 1) != parts(samples, 5, None, 2)


def test_white_space_alone_makes_no_other_dialogue() -> None:
    samples = [Sample("a", "#Person1#: 네.", ("s",)), Sample("b", "#Person1#:  네. ", ("s",))]
    with pytest.raises(UserError, match="the rows have 1 different dialogues"):
        parts(samples, 2, None, 1)


def test_what_all_folds_wrote_has_a_name() -> None:
    assert together(["m@k-fold1", "m@k-fold2"]) == "m@k-folds"
    assert together(["m@ab12", "m@cd34"]).startswith("m@") and together(["m@ab12", "m@cd34"]).endswith("-folds")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"folds": 20}, "the rows have 12 different dialogues"),
        ({"folds": 2, "fold_by": "genre"}, "sample '0' has no such column"),
        ({"fold_by": "topic"}, "give --folds N"),
        ({"folds": 2, "sweep": "r=2,4"}, "leave --sweep and --search out"),
        ({"folds": 1}, "must be at least 2"),
    ],
)
def test_folds_that_cannot_be_are_told(
    more: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place(tmp_path, ROWS))
    with pytest.raises(UserError, match=told):
        Bench(progress=None).finetune("mine", "rows", dev_limit=0, **more)


@pytest.mark.slow
def test_every_training_row_is_scored_by_the_model_that_has_not_seen_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place(tmp_path, ROWS))
    # Row 11 has the dialogue of row 0.
    lines = (tmp_path / "train.jsonl").read_text("utf-8").splitlines()
    lines[11] = json.dumps(json.loads(lines[0]) | {"id": "11"}, ensure_ascii=False)
    (tmp_path / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    bench = Bench(plugins=[InProcess], progress=None)
    asked: dict[str, Any] = {"max_tokens": 96, "batch": 2, "accumulate": 1, "lr": 0.01, "epochs": 1}
    result = bench.finetune("mine", "rows", folds=3, name="k", settings=asked, dev_limit=0, executor="inprocess",
                            screen_limit=3)  # fmt: skip
    assert result.models == ("mine@k-fold1", "mine@k-fold2", "mine@k-fold3") and result.unseen is not None
    runs = bench.runs()
    whole = bench.samples(result.unseen.run_id)
    assert sorted(map(int, whole["sample_id"])) == list(range(12))
    from dsum_bench.fingerprints import dialogue_digest

    seen: Counter[str] = Counter()
    for model in result.models:
        made = read(tmp_path / "results/models" / model)
        (run,) = runs[(runs["model"] == model) & (runs["split"] == "train")]["run_id"]
        part = bench.samples(run)
        for sample, summary in zip(part["sample_id"], part["summary"], strict=True):
            dialogue = json.loads(lines[int(sample)])["dialogue"]
            assert made is not None and dialogue_digest(dialogue) not in made.dialogues
            assert whole[whole["sample_id"] == sample]["summary"].item() == summary
            seen[sample] += 1
    assert seen == Counter(map(str, range(12)))
    # The models of all folds, screened on the dev split, can be combined.
    assert result.screening is not None
    keys = [run.run_id for run in result.screening.done if run.model in result.models]
    assert len(keys) == 3 and bench.combine(keys).run.status == "done"


def test_the_file_beside_a_fold_asks_for_all_of_them(tmp_path: Path) -> None:
    from dsum_bench.training.folds import Fold

    place(tmp_path, ROWS)
    job = job_of(tmp_path, fold=Fold(2, 3, None))
    assert "folds = 3" in job.config and "\nname" not in job.config and len(job.train) == 8
    assert job.spec.selection == "all, without fold 2 of 3" and job.id == "mine@x-fold2"
