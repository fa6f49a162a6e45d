"""Boards for programs: JSON, CSV and Markdown say the same."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from printing import CLOSING, MARKUP, lines, run_command
from store_runs import (
    SIGNATURE,
    make_run,
    measures,
    open_store,
)


def test_json_holds_every_field_in_full_precision(results: Path) -> None:
    (board,) = json.loads(run_command("leaderboard", "--results", str(results), "--json"))
    assert board["signature"] == SIGNATURE
    assert [(row["rank"], row["model"]) for row in board["ranked"]] == [
        (1, f"한국어-요약-{MARKUP}"),
        (2, "constant"),
        (3, "smollm2-135m-instruct"),
        (3, "twin"),
        (5, "smollm2-135m-instruct"),
    ]
    exact = {name: sum(measures(42.0 + i)[name] for i in range(4)) / 4 for name in measures(0)}
    assert board["ranked"][0]["means"] == pytest.approx(exact, abs=1e-12)
    assert [row["reason"] for row in board["others"]][1:] == ["no config.json", CLOSING]
    assert run_command("leaderboard", "--results", str(results), "--format", "json") == run_command(
        "leaderboard", "--results", str(results), "--json"
    )


def test_csv_agrees_with_json(results: Path) -> None:
    (board,) = json.loads(run_command("leaderboard", "--results", str(results), "--json"))
    records = list(
        csv.DictReader(io.StringIO(run_command("leaderboard", "--results", str(results), "--format", "csv")))
    )
    expected = [*board["ranked"], *board["others"]]
    assert [r["run_id"] for r in records] == [row["run_id"] for row in expected]
    for record, row in zip(records, expected, strict=True):
        assert record["dataset"] == "talks"
        for name in ("model", "reason", "treatment", "status"):
            assert record[name] == row[name]
        for name in ("params", "peak_memory", "n", "seconds_per_sample", "rank"):
            assert record[name] == ("" if row.get(name) is None else str(row[name]))
        assert {m: float(record[m]) for m in row["means"]} == row["means"]


def test_csv_keeps_awkward_text_in_its_field(tmp_path: Path) -> None:
    reason = 'first, "quoted"\nsecond; 한글'
    with open_store(tmp_path / "dsum.db") as store:
        store.record(make_run("a,b"), "model", "failed", reason)
    text = run_command("leaderboard", "--results", str(tmp_path), "--format", "csv")
    (record,) = csv.DictReader(io.StringIO(text))
    assert (record["model"], record["reason"]) == ("a,b", reason)


def test_markdown_is_a_table_whatever_the_names_are(results: Path, tmp_path: Path) -> None:
    text = run_command("leaderboard", "--results", str(results), "--format", "markdown")
    table = [line for line in lines(text) if line.startswith("| ")]
    assert {line.replace("\\|", "").count("|") for line in table[:7]} == {15}
    assert "| 1 | 한국어-요약-\\[red\\]x\\[/red\\] | 3.21B | zero-shot | 43.50 | 10.88 |" in text
    assert "| 2\\* | constant |" in text
    with open_store(tmp_path / "dsum.db") as store:
        store.record(make_run("a|b"), "model", "failed", "one\n<b>two</b> | three")
    text = run_command("leaderboard", "--results", str(tmp_path), "--format", "markdown")
    assert "| a\\|b | zero-shot | failed | one \\<b\\>two\\</b\\> \\| three |" in text
