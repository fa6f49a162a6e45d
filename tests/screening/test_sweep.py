"""A sweep whose surroundings fail: the disk, or the executor. What is finished stays, and the cause is stored."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from faulty_runs import Quiet
from making import builtins
from store_runs import make_run, positions

from dsum_bench.errors import UserError
from dsum_bench.executors.base import Event, Executor, Job, JobEnded
from dsum_bench.screening.job import BatchDone
from dsum_bench.screening.preflight import Candidate
from dsum_bench.screening.sweep import RunResult, Settings, Sweep
from dsum_bench.spec import Generation, Output, Sample
from dsum_bench.store.writer import ScoredOutput, Store

SAMPLES = tuple(Sample(f"s{i}", f"#Person1#: 네 {i}.") for i in range(4))


def batch(job: str, sample: Sample, text: str = "끝.") -> BatchDone:
    return BatchDone(job, (Output(Generation(sample.id, text, 1, 1, "stop", 0.1), text),), 0)


class Hands(Executor):
    """Hands out one sample of each job, then does what a test wants."""

    name = "hands"

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        for job in jobs:
            yield batch(job.id, SAMPLES[0])
        yield from self.rest(jobs)

    def rest(self, jobs: Sequence[Job]) -> Iterator[Event]:
        yield from ()

    def stop(self, job: str, reason: str) -> None:
        return


class FillsTheDisk(Hands):
    def rest(self, jobs: Sequence[Job]) -> Iterator[Event]:
        for number, sample in enumerate(SAMPLES[1:], 1):
            yield batch(jobs[0].id, sample, "글" * 10 ** (2 * number))


class Raises(Hands):
    def rest(self, jobs: Sequence[Job]) -> Iterator[Event]:
        raise KeyError("node 3")


class Leaves(Hands):
    def rest(self, jobs: Sequence[Job]) -> Iterator[Event]:
        sys.exit(4)


class Confuses(Hands):
    def rest(self, jobs: Sequence[Job]) -> Iterator[Event]:
        yield JobEnded("another")


class Finishes(Hands):
    """Does every sample of every job; meanwhile is called with the jobs as the first one begins."""

    def __init__(self, meanwhile: Callable[[Sequence[Job]], None]) -> None:
        super().__init__()
        self.meanwhile = meanwhile
        self.asked: list[list[str]] = []

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        self.asked.append([job.run.model.name for job in jobs])  # type: ignore[attr-defined]
        self.meanwhile(jobs)
        for job in jobs:
            yield from (batch(job.id, sample) for sample in job.samples)  # type: ignore[attr-defined]
            yield JobEnded(job.id)


def sweep(folder: Path, executor: Executor, pages: int | None = None) -> Sequence[RunResult]:
    """Screen two models. pages: how many the database may grow by."""
    quiet: Any = Quiet()
    with Store.open(folder / "dsum.db") as store:
        if pages is not None:  # SQLite's own limit gives the error of a full disk
            there = store._db.execute("pragma page_count").fetchone()[0]
            store._db.execute(f"pragma max_page_count = {there + pages}")
        work = Sweep(SAMPLES, {}, store, builtins(), quiet, Settings(log_folder=folder / "logs"))
        return work.go([Candidate(make_run(name), control=False) for name in ("a", "b")], executor)


def stored(folder: Path) -> list[tuple[str, str, int]]:
    """Status, reason and number of finished samples of each model."""
    with sqlite3.connect(folder / "dsum.db") as db:
        sql = "select status, reason, (select count(*) from outputs where run_id = id) from runs order by model"
        return db.execute(sql).fetchall()


def test_a_full_disk_is_stored_as_that(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="disk full"):
        sweep(tmp_path, FillsTheDisk(), pages=20)
    (a, b) = stored(tmp_path)
    assert (a[0], b[0]) == ("partial", "partial")
    assert a[1].startswith("disk full while writing") and a[1] == b[1]
    assert a[2] in (2, 3) and b[2] == 1


@pytest.mark.parametrize(
    ("executor", "told"),
    [
        (Raises(), "executor 'hands' failed: KeyError: 'node 3'"),
        (Leaves(), "executor 'hands' failed: RuntimeError: it called sys.exit(4)"),
        (Confuses(), "executor 'hands' reported job 'another', which is not running"),
    ],
)
def test_a_failing_executor_is_reported_in_a_sentence(executor: Executor, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        sweep(tmp_path, executor)
    assert str(error.value) == told
    assert stored(tmp_path) == [("partial", told, 1)] * 2


def test_a_job_that_an_executor_forgets_has_failed(tmp_path: Path) -> None:
    sweep(tmp_path, Hands())
    assert stored(tmp_path) == [("failed", "executor 'hands' did not say how it ended", 1)] * 2


# -- beside another command -------------------------------------------------------------------------------------


def finish(other: Store, key: str) -> None:
    other.add(key, [ScoredOutput(o, {}) for s in SAMPLES for o in batch(key, s, "그쪽.").outputs], positions(4))
    other.close_run(key, "done")


def test_a_run_of_another_command_is_taken_up_when_that_has_ended(tmp_path: Path) -> None:
    with Store.open(tmp_path / "dsum.db") as other:
        key = other.open_run(make_run("a"), "model")
        executor = Finishes(lambda jobs: finish(other, key))  # while ours is at b
        ended = sweep(tmp_path, executor)
    assert executor.asked == [["b"], []]  # nothing of a was left to do
    assert [(r.model, r.status) for r in ended] == [("b", "done"), ("a", "done")]
    with sqlite3.connect(tmp_path / "dsum.db") as db:
        assert {text for (text,) in db.execute("select summary from outputs where run_id = ?", [key])} == {"그쪽."}
    assert [row[::2] for row in stored(tmp_path)] == [("done", 4)] * 2


def test_a_run_that_another_command_is_still_at_is_skipped_in_a_sentence(tmp_path: Path) -> None:
    with Store.open(tmp_path / "dsum.db") as other:
        key = other.open_run(make_run("a"), "model")
        ended = sweep(tmp_path, Finishes(lambda jobs: None))
        assert [(r.model, r.status) for r in ended] == [("b", "done"), ("a", "skipped")]
        assert (
            ended[1].run_id == key and f"being written by another dsum-bench (process {os.getpid()})" in ended[1].reason
        )
        assert other.status(key) == "running"  # what it is doing goes on
        finish(other, key)
    assert [row[::2] for row in stored(tmp_path)] == [("done", 4)] * 2
