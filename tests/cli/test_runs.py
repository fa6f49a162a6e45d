"""The commands that keep runs to hand: ``runs``, ``rename``, ``delete``, ``rescore``, ``merge``, ``export-runs``."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from report_results import make_results, shipped_samples
from rouge import Rouge

from dsum_bench.cli import main
from dsum_bench.store import reader


def call(*arguments: str, code: int = 0, typed: str | None = None) -> Result:
    done = CliRunner(env={"COLUMNS": "120"}).invoke(main, arguments, input=typed, catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_results(tmp_path / "results", n=6)
    return tmp_path / "results"


def keys(folder: Path) -> list[str]:
    return [r.row.run_id for r in reader.runs(folder / "dsum.db")]


def test_runs_are_listed_with_what_tells_them_apart(folder: Path) -> None:
    lines = call("runs", "--results", str(folder)).output.splitlines()
    kobart = [line for line in lines if "kobart" in line]
    assert len(lines) == 2 + 7 and len(kobart) == 2
    assert "beam4" in kobart[1] and "greedy" in kobart[0]
    assert any("skipped" in line for line in lines)


def test_words_and_status_filter_the_list(folder: Path) -> None:
    found = json.loads(call("runs", "KOBART", "beam4", "--results", str(folder), "--json").output)
    assert [(row["model"], row["decoding"]) for row in found] == [("kobart", "beam4")]
    found = json.loads(call("runs", "--status", "skipped", "--results", str(folder), "--json").output)
    assert [row["model"] for row in found] == ["solar-10.7b"]
    assert "no run" in call("runs", "nothing", "--results", str(folder), code=2).output


def test_a_renamed_run_is_listed_shown_and_compared_by_its_name(folder: Path) -> None:
    call("rename", "kobart beam4", "best", "--results", str(folder))
    assert "best" in call("runs", "--results", str(folder)).output
    assert "kobart" in call("show", "best", "--results", str(folder)).output
    assert "qwen25-7b" in call("compare", "best", "qwen25-7b", "--results", str(folder)).output


def test_deleting_asks_and_takes_the_dialogues_of_the_last_run(folder: Path) -> None:
    before = keys(folder)
    call("delete", "exaone-2.4b", "--results", str(folder), typed="n\n", code=1)
    assert keys(folder) == before
    call("delete", "exaone-2.4b", "--results", str(folder), typed="y\n")
    assert len(keys(folder)) == len(before) - 1
    call("delete", *keys(folder)[:-1], "--yes", "--results", str(folder))
    with sqlite3.connect(folder / "dsum.db") as db:
        assert db.execute("select count(*) from outputs").fetchone() == (0,)


def test_rescore_gives_every_run_a_metric_without_generating(folder: Path) -> None:
    done = call("rescore", "--metric", "rouge@char", "--results", str(folder))
    assert done.output.count("6 samples scored") == 6
    path = folder / "dsum.db"
    record = reader.run(path, "qwen25-7b")
    (scores,) = [s for s in record.scores if s.metric == "rouge@char"]
    samples = {s.id: s for s in shipped_samples(6)}
    values = []
    for output in reader.samples(path, record.row.run_id):
        spaced = " ".join(output.summary.replace(" ", ""))
        references = [" ".join(text.replace(" ", "")) for text in samples[output.sample_id].references]
        found = [Rouge().get_scores(spaced, reference)[0]["rouge-1"]["f"] for reference in references]
        values.append(100 * sum(found) / len(found))
    assert scores.means["rouge1"] == pytest.approx(sum(values) / len(values), abs=0.01)
    assert scores.n == 6 and record.row.status == "done"
    again = call("rescore", "qwen25-7b", "--metric", "rouge@char", "--results", str(folder))
    assert "0 samples scored" in again.output


def test_rescore_says_which_runs_have_no_dialogues(tmp_path: Path) -> None:
    make_results(tmp_path, n=4, dialogues=False)
    done = call("rescore", "--metric", "rouge@char", "--results", str(tmp_path), code=1)
    assert done.output.count("the database keeps no dialogues of it") == 6


def test_an_export_is_one_file_that_merge_reads(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "out" / "two.db"
    call("export-runs", "kobart beam4", "constant", "-o", str(file), "--results", str(folder))
    assert not [p for p in file.parent.iterdir() if "wal" in p.name or "shm" in p.name]
    done = call("merge", str(file), "--results", str(tmp_path / "new"))
    assert "2 runs added" in done.output
    assert {r.row.model for r in reader.runs(tmp_path / "new" / "dsum.db")} == {"kobart", "constant"}


def test_show_sample_puts_dialogue_references_and_every_summary_together(folder: Path) -> None:
    sample = shipped_samples(3)[2]
    text = call("show", "--sample", sample.id, "--results", str(folder)).output
    assert all(
        part in text for part in (*sample.dialogue.split("\n")[0].split()[:3], *sample.references[0].split()[:4])
    )
    assert all(name in text for name in ("constant", "kobart", "llama32-3b", "qwen25-7b", "exaone-2.4b"))
    scores = [float(line.split()[0]) for line in text.splitlines() if line[:1].isdigit()]
    assert len(scores) == 6 and scores == sorted(scores, reverse=True)
    bare = call("show", "--sample", sample.id, "--no-dialogues", "--results", str(folder)).output
    assert sample.dialogue.split("\n")[0][:12] not in bare and "kobart" in bare
    assert "dev_2" in call("show", "--sample", "dev_22", "--results", str(folder), code=2).output


def test_show_prints_the_dialogue_of_each_sample_it_shows(folder: Path) -> None:
    first = shipped_samples(1)[0]
    text = call("show", "qwen25-7b", "--samples", "1", "--results", str(folder)).output
    assert first.dialogue.split("\n")[0][:20] in text and "reference:" in text
    text = call("show", "qwen25-7b", "--samples", "1", "--no-dialogues", "--results", str(folder)).output
    assert first.dialogue.split("\n")[0][:20] not in text


def test_one_call_scores_many_files(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        files.append(tmp_path / f"system{number}.csv")
        with files[-1].open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["id", "summary"])
            writer.writerows((s.id, s.references[0][: 10 + 10 * number]) for s in shipped_samples(40))
    results = ["--results", str(tmp_path / "r"), "--metric", "rouge@char"]
    call("score", *map(str, files), *results)
    found: Any = json.loads(
        call("leaderboard", "--results", str(tmp_path / "r"), "--metric", "rouge@char", "--json").output
    )
    assert [row["model"] for row in found[0]["ranked"]] == ["system2", "system1", "system0"]
    assert (
        "--name is only valid with one file" in call("score", *map(str, files), "--name", "x", *results, code=2).output
    )
    assert (
        "would both be named" in call("score", str(files[0]), f"{tmp_path}/other/system0.csv", *results, code=2).output
    )
