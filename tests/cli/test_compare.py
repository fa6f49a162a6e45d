"""What ``compare`` prints and what it refuses, on stored runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from store_runs import SIGNATURE, make_run, open_store, positions, scored, store_run

from dsum_bench.cli import main
from dsum_bench.spec import RunSpec
from dsum_bench.store import reader

N = 40


def test_a_name_means_its_only_finished_run(tmp_path: Path) -> None:
    with open_store(tmp_path / "dsum.db") as store:
        key = store_run(store, make_run("m"))
        store_run(store, make_run("m", seed=7), finished=1, status="partial")
        store_run(store, make_run("other"), base=50.0)
    assert reader.run(tmp_path / "dsum.db", "m").row.run_id == key


def add(folder: Path, run: RunSpec, bases: list[float], close: bool = True) -> str:
    with open_store(folder / "dsum.db") as store:
        key = store.open_run(run, "model")
        rows = [scored(i, base, summary=f"{run.model.name} [red]{i}[/red]") for i, base in enumerate(bases)]
        store.add(key, rows, positions(len(bases)))
        if close:
            store.close_run(key, "done")
    return key


def call(folder: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["compare", *arguments, "--results", str(folder)], env={"COLUMNS": "80"})
    return done.exit_code, done.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """``better`` leads by about 3 points of rouge1, ``same`` by nothing but noise that cancels."""
    base = [30.0 + i % 7 for i in range(N)]
    add(tmp_path, make_run("base", n=N), base)
    add(tmp_path, make_run("better", n=N), [b + 3 + (i % 3 - 1) for i, b in enumerate(base)])
    add(tmp_path, make_run("same", n=N), [b + (2 if i % 2 else -2) for i, b in enumerate(base)])
    return tmp_path


def test_a_real_difference_is_told_from_chance(folder: Path) -> None:
    code, text = call(folder, "better", "base", "--measure", "rouge1", "--samples", "1")
    assert code == 0, text
    assert "they differ (p < 0.05)" in text and "p = 0.0001" in text
    assert "A is better on 40 samples, B on 0; 0 of 40 are tied" in text
    assert "[red]" in text and SIGNATURE in text
    assert all(len(line) <= 80 for line in text.splitlines())
    code, text = call(folder, "same", "base", "--measure", "rouge1")
    assert code == 0 and "they cannot be told apart at 5 %" in text
    assert "A - B  +0.00" in text and "A is better on 20 samples, B on 20; 0 of 40 are tied" in text


def test_json_carries_every_figure(folder: Path) -> None:
    code, text = call(folder, "better", "base", "--measure", "rouge1", "--json")
    found = json.loads(text)
    assert code == 0
    mean = sum(3 + (i % 3 - 1) for i in range(N)) / N
    assert found["difference"]["mean"] == pytest.approx(mean)
    assert found["difference"]["low"] < mean < found["difference"]["high"]
    assert (found["n"], found["wins"], found["ties"], found["losses"]) == (N, N, 0, 0)
    assert [s["first"] - s["second"] for s in found["samples"]] == [4.0, 4.0, 4.0]
    assert found["a"]["model"] == "better"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("base", "both names stand for the same run"),
        ("unfinished", "unfinished"),
        ("elsewhere", "are not of the same dialogues"),
        ("otherwise", "are not of the same references"),
        ("nobody", "no run or model 'nobody'"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(folder: Path, name: str, sentence: str) -> None:
    add(folder, make_run("unfinished", n=N), [1.0] * 3, close=False)
    add(folder, make_run("elsewhere", n=5), [1.0] * 5)
    add(folder, make_run("otherwise", n=N, references_fingerprint="others"), [1.0] * N)
    code, text = call(folder, "base", name)
    assert code == 2
    assert sentence in " ".join(text.split()) and "Traceback" not in text


def test_a_metric_or_measure_that_is_not_there(folder: Path) -> None:
    code, text = call(folder, "base", "better", "--metric", "rouge@char")
    assert code == 2 and "is not scored with metric 'rouge@char', only with rouge@mecab" in " ".join(text.split())
    code, text = call(folder, "base", "better", "--measure", "rouge-1")
    assert code == 2 and "has no measure 'rouge-1'; did you mean" in " ".join(text.split())
