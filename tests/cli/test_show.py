"""What ``show`` prints of a run."""

from __future__ import annotations

import json
from pathlib import Path

from printing import run_command
from store_runs import (
    METRIC,
    SIGNATURE,
    make_run,
    open_store,
    positions,
    scored,
)

from dsum_bench.spec import RunSpec


def test_show_prints_settings_scores_and_samples_as_they_are(tmp_path: Path) -> None:
    summary = "#Person1#은 [bold]웃었다[/bold] \x1b[31m[/]"
    with open_store(tmp_path / "dsum.db") as store:
        key = store.open_run(make_run("m[/]", n=2), "model")
        store.add(key, [scored(0, 10.0, summary), scored(1, 4.0, finish="length")], positions(2))
        store.close_run(key, "done", peak_memory=2**30)
    text = run_command("show", "m[/]", "--results", str(tmp_path))
    assert key in text
    assert "m[/] 135M" in text
    assert "요약: {dialogue}" in text
    assert "#Person1#은 [bold]웃었다[/bold] \ufffd[31m[/]" in text
    assert "s1  R1 4.00, R2 1.00, RL 3.00, sum 8.00, mean 2.67, 20 tokens, 0.50 s, cut by" in text
    assert "2 finished; 0 trimmed prompts, 1 outputs cut, 0 empty" in text
    assert SIGNATURE in text


def test_show_worst_and_best(results: Path) -> None:
    def first(*options: str) -> str:
        text = run_command("show", "twin", "--results", str(results), "--json", "--samples", "1", *options)
        sample: str = json.loads(text)["samples"][0]["sample_id"]
        return sample

    assert (first(), first("--worst"), first("--best")) == ("s0", "s0", "s3")


def test_show_json_holds_the_whole_specification(results: Path) -> None:
    found = json.loads(run_command("show", "twin", "--results", str(results), "--json"))
    spec: RunSpec = make_run("twin", 10_700_000_000)
    assert found["spec"]["model"]["params"] == spec.model.params
    assert found["spec"]["prompt"]["user"] == "요약: {dialogue}"
    assert [s["output"] for s in found["samples"]] == ["출력: 요약"] * 3
    assert found["scores"][0]["metric"] == METRIC
