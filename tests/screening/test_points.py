"""A sweep over prompts and decodings: its runs are those of single screenings, its table is corrected, and what is
chosen on one part of the samples is scored on another."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
from commands import Dsum

from dsum_bench import Bench, ProgressEvent, UserError
from dsum_bench.registry import grid
from dsum_bench.screening.points import share_of
from dsum_bench.testing.making import CHATML, byte_tokenizer

REGISTRY = """
[models.small]
source = "./llama"
adapter = "chat"
[prompts.a]
user = "요약: {dialogue}"
[prompts.b]
user = "{speakers}의 대화를 {length}자로 줄이세요. {dialogue}"
"""
SWEEP = "prompt=a,b decoding=greedy,beam4 length_penalty=2.0"
POINTS = [f"prompt={p} {d}" for p in "ab" for d in ("decoding=greedy", "decoding=beam4 length_penalty=2.0")]
SHORT = ("max_new_tokens=8",)
METRIC = "rouge@char"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("points")
    tiny.decoder(made / "llama", "llama", byte_tokenizer(CHATML, adds_bos=False))
    (made / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    return made


def bench(folder: Path, results: Path, progress: Any = None) -> Bench:
    return Bench(registry=folder / "registry.toml", results=results, progress=progress)


def outputs(found: Bench, key: str) -> dict[str, str]:
    with sqlite3.connect(found.database) as db:
        return dict(db.execute("select sample_id, output from outputs where run_id = ?", [key]))


def test_the_runs_are_those_of_single_screenings_and_the_model_is_loaded_once(folder: Path, tmp_path: Path) -> None:
    said: list[str] = []

    def listen(event: ProgressEvent) -> None:
        said.append(event.text)

    swept = bench(folder, tmp_path / "swept", listen)
    options: dict[str, Any] = {"limit": 3, "settings": SHORT, "metrics": [METRIC], "controls": False}
    result = swept.screen("small", sweep=SWEEP, **options)
    assert result.counts["done"] == 4 == len(result.runs)
    assert said.count("loading weights") == 1
    table = result.table
    assert table is not None and sorted(row.point for row in table.rows) == sorted(POINTS)
    alone = bench(folder, tmp_path / "alone")
    for row in (row for row in table.rows if row.point in (POINTS[1], POINTS[2])):
        point = dict(part.split("=") for part in row.point.split())
        settings = [*SHORT, *(f"{k}={v}" for k, v in point.items() if k == "length_penalty")]
        (run,) = alone.screen(
            "small", prompt=point["prompt"], decoding=point["decoding"], **options | {"settings": settings}
        ).runs
        assert run.run_id == row.run_id
        assert outputs(alone, run.run_id) == outputs(swept, row.run_id)
        assert len(outputs(alone, run.run_id)) == 3


def test_the_table_is_what_compare_says_of_all_points(folder: Path, tmp_path: Path) -> None:
    swept = bench(folder, tmp_path)
    result = swept.screen(
        "small", sweep={"prompt": ["a", "b", "{dialogue}"]}, limit=8, settings=SHORT, metrics=[METRIC], controls=False
    )
    table = result.table
    assert table is not None and (table.n, table.pairs, table.metric) == (8, 3, METRIC)
    assert [row.mean for row in table.rows] == sorted((row.mean for row in table.rows), reverse=True)
    best, *others = table.rows
    assert best.difference is None and best.p is None
    found = swept.comparison(*(row.run_id for row in table.rows), metric=METRIC)
    for pair, row in zip(found.pairs, others, strict=False):
        assert (pair.a, pair.b, pair.p) == (best.run_id, row.run_id, row.p)
        assert row.difference is not None and row.difference.mean == pytest.approx(-pair.difference.mean)
        assert row.difference.mean == pytest.approx(row.mean - best.mean)
    assert {row.point for row in table.rows} == {"prompt=a", "prompt=b", "prompt=custom"}


def test_the_best_point_is_scored_on_samples_that_had_no_part_in_choosing(folder: Path, tmp_path: Path) -> None:
    swept = bench(folder, tmp_path)
    options: dict[str, Any] = {"settings": SHORT, "metrics": [METRIC], "controls": False}
    result = swept.screen("small", sweep="prompt=a,b", limit=10, confirm_on="30%", **options)
    assert result.table is not None and result.confirmed is not None
    assert (result.table.n, result.confirmed.n) == (7, 3)
    chosen = set(outputs(swept, result.table.rows[0].run_id))
    kept = set(outputs(swept, result.confirmed.rows[0].run_id))
    assert not chosen & kept and len(chosen | kept) == 10
    points = {row.point for row in result.confirmed.rows}
    assert points == {result.table.rows[0].point, "prompt=a"}  # the best, and the first to tell what choosing brought


def test_the_best_point_is_scored_on_another_split(folder: Path, tmp_path: Path) -> None:
    rows = {"id": ["1", "2"], "dialogue": ["A: 네", "B: 그래요"], "summary": ["그런다.", "그렇다."]}
    splits = {"dev": pd.DataFrame(rows), "test": pd.DataFrame(rows).assign(dialogue=["A: 아니", "B: 글쎄요"])}
    found = bench(folder, tmp_path).screen(
        "small", splits, sweep="prompt=a,b", confirm_on="test", settings=SHORT, metrics=[METRIC], controls=False
    )
    assert found.confirmed is not None and found.confirmed.data == "dataframe test, all"


def test_the_command_prints_one_table(folder: Path) -> None:
    dsum = Dsum(folder)
    call = ("screen", "small", "--sweep", "prompt=a,b", "--limit", "6", "--set", "max_new_tokens=4", "--no-controls")
    done = dsum(*call, "--confirm-on", "0.5", "--metric", METRIC)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "Points of the sweep: samples-ko dev, choosing, 3 of 6, seed 42, 3 samples" in text
    assert "Confirmed on held-out samples" in text
    found = json.loads(dsum(*call, "--metric", METRIC, "--json").stdout)
    assert [row["point"] for row in found["table"]["rows"]] and "confirmed" not in found
    planned = json.loads(dsum(*call, "--dry-run", "--json").stdout)
    assert [row["point"] for row in planned] == ["prompt=a", "prompt=b"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"sweep": "prompt=a,c"}, "unknown prompt 'c'"),
        (
            {"sweep": "lenght_penalty=1,2", "decoding": "beam4"},
            "has a parameter 'lenght_penalty'",
        ),
        ({"sweep": "prompt"}, "must be KEY=VALUE,VALUE"),
        ({"sweep": "prompt=a prompt=b"}, "'prompt' is given twice"),
        ({"sweep": "prompt=a,b", "prompt": "a"}, "give it once"),
        ({"sweep": "prompt=a,b", "confirm_on": "1.5"}, "a share must be between 0 and 1"),
        ({"sweep": "prompt=a,b", "confirm_on": "dev"}, "is the split used for selection"),
        ({"sweep": "prompt=a,b", "confirm_on": "tset"}, "no split 'tset'"),
        ({"sweep": "prompt=a,b", "confirm_on": "0.01"}, "cannot be divided into two parts"),
        ({"confirm_on": "0.5"}, "--confirm-on needs a sweep"),
    ],
)
def test_what_makes_no_sweep_is_refused(arguments: dict[str, str], told: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        bench(folder, tmp_path).screen("small", limit=5, controls=False, **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "dsum.db").exists()


def test_a_point_that_fails_costs_the_others_nothing(folder: Path, tmp_path: Path) -> None:
    from dsum_bench import PromptSpec

    long = PromptSpec("long", "가" * 3000 + "{dialogue}")
    result = bench(folder, tmp_path).screen(
        "small", sweep={"prompt": ["a", long, "b"]}, limit=2, settings=SHORT, metrics=[METRIC], controls=False
    )
    assert [run.status for run in result.runs] == ["done", "failed", "done"]
    assert "shorten the prompt" in result.runs[1].reason
    assert result.table is not None and {row.point for row in result.table.rows} == {"prompt=a", "prompt=b"}


def test_a_grid_has_every_combination_once() -> None:
    assert grid.grid("lr=1,2 r=3,4,3") == [
        ("lr=1", "r=3"), ("lr=1", "r=4"), ("lr=2", "r=3"), ("lr=2", "r=4")
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "share"), [("0.3", 0.3), ("30%", 0.3), ("test", None)])
def test_a_share_or_the_name_of_a_split(text: str, share: float | None) -> None:
    assert share_of(text) == (pytest.approx(share) if share else None)
