"""The ledger: what is written, what is told, and where a run's scores here are found."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from dsum_bench import Bench, UserError
from dsum_bench.cli import main
from dsum_bench.submissions import ledger

N = 30
METRIC = "rouge@char"


def frame(n: int = N, start: int = 0) -> pd.DataFrame:
    rows = []
    for i in range(start, start + n):
        dialogue = f"#Person1#: {i}번 길이 어디예요?\n#Person2#: 저기요.\n#Person1#: 네 {i}."
        rows.append({"id": f"s{i}", "dialogue": dialogue, "summary": f"{i}번 길을 묻는다."})
    return pd.DataFrame(rows)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(results=tmp_path / "results", progress=None)
    made.add_dataset("roads", frame())
    generator = np.random.default_rng(1)
    for name, share in (("good", 0.9), ("fair", 0.6), ("poor", 0.3)):
        texts = [t if generator.random() < share else "모른다." for t in frame()["summary"]]
        made.score(pd.DataFrame({"id": frame()["id"], "summary": texts}), name, "roads", metrics=[METRIC])
    return made


def call(bench: Bench, *arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["submissions", *arguments, "--results", str(bench.results)])
    assert done.exit_code == code, done.output
    return done.output


def test_a_submission_is_a_row_that_a_person_can_read(bench: Bench) -> None:
    printed = call(bench, "add", "good", "--public", "47.1", "--note", "first, try", "--when", "2026-11-23T07:07")
    assert "good (" in printed and "public 47.10" in printed
    with bench.ledger.open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    key = bench.run("good").row.run_id
    assert row == {
        "when": "2026-11-23T07:07", "run": key, "local": key, "model": "good", "public": "47.1", "private": "",
        "note": "first, try",
    }  # fmt: skip


def test_adding_a_run_again_adds_its_private_score_and_keeps_the_time(bench: Bench) -> None:
    call(bench, "add", "good", "--public", "47.1", "--note", "mine", "--when", "2026-11-23T07:07")
    call(bench, "add", "fair", "--public", "45")
    call(bench, "add", "good", "--public", "47.1", "--private", "46.4")
    table = bench.submissions()
    assert list(table["model"]) == ["good", "fair"]
    assert table["private"].tolist()[0] == 46.4 and np.isnan(table["private"].tolist()[1])
    assert table["note"].tolist()[0] == "mine" and ledger.read(bench.ledger)[0].when == "2026-11-23T07:07"
    assert table["local"].tolist()[0] == pytest.approx(bench.scores("good", METRIC)["mean"].mean())


def test_submissions_of_today_are_counted(bench: Bench) -> None:
    call(bench, "add", "good", "--public", "47.1", "--when", "2001-01-01T10:00")
    assert "1 of 12 submissions today" in call(bench, "add", "fair", "--public", "45")
    over = call(bench, "add", "poor", "--public", "40", "--a-day", "1")
    assert "2 of 1 submissions today: more than are allowed" in over
    listed = call(bench, "list")
    assert "2001-01-01 10:00" in listed and "2 of 12 submissions today" in listed


def test_a_run_on_a_test_split_has_the_scores_of_the_same_model_here(bench: Bench) -> None:
    bench.screen("lead-3", "roads", controls=False, metrics=[METRIC])
    bench.add_dataset("test", frame(6, 100).drop(columns="summary"))
    bench.predict("lead-3", dataset="test")
    (handed_in,) = [r.row.run_id for r in map(bench.run, bench.runs()["run_id"]) if r.dataset == "test"]
    made = bench.add_submission(handed_in, 31.0)
    assert bench.run(made.local).dataset == "roads" and made.run == handed_in
    elsewhere = bench.add_submission("good", 40.0, local="fair")
    assert elsewhere.local == bench.run("fair").row.run_id


def test_the_forecast_names_what_to_hand_in(bench: Bench) -> None:
    for name, public in (("good", 47.0), ("fair", 44.0), ("poor", 30.0)):
        bench.add_submission(name, public)
    found = bench.forecast()
    assert [s.model for s in found.chosen] == ["good", "fair"] and found.n == N
    assert found.local == pytest.approx([bench.scores(m, METRIC)["mean"].mean() for m in ("good", "fair", "poor")])
    printed = call(bench, "choose", "--public-size", "250", "--private-size", "249")
    chosen = [line for line in printed.splitlines() if line.endswith("<- choose")]
    assert len(chosen) == 2 and "good" in chosen[0]
    assert "a point here is worth" in printed and "80 % power" in printed
    told = json.loads(call(bench, "choose", "--json"))
    assert told["chosen"] == [s.run for s in found.chosen] and len(told["submissions"]) == 3
    rows = json.loads(call(bench, "list", "--json"))
    assert [row["public"] for row in rows] == [47.0, 44.0, 30.0] and rows[0]["private"] is None


def test_what_has_no_scores_here_is_left_out_and_named(bench: Bench) -> None:
    bench.add_dataset("test", frame(6, 100).drop(columns="summary"))
    bench.predict("lead-3", dataset="test")
    for name, public in (("good", 47.0), ("fair", 44.0), ("lead-3", 30.0)):
        bench.add_submission(name, public)
    assert [s.model for s in bench.forecast().left_out] == ["lead-3"]
    assert "left out: lead-3" in call(bench, "choose")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("when,run\n2026-11-23,a\n", "row 1: no 'public'"),
        ("when,run,public\nyesterday,a,40\n", "row 1, column 'when': 'yesterday' is no time"),
        ("when,run,public\n2026-11-23,a,many\n", "row 1, column 'public': 'many' is no score between 0 and 100"),
        ("when,run,public\n2026-11-23,a,140\n", "'140' is no score between 0 and 100"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / ledger.FILE
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        ledger.read(file)


def test_what_is_in_the_way_is_said(bench: Bench) -> None:
    assert "no submissions yet" in call(bench, "list")
    assert "0 of 0 submissions have local scores, at least two are needed" in call(bench, "choose", code=2)
    assert "no score between 0 and 100" in call(bench, "add", "good", "--public", "140", code=2)
    assert "is not a valid time" in call(bench, "add", "good", "--public", "40", "--when", "gestern", code=2)
    assert not bench.ledger.exists()


def test_a_file_that_is_changed_by_hand_keeps_its_rows(tmp_path: Path) -> None:
    file = tmp_path / ledger.FILE
    first: Any = ledger.Submission("2026-11-23T07:07", "a", "", "m", 40.0, 39.5, '비고, "x"')
    assert ledger.add(file, first) == [first]
    file.write_text(file.read_text(encoding="utf-8").replace("40.0", "41"), encoding="utf-8-sig")
    (read,) = ledger.read(file)
    assert read.public == 41 and read.note == first.note
