"""What ``compare`` prints and what it refuses, on stored runs."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from store_runs import METRIC, SIGNATURE, make_run, open_store, positions, scored, store_run

from dsum_bench.cli import main
from dsum_bench.spec import RunSpec, Sample
from dsum_bench.store import reader
from dsum_bench.store.samples import keep_samples

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


def test_a_real_difference_is_significant_and_chance_is_not(folder: Path) -> None:
    code, text = call(folder, "better", "base", "--measure", "rouge1", "--samples", "1")
    assert code == 0, text
    assert "they differ (p < 0.05)" in text and "p = 0.0001" in text
    assert "A is better on 40 of 40 samples, B on 0, 0 tied" in text
    assert "[red]" in text and SIGNATURE in text
    assert all(len(line) <= 80 for line in text.splitlines())
    code, text = call(folder, "same", "base", "--measure", "rouge1")
    assert code == 0 and "they do not differ significantly at 5 %" in text
    assert "A - B  +0.00" in text and "A is better on 20 of 40 samples, B on 20, 0 tied" in text


def test_dialogue_and_references_stand_with_the_summaries(folder: Path) -> None:
    samples = [Sample(f"s{i}", f"#Person1#: 말 {i}", (f"참조 {i}",)) for i in range(N)]
    run = make_run("base", n=N)
    with open_store(folder / "dsum.db") as store:
        keep_samples(store, run.dataset_fingerprint, run.references_fingerprint, samples, True)
    _, text = call(folder, "better", "base", "--samples", "1")
    number = re.search(r"^s(\d+)  A ", text, re.MULTILINE)
    assert number is not None
    assert f"#Person1#: 말 {number[1]}\nreference: 참조 {number[1]}\nA: better" in text
    _, found = call(folder, "better", "base", "--samples", "1", "--json")
    assert json.loads(found)["samples"][0]["references"] == [f"참조 {number[1]}"]
    for form in ((), ("--json",)):
        _, text = call(folder, "better", "base", "--no-dialogues", *form)
        assert "#Person1#" not in text and "참조" not in text


def test_json_carries_every_figure(folder: Path) -> None:
    code, text = call(folder, "better", "base", "--measure", "rouge1", "--json")
    found = json.loads(text)
    assert code == 0
    mean = sum(3 + (i % 3 - 1) for i in range(N)) / N
    assert (found["metric"], found["signature"], found["measure"], found["n"]) == (METRIC, SIGNATURE, "rouge1", N)
    assert [run["model"] for run in found["runs"]] == ["better", "base"]
    assert found["runs"][0]["mean"] - found["runs"][1]["mean"] == pytest.approx(mean)
    (pair,) = found["pairs"]
    assert [pair["a"], pair["b"]] == [run["run_id"] for run in found["runs"]]
    assert pair["difference"]["mean"] == pytest.approx(mean)
    assert pair["difference"]["low"] < mean < pair["difference"]["high"]
    assert (pair["wins"], pair["ties"], pair["losses"], pair["exact"]) == (N, 0, 0, False)
    assert pair["p"] == pair["p_alone"] <= pair["p_board"] < 0.05
    assert found["board"] == {"runs": 3, "pairs": 3}
    assert [s["scores"][0] - s["scores"][1] for s in found["samples"]] == [4.0, 4.0, 4.0]
    assert found["samples"][0]["summaries"][0].startswith("better")


def noisy(folder: Path, gaps: dict[str, float]) -> None:
    """Runs whose mean lies so far above that of the first."""
    draw = random.Random(11)
    base = [30 + draw.gauss(0, 8) for _ in range(N)]
    for name, gap in gaps.items():
        noise = [draw.gauss(0, 4) for _ in range(N)]
        shift = gap - sum(noise) / N
        add(folder, make_run(name, n=N), [b + e + shift for b, e in zip(base, noise, strict=True)])


def test_one_of_many_pairs_is_marked_as_such(tmp_path: Path) -> None:
    noisy(tmp_path, {"base": 0.0, "better": 2.2} | {f"other{i}": 1.0 for i in range(8)})
    code, text = call(tmp_path, "better", "base", "--measure", "rouge1", "--samples", "0")
    told = " ".join(text.split())
    assert code == 0 and "they differ (p < 0.05)" in told
    assert "one of 45 pairs of the 10 runs on their board; corrected for all of them p = 0." in told
    assert "not significant among so many" in told
    # And so says the board.
    done = CliRunner().invoke(main, ["leaderboard", "--results", str(tmp_path), "--sort", "rouge1", "--json"])
    (board,) = json.loads(done.output)
    assert {row["group"] for row in board["ranked"]} == {0}


def test_many_runs_are_compared_in_all_pairs(tmp_path: Path) -> None:
    noisy(tmp_path, {"base": 0.0, "better": 5.0, "same": 0.1, "fourth": 0.2})
    code, text = call(tmp_path, "base", "better", "same", "--measure", "rouge1", "--samples", "1")
    assert code == 0, text
    assert [line[:5] for line in text.splitlines()[3:6]] == ["A - B", "A - C", "B - C"]
    assert all("p = " in line and line.endswith(")") for line in text.splitlines()[3:6])
    assert "corrected for 3 pairs; in brackets p for all 6 pairs of the 4 runs on their board" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())
    found = json.loads(call(tmp_path, "base", "better", "same", "--measure", "rouge1", "--json")[1])
    assert [[p["a"], p["b"]] for p in found["pairs"]] == [
        [found["runs"][i]["run_id"], found["runs"][j]["run_id"]] for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    for pair in found["pairs"]:
        low, high = pair["difference"]["low"], pair["difference"]["high"]
        assert pair["p_alone"] <= pair["p"] <= 1 and (pair["p"] < 0.05) == (not low <= 0 <= high)
    assert [p["p"] < 0.05 for p in found["pairs"]] == [True, False, True]
    assert len(found["samples"][0]["scores"]) == len(found["samples"][0]["summaries"]) == 3


def test_four_samples_are_too_few_whatever_they_score(tmp_path: Path) -> None:
    add(tmp_path, make_run("low", n=4), [1.0, 2.0, 3.0, 4.0])
    add(tmp_path, make_run("high", n=4), [41.0, 45.0, 47.0, 49.0])
    code, text = call(tmp_path, "high", "low", "--measure", "rouge1")
    assert code == 0 and "A - B  +43.00, no 95 % interval, p = 0.1250" in text
    assert "4 dialogues cannot tell runs apart at 5 %, whatever they score; 6 can" in text
    assert "they do not differ significantly" not in text
    (pair,) = json.loads(call(tmp_path, "high", "low", "--measure", "rouge1", "--json")[1])["pairs"]
    assert pair["difference"] == {"mean": 43.0, "low": None, "high": None} and pair["exact"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("base", "both names refer to the same run"),
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
