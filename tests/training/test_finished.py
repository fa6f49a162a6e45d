"""Finished is finished: a run given again is neither trained further nor loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tuning import place

from dsum_bench import Bench
from dsum_bench.errors import UserError
from dsum_bench.executors.base import Event, Executor, Job

ROWS = [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)]
QUICK: dict[str, Any] = {"max_tokens": 96, "batch": 2, "accumulate": 1, "lr": 0.5}


class Nobody(Executor):
    """An executor that starts no worker: a run that asks it for one was not taken for finished."""

    name = "nobody"

    def run(self, jobs: Sequence[Job]) -> Iterator[Event]:
        raise UserError(f"a worker was asked for: {', '.join(job.id for job in jobs)}")

    def stop(self, job: str, reason: str) -> None:
        raise AssertionError("nothing runs")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(place(tmp_path, ROWS))
    return Bench(plugins=[Nobody], progress=None)


def digests(folder: Path) -> dict[str, str]:
    """Of every file in a folder."""
    return {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in folder.rglob("*") if f.is_file()}


def test_a_run_that_stopped_early_stays_as_it_is(bench: Bench) -> None:
    asked: dict[str, Any] = {"dataset": "rows", "name": "x", "screen": False, "dev_limit": 4,
                             "settings": QUICK | {"patience": 1, "epochs": 30}}  # fmt: skip
    (first,) = bench.finetune("mine", **asked).trainings
    assert first.status == "done" and not first.reason
    curve, kept = bench.curve("mine@x"), digests(bench.results / "models/mine@x")
    assert curve["step"].max() < 30 * 6
    (again,) = bench.finetune("mine", **asked, executor="nobody").trainings
    assert again.status == "done" and "--fresh trains it again" in again.reason
    assert bench.curve("mine@x").equals(curve) and digests(bench.results / "models/mine@x") == kept
    with pytest.raises(UserError, match="a worker was asked for: mine@x"):
        bench.finetune("mine", **asked, executor="nobody", fresh=True)


def test_the_points_of_a_finished_sweep_are_not_loaded_again(bench: Bench) -> None:
    asked: dict[str, Any] = {"dataset": "rows", "screen": False, "dev_limit": 0, "settings": QUICK | {"epochs": 0.5}}
    points = bench.finetune("mine", sweep="r=2,4", **asked).trainings
    again = bench.finetune("mine", sweep="r=2,4", executor="nobody", **asked).trainings
    assert [t.status for t in again] == ["done", "done"] and [t.model for t in again] == [t.model for t in points]
    # A point that is new is the only one that a worker is started for.
    with pytest.raises(UserError, match="a worker was asked for") as told:
        bench.finetune("mine", sweep="r=2,4,8", executor="nobody", **asked)
    assert not any(t.model in str(told.value) for t in points)
