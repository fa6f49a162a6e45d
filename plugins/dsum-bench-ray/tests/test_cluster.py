"""A real Ray cluster of three nodes on this machine; nodes, workers and commands that die."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from clusters import cluster, dialogues, node, waiting
from dsum_bench_ray import probe

from dsum_bench import Bench, ModelSpec, ProgressEvent
from dsum_bench.errors import UserError

pytestmark = pytest.mark.slow

MODEL = ModelSpec("waiter", "constant", engine="waits", options={"text": "#Person1#은 안건을 말한다."}, params=0)
CONTROLS = ("lead-3", "longest-3", "constant-ko")


@pytest.fixture(scope="module")
def made() -> Iterator[Any]:
    with cluster(3) as found:
        yield found


def screen(folder: Path, address: str | None, models: Any = (MODEL,), count: int = 120, **options: Any) -> Any:
    """Screen without controls on the cluster, or locally without an address. engine: a plugin file."""
    where = {"executor": "ray", "address": address} if address else {}
    engine = options.pop("engine", None)
    progress = options.pop("progress", None)
    bench = Bench(results=folder / "results", plugins=[engine] if engine else [], progress=progress)
    options = {"metrics": ["rouge@char"], "controls": False} | options
    return bench.screen(list(models), dialogues(count), **where, **options)


def everything(folder: Path) -> dict[str, Any]:
    """What is stored of each run but times and memory, in the order of samples."""
    with closing(sqlite3.connect(folder / "results" / "dsum.db")) as db:
        runs = db.execute("select id, model, status, n_samples, trimmed, cut, empty from runs order by id").fetchall()
        outputs = db.execute("select run_id, sample_id, position, output, summary, finish from outputs order by 1, 2")
        findings = db.execute("select run_id, stage, code, level, text, hit, total from findings order by 1, 2, 3, 4")
        scores = db.execute("select run_id, samples, measure, data from score_parts join score_columns on part_id = id")
        return {
            "runs": runs,
            "outputs": outputs.fetchall(),
            "findings": findings.fetchall(),
            "scores": sorted(scores.fetchall()),
        }


def rows(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "results" / "dsum.db")) as db:
        return [sample for (sample,) in db.execute("select sample_id from outputs order by position")]


def stored(folder: Path) -> tuple[str, str]:
    with closing(sqlite3.connect(folder / "results" / "dsum.db")) as db:
        status, reason = db.execute("select status, reason from runs").fetchone()
        return status, reason


def test_doctor_shows_the_nodes(made: Any, tmp_path: Path) -> None:
    found = Bench(results=tmp_path, progress=None).doctor(executor="ray", address=made.address)
    assert [d.verdict for d in found] == ["ok"] * 3
    assert all(d.about.startswith("node ") and "1 CPU core for Ray" in d.text for d in found)


def test_what_is_stored_equals_the_local_executors(made: Any, tmp_path: Path) -> None:
    engine = waiting(tmp_path)
    for name, address in (("here", None), ("there", made.address)):
        done = screen(tmp_path / name, address, [*CONTROLS, MODEL], engine=engine)
        assert [run.status for run in done.runs] == ["done"] * 4
    assert everything(tmp_path / "there") == everything(tmp_path / "here")


def test_a_sample_that_kills_costs_few_others_and_no_node(made: Any, tmp_path: Path) -> None:
    engine = waiting(tmp_path, poison="s50", fault="kill")
    done = screen(tmp_path, made.address, engine=engine)
    status, reason = stored(tmp_path)
    there = rows(tmp_path)
    assert status == "failed" and [run.status for run in done.runs] == ["failed"]
    assert "left out" in reason and "killed by the system (SIGKILL)" in reason
    assert "s50" not in there and 120 - 16 <= len(there) < 120 and len(set(there)) == len(there)
    assert len(made.list_all_nodes()) == 3
    log = next((tmp_path / "results" / "logs").iterdir()).read_text(encoding="utf-8")
    assert 1 <= log.count("about to go wrong: kill") <= 3  # fetched from the nodes


def test_a_model_that_dies_while_it_loads_is_given_up_after_three(made: Any, tmp_path: Path) -> None:
    screen(tmp_path, made.address, engine=waiting(tmp_path, fault="load"))
    status, reason = stored(tmp_path)
    assert status == "failed" and "its worker died 3 times before the first summary" in reason


def test_a_fault_of_the_model_is_told_as_on_one_machine(made: Any, tmp_path: Path) -> None:
    engine = waiting(tmp_path, poison="s50", fault="raise")
    reasons = []
    for name, address in (("here", None), ("there", made.address)):
        screen(tmp_path / name, address, engine=engine)
        status, reason = stored(tmp_path / name)
        assert status == "failed"
        reasons.append(reason.replace(str(tmp_path / name), ""))
        log = next((tmp_path / name / "results" / "logs").iterdir()).read_text(encoding="utf-8")
        assert "ZeroDivisionError: by nothing" in log and "Traceback" in log
    assert reasons[0] == reasons[1]


def test_a_hang_is_ended_and_told_with_its_node(made: Any, tmp_path: Path) -> None:
    screen(tmp_path, made.address, engine=waiting(tmp_path, poison="s50", fault="hang"), hang_timeout=8)
    status, reason = stored(tmp_path)
    assert status == "failed" and reason.startswith("hung: no sign of life for") and " on " in reason


def test_a_time_budget_ends_a_model_everywhere(made: Any, tmp_path: Path) -> None:
    screen(tmp_path, made.address, engine=waiting(tmp_path, seconds=0.2), count=400, time_budget=2)
    status, reason = stored(tmp_path)
    assert status == "partial" and reason.startswith("over its time budget")
    assert 0 < len(rows(tmp_path)) < 400


def test_another_version_here_than_there_is_refused(made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other() -> dict[str, Any]:
        return real() | {"dsum-bench": "9.9.9"}

    from dsum_bench_ray import cluster as module

    real = probe.probe
    monkeypatch.setattr(module.probing, "probe", other)
    monkeypatch.setattr(module, "by_value", lambda: real)
    with pytest.raises(
        UserError, match=r"dsum-bench 0\.\S+ is installed there and 9\.9\.9 here: install the same on both"
    ):
        screen(tmp_path, made.address, CONTROLS)


def test_a_node_that_dies_and_one_that_comes_change_nothing(made: Any, tmp_path: Path) -> None:
    extra = made.add_node(**node())
    made.wait_for_nodes()
    actions: list[Callable[[], object]] = [
        lambda: made.remove_node(extra, allow_graceful=False),
        lambda: made.add_node(**node()),
    ]

    def progress(event: ProgressEvent) -> None:
        if event.kind == "samples" and event.done >= (20 if len(actions) == 2 else 120) and actions:
            actions.pop(0)()

    engine = waiting(tmp_path, seconds=0.1)
    done = screen(tmp_path, made.address, engine=engine, count=300, progress=progress)
    assert [run.status for run in done.runs] == ["done"] and not actions
    assert rows(tmp_path) == [f"s{i}" for i in range(300)]


SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_cluster import screen
result = screen(Path({folder!r}), {address!r}, engine=Path({engine!r}), count=200)
print(json.dumps([run.status for run in result.runs]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_command_that_is_ended_leaves_no_worker_and_is_resumed(
    made: Any, tmp_path: Path, number: signal.Signals
) -> None:
    engine = waiting(tmp_path, seconds=0.1)
    code = SCRIPT.format(
        tests=str(Path(__file__).parent), folder=str(tmp_path), address=made.address, engine=str(engine)
    )
    command = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    wait(lambda: (tmp_path / "results" / "dsum.db").exists() and len(quietly(rows, tmp_path)) >= 20)
    assert workers(tmp_path)
    command.send_signal(number)
    command.wait(120)
    before = rows(tmp_path)
    wait(lambda: not workers(tmp_path))
    status, reason = stored(tmp_path)
    if number == signal.SIGKILL:
        assert status == "running"
    else:
        assert status == "partial" and "interrupted" in reason
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert '["done"]' in done.stdout.splitlines()  # Ray may print lines of its own
    assert rows(tmp_path) == [f"s{i}" for i in range(200)]
    assert set(before) <= set(rows(tmp_path))


def workers(folder: Path) -> list[int]:
    """Processes that work on a run whose engine lies in a folder."""
    with closing(sqlite3.connect(folder / "results" / "dsum.db")) as db:
        keys = [key for (key,) in db.execute("select id from runs")]
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "dsum_bench.executors.child" in line and line[-1] in keys:
            found.append(process.pid)
    return found


def quietly(work: Callable[[Path], list[str]], folder: Path) -> list[str]:
    try:
        return work(folder)
    except sqlite3.Error:  # its tables are only just being made
        return []


def wait(happens: Callable[[], object], seconds: float = 240.0) -> None:
    limit = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_points_of_a_search_are_trained_one_on_each_node(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / "tests" / "support"))
    place = pytest.importorskip("tuning").place
    monkeypatch.chdir(place(tmp_path, [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)]))
    bench = Bench(results="results", progress=None)
    found = bench.finetune(
        "mine",
        "rows",
        settings={"max_tokens": 96, "batch": 2, "accumulate": 1, "choose_by": "loss", "eval_rouge": 0, "epochs": 2},
        search=3,
        space="lr=1e-4..1e-2:log",
        screen=False,
        dev_limit=4,
        probe=False,
        executor="ray",
        address=made.address,
    )
    assert [trial.status for trial in found.search.trials] == ["done"] * 3
    with closing(sqlite3.connect("results/dsum.db")) as db:
        times = db.execute("select started, finished from trainings").fetchall()
    assert len(times) == 3
    assert max(started for started, _ in times) < min(finished for _, finished in times)
