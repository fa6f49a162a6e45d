"""A worker that goes wrong: what is stored, for screenings and trainings alike, and that none outlives its parent."""

from __future__ import annotations

import math
import os
import pickle
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import faulty_runs
import psutil
import pytest
from commands import wait_until
from faulty_runs import RUNS
from ticking import Ticking

from dsum_bench.executors.base import Event, Executor, Job, JobEnded
from dsum_bench.executors.child import run_job
from dsum_bench.executors.local import Local
from dsum_bench.executors.supervisor import Supervisor
from dsum_bench.executors.wire import Inbox, frame
from dsum_bench.machine import Machine
from dsum_bench.spec import PluginSettings
from dsum_bench.store.lock import gone, show_interrupted
from dsum_bench.store.reader import reading

pytestmark = pytest.mark.fresh

Run = Callable[..., tuple[str, str]]
SUPPORT = Path(faulty_runs.__file__).parent
BROKEN = "raise ImportError('half of the package is missing')\n"

INTERRUPTED = {
    signal.SIGINT: "interrupted; the same command resumes it",
    signal.SIGTERM: "interrupted by SIGTERM; the same command resumes it",
    signal.SIGHUP: "interrupted by SIGHUP; the same command resumes it",
}
REASONS = {
    "exits": (r"its code called sys.exit\('enough'\) \(traceback in .*\.log\)", "failed"),
    "dies": (r"its process ended with code 3 .*about to go wrong: dies \(output in .*\.log\)", "failed"),
    "killed": (r"killed by the system \(SIGKILL\), usually because memory ran out", "failed"),
    "crashes": (r"its process died of SIGSEGV \(output in .*\.log\)", "failed"),
    "raises": (r"ZeroDivisionError: by nothing \(traceback in .*\.log\)", "failed"),
    "full": (r"the disk is full \(.*No space left on device\); free some space and run again", "skipped"),
    "hangs": (r"hung: no sign of life for \d+ seconds, so it was ended \(stack in .*\.log\)", "failed"),
    "deaf": (r"hung: no sign of life for \d+ seconds, so it was ended", "failed"),
}


class FromTrouble(float):
    """A hang timeout of a second that counts from when the worker is about to go wrong, however slow its start is."""

    def __new__(cls, logs: Path) -> FromTrouble:
        made = super().__new__(cls, 1.0)
        made.logs = logs
        return made

    logs: Path

    def __ge__(self, seconds: float) -> bool:
        begun = any("about to go wrong" in log.read_text(encoding="utf-8") for log in self.logs.glob("*.log"))
        return not begun or float(self) >= seconds


def local(hang_timeout: float = 60.0) -> Local:
    return Local(hang_timeout, Machine(2, 10**9, 10**9))


@pytest.fixture(params=list(RUNS))
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = RUNS[request.param]
    return found


@pytest.mark.parametrize("fault", REASONS)
def test_how_a_worker_ended_is_stored(run: Run, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason, status = REASONS[fault]
    monkeypatch.setenv("FAULT", fault)
    monkeypatch.setattr("dsum_bench.executors.supervisor.GRACE", 1.0)
    found = run(tmp_path, local(FromTrouble(tmp_path / "logs") if fault in ("hangs", "deaf") else 600))
    assert found[0] == status
    assert_matches(reason, found[1])
    if fault in ("hangs", "crashes"):  # where it was is in the log
        (log,) = (tmp_path / "logs").iterdir()
        assert "in go_wrong" in log.read_text(encoding="utf-8")


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text


def test_a_worker_that_cannot_start_says_why(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "dsum_bench"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(BROKEN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(package.parent))
    status, reason = run(tmp_path, local())
    assert status == "failed"
    assert "before it began: ImportError: half of the package is missing" in reason
    (log,) = (tmp_path / "logs").iterdir()
    assert "Traceback" in log.read_text(encoding="utf-8")


class HereAndNow(Executor):
    """Does a job in this process, as an executor for another machine does it there."""

    name = "here-and-now"

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        for job in jobs:
            told: list[Event] = []
            ended = run_job(job, told.append)
            yield from told
            yield ended

    def stop(self, job: str, reason: str) -> None:
        return


@pytest.mark.parametrize("fault", ["raises", "exits", "full"])
def test_another_executor_runs_screenings_and_trainings_alike(
    run: Run, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason, status = REASONS[fault]
    monkeypatch.setenv("FAULT", fault)
    found = run(tmp_path, HereAndNow())
    assert found[0] == status
    assert_matches(reason, found[1])


def test_only_the_main_process_of_a_launched_training_is_watched_for_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    for rank, seconds in (("0", 7.0), ("1", math.inf)):
        monkeypatch.setenv("RANK", rank)
        assert local(7.0).hang_timeout == seconds


class Unpicklable(str):
    """A plugin's name that cannot leave its process."""

    def __reduce__(self) -> Any:
        raise TypeError("it holds a socket")


class Unreadable(str):
    """A plugin's name that cannot be read elsewhere."""

    def __reduce__(self) -> Any:
        return os.open, ("/no/such/file", os.O_RDONLY)


@pytest.mark.parametrize(
    ("name", "told"),
    [(Unpicklable("x"), "cannot be sent to a worker process: TypeError: it holds a socket"),
     (Unreadable("x"), "cannot be read by its worker: FileNotFoundError")],
)  # fmt: skip
def test_a_job_that_cannot_be_pickled_says_why(run: Run, name: str, told: str, tmp_path: Path) -> None:
    status, reason = run(tmp_path, local(), PluginSettings((name,)))
    assert status == "failed"
    assert told in reason


def test_a_log_that_cannot_be_written_says_why(run: Run, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file in the folder's place", encoding="utf-8")
    status, reason = run(tmp_path, local())
    assert status == "failed"
    assert_matches(r"its log .*\.log cannot be written: .+", reason)


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_no_run_and_no_worker_outlives_its_parent(kind: str, number: signal.Signals, tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n"
        "from pathlib import Path; from faulty_runs import RUNS; from dsum_bench.executors.local import Local\n"
        f"RUNS[{kind!r}](Path.cwd(), Local())\n"
    )
    environment = os.environ | {"FAULT": "parent"}
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for((tmp_path / "pids").exists)
        pids = [int(pid) for pid in (tmp_path / "pids").read_text(encoding="ascii").split()]
        assert all(psutil.pid_exists(pid) for pid in pids)
    finally:
        parent.send_signal(number)
        parent.wait(60)
    wait_for(lambda: not any(alive(pid) for pid in pids))
    table = "runs" if kind == "screening" else "trainings"
    status, reason = faulty_runs.stored(tmp_path, table)
    if number == signal.SIGKILL:
        assert status == "running"
    else:
        assert (status, reason) == ("partial", INTERRUPTED[number])
    # A reader says so in each case, for nobody writes any longer.
    database = tmp_path / "dsum.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        show_interrupted(db, gone(database, db))
        status, reason = db.execute(f"select status, reason from {table}").fetchone()
    assert status == "partial"
    assert "interrupted" in reason


def test_a_screening_and_a_training_share_a_results_folder_and_end_by_themselves(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(SUPPORT)!r})\n"
        "from pathlib import Path; from faulty_runs import RUNS; from dsum_bench.executors.local import Local\n"
        "RUNS[sys.argv[1]](Path(sys.argv[2]), Local())\n"
    )
    results = tmp_path / "results"
    parents = {}
    try:
        for kind in RUNS:
            (tmp_path / kind).mkdir()
            command = [sys.executable, "-c", script, kind, str(results)]
            environment = os.environ | {"FAULT": "parent"}
            parents[kind] = subprocess.Popen(command, cwd=tmp_path / kind, env=environment, stderr=subprocess.DEVNULL)
            wait_for((tmp_path / kind / "pids").exists)
        assert shown(results) == {"screening": "running", "training": "running"}
        parents["screening"].kill()
        parents["screening"].wait(60)
        assert shown(results) == {"screening": "partial", "training": "running"}
        parents["training"].terminate()
        parents["training"].wait(60)
        assert shown(results) == {"screening": "partial", "training": "partial"}
        assert faulty_runs.stored(results, "trainings")[1] == INTERRUPTED[signal.SIGTERM]
    finally:
        for parent in parents.values():
            parent.kill()
            parent.wait(60)


def shown(results: Path) -> dict[str, str]:
    """Status of the screening and of the training as a reader shows them."""
    with reading(results / "dsum.db") as db:
        tables = {"screening": "runs", "training": "trainings"}
        return {kind: db.execute(f"select status from {table}").fetchone()[0] for kind, table in tables.items()}


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for(condition: Callable[[], bool]) -> None:
    wait_until(condition, "the state that the test waits for")


def test_a_stopped_job_ends_even_if_it_ignores_sigterm_and_the_others_continue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsum_bench.executors.supervisor.GRACE", 0.5)
    supervisor, ended, ticks = Supervisor(), {}, {"a": 0, "b": 0}
    try:
        supervisor.start(Ticking("a", str(tmp_path / "a.log"), 10**6))
        supervisor.start(Ticking("b", str(tmp_path / "b.log"), 20))
        while supervisor.busy:
            for event in supervisor.listen():
                if isinstance(event, JobEnded):
                    ended[event.job] = event.reason
                else:
                    ticks[event.job] += 1
            if ticks["a"] > 3:
                supervisor.stop("a", "no longer wanted")
    finally:
        supervisor.close()
    assert ended == {"a": "no longer wanted", "b": ""}
    assert ticks["b"] == 20


def test_what_a_worker_sent_just_before_its_end_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may send and end after it was last listened to and before it is asked whether it lives."""
    looks = 0

    def late(connections: list[Any], timeout: float) -> list[Any]:
        nonlocal looks
        looks += 1
        if looks == 1:
            (worker,) = supervisor._workers.values()
            worker.process.wait(60)
            return []
        return list(wait(connections, timeout))

    monkeypatch.setattr("dsum_bench.executors.supervisor.wait", late)
    supervisor, got = Supervisor(), []
    try:
        supervisor.start(Ticking("a", str(tmp_path / "a.log"), 3))
        while supervisor.busy:
            got += supervisor.listen()
    finally:
        supervisor.close()
    assert [type(event).__name__ for event in got] == ["Progress"] * 3 + ["JobEnded"]
    assert got[-1] == JobEnded("a")


def test_messages_are_put_together_from_any_pieces() -> None:
    sent = [{"n": n, "text": "가" * n} for n in (0, 1, 1000, 7)]
    data = b"".join(frame(m) for m in sent)
    for size in (1, 7, 8, 9, 1000, len(data)):
        inbox = Inbox()
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        got = [pickle.loads(m) for piece in pieces for m in inbox.feed(piece)]
        assert got == sent
    assert list(Inbox().feed(data[:5])) == []  # a process that died in the middle of a message
