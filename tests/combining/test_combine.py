"""Runs combined: what is stored, what is told, what may not be combined."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from dsum_bench import Bench, Metric, UserError
from dsum_bench.cli import main
from dsum_bench.metrics.choose import build
from dsum_bench.spec import Sample

N = 40
METRIC = "rouge@char"
WORDS = ("길을 ", "집을 ", "묻는다 ", "찾는다 ", "간다 ", "본다 ", "#Person1#은 ", "#Person2#에게 ")


def frame(n: int = N, start: int = 0) -> pd.DataFrame:
    made = [{"id": f"s{i}", "dialogue": dialogue(i), "summary": reference(i)} for i in range(start, start + n)]
    return pd.DataFrame(made)


def dialogue(i: int) -> str:
    return "#Person1#: 길이 어디예요?" + " 네?" * (i % 7) + f" {i}번이요.\n#Person2#: 저기요."


def reference(i: int) -> str:
    return f"#Person1#은 #Person2#에게 {i}번 길을 묻는다."


def noisy(i: int, seed: int) -> str:
    generator = np.random.default_rng([seed, i])
    words = [w if generator.random() < 0.6 else str(generator.choice(WORDS)).strip() for w in reference(i).split()]
    return " ".join(words)


def bench_with(folder: Path, runs: dict[str, list[str]], data: pd.DataFrame | None = None) -> Bench:
    data = frame() if data is None else data
    made = Bench(results=folder / "results", progress=None)
    made.add_dataset("roads", data)
    for name, summaries in runs.items():
        made.score(pd.DataFrame({"id": data["id"], "summary": summaries}), name, "roads", metrics=[METRIC])
    return made


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return bench_with(tmp_path, {f"m{k}": [noisy(i, k) for i in range(N)] for k in range(4)})


def texts(bench: Bench, run: str) -> list[str]:
    return list(bench.samples(run)["summary"])


def test_the_consensus_is_what_brute_force_takes(bench: Bench) -> None:
    done = bench.combine(["m0", "m1", "m2", "m3"], weights=[1, 2, 1, 1])
    metric = build(bench.loaded_plugins, METRIC)
    members = [texts(bench, f"m{k}") for k in range(4)]
    expected = []
    for row in zip(*members, strict=True):
        gained = []
        for text in row:
            scored = (metric.score(text, Sample("x", "", (other,)))["mean"] for other in row)
            gained.append(round(sum(w * s for w, s in zip([1, 2, 1, 1], scored, strict=True)), 9))
        expected.append(row[gained.index(max(gained))])
    assert texts(bench, done.run.run_id) == expected
    assert done.run.model == "m0+m1+m2+m3+mbr" and sum(done.chosen) == N
    assert bench.run(done.run.run_id).row.treatment == "mbr of 4"


def test_the_gain_is_the_paired_test_against_the_best_member(bench: Bench) -> None:
    done = bench.combine(["m0", "m1", "m2"])
    assert done.benefit is not None
    pairs = [bench.compare(done.run.run_id, f"m{k}").iloc[0] for k in range(3)]
    best = max(pairs, key=lambda pair: pair["mean_b"])
    found = done.benefit.difference
    assert (found.mean, found.low, found.high) == pytest.approx(tuple(best[["difference", "low", "high"]]))
    assert done.benefit.p == pytest.approx(max(pair["p"] for pair in pairs))


@pytest.mark.parametrize("way", ["vote", "shorter"])
def test_the_other_ways_take_one_of_the_members_summaries(bench: Bench, way: Any) -> None:
    done = bench.combine(["m0", "m1", "m2"], way)
    members = [texts(bench, f"m{k}") for k in range(3)]
    for text, row in zip(texts(bench, done.run.run_id), zip(*members, strict=True), strict=True):
        assert text in row
        assert way == "vote" or len(text) == min(map(len, row))


def test_a_router_beats_runs_that_are_good_at_different_dialogues(tmp_path: Path) -> None:
    # m0 is right about dialogues without 'please', m1 about those with many.
    runs = {
        "m0": [reference(i) if i % 7 < 3 else "모른다." for i in range(N)],
        "m1": [reference(i) if i % 7 >= 3 else "모른다." for i in range(N)],
    }
    bench = bench_with(tmp_path, runs)
    done = bench.combine(["m0", "m1"], "route")
    assert done.benefit is not None and done.benefit.gained and done.benefit.mean > 90
    with pytest.raises(UserError, match=r"at least 20 rows .* not 0; .* copies of the dialogues"):
        bench.combine(["m0", "m1"], "route", learn_from=["m0", "m1"])


def test_runs_without_references_are_routed_by_what_was_learnt_elsewhere(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, {})
    bench.screen(["lead-3", "longest-3"], "roads", controls=False, metrics=[METRIC])
    learnt = [bench.run(model).row.run_id for model in ("lead-3", "longest-3")]
    bench.add_dataset("test", frame(10, 100).drop(columns="summary"))
    for model in ("lead-3", "longest-3"):
        bench.predict(model, dataset="test")
    members = [r.row.run_id for r in map(bench.run, bench.runs()["run_id"]) if r.dataset == "test"]
    with pytest.raises(
        UserError, match="no references to train the router on; give runs on other rows with --learn-from"
    ):
        bench.combine(members, "route", metric=METRIC)
    done = bench.combine(members, "route", metric=METRIC, learn_from=learnt)
    assert done.benefit is None and done.run.status == "done" and sum(done.chosen) == 10


def test_combined_runs_can_be_postprocessed_and_combined_again(bench: Bench) -> None:
    first = bench.combine(["m0", "m1", "m2"], name="trio").run
    (tidy,) = bench.postprocess(first.model)
    assert bench.run(tidy.run.run_id).row.treatment == "combined, tidy"
    again = bench.combine(["trio", "m3"], "shorter")
    assert again.run.status == "done" and again.run.model == "trio+m3+shorter"


def test_what_a_run_was_made_from_is_shown(bench: Bench) -> None:
    made = bench.combine(["m0", "m1"], "vote", weights=[2, 1], name="pair").run
    (tidy,) = bench.postprocess("pair", ["tags", "spaces"])
    keys = [bench.run(m).row.run_id for m in ("m0", "m1")]
    for run, told in (
        (made.run_id, f"vote of runs {keys[0]}, {keys[1]}; "),
        (made.run_id, "; weights 2, 1"),
        (tidy.run.run_id, f"steps of run {made.run_id}; tags spaces"),
    ):
        done = CliRunner().invoke(main, ["show", run, "--results", str(bench.results)], env={"COLUMNS": "250"})
        assert told in done.output, done.output
    report = bench.report(bench.results / "report.html").read_text(encoding="utf-8")
    assert f"vote of runs {keys[0]}, {keys[1]}" in report


class Broken(Metric):
    name, measures, needs_tokenizer, signature = "broken", ("mean",), False, "broken|v:1"  # type: ignore[assignment]

    def score(self, summary: str, sample: Sample) -> dict[str, float]:
        raise ValueError("no such word")


@pytest.mark.parametrize("way", ["mbr", "route"])
def test_a_metric_that_fails_is_named_with_the_sample(bench: Bench, way: Any) -> None:
    own = Bench(results=bench.results, progress=None, plugins=[Broken])
    with pytest.raises(UserError, match="metric 'broken' failed on sample 's0': ValueError: no such word"):
        own.combine(["m0", "m1", "m2"], way, metric="broken")


def command(bench: Bench, *arguments: str) -> Any:
    return CliRunner().invoke(main, ["combine", *arguments, "--results", str(bench.results)], env={"COLUMNS": "200"})


def test_the_command_prints_the_gain_or_that_there_is_none(bench: Bench) -> None:
    done = command(bench, "m0", "m1", "m2", "m3")
    assert done.exit_code == 0, done.output
    assert done.stdout.count("taken from") == 4
    assert "gain over the best member: " in done.stdout and "95 % interval" in done.stdout
    same = bench_with(bench.results.parent / "same", {"a": ["길."] * N, "b": ["길."] * N})
    assert "no gain over the best member: +0.00" in command(same, "a", "b").stdout
    told = json.loads(command(bench, "m0", "m1", "--by", "vote", "--json").stdout)
    assert told["gain"]["gained"] in (True, False) and [m["model"] for m in told["members"]] == ["m0", "m1"]


def test_what_may_not_be_combined_is_said(bench: Bench) -> None:
    other = frame(5, 200)
    bench.add_dataset("others", other)
    bench.score(pd.DataFrame({"id": other["id"], "summary": ["길."] * 5}), "elsewhere", "others", metrics=[METRIC])
    for runs, options, told in (
        (["m0", "elsewhere"], {}, "do not have the same dialogues"),
        (["m0", "m0"], {}, "is named twice"),
        (["m0"], {}, "has one summary per sample; give several runs, or sample"),
        (["m0", "m1"], {"weights": [1.0]}, "1 weights for 2 runs"),
        (["m0", "m1"], {"weights": [1.0, 0.0]}, "a weight must be more than 0"),
        (["m0", "m1"], {"measure": "rouge9"}, "no measure 'rouge9'"),
        (["m0", "m1"], {"by": "mrb"}, "unknown way to combine 'mrb'; did you mean 'mbr'"),
        (["m0", "m1"], {"learn_from": ["m2", "m3"]}, "only valid with --by route, not 'mbr'"),
        (["m0", "m1"], {"by": "route", "learn_from": ["m2"]}, "1 runs to learn from for 2 to combine"),
        (["m0", "m1"], {"by": "route", "learn_from": ["m2", "elsewhere"]}, "do not have the same dialogues"),
    ):
        with pytest.raises(UserError, match=told):
            bench.combine(runs, **options)  # type: ignore[arg-type]
    assert "give numbers separated by commas" in command(bench, "m0", "m1", "--weights", "a,b").output
