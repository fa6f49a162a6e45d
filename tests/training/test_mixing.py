"""Training on several datasets, mixed by weight."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuning import REGISTRY, job_of, place

from dsum_bench.errors import UserError
from dsum_bench.training.mixing import Part, parts, shares

MORE = """
[datasets.other]
format = "jsonl"
path = "other-{split}.jsonl"
[datasets.english]
format = "jsonl"
path = "other-{split}.jsonl"
language = "en"
"""


def rows_of(folder: Path, **more: Any) -> list[str]:
    return [sample.id for sample in job_of(folder, **more).train]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = place(tmp_path, [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(20)], REGISTRY + MORE)
    lines = [
        json.dumps({"id": str(i), "dialogue": f"#Person1#: 예 {i}.", "summary": f"{i}호입니다."}) for i in range(8)
    ]
    (found / "other-train.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return found


def test_a_mixture_is_written_as_names_with_weights() -> None:
    assert parts("a") == (Part("a"),)
    assert parts("a:0.7, b:0.3") == (Part("a", 0.7), Part("b", 0.3))
    assert parts("a,b") == (Part("a"), Part("b"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a:x,b:1", "write NAME, NAME,NAME or NAME:WEIGHT"),
        ("a:0,b:1", "each weight above 0"),
        ("a:nan,b:1", "each weight above 0"),
        (",a", "write NAME"),
        ("a:1,b", "give every dataset a weight, or none"),
        ("a:1,a:2", "a dataset is named twice"),
    ],
)
def test_what_is_no_mixture_is_told(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        parts(text)


def test_shares_of_a_mixture_by_hand() -> None:
    assert shares([1000, 200], [0.7, 0.3], None) == [466, 200]  # 200 / 0.3 rows in all
    assert shares([1000, 200], [7, 3], None) == [466, 200]
    assert shares([1000, 200], [0.7, 0.3], 100) == [70, 30]
    assert shares([1000, 200], [None, None], None) == [1000, 200]
    assert shares([1000, 200], [None, None], 120) == [100, 20]


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5000), min_size=2, max_size=4),
    weights=st.lists(st.floats(0.01, 100), min_size=4, max_size=4),
    total=st.none() | st.integers(10, 10_000),
)
def test_a_mixture_repeats_no_row_and_keeps_its_shares(
    sizes: list[int], weights: list[float], total: int | None
) -> None:
    counts = shares(sizes, weights[: len(sizes)], total)
    assert all(1 <= count <= size for count, size in zip(counts, sizes, strict=True))
    whole, given_weights = sum(counts), sum(weights[: len(sizes)])
    for count, weight in zip(counts, weights[: len(sizes)], strict=True):
        assert abs(count - whole * weight / given_weights) <= 1 + len(sizes)  # rounding, and one row at least
    if total is None:
        # Larger by any share, one dataset would have to repeat a row.
        assert any(count + 1 + 1e-6 > size for count, size in zip(counts, sizes, strict=True))


def test_training_rows_are_those_of_the_mixture(folder: Path) -> None:
    both = rows_of(folder, dataset="rows,other")
    assert both == [*(f"rows/{i}" for i in range(20)), *(f"other/{i}" for i in range(8))]
    mixed = rows_of(folder, dataset="rows:0.5,other:0.5")
    assert len(mixed) == 16 and sum(i.startswith("other/") for i in mixed) == 8 and len(set(mixed)) == 16
    assert rows_of(folder, dataset="rows:0.5,other:0.5", seed=7) != mixed
    few = rows_of(folder, dataset="rows:0.75,other:0.25", sample=8)
    assert sum(i.startswith("rows/") for i in few) == 6 and len(few) == 8
    job = job_of(folder, dataset="rows:0.5,other:0.5", dev_limit=4)
    assert job.spec.selection == "rows 8 of 20, seed 42, other all" and job.spec.dataset == "rows:0.5,other:0.5"
    assert [s.dialogue for s in job.dev] == [f"#Person1#: 네 {i}." for i in range(4)]  # of the first


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"dataset": "rows,othr"}, "did you mean 'other'"),
        ({"dataset": "rows,english"}, "in several languages .en, ko."),
        ({"dataset": "rows,other", "limit": 3}, "use --sample"),
        ({"dataset": "rows:0.5,other:0.5", "sample": 100}, "has 16 rows"),
    ],
)
def test_a_mixture_that_cannot_be_is_told(more: dict[str, Any], told: str, folder: Path) -> None:
    with pytest.raises(UserError, match=told):
        job_of(folder, **more)
