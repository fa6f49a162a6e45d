"""The served page and the vote: what they answer to whom, and what they show while another process writes."""

from __future__ import annotations

import csv
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser import chromium, complaints, need_browser, until
from click.testing import CliRunner
from report_results import make_results, run_spec, scores, shipped_samples

from dsum_bench.cli import main
from dsum_bench.report.live import LiveState
from dsum_bench.report.server import LivePage
from dsum_bench.report.votes import Ballot
from dsum_bench.spec import Generation, Output
from dsum_bench.store import reader
from dsum_bench.store.writer import ScoredOutput, Store

pytestmark = pytest.mark.xdist_group("browser")


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """``dsum-bench view`` as a process of its own, and its address."""
    command = [sys.executable, "-m", "dsum_bench", "view", "--results", str(folder), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("http://127.0.0.1:"), line
            yield line.split()[0], process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def ask(address: str, path: str = "", method: str = "GET", body: str | None = None, **headers: str) -> Any:
    parts = urlsplit(address + path)
    for _ in range(100):  # the address is told when the socket listens, which is before it is answered
        try:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
            connection.request(method, f"{parts.path}{f'?{parts.query}' if parts.query else ''}", body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode("utf-8")
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise AssertionError(f"nobody answers at {address}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_results(tmp_path, n=6)
    return tmp_path


def begin(store: Store, name: str, n: int, done: int) -> str:
    """A run in progress."""
    import random

    samples = shipped_samples(n)
    key = store.open_run(run_spec(name, n), "model")
    rows = [
        ScoredOutput(
            Output(Generation(s.id, f"요약 {s.id}", 99, 9, "stop", 0.5), f"요약 {s.id}"),
            scores(random.Random(1), 30, "요약"),
        )
        for s in samples[:done]
    ]
    store.add(key, rows, {s.id: i for i, s in enumerate(samples)})
    return key


# -- who is answered ------------------------------------------------------------------------------------------


def test_only_requests_to_its_own_address_from_its_own_page_are_answered(folder: Path) -> None:
    with served(folder) as (address, process):
        host = urlsplit(address).netloc
        status, headers, page = ask(address)
        assert status == 200 and "<!doctype html>" in page and "connect-src &#39;self&#39;" in page
        assert headers["x-frame-options"] == "DENY" and headers["cache-control"] == "no-store"
        assert ask(address, Host="evil.example")[0] == 421
        assert ask(address, Host=f"evil.example:{host.rpartition(':')[2]}")[0] == 421
        assert ask(address, "live", Origin="http://evil.example")[0] == 403
        assert ask(address, "live", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
        assert ask(address, "live", Origin="null")[0] == 403
        assert ask(address, "live", Origin=f"http://{host}", **{"Sec-Fetch-Site": "same-origin"})[0] == 200
        assert ask(address, "live", method="POST", body="{}")[0] == 405
        assert ask(f"http://{host}/")[0] == 404
        assert ask(f"http://{host}/{'a' * 22}/live")[0] == 404
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


def test_a_port_that_is_taken_is_said(folder: Path) -> None:
    with served(folder) as (address, _):
        port = str(urlsplit(address).port)
        done = CliRunner().invoke(main, ["view", "--results", str(folder), "--port", port])
        assert done.exit_code == 2 and f"port {port} cannot be used" in done.output


# -- what is shown --------------------------------------------------------------------------------------------


def test_progress_rate_and_time_left_follow_the_writer(folder: Path) -> None:
    now = [0.0]
    path = folder / "dsum.db"
    live = LiveState(path, clock=lambda: now[0])
    before = live.state()["stamp"]
    with Store.open(path) as store:
        begin(store, "slow", 12, 2)
        now[0] = 10.0
        (run,) = live.state()["running"]
        assert (run["model"], run["done"], run["total"], run["rate"]) == ("slow", 2, 12, 2.0)
        begin(store, "slow", 12, 7)
        now[0] = 20.0
        (run,) = live.state()["running"]
        assert (run["done"], run["rate"], run["left"], run["quiet"]) == (7, 0.5, 10.0, 0.0)
        assert [s["sample_id"] for s in run["last"]] == ["dev_6", "dev_5", "dev_4", "dev_3"]
        now[0] = 20.5
        begin(store, "slow", 12, 9)
        assert live.state()["running"][0]["done"] == 7  # asked again within a second, the database is left alone
        now[0] = 320.0
        assert live.state()["running"][0]["done"] == 9
        now[0] = 400.0
        assert live.state()["running"][0]["quiet"] == 80.0
        key = reader.run(path, "slow").row.run_id
        store.close_run(key, "partial", "interrupted")
    now[0] = 500.0
    assert live.state()["running"] == [] and live.state()["stamp"] != before


def test_nobody_has_begun_yet(tmp_path: Path) -> None:
    assert LiveState(tmp_path / "dsum.db").state()["running"] == []
    with served(tmp_path) as (address, _):
        assert ask(address)[0] == 200 and json.loads(ask(address, "live")[2])["counts"] == {}


@pytest.mark.parametrize(("takes", "rest"), [(0.0, 5.0), (2.0, 40.0)])
def test_pages_are_made_in_a_twentieth_of_the_time_and_asked_for_when_there_is_one(
    folder: Path, takes: float, rest: float
) -> None:
    """takes: seconds of a processor that a page costs; rest: seconds until the next one."""
    path, now, worked = folder / "dsum.db", 0.0, itertools.count(step=takes)
    live = LivePage(path, LiveState(path, lambda: now), lambda: now, lambda: next(worked))
    first = live.page()
    with Store.open(path) as store:
        store.close_run(begin(store, "night-model", 6, 6), "done")
    now = rest - 0.1
    seen = live.state()["stamp"]
    assert f'"{seen}"' in first
    assert live.page() == first
    now = rest + 1.1
    assert live.state()["stamp"] != seen
    assert "night-model" in live.page()


def test_the_page_shows_a_run_in_progress_and_its_results_when_they_are_there(folder: Path) -> None:
    need_browser()
    with served(folder) as (address, process), chromium(offline=False) as driver:
        with Store.open(folder / "dsum.db") as store:
            key = begin(store, "night-model", 6, 4)
            driver.get(address)
            until(driver, "return document.querySelector('#live progress')?.getAttribute('value') === '4'")
            assert "dev_3" in driver.execute_script("return document.getElementById('live').textContent")
            begin(store, "night-model", 6, 6)
            until(driver, "return document.querySelector('#live progress')?.getAttribute('value') === '6'")
            store.close_run(key, "done")
        until(
            driver,
            "return [...document.querySelectorAll('table.ranked th a')].some(a => a.textContent === 'night-model')",
        )
        assert complaints(driver) == []
        process.send_signal(signal.SIGINT)
        until(driver, "return document.getElementById('live').textContent.includes('stopped')")


# -- the vote -------------------------------------------------------------------------------------------------


def test_a_vote_is_blind_drawn_for_each_voter_and_resumed(folder: Path) -> None:
    path, file = folder / "dsum.db", folder / "votes.csv"
    ballot = Ballot.open(path, ["kobart beam4", "qwen25-7b"], file)
    asked = ballot.questions("kim")
    assert len(asked) == 6 and ballot.questions("kim") == asked
    assert ballot.questions("lee") != asked
    assert len({q.first for q in ballot.questions("kim") + ballot.questions("lee")}) == 2
    told = json.dumps(ballot.next("kim"), ensure_ascii=False)
    assert {q.first for q in asked} <= {"qwen25-7b", reader.run(path, "kobart beam4").row.run_id}  # two kobarts
    assert not any(run in told for run in (asked[0].first, asked[0].second, "kobart", "qwen"))
    for place, choice in enumerate(("first", "second", "tie")):
        ballot.vote("kim", place, choice)
    again = Ballot.open(path, ["kobart beam4", "qwen25-7b"], file).next("kim")
    assert (again["left"], again["total"], again["item"]) == (3, 6, 3)
    rows = list(csv.DictReader(file.open(encoding="utf-8", newline="")))
    assert [(r["voter"], r["sample_id"], r["first"], r["second"], r["choice"]) for r in rows] == [
        ("kim", q.sample_id, q.first, q.second, c) for q, c in zip(asked, ("first", "second", "tie"), strict=False)
    ]
    with pytest.raises(ValueError, match="no such"):
        ballot.vote("=cmd|' /C calc'!A0", 0, "first")
    with pytest.raises(ValueError, match="no such"):
        ballot.vote("kim", 99, "first")


def test_votes_are_counted_by_the_command_that_counts_votes(folder: Path) -> None:
    file = folder / "votes.csv"
    with Store.open(folder / "dsum.db") as store:
        store.rename(reader.run(folder / "dsum.db", "kobart beam4").row.run_id, "beams")
    ballot = Ballot.open(folder / "dsum.db", ["beams", "qwen25-7b"], file)
    for voter in ("kim", "lee"):
        for place, question in enumerate(ballot.questions(voter)):
            ballot.vote(voter, place, "second" if question.first == "qwen25-7b" else "first")
    done = CliRunner().invoke(main, ["votes", str(file), "--results", str(folder)])
    assert done.exit_code == 0, done.output
    assert done.output.index("beams") < done.output.index("qwen25-7b")


def test_people_vote_by_keyboard(folder: Path) -> None:
    need_browser()
    from selenium.webdriver.common.action_chains import ActionChains

    with served(folder, "--vote", "kobart beam4", "qwen25-7b") as (address, _), chromium(offline=False) as driver:
        driver.get(address)
        until(driver, "return !!document.getElementById('voter')")
        driver.execute_script(
            "document.getElementById('voter').value = '김 하나'; document.querySelector('#who button').click()"
        )
        for number, key in enumerate("120120"):
            until(driver, "return document.getElementById('progress').textContent === arguments[0]", f"{number} / 6")
            ActionChains(driver).send_keys(key).perform()
        until(driver, "return !document.getElementById('done').hidden")
        assert complaints(driver) == []
        host = urlsplit(address).netloc
        vote = json.dumps({"voter": "x", "item": 0, "choice": "tie"})
        kind = {"Content-Type": "application/json"}
        assert ask(address, "vote", "POST", vote, Origin="http://evil.example", **kind)[0] == 403
        assert ask(address, "vote", "POST", vote, Origin=f"http://{host}", **{"Content-Type": "text/plain"})[0] == 400
        assert ask(address, "vote", "POST", "[]", **kind)[0] == 400
    rows = list(csv.DictReader((folder / "votes.csv").open(encoding="utf-8", newline="")))
    assert [r["choice"] for r in rows] == ["first", "second", "tie"] * 2
    assert {r["voter"] for r in rows} == {"김 하나"}


def test_a_vote_needs_runs_of_the_same_dialogues_that_are_stored(folder: Path, tmp_path: Path) -> None:
    def said(*arguments: str, results: Path = folder) -> str:
        done = CliRunner().invoke(main, ["view", "--results", str(results), *arguments])
        assert done.exit_code == 2
        return done.output

    assert "two runs or more" in said("--vote", "qwen25-7b")
    assert "only valid with --vote" in said("qwen25-7b")
    make_results(tmp_path / "bare", n=4, dialogues=False)
    assert "keeps no dialogues" in said("--vote", "exaone-2.4b", "qwen25-7b", results=tmp_path / "bare")
