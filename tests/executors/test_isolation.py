"""One model's end is never another's: workers that exit, raise, crash, hang or are killed, and a killed sweep.

Everything goes through the command line in processes of its own, as a user's sweep does.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Dsum, patience, wait_until

PLUGIN = Path(__file__).parents[1] / "support" / "faulty_engines.py"
FAULTS = ("exits", "raises", "killed", "crashes", "hangs")
TEXT = "#Person1#은 #Person2#에게 이야기를 합니다."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    entries = [
        f'[models.{name}]\nadapter = "constant"\nengine = "{name}"\nparams = {i}\noptions = {{ text = "{TEXT}" }}\n'
        for i, name in enumerate((*FAULTS, "slow", "refuses-some", "refuses-all"))
    ]
    (tmp_path / "registry.toml").write_text(f'plugins = ["{PLUGIN}"]\n' + "\n".join(entries), encoding="utf-8")
    return tmp_path


def rows(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Model, sample and summary of every stored output."""
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        sql = "select model, sample_id, summary from outputs join runs on runs.id = run_id order by 1, position"
        yield from db.execute(sql).fetchall()


def statuses(folder: Path) -> dict[str, tuple[str, str]]:
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        return {m: (s, r) for m, s, r in db.execute("select model, status, reason from runs")}


def test_a_failing_worker_is_reported_and_the_others_finish(dsum: Dsum, folder: Path) -> None:
    done = dsum("screen", "--no-controls", *FAULTS, "lead-3", "--limit", "6", "--hang-timeout", "4")
    assert done.returncode == 1, done.stderr
    found = statuses(folder)
    assert found["lead-3"] == ("done", "")
    assert {name: found[name][0] for name in FAULTS} == dict.fromkeys(FAULTS, "failed")
    assert "ended with code 3" in found["exits"][1]
    assert "ZeroDivisionError: a fault with [red]brackets[/red] in it" in found["raises"][1]
    assert "killed by the system (SIGKILL), usually because memory ran out" in found["killed"][1]
    assert "SIGSEGV" in found["crashes"][1]
    assert "hung: no sign of life" in found["hangs"][1]
    assert "Traceback" not in done.stdout + done.stderr
    # What was finished before the fault is kept, and no failure counts as a score.
    kept = [m for m, _, _ in rows(folder)]
    assert {name: kept.count(name) for name in (*FAULTS, "lead-3")} == dict.fromkeys(FAULTS, 2) | {"lead-3": 6}
    boards = json.loads(dsum("leaderboard", "--json").stdout)
    assert "[red]brackets[/red]" in dsum("leaderboard").stdout.replace("\n", " ")
    text = json.dumps(boards)
    assert "ZeroDivisionError" in text


@pytest.mark.parametrize("after", [3, 11, 17])
def test_a_killed_sweep_resumes_and_gives_the_results_of_an_uninterrupted_one(
    dsum: Dsum, folder: Path, after: int
) -> None:
    sweep = ("screen", "--no-controls", "slow", "lead-3", "--limit", "20")
    whole = folder / "whole"
    whole.mkdir()
    assert dsum(*sweep, "--results", str(whole / "results")).returncode == 0

    process = dsum.start(*sweep, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_rows(folder, after)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert board(dsum)["slow"] == "partial"  # it is stored as running, but nobody writes any longer
    before = [r for r in rows(folder) if r[0] == "slow"]
    assert after <= len(before) < 20
    wait_until_no_worker_is_left(folder)

    again = dsum(*sweep)
    assert again.returncode == 0, again.stderr
    assert f"{len(before)} of 20 samples" in again.stdout
    assert list(rows(folder)) == list(rows(whole))
    assert statuses(folder) == {"slow": ("done", ""), "lead-3": ("done", "")}
    assert means(folder) == means(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_asked_to_end_keeps_everything_finished(
    dsum: Dsum, folder: Path, number: signal.Signals
) -> None:
    process = dsum.start(
        "screen",
        "--no-controls",
        "slow",
        "--limit",
        "30",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for_rows(folder, 5)
    assert board(dsum) == {"slow": "running"}
    os.killpg(process.pid, number)  # a terminal sends it to the whole group
    _, errors = process.communicate(timeout=patience())
    assert process.returncode == 128 + number
    assert "Traceback" not in errors
    assert statuses(folder)["slow"][0] == "partial"
    assert statuses(folder)["slow"][1].startswith("interrupted")
    kept = len(list(rows(folder)))
    assert 5 <= kept < 30
    assert dsum("screen", "--no-controls", "slow", "--limit", "30").returncode == 0
    assert len(list(rows(folder))) == 30


def test_a_model_over_its_time_budget_stops_and_keeps_its_samples(dsum: Dsum, folder: Path) -> None:
    done = dsum("screen", "--no-controls", "slow", "--limit", "40", "--time-budget", "2")
    status, reason = statuses(folder)["slow"]
    assert status == "partial"
    assert "over its time budget" in reason and "2 s allowed" in reason
    assert 0 < len(list(rows(folder))) < 40
    assert "Traceback" not in done.stdout + done.stderr


def board(dsum: Dsum) -> dict[str, str]:
    """Model and status as the leaderboard shows them."""
    (found,) = json.loads(dsum("leaderboard", "--json").stdout)
    return {row["model"]: row["status"] for row in found["others"]}


def means(folder: Path) -> list[tuple[str, str, float]]:
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        sql = """select model, signature, measure, round(mean, 9), n from aggregates join runs on runs.id = run_id
            join signatures on signatures.id = signature_id order by 1, 2, 3"""
        return db.execute(sql).fetchall()


def wait_for_rows(folder: Path, count: int) -> None:
    """Return once the slow model has that many."""
    database = folder / "results" / "dsum.db"

    def there() -> bool:
        try:
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
                sql = "select count(*) from outputs join runs on runs.id = run_id where model = 'slow'"
                return bool(db.execute(sql).fetchone()[0] >= count)
        except sqlite3.OperationalError:
            return False  # the tables are not there yet

    wait_until(there, f"{count} rows")


def wait_until_no_worker_is_left(folder: Path) -> None:
    """Workers of a killed sweep end by themselves."""
    psutil = pytest.importorskip("psutil")
    workers = lambda: [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(folder)]  # noqa: E731
    wait_until(lambda: not workers(), "the workers of a killed sweep end")


def test_a_refused_sample_loses_no_other_and_is_not_generated_again(dsum: Dsum, folder: Path) -> None:
    done = dsum("screen", "--no-controls", "refuses-some", "--limit", "6")
    assert done.returncode == 0, done.stderr
    assert statuses(folder) == {"refuses-some": ("done", "")}
    kept = list(rows(folder))
    assert [summary for _, _, summary in kept] == [TEXT, "", *[TEXT] * 4]
    shown = dsum("show", "refuses-some", "--samples", "6").stdout
    assert shown.count("refused") == 1
    assert "noted: too long for [this] server" in shown
    again = dsum("screen", "--no-controls", "refuses-some", "--limit", "6")
    assert "started" not in again.stdout + again.stderr
    assert list(rows(folder)) == kept


@pytest.mark.parametrize("limit", [3, 16])
def test_a_run_in_which_all_is_refused_is_failed_without_a_score_and_asked_for_again(
    dsum: Dsum, folder: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSE", "1")
    done = dsum("screen", "--no-controls", "refuses-all", "--limit", str(limit))
    assert done.returncode == 1
    ((status, reason),) = statuses(folder).values()
    assert status == "failed"
    assert "every sample was refused" in reason
    assert "too long for [this] server" in reason
    assert list(rows(folder)) == []
    monkeypatch.delenv("REFUSE")
    assert dsum("screen", "--no-controls", "refuses-all", "--limit", str(limit)).returncode == 0
    assert [summary for _, _, summary in rows(folder)] == [TEXT] * limit
